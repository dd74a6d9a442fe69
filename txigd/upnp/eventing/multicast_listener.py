"""Hears multicast events on every link and hands them to those who observe their publishers.

Thin: moves datagrams between the adopted ports and multicast_event.py. Sockets are open only while somebody observes,
for no gateway is known to send such events (Q184).
Sources: UDA 1.1 section 4.3 (multicast eventing), quirks Q015, Q184, threats A1, A3, A6, D1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import limits, log
from txigd.errors import BadMessage, InvalidArgument
from txigd.upnp.addressing import Link
from txigd.upnp.discovery import sockets
from txigd.upnp.discovery.message import normal_udn
from txigd.upnp.discovery.ports import OpenSocket, Ports
from txigd.upnp.discovery.sockets import Endpoint
from txigd.upnp.discovery.sources import Sources
from txigd.upnp.eventing.multicast_event import GROUPS as GROUPS
from txigd.upnp.eventing.multicast_event import MulticastEvent, Repeats, read_sealed
from txigd.upnp.url import IPAddress, unmapped

OnEvent = Callable[[MulticastEvent], object]
_Key = tuple[str, str]
_log = log.logger("txigd.multicast")


def endpoints(link: Link) -> tuple[Endpoint, ...]:
    """The sockets that hear multicast events on a link. Pure."""
    return sockets.listeners(link, GROUPS, limits.EVENT_PORT)


@dataclass(slots=True, eq=False)
class _Observer:
    callback: OnEvent
    host: IPAddress
    forgotten: bool = field(default=False)


class MulticastListener:
    """Multicast events of the services that are observed.

    A datagram counts if its source is on the link, within its rate, and the very host of the observed device; what
    does not is dropped and counted. Copies are dropped (UDA 1.1 section 4.3). Observers are told in a later reactor
    turn; one that raises is logged, the others still hear.

    :ivar counters: datagrams dropped, by reason.

    :param reactor: provides IReactorTime and IReactorSocket.
    :param links: where to listen, see :func:`txigd.upnp.addressing.links`.
    :param open_socket: makes the socket of an endpoint; raises OSError.
    """

    def __init__(
        self, reactor: IReactorTime, *, links: Sequence[Link], open_socket: OpenSocket = sockets.open_socket
    ) -> None:
        self._reactor = reactor
        self._ports = Ports(
            reactor,
            self._received,
            lambda opened: None,
            open_socket=open_socket,
            needed=endpoints,
            octets=limits.EVENT_OCTETS,
        )
        self._links = _by_index(links)
        self._sources = Sources(limits.EVENTS_PER_SOURCE_PER_SECOND, limits.EVENTS_PER_SECOND)
        self._repeats = Repeats()
        self._observers: dict[_Key, list[_Observer]] = {}
        self._due: deque[tuple[_Observer, MulticastEvent]] = deque()
        self._turn: IDelayedCall | None = None
        self._fault_logged: float | None = None
        self.counters: dict[str, int] = {}
        self.running = False

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work now, a sentence for each."""
        return self._ports.problems

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen as soon as somebody observes."""
        self.running = True
        self._follow()

    def stop(self) -> Deferred[None]:
        """Tell nobody anything more; observers stay for another :meth:`start`.

        :return: fires when all sockets are closed; no delayed call is left even before.
        """
        self.running = False
        self._due.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        return self._ports.stop()

    def set_links(self, links: Sequence[Link]) -> None:
        """Follow a change of links or addresses."""
        self._links = _by_index(links)
        self._follow()

    def observe(self, udn: str, service_id: str, callback: OnEvent, *, host: IPAddress) -> Callable[[], None]:
        """Call ``callback`` with each :class:`~txigd.upnp.eventing.multicast_event.MulticastEvent` of a service.

        :param udn: of the device that has the service.
        :param service_id: from its description.
        :param host: the device's address, with its zone if link-local IPv6: no other host is believed (A6). Observe
            anew when the device moves.
        :return: a function that ends this.
        :raises InvalidArgument: beyond EVENT_PUBLISHERS observers.
        """
        if sum(map(len, self._observers.values())) >= limits.EVENT_PUBLISHERS:
            raise InvalidArgument(f"more than {limits.EVENT_PUBLISHERS} observers")
        key, observer = _key(udn, service_id), _Observer(callback, unmapped(host))
        self._observers.setdefault(key, []).append(observer)
        self._follow()
        return partial(self._forget, key, observer)

    def _forget(self, key: _Key, observer: _Observer) -> None:
        observer.forgotten = True
        kept = [one for one in self._observers.pop(key, ()) if one is not observer]
        if kept:
            self._observers[key] = kept
        self._follow()

    def _follow(self) -> None:
        # a flood of others must not hide those who are observed
        self._sources.trust({one.host for observers in self._observers.values() for one in observers})
        if not self.running:
            return
        if self._observers:
            self._ports.follow(tuple(self._links.values()))
        else:
            self._ports.stop()

    # -- hearing -------------------------------------------------------------------------------------------------------

    def _received(self, endpoint: Endpoint, datagram: bytes, sender: tuple[str, int]) -> None:
        """Take one datagram. What is of no use is counted; nothing is raised."""
        link = self._links.get(endpoint.link_index)
        if link is None or not self.running:
            return
        try:
            self._hear(link, datagram, sender[0])
        except BadMessage as error:
            self.counters[error.reason] = self.counters.get(error.reason, 0) + 1
        except Exception:
            self.counters["fault"] = self.counters.get("fault", 0) + 1
            now = self._reactor.seconds()
            if self._fault_logged is None or now - self._fault_logged >= limits.LOG_AGAIN_SECONDS:
                self._fault_logged = now
                _log.failure("a datagram from {sender!r} on {link} met a fault", sender=sender, link=link.name)

    def _hear(self, link: Link, datagram: bytes, host: str) -> None:
        now = self._reactor.seconds()
        source = self._sources.admit(link, host, now)
        if isinstance(source, str):
            raise BadMessage(source)
        sealed = read_sealed(datagram)
        observers = self._observers.get(_key(sealed.event.udn, sealed.event.service_id))
        if not observers:
            raise BadMessage("not observed")
        believing = [one for one in observers if one.host == source]
        if not believing:
            raise BadMessage("foreign host")
        if not self._repeats.is_news(sealed.event, now, source):
            raise BadMessage("repeat")
        event = sealed.open()
        self._due.extend((observer, event) for observer in believing)
        if self._turn is None:
            self._turn = self._reactor.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._turn = None
        # what an observer causes to be heard belongs to the next turn
        due, self._due = self._due, deque()
        for observer, event in due:
            if observer.forgotten or not self.running:
                continue
            try:
                observer.callback(event)
            except Exception:
                _log.failure("an observer of multicast events raised")


def _by_index(links: Sequence[Link]) -> dict[int, Link]:
    return {link.index: link for link in links[: limits.LINKS]}


def _key(udn: str, service_id: str) -> _Key:
    return normal_udn(udn).lower(), service_id.strip().lower()
