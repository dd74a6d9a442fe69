"""The callback port: its listeners, one per local address, and the opening of paths.

Knows sockets; what is heard on them is the matter of :mod:`txigd.upnp.eventing.callback_site`. Sources: UDA 1.0-2.0
section 4; quirks Q157, Q173, Q174, Q192; threats C1-C10; fault F58.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime

from txigd import log
from txigd.errors import AddressingError, Stopped
from txigd.limits import CALLBACK_BACKLOG
from txigd.upnp.eventing.callback_paths import Authority, CallbackPath, CallbackPaths, OnNotify
from txigd.upnp.eventing.callback_site import CallbackSite
from txigd.upnp.url import IPAddress, without_zone

_log = log.logger("txigd.eventing")


class CallbackServer:
    """Listens where a device is to call back.

    :param port: for every listener; 0 for a random one each. Where it is taken, a random one is used (F58).
    :param advertised: address and port that devices must call instead of the listener's own, for a host behind a
        port forwarding of its own (Q173); accepted as Host then as well.
    :param lenient: let a NOTIFY without SEQ pass (Q159).
    :ivar problems: what is worth telling the user, newest last.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        *,
        port: int = 0,
        advertised: Authority | None = None,
        lenient: bool = False,
    ) -> None:
        self.problems: tuple[str, ...] = ()
        self._reactor = reactor
        self._port = port
        self._paths = CallbackPaths(advertised, lenient)
        self._site = CallbackSite(self._paths, cast(IReactorTime, reactor))
        self._ports: dict[IPAddress, IListeningPort] = {}
        self._stopped = False

    @property
    def counters(self) -> Counter[str]:
        """Connections and requests by outcome: ``accepted``, ``large``, or the reason of a refusal."""
        return self._paths.counters

    def listen(self, address: IPAddress) -> int:
        """Listen on a local address, unless that is so already.

        :return: the port.
        :raises AddressingError: where the address cannot be listened on.
        :raises Stopped: after :meth:`stop`.
        """
        if self._stopped:
            raise Stopped("the callback server was stopped")
        if address not in self._ports:
            self._ports[address] = self._listen(address)
        return cast("IPv4Address | IPv6Address", self._ports[address].getHost()).port

    def _listen(self, address: IPAddress) -> IListeningPort:
        failure: CannotListenError | None = None
        site = cast(Any, self._site)
        for port in dict.fromkeys((self._port, 0)):
            try:
                listening = self._reactor.listenTCP(port, site, backlog=CALLBACK_BACKLOG, interface=str(address))
            except CannotListenError as error:
                failure = error
                continue
            if failure is not None:
                self._problem(f"callback port {self._port} of {address} {_said(failure)}; another port is used")
            return listening
        raise AddressingError(f"no callback port on {address}: {failure}") from failure

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems = (*self.problems[-7:], text)
            _log.warn("{problem}", problem=text)

    def release(self, address: IPAddress) -> None:
        """Stop listening on an address that is no longer ours; open connections end by themselves."""
        port = self._ports.pop(address, None)
        if port is not None:
            maybeDeferred(port.stopListening)

    def open(
        self,
        address: IPAddress,
        *,
        peers: Iterable[IPAddress],
        admits: Callable[[str], bool],
        on_notify: OnNotify,
        names: Iterable[str] = (),
    ) -> CallbackPath:
        """Open a path, before the SUBSCRIBE that names it is sent (Q157).

        :param address: our own, on which to listen.
        :param peers: who may call it (Q192).
        :param admits: whether a NOTIFY with this SID is to be answered 200 and not 412.
        :param on_notify: called in a later reactor turn, with None for the values where they could not be read.
        :param names: the variables of the service, for their spelling.
        :raises AddressingError: where the address cannot be listened on.
        :raises Stopped: after :meth:`stop`.
        """
        port = self.listen(address)
        authority = self._paths.advertised or (without_zone(address), port)
        path = CallbackPath(self._paths, authority, peers, admits, on_notify, names)
        self._paths.add(path)
        return path

    def stop(self) -> Deferred[None]:
        """Close listeners and connections, and forget the paths.

        :return: a new Deferred that fires when every socket is closed; cancelling it changes nothing.
        """
        self._stopped = True
        self._paths.clear()
        closing: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self._ports.values()]
        self._ports.clear()
        closing.append(self._site.stop())
        return DeferredList(closing, consumeErrors=True).addCallback(lambda _: None)


def _said(failure: CannotListenError) -> str:
    cause = failure.socketError
    if getattr(cause, "errno", None) == errno.EADDRINUSE:
        return "is taken"
    return f"cannot be used: {getattr(cause, 'strerror', None) or cause}"
