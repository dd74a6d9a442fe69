"""The datagrams of one search: the plain form, and what is tried where that finds nothing. Pure.

Every form takes the search targets, the value of HOST, MX (None in a unicast search) and USER-AGENT, and gives the
datagrams in the order of sending. Sources: UDA 1.1 section 1.3.2, quirks Q002, Q004, Q005, Q010.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from txigd.limits import SEARCH_ALL_MX
from txigd.upnp.discovery import message
from txigd.upnp.discovery.message import ALL, DISCOVER

Form = Callable[[Sequence[str], str, "int | None", str], "list[bytes]"]


def plain(targets: Sequence[str], host: str, mx: int | None, user_agent: str) -> list[bytes]:
    """The form of the standard (Q005).

    :raises InvalidArgument: for what does not fit on one line.
    """
    return [message.search(target, host=host, mx=mx, user_agent=user_agent) for target in targets]


def unquoted(targets: Sequence[str], host: str, mx: int | None, user_agent: str) -> list[bytes]:
    """MAN without its quotes (Q004)."""
    quoted = f'"{DISCOVER}"'.encode()
    return [datagram.replace(quoted, DISCOVER.encode(), 1) for datagram in plain(targets, host, mx, user_agent)]


def other_order(targets: Sequence[str], host: str, mx: int | None, user_agent: str) -> list[bytes]:
    """Spelling and order of Windows XP, which the gateways of its time were made for: no blanks, ST first (Q004)."""
    spread = "" if mx is None else f"MX:{mx}\r\n"
    return [
        f'M-SEARCH * HTTP/1.1\r\nHost:{host}\r\nST:{target}\r\nMan:"{DISCOVER}"\r\n{spread}\r\n'.encode()
        for target in targets
    ]


def everything(targets: Sequence[str], host: str, mx: int | None, user_agent: str) -> list[bytes]:
    """``ssdp:all``, for a gateway that answers to no type (Q002); spread widely, for all devices answer (Q010)."""
    return plain((ALL,), host, None if mx is None else SEARCH_ALL_MX, user_agent)


FALLBACKS: Final[tuple[Form, ...]] = (unquoted, other_order, everything)
"""One after the other, as long as nothing was found."""
