"""Ready-made gateways after models that people have: facts, rules and habits by name. Knows the captures as files.

Three are served from captures, octet for octet (the BEFSR41 and the WRT54G of the 2004 note, the Huawei-3Com of the
introduction); the others join what the quirk catalogue reports of a make, and are named ``-like`` for that. Where
nothing is known of a model the simulated gateway is as it always is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from txigd.errors import InvalidArgument
from txigd.testing.line import CONNECTED
from txigd.testing.model import Model
from txigd.testing.quirks import Quirk, Scene
from txigd.testing.quirks.habit import split, with_value
from txigd.testing.rules import Rules
from txigd.testing.state import State

_CAPTURES: Final = Path(__file__).parent / "captures"
_SECOND_ADDRESS: Final = "11.22.33.45"  # of the second line of a router with two


@dataclass(frozen=True)
class Profile:
    """One model.

    :ivar says: a sentence for users.
    :ivar options: arguments of :class:`txigd.testing.SimulatedGateway`.
    :ivar quirks: ids of habits.
    :ivar habits: those that the catalogue has no id for.
    """

    says: str
    options: Mapping[str, Any]
    quirks: frozenset[str] = frozenset()
    habits: tuple[Quirk, ...] = field(default=())


def profile(name: str) -> Profile:
    """The profile of that name. :raises InvalidArgument: where there is none."""
    found = PROFILES.get(name.lower())
    if found is None:
        raise InvalidArgument(f"there is no profile {name!r}: use one of {', '.join(PROFILES)}")
    return found


def _captured(name: str) -> bytes:
    return (_CAPTURES / f"{name}.xml").read_bytes()


# -- habits of one model ----------------------------------------------------------------------------------------------


def _notify_for_answer(batch: list[bytes], scene: Scene) -> list[bytes]:
    """The BEFSR41 answers a search for a connection service with an announcement, in this order and spelling."""
    return [_as_notify(datagram) if datagram.startswith(b"HTTP/") else datagram for datagram in batch]


def _as_notify(answer: bytes) -> bytes:
    fields = dict(line.split(b": ", 1) for line in split(answer)[0].split(b"\r\n")[1:] if b": " in line)
    return b"\r\n".join(
        [
            b"NOTIFY * HTTP/1.1",
            b"HOST:239.255.255.250:1900",
            b"Cache-Control:" + fields[b"CACHE-CONTROL"],
            b"Location:" + fields[b"LOCATION"],
            b"NT:" + fields[b"ST"],
            b"USN:" + fields[b"USN"],
            b"NTS:ssdp:alive",
            b"Server:" + fields[b"SERVER"],
            b"",
            b"",
        ]
    )


def _of_wrt54g(batch: list[bytes], scene: Scene) -> list[bytes]:
    """SSDP names another server than HTTP does."""
    return [with_value(datagram, "SERVER", lambda _: b"Custom/1.0 UPnP/1.0 Proc/Ver") for datagram in batch]


def _both_lines_up(state: State, scene: Scene) -> None:
    state.second_line.address = _SECOND_ADDRESS
    state.second_line.connect(scene.now())


def _idle_connected(state: State, scene: Scene) -> None:
    state.idle_line.status = CONNECTED


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "befsr41": Profile(
            "Linksys BEFSR41 (captured 2004): answers with a NOTIFY, control on another port behind a double slash",
            {
                "version": 1,
                "max_age": 120,
                "model": Model(
                    server="NT/5.0 UPnP/1.0",
                    document=_captured("befsr41"),
                    captured=("http://192.168.1.1:5678", "http://192.168.1.1:2468"),
                ),
            },
            frozenset({"Q002b", "Q043"}),
            (Quirk("answers a search with an announcement", sends=_notify_for_answer),),
        ),
        "wrt54g": Profile(
            "Linksys WRT54G v2 (captured 2004): a folded LOCATION, 0.0.0.0 on a WANIPConnection that is Connected",
            {
                "version": 1,
                "rules": Rules(overwrites_all=True),
                "model": Model(
                    server="LINUX/2.4 UPnP/1.0 BRCM400/1.0",
                    description_path="/dyndev/uuid:000625d8-095f-0006-25d8-095f0032aa18",
                    document=_captured("wrt54g"),
                    captured=("http://192.168.1.1:5431",),
                    live="WANPPPConnection",
                ),
            },
            frozenset({"Q016", "Q043"}),
            (Quirk("two names for its server, an idle line that is up", sends=_of_wrt54g, setup=_idle_connected),),
        ),
        "huawei-3com": Profile(
            "Huawei-3Com Aolynk (captured by BitComet): two header fields on one line, relative control URLs",
            {
                "version": 1,
                "model": Model(
                    server="Unknown/0.0 UPnP/1.0 Conexant-EmWeb/R6_1_0",
                    description_path="/InternetGatewayDevice.xml",
                    document=_captured("huawei"),
                    captured=("http://192.168.1.1:2800",),
                ),
            },
            frozenset({"Q045"}),
        ),
        "fritzbox-like": Profile(
            "a Fritz!Box: two descriptions of one device, events at control URLs, plain descriptions of mappings only",
            {
                "version": 2,
                "friendly_name": "FRITZ!Box like",
                "model": Model(
                    "AVM Berlin",
                    "http://www.avm.de",
                    "FRITZ!Box like",
                    "FRITZ!Box like",
                    "avm",
                    server="FRITZ!Box like UPnP/1.0 AVM FRITZ!Box like",
                    description_path="/igddesc.xml",
                    control="/igd2upnp/control/{}",
                    event="/igd2upnp/control/{}",
                    scpd="/igd2{}",
                ),
            },
            frozenset({"Q038", "Q068", "Q099", "Q112"}),
        ),
        "mikrotik-like": Profile(
            "MikroTik RouterOS: static mappings only (725), a UDN that is no UUID, two connection services",
            {
                "version": 1,
                "udn": "uuid:UUID-MIKROTIK-INTERNET-GATEWAY-DEVICE-",
                "friendly_name": "MikroTik Router",
                "connection": "both-with-IP-live",
                "permanent_leases_only": True,
                "model": Model("MikroTik", "http://www.mikrotik.com/", "RouterOS like", "MikroTik Router", "UPNP"),
            },
            frozenset({"Q112", "Q117"}),
        ),
        "sagemcom-like": Profile(
            "a Sagemcom F@st: nested device lists (3890V3), Disconnected although the line is up (5684)",
            {
                "version": 1,
                "friendly_name": "Sagemcom F@st like",
                "model": Model("Sagemcom", "", "F@st like", "Residential gateway", "F@st"),
            },
            frozenset({"Q075", "Q148b"}),
        ),
        "miniupnpd-like": Profile(
            "miniupnpd as in OpenWrt and others: other URLs after each start, secure mode, link drops are not evented",
            {
                "version": 2,
                "rules": Rules(secure=True),
                "silent_drops": True,
                "hide_private_address": True,
                "friendly_name": "OpenWrt like router",
                "model": Model(
                    "OpenWrt", "http://www.openwrt.org/", "OpenWrt like router", server="OpenWrt UPnP/1.1 MiniUPnPd/2.3"
                ),
            },
            frozenset({"Q069", "Q070", "Q120", "Q161"}),
        ),
        "livebox-like": Profile(
            "an Orange Livebox: events at control URLs, 718 to the renewal of one's own mapping",
            {
                "version": 1,
                "friendly_name": "Orange Livebox like",
                "model": Model("Sagemcom", "", "Livebox like", "Residential gateway"),
            },
            frozenset({"Q068", "Q122"}),
        ),
        "netgear-like": Profile(
            "a Netgear R7000: no events of Layer3Forwarding (412), static mappings only, the first call answered 400",
            {
                "version": 1,
                "permanent_leases_only": True,
                "friendly_name": "R7000 like (Gateway)",
                "model": Model("NETGEAR, Inc.", "http://www.netgear.com", "R7000 like", "Residential gateway"),
            },
            frozenset({"Q088", "Q116", "Q117", "Q170b"}),
        ),
        "er605-like": Profile(
            "a TP-Link ER605: two WAN ports, both up; a blank at the end of the envelope's namespace",
            {
                "version": 1,
                "wans": 2,
                "friendly_name": "ER605 like",
                "model": Model("TP-Link", "http://www.tp-link.com", "ER605 like", "Multi-WAN VPN router"),
            },
            frozenset({"Q076", "Q100", "Q105"}),
            (Quirk("both lines are up", setup=_both_lines_up),),
        ),
        "archer-like": Profile(
            "a TP-Link Archer: short max-age, 401 to GetStatusInfo (AX73), junk behind the envelope (C8)",
            {
                "version": 1,
                "friendly_name": "Archer like",
                "model": Model("TP-Link", "http://www.tp-link.com", "Archer like", "Wireless router"),
            },
            frozenset({"Q031", "Q114", "Q151"}),
        ),
        "thomson-like": Profile(
            "a Thomson or Technicolor: a UDN with blanks that is no UUID, SUBSCRIBE refused (412), short max-age",
            {
                "version": 1,
                "max_age": 120,
                "friendly_name": "TG784n like",
                "refuse": ("SUBSCRIBE",),
                "model": Model("THOMSON", "http://www.thomson.net", "TG784n like", "DSL Internet Gateway Device"),
            },
            frozenset({"Q027"}),
        ),
    }
)
