"""Habits of the mapping table and of what a gateway says of its WAN side (quirks Q117-Q156). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from txigd.testing.control import Answer
from txigd.testing.entry import Entry
from txigd.testing.faults import PAGE, Fault
from txigd.testing.line import CONNECTED
from txigd.testing.quirks.habit import Asked, Quirk, Scene
from txigd.testing.state import State

_LEASES: Final = frozenset({"leases"})
_ADDRESS: Final = frozenset({"external address"})
_STATUS: Final = frozenset({"status"})
_UPTIME: Final = frozenset({"uptime"})
_COUNTERS: Final = frozenset({"counters"})
_STALE: Final = 40
_STALE_FROM: Final = 41_000
_SHOWN: Final = 2  # entries that GetGenericPortMappingEntry shows in Q138
_OTHER_ADDRESS: Final = "11.22.33.55"
_UI4: Final = 1 << 32
_DAY: Final = 86_400


def _codes(changes: Mapping[tuple[str, int], int]) -> Callable[[str, int, Scene], int]:
    return lambda action, code, scene: changes.get((action, code), code)


def _value(
    action: str, name: str, change: Callable[[str, Scene], str]
) -> Callable[[str, dict[str, str], Scene], dict[str, str]]:
    """Change one out-argument of the actions whose name begins so."""

    def outputs(called: str, values: dict[str, str], scene: Scene) -> dict[str, str]:
        fits = called.startswith(action)
        return {key: change(text, scene) if fits and key.startswith(name) else text for key, text in values.items()}

    return outputs


def _word(variable: str, change: Callable[[str], str]) -> Callable[[str, str, Scene], str]:
    return lambda name, value, scene: change(value) if name == variable else value


def _page_behind_the_last(answer: Answer, asked: Asked, scene: Scene) -> Answer:
    beyond = asked.action == "GetGenericPortMappingEntry" and answer.error == 713
    return Answer(500, PAGE, answer.error) if beyond else answer


def _short_walk(asked: Asked, scene: Scene) -> Fault | None:
    index = asked.arguments.get("NewPortMappingIndex", "")
    return 713 if index.isdigit() and int(index) >= _SHOWN else None


def _stale_entries(state: State, scene: Scene) -> None:
    for port in range(_STALE_FROM, _STALE_FROM + _STALE):
        state.table.put(Entry("TCP", port, f"192.0.2.{port % 200}", port, description="old program"))


def _both_connected(state: State, scene: Scene) -> None:
    state.idle_line.status = CONNECTED


def _sometimes_another(value: str, scene: Scene) -> str:
    return _OTHER_ADDRESS if scene.nth("address") % 4 == 0 else value


def _negative(text: str) -> str:
    return str((int(text) + _UI4 // 2) % _UI4 - _UI4)


MAPPINGS: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q117": Quirk("725 to every lease but 0", rules={"permanent_leases_only": True}, slots=_LEASES),
        "Q118": Quirk("402 to a lease of 0", rules={"finite_leases_only": True}, slots=_LEASES),
        "Q119": Quirk(
            "wipes entries without a lease after a day, without a word",
            rules={"static_seconds": _DAY},
            options={"version": 1},
        ),
        "Q120": Quirk(
            "makes a week of a lease of 0 or above a week", rules={"max_lease": 604_800}, options={"version": 2}
        ),
        "Q121": Quirk("adding again does not extend the lease", rules={"extends": False}),
        "Q122": Quirk("718 to the renewal of one's own mapping", rules={"renewal_code": 718}),
        "Q123": Quirk("718 to every external port below 49152", rules={"conflict_below": 49_152}),
        "Q124": Quirk(
            "501 where 716 or 718 is due",
            code=_codes({(action, code): 501 for action in ("AddPortMapping",) for code in (716, 718, 729)}),
        ),
        "Q125": Quirk("402 to the third mapping: the table is full", rules={"capacity": 2, "full_code": 402}),
        "Q126": Quirk("724 unless external and internal port are equal", rules={"same_port_only": True}),
        "Q127": Quirk("takes external port 0 for all ports", rules={"wildcard_port": True}),
        "Q128": Quirk(
            "keeps the ports below 1024 and 5000 for itself", rules={"reserved_ports": frozenset({*range(1024), 5000})}
        ),
        "Q129": Quirk("maps only to the address that asks", rules={"secure": True}, options={"version": 1}),
        "Q130": Quirk(
            "606 to ports below 1024 and to others' mappings", rules={"secure": True}, options={"version": 2}
        ),
        "Q131": Quirk(
            "has a static forward of port 8080 that UPnP does not show",
            rules={"reserved_ports": frozenset({8080})},
            options={"version": 2},
        ),
        "Q132": Quirk("overwrites whoever has the port", rules={"overwrites_all": True}),
        "Q133": Quirk("says that a mapping is made, and makes none", rules={"stores": False}),
        "Q134": Quirk(
            "removes mappings after ten minutes, whatever their lease",
            rules={"lifetime_seconds": 600},
            slots=frozenset({"lifetime"}),
        ),
        "Q135": Quirk("402 to the deletion of what is not there", code=_codes({("DeletePortMapping", 714): 402})),
        "Q136": Quirk("deletes only with the RemoteHost of the adding (as it always does)"),
        "Q137": Quirk("a page for people with status 500 behind the last entry", answers=_page_behind_the_last),
        "Q137b": Quirk(
            "401 behind the last entry",
            code=_codes({("GetGenericPortMappingEntry", 713): 401}),
            slots=frozenset({"walk"}),
        ),
        "Q138": Quirk("GetGenericPortMappingEntry shows two entries and no more", asked=_short_walk),
        "Q140": Quirk("holds forty stale mappings of programs that are gone", setup=_stale_entries),
        "Q142": Quirk("a reboot loses all mappings (as it always does)"),
    }
)

STATUS: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q143": Quirk(
            "a WANIPConnection that is Connected to 0.0.0.0 on a PPPoE line",
            options={"connection": "both-with-PPP-live"},
            setup=_both_connected,
        ),
        "Q144": Quirk("the external address is empty", options={"external_ip": ""}, slots=_ADDRESS),
        "Q145": Quirk(
            "a private external address: another NAT in front", options={"external_ip": "10.64.0.7"}, slots=_ADDRESS
        ),
        "Q145b": Quirk("a carrier's NAT in front", options={"external_ip": "100.64.0.7"}, slots=_ADDRESS),
        "Q146": Quirk(
            "the external address is IPv6", word=_word("ExternalIPAddress", lambda _: "2001:db8::5"), slots=_ADDRESS
        ),
        "Q146b": Quirk(
            "the external address is a text", word=_word("ExternalIPAddress", lambda _: "unknown"), slots=_ADDRESS
        ),
        "Q147": Quirk(
            "every fourth reading gives another external address",
            outputs=_value("GetExternalIPAddress", "New", _sometimes_another),
            slots=_ADDRESS,
        ),
        "Q148": Quirk(
            "up for Connected", word=_word("ConnectionStatus", lambda s: s.replace(CONNECTED, "up")), slots=_STATUS
        ),
        "Q148b": Quirk(
            "Disconnected although the line is up",
            word=_word("ConnectionStatus", lambda _: "Disconnected"),
            slots=_STATUS,
        ),
        "Q149": Quirk("Unconfigured on the unused of two services", options={"connection": "both-with-IP-live"}),
        "Q150": Quirk(
            "the uptime is a text",
            outputs=_value("GetStatusInfo", "NewUptime", lambda text, _: f"1 Days, 00:00:{int(text) % 60:02d}"),
            slots=_UPTIME,
        ),
        "Q150b": Quirk(
            "the uptime is negative",
            outputs=_value("GetStatusInfo", "NewUptime", lambda text, _: f"-{text}7"),
            slots=_UPTIME,
        ),
        "Q151": Quirk("401 to GetStatusInfo", faults={"GetStatusInfo": (401, None)}),
        "Q152": Quirk(
            "counters are negative",
            outputs=_value("GetTotal", "NewTotal", lambda text, _: _negative(text)),
            slots=_COUNTERS,
        ),
        "Q152b": Quirk(
            "counters stand at 4294967295",
            outputs=_value("GetTotal", "NewTotal", lambda text, _: str(_UI4 - 1)),
            slots=_COUNTERS,
        ),
        "Q153": Quirk("GetCommonLinkProperties fails", faults={"GetCommonLinkProperties": (501, None)}),
        "Q154": Quirk(
            "a LastConnectionError that no list has", word=_word("LastConnectionError", lambda _: "ERROR_OF_THE_VENDOR")
        ),
        "Q155": Quirk(
            "DefaultConnectionService has an invalid service",
            options={"connection": "both-with-PPP-live"},
            word=_word("DefaultConnectionService", lambda text: text.partition(":WANC")[0] + ",INVALID_SERVICE_ID"),
            slots=frozenset({"default"}),
        ),
        "Q155b": Quirk(
            "DefaultConnectionService is empty",
            options={"connection": "both-with-PPP-live"},
            word=_word("DefaultConnectionService", lambda text: ""),
            slots=frozenset({"default"}),
        ),
        "Q156": Quirk(
            "the lease read back is always 0",
            outputs=_value("Get", "NewLeaseDuration", lambda text, _: "0"),
        ),
    }
)
