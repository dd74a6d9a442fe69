"""What a simulated gateway's port mapping table accepts. Pure.

Sources: WANIPConnection:1 and :2 (port mapping rules and error lists), quirks 2G; where the text leaves a choice, the
choice of miniupnpd.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from txigd.limits import LEASE_CEILING_SECONDS, SIMULATED_MAPPINGS
from txigd.testing.entry import Entry

LOWEST_OPEN_PORT: Final = 1024  # the two-box rule of IGD:2: a stranger may not touch the ports below
_BROADCAST: Final = "255.255.255.255"
_UI4: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Rules:
    """What a gateway's table accepts.

    :param version: 1 or 2, of WANIPConnection.
    :param permanent_leases_only: 725 for every lease but 0 (Q117); a version 1 habit.
    :param finite_leases_only: 402 for lease 0 (Q118).
    :param same_port_only: 724 unless external and internal port are equal (Q126).
    :param wildcard_remote_host_only: 726 for a particular RemoteHost.
    :param wildcard_port: whether external port 0 is taken as "all ports" instead of refused with 716.
    :param wildcard_port_only: 727 for every external port but 0.
    :param min_lease: seconds; shorter leases are raised to it.
    :param max_lease: seconds; longer leases are cut to it (Q120); None for what the version allows.
    :param capacity: entries; beyond it ``full_code``.
    :param full_code: what a full table answers: 728, or 501 and 402 as some gateways do (Q125).
    :param secure: a caller may map only for itself and, in version 2, only ports from 1024 up: 606 (version 1: 718);
        the same of IPv6 pinholes (Q193), and only its own may be extended and closed (Q194).
    :param overwrites_all: an add replaces whatever stands there, as routers of 2004 do (Q132).
    :param reserved_ports: external ports that the gateway itself needs: 729 (version 1: 718) (Q128).
    :param conflict_below: 718 for every external port below this one (Q123).
    :param extends: whether adding an entry again makes its lease new (Q121).
    :param renewal_code: the error for adding an entry that is there already, the caller's own (Q122); 0 for none.
    :param stores: False takes every wish and keeps none (Q133).
    :param lifetime_seconds: entries go after this time whatever their lease, without a word (Q134); 0 for never.
    :param static_seconds: the same for entries without a lease (Q119).
    """

    version: int = 2
    permanent_leases_only: bool = False
    finite_leases_only: bool = False
    same_port_only: bool = False
    wildcard_remote_host_only: bool = False
    wildcard_port: bool = False
    wildcard_port_only: bool = False
    min_lease: int = 1
    max_lease: int | None = None
    capacity: int = SIMULATED_MAPPINGS
    full_code: int = 728
    secure: bool = False
    overwrites_all: bool = False
    reserved_ports: frozenset[int] = frozenset()
    conflict_below: int = 0
    extends: bool = True
    renewal_code: int = 0
    stores: bool = True
    lifetime_seconds: int = 0
    static_seconds: int = 0

    def granted(self, lease: int) -> int:
        """The lease that an entry gets for the one asked for; 0 is a static entry, which version 2 does not make."""
        longest = self.max_lease or (LEASE_CEILING_SECONDS if self.version >= 2 else _UI4)
        if lease == 0:
            return longest if self.version >= 2 and not self.permanent_leases_only else 0
        return max(self.min_lease, min(lease, longest))

    def refusal(self, wanted: Entry, lease: int, caller: str) -> int:
        """The error code that the wish itself deserves, whatever the table holds; 0 if it is fine."""
        return next((code for refuses, code in _CHECKS if refuses(self, wanted, lease, caller)), 0)


# -- the checks of one wish, the more specific before the more general ------------------------------------------------


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _bad_client(rules: Rules, wanted: Entry, lease: int, caller: str) -> bool:
    client = wanted.internal_client
    if client == _BROADCAST:  # the standard wants it settable for UDP
        return wanted.protocol != "UDP"
    return not _is_address(client) or ipaddress.IPv4Address(client).is_multicast or client == "0.0.0.0"


def _takes_wildcard(rules: Rules) -> bool:
    return rules.wildcard_port or rules.wildcard_port_only


def _no_port(wanted: Entry) -> bool:
    return wanted.internal_port == 0 and wanted.external_port != 0  # all ports to all ports: InternalPort is ignored


def _foreign(rules: Rules, wanted: Entry, lease: int, caller: str) -> bool:
    return rules.secure and wanted.internal_client != caller


def _low(rules: Rules, wanted: Entry, lease: int, caller: str) -> bool:
    ports = (wanted.external_port, wanted.internal_port)
    return rules.secure and rules.version >= 2 and any(port < LOWEST_OPEN_PORT for port in ports)


_Check = Callable[[Rules, Entry, int, str], bool]
_CHECKS: Final[tuple[tuple[_Check, int], ...]] = (
    (lambda rules, wanted, lease, caller: not wanted.internal_client, 715),
    (_bad_client, 600),
    (lambda rules, wanted, lease, caller: bool(wanted.remote_host) and not _is_address(wanted.remote_host), 600),
    (lambda rules, wanted, lease, caller: wanted.external_port == 0 and not _takes_wildcard(rules), 716),
    (lambda rules, wanted, lease, caller: _no_port(wanted) and rules.version >= 2, 732),
    (lambda rules, wanted, lease, caller: _no_port(wanted), 402),
    (lambda rules, wanted, lease, caller: wanted.external_port != 0 and rules.wildcard_port_only, 727),
    (lambda rules, wanted, lease, caller: _foreign(rules, wanted, lease, caller) and rules.version < 2, 718),
    (_foreign, 606),
    (_low, 606),
    (lambda rules, wanted, lease, caller: bool(wanted.remote_host) and rules.wildcard_remote_host_only, 726),
    (lambda rules, wanted, lease, caller: wanted.external_port < rules.conflict_below, 718),
    (lambda rules, wanted, lease, caller: rules.same_port_only and wanted.external_port != wanted.internal_port, 724),
    (lambda rules, wanted, lease, caller: rules.permanent_leases_only and lease != 0, 725),
    (lambda rules, wanted, lease, caller: rules.finite_leases_only and lease == 0, 402),
)
