"""The state of a WAN connection as one frozen value, and the choice between several connections. Pure.

Sources: IGD:1 and IGD:2 (WANIPConnection, WANPPPConnection: ConnectionStatus, ExternalIPAddress), the 2004 note
(a WRT54G on PPPoE answers 0.0.0.0 on its WANIPConnection), quirks Q143-Q149.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LINE_VARIABLES = ("ConnectionStatus", "ExternalIPAddress")
"""What a connection service events of the line."""

_CGNAT = ipaddress.IPv4Network("100.64.0.0/10")
_PRIVATE = tuple(ipaddress.IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
# RFC 6890; which parts of it Python calls global differs from one release to the next
_PROTOCOL_ASSIGNMENTS = ipaddress.IPv4Network("192.0.0.0/24")
_CONNECTED = frozenset({"connected", "up"})  # Q148
_IDLE = frozenset({"unconfigured", ""})


class AddressClass(enum.Enum):
    """What an external address is worth to somebody on the internet."""

    PUBLIC = "public"
    PRIVATE = "private"
    """RFC 1918: the gateway sits behind another NAT."""
    CGNAT = "cgnat"
    """RFC 6598, 100.64.0.0/10: the provider's NAT."""
    RESERVED = "reserved"
    """Loopback, link-local, documentation, multicast and other special ranges."""
    NONE = "none"


class Learned(enum.Enum):
    """How a status was learned."""

    NOTHING = "nothing"
    READ = "read"
    """Read by action when the gateway was found or asked for."""
    EVENT = "event"
    """Told by an event and confirmed by a read."""
    POLL = "poll"
    """Found by the cross-check poll."""


@dataclass(frozen=True, slots=True)
class WANStatus:
    """One gateway's WAN connection at one moment.

    ``connection_status`` is the gateway's word (Connected, Disconnected, Connecting, ...; "" when it does not say),
    ``external_ip`` None when there is no usable dotted quad, ``service`` the service that carries the connection,
    ``reachable`` False while the gateway itself does not answer.
    """

    connection_status: str = ""
    external_ip: ipaddress.IPv4Address | None = None
    address_class: AddressClass = AddressClass.NONE
    learned: Learned = Learned.NOTHING
    service: str = ""
    reachable: bool = True
    uptime_seconds: int | None = None
    last_error: str = ""

    @property
    def connected(self) -> bool:
        """Whether the link to the provider is up; by the address alone where the gateway does not say (Q151)."""
        if not self.reachable:
            return False
        if not self.connection_status:
            return self.external_ip is not None
        return self.connection_status.lower() in _CONNECTED

    @property
    def usable(self) -> bool:
        """Whether it is up and has an address, of whatever class."""
        return self.connected and self.external_ip is not None

    @property
    def double_nat(self) -> bool:
        """Whether another NAT stands between the gateway and the internet (Q145)."""
        return self.address_class in (AddressClass.PRIVATE, AddressClass.CGNAT)

    def differs(self, other: WANStatus) -> bool:
        """Whether an observer would want to hear of the step from ``other`` to this."""
        return self._news() != other._news()

    def _news(self) -> tuple[object, ...]:
        return (self.connection_status.lower(), self.external_ip, self.service, self.reachable)

    def agrees(self, told: Mapping[str, object]) -> bool:
        """Whether evented values say the same; what is not among them is not evented, so nothing can be missed."""
        word, address = map(told.get, LINE_VARIABLES)
        if word is not None and self.connection_status and str(word).strip().lower() != self.connection_status.lower():
            return False
        return address is None or classify(str(address))[0] == self.external_ip

    def __str__(self) -> str:
        if self.learned is Learned.NOTHING:
            return "not known yet"
        if not self.reachable:
            return "gateway does not answer"
        address = f"{self.external_ip} ({self.address_class.value})" if self.external_ip else "no external address"
        return f"{self.connection_status or 'status not told'}, {address}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one connection service answered: ``None`` where it refused or failed, the raw text otherwise."""

    service: str
    connection_status: str | None = None
    external_ip: str | None = None
    uptime_seconds: int | None = None
    last_error: str = ""
    is_default: bool = False

    @property
    def answered(self) -> bool:
        """Whether the service answered anything."""
        return self.connection_status is not None or self.external_ip is not None

    @property
    def disagrees(self) -> bool:
        """Whether the two answers contradict each other: up without an address, or down with one."""
        status = self.status(Learned.READ)
        return None not in (self.connection_status, self.external_ip) and status.connected != bool(status.external_ip)

    def status(self, learned: Learned) -> WANStatus:
        """The reading as the status that observers see."""
        address, address_class = classify(self.external_ip or "")
        return WANStatus(
            connection_status=self.connection_status or "",
            external_ip=address,
            address_class=address_class,
            learned=learned,
            service=self.service,
            reachable=True,
            uptime_seconds=self.uptime_seconds,
            last_error=self.last_error,
        )


