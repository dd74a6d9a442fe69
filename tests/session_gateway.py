"""A gateway of a whole session: events, IPv6, faults that last and faults of the very next call."""

from __future__ import annotations

import copy
import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.memory_lan import PAGE, Asked, MemoryGateway, reply
from txigd.errors import ConnectFailed
from txigd.testing import Entry, control
from txigd.testing.pinholes import Pinhole, PinholeTable
from txigd.testing.state import State
from txigd.testing.tree import DESCRIPTION_PATH, Tree
from txigd.upnp.control import soap
from txigd.upnp.eventing.gena import Envelope
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL

if TYPE_CHECKING:
    from tests.session_world import World

NEIGHBOUR = "192.168.1.99"
FLUSHED_SECONDS = 20.0
NAMES_KEPT = 8
SILENT = ("hang", "refuse", "lost")
NEIGHBOUR6 = "2001:db8:1::99"
_BARE = (
    b"<root xmlns='urn:schemas-upnp-org:device-1-0'><specVersion><major>1</major><minor>0</minor></specVersion>"
    b"<device><deviceType>%s</deviceType><friendlyName>%s</friendlyName><UDN>%s</UDN></device></root>"
)


@dataclass
class Subscription:
    """One subscriber of a gateway."""

    url: str
    key: str
    seq: int = 0


