"""The octets of a journal: JSON in ASCII, version 1. Pure.

Reading is strict: one wrong value spoils the whole, because half a journal is worse than none. What was written here is
always read again. No pickle, no code (D3).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, TypeVar

from txigd.errors import InvalidArgument, JournalDamaged
from txigd.igd.journal_entry import JournalEntry, JournalPinhole, KeptPort, PinnedGateway, plain
from txigd.limits import STATE_OCTETS

VERSION: Final = 1
_BOOT_CHARACTERS: Final = 64
_Record = TypeVar("_Record", JournalEntry, JournalPinhole, PinnedGateway, KeptPort)


@dataclass(frozen=True, slots=True)
class Pages:
    """All that a journal holds. The order is that of use, the oldest first."""

    gateways: Sequence[tuple[str, Sequence[JournalEntry], Sequence[JournalPinhole]]] = ()
    pinned: Sequence[PinnedGateway] = ()
    ports: Sequence[KeptPort] = ()


def write(pages: Pages, *, boot: str, now: float) -> bytes:
    """The octets to keep.

    :param boot: names the run of the host that ``now`` counts from, empty when unknown.
    """
    book = {
        "txigd": "state",
        "version": VERSION,
        "boot": plain(boot, _BOOT_CHARACTERS),
        "saved": math.floor(now),
        "gateways": [
            {"udn": udn, "entries": [_as_dict(e) for e in entries], "pinholes": [asdict(p) for p in pinholes]}
            for udn, entries, pinholes in pages.gateways
        ],
        "pinned": [asdict(gateway) for gateway in pages.pinned],
        "ports": [asdict(port) for port in pages.ports],
    }
    return json.dumps(book, indent=1, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def read(octets: bytes, *, boot: str, now: float) -> Pages:
    """What :func:`write` wrote, with its times on the clock of ``now``.

    In another run of the host, or where runs cannot be told apart, nobody knows how long the pause was. Then none is
    assumed: an entry may be thought alive for too long, never for too short (F19).

    :raises JournalDamaged: for anything else.
    """
    try:
        book = _book(octets)
        saved = book["saved"]
        shift = 0 if boot and plain(boot, _BOOT_CHARACTERS) == book["boot"] and saved <= now else math.ceil(now) - saved
        gateways = [_gateway(record, shift) for record in _list(book["gateways"])]
        pinned = [_shifted(_record(PinnedGateway, record), "seen", shift) for record in _list(book["pinned"])]
        ports = [_record(KeptPort, record) for record in _list(book["ports"])]
    except (InvalidArgument, RecursionError) as error:  # lists in lists, a hundred thousand deep
        raise JournalDamaged(str(error)) from error
    _no_twins("gateway", [udn for udn, _, _ in gateways])
    _no_twins("pinned gateway", [gateway.udn for gateway in pinned])
    _no_twins("kept port", [port.wanted for port in ports])
    return Pages(gateways, pinned, ports)


def _book(octets: bytes) -> dict[str, Any]:
    if len(octets) > STATE_OCTETS:
        raise JournalDamaged(f"more than {STATE_OCTETS} octets")
    try:
        book = json.loads(octets.decode("ascii"), object_pairs_hook=_object, parse_constant=_no_number)
    except ValueError as error:
        raise JournalDamaged(f"no JSON: {error}") from error
    if type(book) is not dict or book.get("txigd") != "state":
        raise JournalDamaged("not a state file of txigd")
    if type(book.get("version")) is not int or book["version"] != VERSION:
        raise JournalDamaged(f"version {book.get('version')!r:.20}, this is version {VERSION}")
    _exactly(book, ("txigd", "version", "boot", "saved", "gateways", "pinned", "ports"))
    if type(book["boot"]) is not str or book["boot"] != plain(book["boot"], _BOOT_CHARACTERS):
        raise JournalDamaged("boot is no name")
    PinnedGateway("", "", _whole(book["saved"]))  # a time like any other
    return book


def _gateway(record: Any, shift: int) -> tuple[str, Sequence[JournalEntry], Sequence[JournalPinhole]]:
    _exactly(record, ("udn", "entries", "pinholes"))
    udn = PinnedGateway(record["udn"], "", 0).udn
    entries = [_shifted(_entry(entry), "expires", shift) for entry in _list(record["entries"])]
    pinholes = [_shifted(_record(JournalPinhole, hole), "expires", shift) for hole in _list(record["pinholes"])]
    _no_twins("entry", [entry.target for entry in entries])
    _no_twins("pinhole", [hole.place for hole in pinholes])
    return udn, entries, pinholes


def _as_dict(entry: JournalEntry) -> dict[str, Any]:
    """Few gateways show names, and files of before know none."""
    return {name: value for name, value in asdict(entry).items() if value or name != "named"}


def _entry(record: Any) -> JournalEntry:
    return _record(JournalEntry, {"named": "", **record} if type(record) is dict else record)


def _record(kind: type[_Record], record: Any) -> _Record:
    _exactly(record, tuple(field.name for field in fields(kind)))
    return kind(**record)


def _shifted(record: _Record, name: str, shift: int) -> _Record:
    at = getattr(record, name)
    return record if at is None or not shift else replace(record, **{name: at + shift})


def _exactly(record: Any, names: tuple[str, ...]) -> None:
    if type(record) is not dict or set(record) != set(names):
        raise JournalDamaged(f"not a record of {', '.join(names)}")


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise JournalDamaged("not a list")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise JournalDamaged("saved is no time")
    return value


def _no_twins(what: str, keys: list[Any]) -> None:
    if len(set(keys)) != len(keys):
        raise JournalDamaged(f"the same {what} twice")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _no_twins("name", [name for name, _ in pairs])
    return dict(pairs)


def _no_number(text: str) -> Any:
    raise JournalDamaged(f"{text} is no number")
