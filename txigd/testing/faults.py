"""The bad days of a simulated gateway: what goes wrong, for which request, how often. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from txigd.errors import InvalidArgument

Fault = int | HTTPStatus | str | bytes

#: What a word does. ``int`` is a UPnP error code (for SUBSCRIBE, RENEW, UNSUBSCRIBE and GET an HTTP status),
#: :class:`http.HTTPStatus` an HTTP status, ``bytes`` are sent as the whole reply, verbatim.
WORDS: Final[Mapping[str, str]] = {
    "hang": "takes the request and never answers",
    "html": "answers 200 with a page for people",
    "close": "closes the connection without an answer",
    "reset": "resets the connection",
    "garbage": "answers with octets that are no HTTP",
    "cut": "does it, and dies in the middle of the answer",
    "lost": "does it, and closes the connection without an answer",
    "empty": "answers 200 without a body",
    "late": "does it, and answers two seconds later (the initial event of a SUBSCRIBE comes first)",
    "skip": "NOTIFY only: an event is lost, its SEQ is not sent",
    "twice": "NOTIFY only: an event is sent twice",
}

LATE_SECONDS: Final = 2.0
EVERY: Final = "*"
PAGE: Final = b"<html><head><title>Router</title></head><body><h1>Please log in</h1></body></html>"
GARBAGE: Final = b"\x16\x03\x01\x00\xff\xfe\x00not http at all\r\n\r\n" + bytes(range(256))


REFUSED_SUBSCRIBE: Final = 412  # what gateways answer that do not want to be subscribed to (F06)
REFUSED_ACTION: Final = 401  # Q151


class Faults:
    """The faults that are set, by name of what they befall.

    A name is an action (``"AddPortMapping"``), ``"SUBSCRIBE"``, ``"RENEW"``, ``"UNSUBSCRIBE"``, ``"NOTIFY"``, ``"GET"``
    (descriptions), the path of a document, or ``"*"`` for every request.

    :param refuse: names that are refused, or faults by name.
    :param habits: further faults, each with the number of requests it befalls; they go before.
    :raises InvalidArgument: as :meth:`set` does.
    """

    def __init__(
        self,
        refuse: Collection[str] | Mapping[str, Fault] = (),
        habits: Mapping[str, tuple[Fault, int | None]] = MappingProxyType({}),
    ) -> None:
        self._set: dict[str, tuple[Fault, int | None]] = {}
        if not isinstance(refuse, Mapping):
            refuse = {name: REFUSED_SUBSCRIBE if name == "SUBSCRIBE" else REFUSED_ACTION for name in refuse}
        for name, fault in refuse.items():
            self.set(name, fault)
        for name, (fault, times) in habits.items():
            self.set(name, fault, times)

    def set(self, name: str, fault: Fault | None, times: int | None = None) -> None:
        """Set a fault, or with None take it away; ``times`` is how many requests it befalls, None for all.

        :raises InvalidArgument: for a word that is not one of :data:`WORDS`.
        """
        if isinstance(fault, str) and fault not in WORDS:
            raise InvalidArgument(f"{fault!r} is no fault: use one of {', '.join(WORDS)}, a number or bytes")
        if fault is None:
            self._set.pop(name, None)
        else:
            self._set[name] = fault, times

    def clear(self) -> None:
        """Take all faults away."""
        self._set.clear()

    def take(self, *names: str) -> Fault | None:
        """The fault for a request that goes by these names, the first that is set; it counts as used."""
        for name in (*names, EVERY):
            found = self._set.get(name)
            if found is None:
                continue
            fault, times = found
            if times is not None:
                if times <= 1:
                    del self._set[name]
                else:
                    self._set[name] = fault, times - 1
            return fault
        return None