class SessionGateway(MemoryGateway):
    """A gateway with events; the fault ``"lost"`` does what is asked and does not answer.

    :ivar once: the faults of the next calls, by the same names as ``faults``; each goes with the call that it befalls.
    :ivar names: the UDNs that stood at this place.
    :ivar snatches: how many of the next AddPortMapping find that the neighbour was a moment faster. Not right after the
        table was lost: what was ours when it was read would be his when it is deleted, and nobody can help that.
    :ivar flushed_at: when the table was lost last.
    :ivar whole_at: until then its description has no WAN device (Q052).
    :ivar word: what it shows as the description of every entry; empty where it shows what it was told.
    """

    def __init__(self, world: World, address: str, **options: Any) -> None:
        super().__init__(world.clock, address, **options)
        self.world = world
        self.subscribers: dict[str, Subscription] = {}
        self.once: dict[str, list[object]] = {}
        self.names = [self.udn]
        self.snatches = 0
        self.flushed_at = 0.0
        self.whole_at = 0.0
        self.word = ""
        self.up = True
        self.address6 = f"2001:db8:1::{address.rpartition('.')[2]}"

    @property
    def location6(self) -> DeviceURL:
        """Where it shows itself over IPv6."""
        return DeviceURL(ipaddress.ip_address(self.address6), self.port, DESCRIPTION_PATH)

    @property
    def pinholes(self) -> PinholeTable:
        """As they are now."""
        self.state.advance(self.clock.seconds())
        return self.state.pinholes

    def respond(self, asked: Asked, body: bytes, source: str) -> Reply | None:
        """Answer a request from this address of ours, or meet a fault."""
        names = (asked.name, asked.method, "*")
        coming = next((self.once[name] for name in names if self.once.get(name)), None)
        fault = coming.pop(0) if coming else next((self.faults[name] for name in names if name in self.faults), None)
        if fault == "hang":
            return None
        if fault == "refuse":
            raise ConnectFailed("refused")
        if fault == "html":
            return reply(200, PAGE)
        if isinstance(fault, int):
            return reply(500, soap.fault(fault, "")) if asked.method == "POST" else reply(fault)
        answered = self._do(asked, body, source)
        return None if fault == "lost" else answered

    def _do(self, asked: Asked, body: bytes, source: str) -> Reply:
        if asked.method == "GET":
            there = asked.url in (self.location, self.location6)
            return reply(200, self._description(asked.url.authority)) if there else reply(404)
        services = self.state.tree.services.values()
        if asked.method == "UNSUBSCRIBE":
            return reply(200 if self.subscribers.pop(asked.headers.get("SID", ""), None) else 412)
        if asked.method == "SUBSCRIBE":
            service = next((one for one in services if one.event_path == asked.url.target), None)
            return reply(404) if service is None else self._subscribe(asked, service.key)
        service = next((one for one in services if one.control_path == asked.url.target), None)
        if service is None:
            return reply(404)
        now = self.clock.seconds()
        self.state.advance(now)
        if asked.name == "AddPortMapping" and self.snatches and now > self.flushed_at + FLUSHED_SECONDS:
            self.snatches -= 1
            self.world.occupy(self, asked.arguments["NewProtocol"], int(asked.arguments["NewExternalPort"]))
        if asked.name in ("UpdatePinhole", "DeletePinhole") and not self._may(asked, source):
            return reply(500, soap.fault(606, ""))
        request = control.read(body, asked.headers.get("SOAPACTION", ""))
        state = self._shown() if self.word and asked.name.startswith("Get") else self.state
        answer = control.answer(state, service, request, caller=source, now=now)
        return reply(answer.status, answer.body)

    def _description(self, authority: str) -> bytes:
        if self.clock.seconds() >= self.whole_at:
            return self.state.tree.description(f"http://{authority}")
        root = self.state.tree.root
        return _BARE % (root.device_type.encode(), root.friendly_name.encode(), root.udn.encode())

    def _shown(self) -> State:
        """Its state, with a table as it shows it."""
        shown = copy.copy(self.state)
        shown.table = copy.copy(self.state.table)
        shown.table._entries = {entry.key: replace(entry, description=self.word) for entry in self.state.table}
        return shown

    def _may(self, asked: Asked, source: str) -> bool:
        """Pinholes of other hosts are not ours to touch (Q194)."""
        number = int(asked.arguments["UniqueID"])
        return all(one.internal_client == source for key, one in self.state.pinholes if key == number)

    def _subscribe(self, asked: Asked, key: str) -> Reply:
        sid = asked.headers.get("SID", "")
        if sid and sid not in self.subscribers:
            return reply(412)
        if not sid:
            self.sids += 1
            sid = f"uuid:{self.udn[-4:]}-{self.boot_id}-{self.sids}"
            self.subscribers[sid] = Subscription(asked.headers["CALLBACK"].strip("<>"), key)
            self.clock.callLater(self.world.latency, self.notify, sid)
        return reply(200, headers=(("SID", sid), ("TIMEOUT", "Second-300")))

    def publish(self, names: Sequence[str] = ()) -> None:
        """Tell every subscriber how it is; those who have any, the variables of these names alone."""
        for sid in tuple(self.subscribers):
            self.notify(sid, names=names)

    def notify(
        self,
        sid: str,
        *,
        back: int = 0,
        skip: int = 0,
        lie: dict[str, str] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """One event; ``back`` repeats an earlier SEQ, ``skip`` loses some before it, ``lie`` says what is not so."""
        subscriber = self.subscribers.get(sid)
        if subscriber is None:
            return
        subscriber.seq += skip
        values = {**self.state.evented(subscriber.key), **(lie or {})}
        if names:
            values = {name: value for name, value in values.items() if name in names}
            if not values:
                return
        seq = max(0, subscriber.seq - back)
        self.world.deliver(subscriber.url, Envelope(sid, seq), values)
        if not back:
            subscriber.seq += 1

    def reboot(self, *, keep: bool, move: bool) -> None:
        """It starts anew; it counts its pinholes from 1 again."""
        self.subscribers.clear()
        self.boot_id += 1
        self.state.reboot(keep_mappings=keep)
        self.flushed_at = self.clock.seconds()
        self.state.pinholes._last_id = 0
        self.state.line.connect(self.clock.seconds())
        self.world.forget_foreign(self, pinholes_only=keep)
        if move:
            self.port += 1

    def replaced(self) -> None:
        """Another gateway stands here now."""
        self.reboot(keep=False, move=False)
        head, _, tail = self.udn.rpartition("-")
        udn = f"{head}-{int(tail) + 10:012d}"
        self.state.tree = Tree(version=self.state.tree.version, udn=udn, friendly_name=self.name)
        self.names = [*self.names[-NAMES_KEPT:], udn]

    def forget(self) -> None:
        """Every entry is gone, and every pinhole."""
        self.state.table.clear()
        self.state.pinholes.clear()
        self.flushed_at = self.clock.seconds()
        self.world.forget_foreign(self)

    def occupy(self, protocol: str, port: int) -> Entry | None:
        """The neighbour takes a port, unless it is taken."""
        if self.state.table.find(protocol, port) is not None:
            return None
        entry = Entry(protocol, port, NEIGHBOUR, port, "", "theirs")
        self.state.table.put(entry)
        return entry

    def occupy_number(self, port: int, host: str = NEIGHBOUR6) -> tuple[int, Pinhole] | None:
        """Somebody else opens a pinhole, for good; it gets the next number."""
        wanted = Pinhole(host, port, 6)
        if any(one.internal_port == port and one.internal_client == host for _, one in self.state.pinholes):
            return None
        number = self.state.pinholes.add(wanted, 60, now=math.inf)
        return number, self.state.pinholes.get(number)
