"""The control point for Internet gateways: finds them, chooses the one in use, holds mappings and pinholes on it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import (
    BadReply,
    DescriptionError,
    HTTPStatusError,
    InvalidArgument,
    NoGateway,
    NotAGateway,
    Stopped,
    TxigdError,
)
from txigd.igd.books import Books
from txigd.igd.gateway import Gateway
from txigd.igd.gateways import Gateways
from txigd.igd.journal import Journal
from txigd.igd.waiters import Waiters
from txigd.interfaces import IGatewayObserver
from txigd.limits import FAREWELL_SECONDS, POLL_CEILING_SECONDS, POLL_FLOOR_SECONDS, POLL_SECONDS, SIGHTINGS
from txigd.upnp.discovery.sighting import Sighting
from txigd.upnp.url import without_zone

_log = log.logger("txigd.control_point")
_MACHINE_ID = Path("/etc/machine-id")


def host_id(identity: str = "") -> str:
    """Eight hex digits that stay the same on this host: part of the tag of our entries on a gateway.

    :param identity: tells several users of one host apart.
    """
    try:
        seed = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        seed = ""
    return hashlib.sha256(f"txigd {seed or uuid.getnode()} {identity}".rstrip().encode()).hexdigest()[:8]


def _poll_period(seconds: float) -> float:
    """Refuse what would flood a gateway, or could not be waited for."""
    if not isinstance(seconds, (int, float)) or not POLL_FLOOR_SECONDS <= seconds <= POLL_CEILING_SECONDS:
        bounds = f"{POLL_FLOOR_SECONDS:g} to {POLL_CEILING_SECONDS:g}"
        raise InvalidArgument(f"poll_seconds {seconds!r}: a number of seconds from {bounds}")
    return seconds


class ControlPoint(Gateways):
    """Finds Internet gateways and keeps in touch with them.

    What is wanted of ``mappings`` and ``pinholes`` is held on the gateway in use, whichever that is; what is wanted of
    them from the beginning of :meth:`stop` on, in the next life. A gateway has no next life: it refuses with
    :class:`txigd.errors.Stopped`.

    ``async with ControlPoint(reactor) as control_point:`` starts and stops it; it is a Twisted service as well. Where
    the reactor ends meanwhile, as after Ctrl-C, what is awaited in the block fails; that leaves the block as
    ``SystemExit``, which ``twisted.internet.task.react`` takes for a good end.

    :param reactor: Twisted's reactor.
    :param links: names of the links (interfaces) to use; all usable ones by default.
    :param gateway: the gateway to use: its address or the URL of its description. By default the one that is this
        host's default route; a gateway elsewhere is used only when it is named, its link is named, or the system tells
        no default route (threat A4).
    :param any_gateway: use, and list, whatever gateway answers.
    :param callback_port: TCP port that hears events; 0 for any.
    :param callback_host: the address that gateways are to call, where this host sits behind a forwarding (Q173).
    :param search_port: local UDP port of searches, for a firewall rule (Q007); 0 for any.
    :param poll_seconds: period of the cross-check of the WAN state, 1 to 86400.
    :param events: whether to subscribe to the gateway's events; a program that only asks once needs none.
    :param journal: what earlier runs did, saved by its owner: their entries are taken over or removed.
    :param identity: tells several users of one host apart; those that keep a journal need one each.
    :raises InvalidArgument: for a gateway that is neither an address nor a usable URL; for a port or a period out of
        bounds.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        links: Sequence[str] = (),
        gateway: str | None = None,
        any_gateway: bool = False,
        callback_port: int = 0,
        callback_host: str | None = None,
        search_port: int = 0,
        poll_seconds: float = POLL_SECONDS,
        events: bool = True,
        journal: Journal | None = None,
        identity: str = "",
    ) -> None:
        super().__init__(
            reactor,
            links=links,
            named=gateway,
            callback_port=callback_port,
            callback_host=callback_host,
            search_port=search_port,
            host_id=host_id(identity),
            poll_seconds=_poll_period(poll_seconds),
            events=events,
            books=Books(journal),
        )
        self._any_gateway = any_gateway
        self._current: Gateway | None = None
        self._waiting = Waiters(self.reactor)
        self._gateway_observers: list[IGatewayObserver] = []
        self._declined: set[str] = set()

    # -- for everybody -----------------------------------------------------------------------------------------------
    def gateway(self, timeout: float = 5.0) -> Deferred[Gateway]:
        """The gateway in use, as soon as one is verified: described, and its WAN connection read.

        :param timeout: seconds to wait.

        Errbacks with :class:`txigd.errors.NoGateway` when none answered in time, with
        :class:`txigd.errors.NotAGateway` when the named device is none, with :class:`txigd.errors.Stopped` when the
        control point is stopped.
        """
        if self._current is not None:
            return succeed(self._current)
        if self._ended:
            return fail(Stopped())
        if isinstance(self.last_error, NotAGateway):
            return fail(self.last_error)
        return self._waiting.add(timeout, self._none_in_time)

    @property
    def gateways(self) -> tuple[Gateway, ...]:
        """All verified gateways, the one in use first."""
        return tuple(sorted(self._gateways.values(), key=lambda gateway: gateway is not self._current))

    @property
    def current(self) -> Gateway | None:
        """The gateway in use, if any."""
        return self._current

    def observe(self, observer: IGatewayObserver) -> None:
        """Tell an :class:`txigd.interfaces.IGatewayObserver` of the gateway in use from now on."""
        self._gateway_observers.append(IGatewayObserver(observer))

    def forget(self, observer: IGatewayObserver) -> None:
        """Tell it no more."""
        if observer in self._gateway_observers:
            self._gateway_observers.remove(observer)

    def start(self) -> None:
        """Open the sockets and search.

        :raises AddressingError: when a named link does not exist.
        """
        self.startService()

    def stop(self) -> Deferred[None]:
        """Delete our mappings and pinholes, cancel subscriptions, close everything; takes a few seconds at most."""
        return self.stopService()

    def farewell(self) -> Deferred[None]:
        """Say goodbye to every gateway, the ones that are gone included."""
        self._waiting.fail(Stopped())
        self.last_error = None
        stops = [wanted.stop for wanted in (self.mappings, self.pinholes)]
        stops.extend(gateway.close for gateway in self._known.values())
        farewells = [maybeDeferred(stop, FAREWELL_SECONDS).addErrback(_not_said) for stop in stops]
        if self._current is not None:
            self._current.hand_over(self.mappings, self.pinholes)
        there = [gateway for gateway in self._known.values() if gateway.udn in self._devices]
        for gathered in (self._gateways, self._known, self._opening, self._unready, self._declined):
            gathered.clear()
        self._current = None
        parted = Deferred.fromCoroutine(self._part(farewells, there))
        return parted.addTimeout(FAREWELL_SECONDS, self.reactor).addBoth(lambda _: None)

    async def _part(self, farewells: list[Deferred[Any]], gateways: list[Gateway]) -> None:
        """What a gateway did not answer may still be there: with the time that is left it is looked at again."""
        await gatherResults(farewells, consumeErrors=True)
        await gatherResults([gateway.sweep() for gateway in gateways], consumeErrors=True)

    @property
    def satisfied(self) -> bool:
        """Whether there is a gateway, or the named device is none."""
        return self._current is not None or isinstance(self.last_error, NotAGateway)

    # -- choice ------------------------------------------------------------------------------------------------------
    def accepts(self, sighting: Sighting) -> bool:
        """Only the next hop is used, unless the user named something else (threat A4, F22).

        A default route that went away makes nobody else acceptable: it comes back, or another one does.
        """
        if self.named is not None:
            return super().accepts(sighting)
        if self._any_gateway or not self.routed or self.is_next_hop(sighting.location.host):
            return True
        return sighting.link in self._link_names and sighting.link not in self.routed

    def declined(self, sighting: Sighting) -> None:
        """Said once per host."""
        host = str(without_zone(sighting.location.host))
        if host not in self._declined and len(self._declined) < SIGHTINGS:
            self._declined.add(host)
            if not any(host in map(str, self.hosts_of(gateway)) for gateway in self.gateways):
                _log.info("gateway at {host} is not the default route: not used unless it is named", host=host)

    @property
    def declined_hosts(self) -> tuple[str, ...]:
        """Addresses of gateways that were seen and not used."""
        return tuple(sorted(self._declined))

    def _gateway_opened(self, gateway: Gateway) -> None:
        """Verified, or verified again."""
        if gateway is self._current:
            self._announce(gateway)
        else:
            self._choose()

    def _no_gateway(self, error: NotAGateway) -> None:
        """The device that was named is none: nobody needs to wait any longer."""
        self._waiting.fail(error)

    def _choose(self) -> None:
        """The best one is in use from now on, if it is not already."""
        best, old = self._best(), self._current
        if best is old:
            return
        if old is not None:
            self._current = None
            old.hand_over(self.mappings, self.pinholes)
            for wanted in (self.mappings, self.pinholes):
                wanted.detach("no gateway") if best is None else wanted.part("another gateway took over")
            if old.udn in self._gateways:
                old.clear_up()
            self._tell_gateway("gateway_lost", old)
            best = self._best()  # whoever was told may have stopped it all
        if best is None or self._current is not None:
            return
        self._current = best
        best.take_over(self.mappings, self.pinholes)
        self._announce(best)
        self._waiting.fire(best)

    def _best(self) -> Gateway | None:
        """The next hop first, then whatever came first; the one in use stays while it is as good."""
        return min(
            self._gateways.values(),
            key=lambda gateway: (not self.is_next_hop(gateway.address), gateway is not self._current),
            default=None,
        )

    def _announce(self, gateway: Gateway) -> None:
        _log.info(
            "gateway {name!r} at {location}: {status}",
            name=gateway.friendly_name,
            location=gateway.location,
            status=str(gateway.wan.status),
        )
        self._tell_gateway("gateway_found", gateway)

    def _none_in_time(self, seconds: float) -> TxigdError:
        if isinstance(self.last_error, DescriptionError):
            return NotAGateway(f"{self.named}: {self.last_error}")  # it answers, and is something else
        if isinstance(self.last_error, (HTTPStatusError, BadReply)):
            text = f"the gateway {self.named} answers with no description"
        elif self.named is not None:
            text = f"the gateway {self.named} did not answer in {seconds:g} s"
        elif self.links:
            text = f"no gateway answered on {', '.join(link.name for link in self.links)} in {seconds:g} s"
        else:
            text = f"this host has no network, so no gateway answered in {seconds:g} s"
        if self.last_error is not None:
            text += f": {self.last_error}".rstrip(".")
        elif self.named is None and self._declined:
            text += f" (seen, but not the default route: {', '.join(self.declined_hosts)})"
        none = NoGateway(text)
        none.__cause__ = self.last_error
        return none

    def _tell_gateway(self, what: str, gateway: Gateway) -> None:
        for observer in tuple(self._gateway_observers):
            if not self.running:
                return  # one of them stopped it all
            try:
                getattr(observer, what)(gateway)
            except Exception:
                _log.failure("a gateway observer raised")


def _not_said(failure: Failure) -> None:
    """The others are said goodbye to all the same."""
    _log.failure("a farewell met a fault", failure=failure)
