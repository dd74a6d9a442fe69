"""The set of wanted port mappings, kept true on the gateway it is attached to."""

from __future__ import annotations

from collections.abc import Hashable
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.held_set import HeldSet
from txigd.igd.mapping import PortMapping
from txigd.limits import MAPPINGS


class Mappings(HeldSet[PortMapping, HeldMapping, Connection]):
    """Wanted mappings, held on whichever connection the set is attached to.

    Observers are told ``held``, a :class:`txigd.igd.held_mapping.HeldMapping`, and ``old`` and ``new``, each a
    :class:`txigd.igd.lease_facts.MappingStatus`.

    :param clock: the reactor's time.
    :param host_id: short id of this host, part of the tag of our entries.
    :param books: where what is done is written down.
    :param most: how many may be wanted at once (D6).
    """

    KIND = "mappings"
    SAME = "external port"

    def __init__(
        self,
        clock: IReactorTime,
        host_id: str,
        *,
        books: Books | None = None,
        most: int = MAPPINGS,
        random: Random | None = None,
    ) -> None:
        super().__init__(clock, most=most)
        self._host_id = host_id
        self._books = Books() if books is None else books
        self._random = random or Random()  # jitter and port choice need no secret

    def attach(self, place: Connection, *, restarted: bool = True) -> None:
        """Hold everything there; another connection than before may have another table, so that one is parted from."""
        if self._place is not None and self._place.udn != place.udn:
            stops = self._stops
            self.part("another connection took over")
            if self._stops != stops:
                return  # by whoever was told that a release is over
        super().attach(place, restarted=restarted)

    def table_changed(self) -> None:
        """An event told of a change in the gateway's table, ours or anybody's: look at what may be gone."""
        self._looks.all_looked(self._clock.seconds())
        for held in self:
            held.table_changed()

    def line_came_up(self) -> None:
        """The gateway's line is up again, with an address: what it refused because of that is tried at once."""
        for held in self:
            held.line_came_up()

    def _key(self, wanted: PortMapping) -> Hashable:
        """A place in the gateway's table."""
        return wanted.protocol, wanted.wanted_port, str(wanted.remote_host or "")

    def _make(self, wanted: PortMapping, wait_for: Deferred[None] | None) -> HeldMapping:
        turn = self._looks.turn()
        return HeldMapping(
            self._clock, wanted, self._host_id, self._random, books=self._books, turn=turn, wait_for=wait_for
        )
