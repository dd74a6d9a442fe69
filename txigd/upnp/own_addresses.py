"""Our own IPv6 addresses with what the system knows of each, and the one that a gateway may be told for good.

Knows Linux's ``/proc/net/if_inet6``; elsewhere the system's choice towards a host is all there is.
Sources: RFC 4862 (preferred and deprecated), RFC 8981 (temporary addresses), quirks Q193, Q194.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from txigd.limits import ADDRESS_LIST_OCTETS

_LISTED: Final = Path("/proc/net/if_inet6")
# flags of an address, linux/if_addr.h
_TEMPORARY: Final = 0x01
_DUPLICATE: Final = 0x08
_DEPRECATED: Final = 0x20
_TENTATIVE: Final = 0x40
_PERMANENT: Final = 0x80
_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")  # RFC 4291: all global unicast addresses that are given out


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """One IPv6 address of this host. ``network`` is the subnet it was given in."""

    address: ipaddress.IPv6Address
    network: ipaddress.IPv6Network
    link_index: int
    link_name: str
    temporary: bool = False
    deprecated: bool = False
    tentative: bool = False
    permanent: bool = False

    @property
    def is_global(self) -> bool:
        """Whether the internet can send to it."""
        return self.address in _GLOBAL

    @property
    def is_usable(self) -> bool:
        """Whether connections can be made from it now."""
        return not self.tentative


def parse_if_inet6(text: str) -> tuple[OwnAddress, ...]:
    """The addresses listed in the format of Linux's ``/proc/net/if_inet6``. Pure; a line cut short is left out."""
    found = (_own_address(line.split()) for line in text.splitlines())
    return tuple(own for own in found if own is not None)


def _own_address(fields: list[str]) -> OwnAddress | None:
    try:
        digits, index, length, _, flags, name = fields[:6]
        if len(digits) != 32:
            return None
        address = ipaddress.IPv6Address(int(digits, 16))
        bits = int(flags, 16)
        return OwnAddress(
            address,
            ipaddress.IPv6Network((int(address), int(length, 16)), strict=False),
            int(index, 16),
            name,
            temporary=bool(bits & _TEMPORARY),
            deprecated=bool(bits & _DEPRECATED),
            tentative=bool(bits & (_TENTATIVE | _DUPLICATE)),
            permanent=bool(bits & _PERMANENT),
        )
    except ValueError:
        return None


def stable_address(
    own: Iterable[OwnAddress],
    *,
    link_names: Iterable[str] = (),
    towards: ipaddress.IPv6Address | None = None,
    kept: ipaddress.IPv6Address | None = None,
) -> ipaddress.IPv6Address | None:
    """Our global address that lasts. Pure.

    Never a temporary one: a pinhole for it could not be deleted later (Q194).

    :param link_names: where the gateway is; empty for any link.
    :param towards: the gateway's address: its own subnet is preferred.
    :param kept: the address in use, which stays while it is as good as ever.
    """
    links = frozenset(link_names)
    fit = [
        one
        for one in own
        if one.is_global and one.is_usable and not one.temporary and (not links or one.link_name in links)
    ]

    def worse(one: OwnAddress) -> tuple[bool, bool, bool, bool, int]:
        far = towards is None or towards.is_link_local or towards not in one.network
        return one.deprecated, one.address != kept, far, not one.permanent, int(one.address)

    return min(fit, key=worse).address if fit else None


def own_addresses() -> tuple[OwnAddress, ...] | None:
    """Our IPv6 addresses now; None where the system does not tell them with their flags."""
    try:
        with _LISTED.open(encoding="ascii", errors="replace") as file:
            return parse_if_inet6(file.read(ADDRESS_LIST_OCTETS))
    except OSError:
        return None