def classify(text: str) -> tuple[ipaddress.IPv4Address | None, AddressClass]:
    """The external address in ``text`` and its class; 0.0.0.0 and what is no dotted quad are no address (Q144, F28)."""
    try:
        address = ipaddress.IPv4Address(text.strip())
    except ValueError:
        return None, AddressClass.NONE
    if address.is_unspecified:
        return None, AddressClass.NONE
    if address in _CGNAT:
        return address, AddressClass.CGNAT
    if any(address in network for network in _PRIVATE):
        return address, AddressClass.PRIVATE
    special = not address.is_global or address.is_multicast or address.is_reserved
    if special or address in _PROTOCOL_ASSIGNMENTS:
        return address, AddressClass.RESERVED
    return address, AddressClass.PUBLIC


RANKS = (
    "no answer",
    "unconfigured",
    "not connected",
    "connected, no usable address",
    "public address, yet not connected",
    "connected, address that is not public",
    "connected, public address",
)
"""What a rank means, by :func:`rank`."""


def rank(reading: Reading) -> int:
    """How likely this connection carries the traffic; higher is better (IGD: choosing the connection service)."""
    status = reading.status(Learned.READ)
    if not reading.answered:
        return 0
    public = status.address_class is AddressClass.PUBLIC
    if status.connected and public:
        return 6
    if status.connected and status.external_ip is not None:
        return 5
    if public:
        return 4
    if status.connected:
        return 3
    return 1 if status.connection_status.lower() in _IDLE else 2


def choose(readings: Sequence[Reading], live: int | None = None) -> int:
    """Index of the live connection: by rank, then the gateway's own default, then document order.

    The default of Layer3Forwarding only breaks ties: routers name a connection that does not exist, or the one
    without an address (Q155, Q143).

    :param live: the one that was chosen before. It stays, whatever became of it, until another one is connected and has
        a higher rank: a line that drops has not moved (F23).
    :raises ValueError: when there is nothing to choose from.
    """
    if not readings:
        raise ValueError("no connection service")
    best = max(range(len(readings)), key=lambda i: (rank(readings[i]), i == live, readings[i].is_default, -i))
    return best if live is None or readings[best].status(Learned.READ).connected else live


def default_index(text: str, services: Sequence[tuple[str, str]]) -> int:
    """Index of the service that DefaultConnectionService names, or -1.

    The text is ``uuid:DEVICE:WANConnectionDevice:N,urn:upnp-org:serviceId:ID``; what follows the UDN varies, some send
    only a UDN (Q155).

    :param services: (UDN of the device, serviceId) of each connection service.
    """
    device, _, service_id = text.strip().lower().partition(",")
    of_device = [i for i, (udn, _) in enumerate(services) if udn and device.startswith(udn.lower())]
    named = [i for i in of_device if services[i][1].lower() == service_id]
    if named:
        return named[0]
    return of_device[0] if len(of_device) == 1 else -1
