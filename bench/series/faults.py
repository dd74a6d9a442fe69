"""What can befall a lab while mappings are held in it: each fault begins, lasts a while, and is mended."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.lab import CLIENT, Lab

LOSS = """
table inet lossy {{
    chain input {{ type filter hook input priority -300; iifname "lan" numgen random mod 100 < {percent} drop; }}
}}
"""
RESET = """
table inet resets {
    chain input { type filter hook input priority -300; iifname "lan" tcp dport 1024-65535 reject with tcp reset; }
}
"""
WITHOUT = "table inet {0} {{ }}\ndelete table inet {0}\n"  # also where there is none: a restarted router has lost it


def lose(lab: Lab, percent: int, router: str = "router") -> None:
    """This share of all packets gets lost on the LAN, drawn anew each, towards the client and towards the router."""
    for host in (CLIENT, router):
        lab.nft(host, LOSS.format(percent=percent))


def lose_nothing(lab: Lab, router: str = "router") -> None:
    """The end of it."""
    for host in (CLIENT, router):
        lab.nft(host, WITHOUT.format("lossy"))


def _reset(lab: Lab) -> None:
    lab.nft("router", RESET)


def _flush(lab: Lab) -> None:
    """The router loses its rules and knows nothing of it: somebody reloaded its firewall."""
    lab.nft("router", "flush chain inet filter prerouting_miniupnpd\nflush chain inet filter miniupnpd")


def _neighbour_adds(lab: Lab) -> None:
    """Only a change of its table makes miniupnpd look at its rules: until then it answers from memory."""
    lab.add_foreign_mapping(random.randint(20_000, 29_999), lease=60)


@dataclass(frozen=True)
class Fault:
    """``begin`` and ``mend`` are done to the lab, ``lasts`` between them (seconds, from and to)."""

    name: str
    begin: Callable[[Lab], object]
    mend: Callable[[Lab], object]
    lasts: tuple[float, float] = (0.5, 5.0)


def _nothing(lab: Lab) -> None:
    pass


def _another_address(lab: Lab) -> None:
    now = lab.routers["router"].wan_addresses[-1]
    lab.change_address(random.choice([a for a in (f"11.22.33.{n}" for n in range(60, 90)) if a != now]))


def _restart(lab: Lab) -> None:
    lab.restart_router()


def _unblock(lab: Lab) -> None:
    with contextlib.suppress(Exception):
        lab.unblock_ssdp()


FAULTS = (
    Fault("router killed", lambda lab: lab.kill_router(), _restart, (0.0, 4.0)),
    Fault("rules flushed", _flush, _neighbour_adds, (0.0, 4.0)),
    Fault("WAN link down", lambda lab: lab.drop_wan(), lambda lab: lab.restore_wan()),
    Fault("address changed", _another_address, _nothing, (0.0, 0.0)),
    Fault("SSDP blocked", lambda lab: lab.block_ssdp(), _unblock),
    Fault("30 % loss", lambda lab: lose(lab, 30), lose_nothing),
    Fault("connections reset", _reset, lambda lab: lab.nft("router", WITHOUT.format("resets"))),
)
