"""Discovery: searches and listens on every link, and tells what presence makes of it.

Thin: moves datagrams between ports.py, message.py and presence.py, and keeps the timers. Knows no HTTP, and no device
types but the targets it is given.
Sources: UDA 1.0-2.0 section 1, quirks Q001-Q015, Q024, Q025, threats A1, A3, A6, D1, D2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import limits, log
from txigd.errors import BadMessage, BadURL
from txigd.upnp import url
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.discovery import message, searches, sockets
from txigd.upnp.discovery.cache_message import Remembered
from txigd.upnp.discovery.message import Kind
from txigd.upnp.discovery.ports import OpenSocket, Ports
from txigd.upnp.discovery.presence import Presence
from txigd.upnp.discovery.searches import Form
from txigd.upnp.discovery.sighting import Change
from txigd.upnp.discovery.sockets import Endpoint, Role
from txigd.upnp.discovery.sources import Sources
from txigd.upnp.discovery.targets import IGD_TARGETS, Targets
from txigd.upnp.url import DeviceURL, IPAddress

_log = log.logger("txigd.discovery")
_LOCATED: Final = frozenset({Kind.ALIVE, Kind.UPDATE, Kind.ANSWER})


class Discovery:
    """Finds devices on the given links by SSDP, and hears them come and go.

    Nothing is opened before :meth:`start`. A link or socket that fails is named in :attr:`problems`, is tried again,
    and stops no other. ``on_change`` is called in the reactor turn in which the datagram arrived.

    :ivar presence: the table of sightings, for the owner to confirm, forget and pin.
    :ivar counters: datagrams dropped, by reason.

    :param reactor: provides IReactorTime and IReactorSocket.
    :param links: where to search, see :func:`txigd.upnp.addressing.links`.
    :param next_hops: routers: believed more than others, and also searched by unicast (Q006).
    :param may_ask: whether one of them is searched by unicast.
    :param targets: search targets, in the order of sending.
    :param user_agent: USER-AGENT of searches (Q057); left out where empty.
    :param search_port: local UDP port of searches, for firewall rules (Q007); 0 for any.
    :param open_socket: makes the socket of an endpoint; raises OSError.
    :raises InvalidArgument: for a target or user agent that fits on no line.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        on_change: Callable[[Change], None],
        *,
        links: Sequence[Link],
        next_hops: Sequence[NextHop] = (),
        may_ask: Callable[[IPAddress], bool] = lambda host: True,
        targets: Sequence[str] = IGD_TARGETS,
        user_agent: str = "",
        search_port: int = 0,
        open_socket: OpenSocket = sockets.open_socket,
    ) -> None:
        self._reactor = reactor
        self._on_change = on_change
        self._may_ask = may_ask
        self._targets = Targets(targets)
        self._user_agent = user_agent
        self._ports = Ports(reactor, self._received, self._schedule, search_port=search_port, open_socket=open_socket)
        self.presence = Presence(self._targets.wanted)
        self.counters: dict[str, int] = {}
        self.running = False
        self._sources = Sources()
        self._searches: set[IDelayedCall] = set()
        self._probes: set[IDelayedCall] = set()
        self._expiry: IDelayedCall | None = None
        self._fault_logged: float | None = None
        self._words(sockets.GROUP_V4, limits.SSDP_PORT, limits.SEARCH_MX)  # a bad argument shows here, not in a timer
        self._take_links(links, next_hops)

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work now, a sentence for each."""
        return self._ports.problems

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the sockets and search at once: the first datagrams are on their way when this returns."""
        if self.running:
            return
        self.running = True
        self._schedule(self._ports.follow(tuple(self._links.values())))
        self._watch_expiry()

    def stop(self) -> Deferred[None]:
        """Close everything.

        :return: fires when all sockets are closed; no delayed call is left even before.
        """
        self.running = False
        _cancel(self._searches)
        _cancel(self._probes)
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        return self._ports.stop()

    def set_links(self, links: Sequence[Link], next_hops: Sequence[NextHop] | None = None) -> None:
        """Follow a change of links or addresses: sockets come and go, new ones search at once.

        :param next_hops: the routers now; None where they stayed.
        """
        self._take_links(links, self._next_hops if next_hops is None else next_hops)
        if self.running:
            self._schedule(self._ports.follow(tuple(self._links.values())))

    def _take_links(self, links: Sequence[Link], next_hops: Sequence[NextHop]) -> None:
        self._links = {link.index: link for link in links[: limits.LINKS]}
        self._next_hops = tuple(next_hops[: limits.LINKS])
        self._sources.trust(hop.address for hop in self._next_hops)

    # -- searching -----------------------------------------------------------------------------------------------------

    def search(self) -> None:
        """Search on all links now and, since datagrams get lost, twice more (Q001). Replaces a search under way."""
        _cancel(self._searches)
        if self.running:
            self._schedule(self._ports)

    def probe(self, host: IPAddress, port: int = limits.SSDP_PORT) -> bool:
        """Search one device by unicast; if it is there, its answer renews or makes its sighting.

        :param host: with its zone, if link-local IPv6.
        :param port: the device's SEARCHPORT, if it named one.
        :return: False where no link leads to the host, so that nothing is sent.
        """
        endpoint = next((endpoint for endpoint in self._ports.searchers if self._leads_to(endpoint, host)), None)
        if endpoint is None:
            return False
        for offset in limits.PROBE_OFFSETS_SECONDS:
            self._at(offset, self._probes, self._ask_one, endpoint, host, port)
        return True

    def _leads_to(self, endpoint: Endpoint, host: IPAddress) -> bool:
        link, own = self._links.get(endpoint.link_index), endpoint.address
        same_scope = own.version == host.version and (host.version == 4 or own.is_link_local == host.is_link_local)
        return link is not None and same_scope and link.contains(host)

    def _schedule(self, endpoints: Iterable[Endpoint]) -> None:
        """Plan the sends of a search; those due now happen now. IPv6 follows where the link has IPv4 too (Q008).

        Where the plain form found nothing, other forms follow (Q002, Q004).
        """
        dual = {link.index for link in self._links.values() if link.ipv4 is not None}
        by_delay: dict[float, list[Endpoint]] = {}
        for endpoint in endpoints:
            if endpoint.role is Role.SEARCH:
                second = endpoint.address.version == 6 and endpoint.link_index in dual
                by_delay.setdefault(limits.SEARCH_V6_DELAY_SECONDS if second else 0.0, []).append(endpoint)
        for delay, together in by_delay.items():
            for offset in limits.SEARCH_OFFSETS_SECONDS:
                self._at(delay + offset, self._searches, self._ask_all, together, searches.plain)
            for step, form in enumerate(searches.FALLBACKS):
                later = delay + limits.SEARCH_FALLBACK_SECONDS + step
                self._at(later, self._searches, self._ask_where_nothing_is, together, form)

    def _ask_where_nothing_is(self, endpoints: Sequence[Endpoint], form: Form) -> None:
        found = {
            sighting.link for sighting in self.presence.sightings if any(map(self._targets.wanted, sighting.targets))
        }
        self._ask_all([endpoint for endpoint in endpoints if endpoint.link_name not in found], form)

    def _ask_all(self, endpoints: Sequence[Endpoint], form: Form) -> None:
        for endpoint in endpoints:
            for group in endpoint.groups:
                words = self._words(group, limits.SSDP_PORT, limits.SEARCH_MX, form)
                self._ports.send(endpoint, "search", words, group, limits.SSDP_PORT)
        for endpoint in endpoints:
            for hop in self._next_hops:
                here = hop.link_name == endpoint.link_name and self._leads_to(endpoint, hop.address)
                if here and self._may_ask(hop.address):
                    self._ask_one(endpoint, hop.address, limits.SSDP_PORT, form)

    def _ask_one(self, endpoint: Endpoint, host: IPAddress, port: int, form: Form = searches.plain) -> None:
        self._ports.send(endpoint, "unicast search", self._words(host, port, None, form), host, port)

    def _words(self, host: IPAddress, port: int, mx: int | None, form: Form = searches.plain) -> list[bytes]:
        literal = str(url.without_zone(host)).upper()
        named = f"[{literal}]:{port}" if host.version == 6 else f"{literal}:{port}"
        return form(self._targets.names, named, mx, self._user_agent)

    def _at(self, seconds: float, pending: set[IDelayedCall], act: Callable[..., None], *given: object) -> None:
        """Do it now or by a delayed call that is kept in ``pending`` until it is due."""
        if seconds <= 0.0:
            act(*given)
            return

        def due() -> None:
            pending.discard(call)
            act(*given)

        call = self._reactor.callLater(seconds, due)
        pending.add(call)

    # -- hearing -------------------------------------------------------------------------------------------------------

    def _received(self, endpoint: Endpoint, datagram: bytes, sender: tuple[str, int]) -> None:
        """Take one datagram. What is of no use is counted; nothing is raised."""
        link = self._links.get(endpoint.link_index)
        if link is None:
            return
        try:
            self._hear(endpoint, link, datagram, sender[0])
        except BadMessage as error:
            self._drop(error.reason)
        except Exception:
            self._drop("fault")
            now = self._reactor.seconds()
            if self._fault_logged is None or now - self._fault_logged >= limits.LOG_AGAIN_SECONDS:
                self._fault_logged = now
                _log.failure("a datagram from {sender!r} on {link} met a fault", sender=sender, link=link.name)

    def _hear(self, endpoint: Endpoint, link: Link, datagram: bytes, host: str) -> None:
        now = self._reactor.seconds()
        source = self._sources.admit(link, host, now)
        if isinstance(source, str):
            raise BadMessage(source)
        if datagram.startswith(b"M-SEARCH"):  # of another control point: never answered (D1)
            raise BadMessage("search")
        if not self._targets.may_concern(datagram) and not self._knows(source):
            raise BadMessage("other type")  # A3: a cheap look spares the parser
        heard = message.parse(datagram)
        if heard.kind is Kind.ANSWER and endpoint.role is Role.LISTEN:
            raise BadMessage("answer to group")  # D1: answers come to the search socket only
        location = self._check_location(heard.location, source, link) if heard.kind in _LOCATED else None
        for change in self.presence.learn(heard, location=location, source=source, link=link.name, now=now):
            self._tell(change)
        self._watch_expiry()

    def recall(self, remembered: Iterable[Remembered]) -> None:
        """Take what a :class:`~txigd.upnp.discovery.minissdpd.MiniSSDPd` remembers, as far as it is new.

        What was heard from the device itself is better than a memory, so a LOCATION that is known stays as it is.
        """
        if not self.running:
            return
        known = {sighting.location for sighting in self.presence.sightings}
        now = self._reactor.seconds()
        for one in remembered:
            if one.location not in known:
                for change in self.presence.learn(
                    one.message, location=one.location, source=one.source, link=one.link, now=now
                ):
                    self._tell(change)
        self._watch_expiry()

    def _knows(self, source: IPAddress) -> bool:
        return any(sighting.source == source for sighting in self.presence.sightings)

    def _check_location(self, text: str, source: IPAddress, link: Link) -> DeviceURL:
        """The host rule (A6). A router may name another of its addresses: then it is asked at its own (Q025)."""
        try:
            return url.check_location(text, sender=source, networks=link.networks)
        except BadURL:
            pass
        try:
            named = url.parse(text)
        except BadURL as error:
            raise BadMessage("bad location") from error
        router = any(hop.address == source for hop in self._next_hops)
        useless = named.host.is_loopback or named.host.is_link_local  # Q024: wait for a better one
        if not router or useless or named.host.version != source.version:
            raise BadMessage("foreign location")
        self._drop("rewritten location")
        return replace(named, host=source)

    def _drop(self, reason: str) -> None:
        """Count one more for the reason; the number of reasons is bounded."""
        if reason not in self.counters and len(self.counters) >= limits.DROP_REASONS:
            reason = "other"
        self.counters[reason] = self.counters.get(reason, 0) + 1

    def _tell(self, change: Change) -> None:
        try:
            self._on_change(change)
        except Exception:
            _log.failure("on_change failed at {change!r}", change=change)

    # -- expiry --------------------------------------------------------------------------------------------------------

    def _watch_expiry(self) -> None:
        """Keep one call no later than the next expiry. An expiry that moved away is found out when the call is due."""
        due = self.presence.next_expiry()
        if due is None or not self.running:
            return
        wait = max(0.0, due - self._reactor.seconds())
        if self._expiry is None:
            self._expiry = self._reactor.callLater(wait, self._expire)
        elif due < self._expiry.getTime():
            self._expiry.reset(wait)

    def _expire(self) -> None:
        self._expiry = None
        for change in self.presence.expire(self._reactor.seconds()):
            self._tell(change)
        self._watch_expiry()


def _cancel(pending: set[IDelayedCall]) -> None:
    for call in pending:
        call.cancel()
    pending.clear()
