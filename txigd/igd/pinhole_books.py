"""The journal at work for pinholes: no gateway lists them, so only what is on record can be found again (Q199).

A UniqueID by itself proves nothing after a restart of the gateway, which counts anew: it may be another program's
pinhole by then. So nothing is deleted by a number on record alone; AddPinhole with the values on record, which extends
a pinhole that is still there, tells its number of today.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable

from txigd import log
from txigd.igd.books import Books
from txigd.igd.firewall import Firewall
from txigd.igd.journal_entry import JournalPinhole, latest_end
from txigd.igd.lease_facts import Added, Denied, Failed, Missing
from txigd.igd.pinhole import PROTOCOL_NUMBERS, Closed, Opened, Pinhole, PinholeFact
from txigd.limits import LEFTOVER_PINHOLE_SECONDS

_log = log.logger("txigd.pinholes")
_PROTOCOLS = {number: name for name, number in PROTOCOL_NUMBERS.items()}


def record(books: Books, udn: str, wanted: Pinhole, unique_id: int, client: ipaddress.IPv6Address) -> None:
    """This pinhole was opened, or extended, a moment ago."""
    books.journal.pinhole_opened(udn, _entry(books, wanted, unique_id, client))


def opening(books: Books, udn: str, wanted: Pinhole, client: ipaddress.IPv6Address) -> None:
    """AddPinhole is about to be sent: whoever is killed before the answer finds it on record."""
    books.journal.will_open(udn, _entry(books, wanted, 0, client))


def learn(
    books: Books, udn: str, wanted: Pinhole, unique_id: int, client: ipaddress.IPv6Address, fact: PinholeFact
) -> None:
    """What the gateway answered about a pinhole that has this number; a Failed one leaves everything open (F45)."""
    if isinstance(fact, Opened):
        record(books, udn, wanted, fact.unique_id, fact.client)
    elif isinstance(fact, Added):
        record(books, udn, wanted, unique_id, client)
    elif isinstance(fact, Missing) or (isinstance(fact, Closed) and fact.gone):
        books.journal.pinhole_closed(udn, _entry(books, wanted, unique_id, client))
    elif isinstance(fact, Denied) and fact.code:
        books.journal.not_opened(udn, _entry(books, wanted, unique_id, client))


def forget(books: Books, udn: str, wanted: Pinhole, client: ipaddress.IPv6Address) -> None:
    """It is left open on purpose."""
    books.journal.pinhole_closed(udn, _entry(books, wanted, 0, client))


def _entry(books: Books, wanted: Pinhole, unique_id: int, client: ipaddress.IPv6Address) -> JournalPinhole:
    return JournalPinhole(
        unique_id=unique_id,
        protocol=PROTOCOL_NUMBERS[wanted.protocol],
        internal_client=str(client),
        internal_port=wanted.internal_port,
        remote_host=str(wanted.remote_host or ""),
        remote_port=wanted.remote_port,
        expires=latest_end(wanted.lease_seconds, books.now()) or 0,
    )


async def settle(books: Books, firewall: Firewall, wanted: Callable[[], Iterable[Pinhole]]) -> bool:
    """Close what is on record as open and nobody wants any more; the rest is extended by being opened again.

    What is refused, or is for an address that this host has no more, runs out by itself.

    :return: whether it is done; where the gateway did not answer it is to be tried again later.
    """
    udn, done = firewall.device.udn, True
    for old in books.journal.pinholes(udn):
        pinhole = _pinhole(old)
        write_ahead = functools.partial(books.journal.will_open, udn, old)
        if old.expires <= books.now():
            books.journal.pinhole_closed(udn, old)
        elif pinhole is None or _is_among(wanted(), pinhole) or not _is_on_record(books, udn, old):
            continue  # nobody's, wanted, or closed meanwhile by what held it
        else:
            fact = await _close(firewall, pinhole, wanted, write_ahead)
            done = done and not isinstance(fact, Failed)
            if isinstance(fact, Closed) and fact.gone:
                books.journal.pinhole_closed(udn, old)
                _log.info("closed {pinhole}, left over from earlier", pinhole=str(pinhole))
    return done


def _is_on_record(books: Books, udn: str, old: JournalPinhole) -> bool:
    return any(one.place == old.place for one in books.journal.pinholes(udn))


async def _close(
    firewall: Firewall, pinhole: Pinhole, wanted: Callable[[], Iterable[Pinhole]], before: Callable[[], object]
) -> PinholeFact | None:
    client = pinhole.internal_client
    if client is None or not firewall.is_ours(client):
        return None
    fact = await firewall.open(pinhole, client, LEFTOVER_PINHOLE_SECONDS, before=before)
    if not isinstance(fact, Opened) or _is_among(wanted(), pinhole):
        return fact  # wanted by now: what holds it asks after us, and extends it
    return await firewall.close(fact.unique_id, client)


def _pinhole(old: JournalPinhole) -> Pinhole | None:
    if old.protocol not in _PROTOCOLS or not old.internal_port:
        return None  # not of this program
    return Pinhole(
        _PROTOCOLS[old.protocol],
        old.internal_port,
        ipaddress.IPv6Address(old.remote_host) if old.remote_host else None,
        old.remote_port,
        ipaddress.IPv6Address(old.internal_client),
    )


def _is_among(wanted: Iterable[Pinhole], pinhole: Pinhole) -> bool:
    return _values(pinhole) in {_values(one) for one in wanted}


def _values(pinhole: Pinhole) -> tuple[str, int, str, int]:
    return pinhole.protocol, pinhole.internal_port, str(pinhole.remote_host or ""), pinhole.remote_port
