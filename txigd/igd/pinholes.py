"""The set of wanted IPv6 pinholes, kept open in the gateway that it is attached to."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Hashable, Iterable
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import AddressingError, MappingRefused, MappingReleased
from txigd.igd.books import Books
from txigd.igd.firewall import Firewall
from txigd.igd.held import Held
from txigd.igd.held_set import HeldSet
from txigd.igd.lease_facts import WORKING, Denied, MappingState, Missing
from txigd.igd.looks import Turn
from txigd.igd.pinhole import (
    Close,
    Closed,
    Extend,
    NoAddress,
    Open,
    Pinhole,
    PinholeCommand,
    PinholeFact,
    PinholeStatus,
)
from txigd.igd.pinhole_books import forget, learn, opening, settle
from txigd.igd.pinhole_lease import PinholeLease
from txigd.limits import FAREWELL_SECONDS, LEFTOVERS_SECONDS, PINHOLES, RETRY_CEILING_SECONDS

_log = log.logger("txigd.pinholes")


class HeldPinhole(Held[Pinhole, PinholeStatus, Firewall, PinholeLease]):
    """One wanted pinhole and how it stands. Made by :meth:`Pinholes.hold`.

    :ivar wanted: the :class:`txigd.igd.pinhole.Pinhole`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wanted: Pinhole,
        random: Random,
        books: Books,
        *,
        turn: Turn,
        wait_for: Deferred[None] | None = None,
    ) -> None:
        super().__init__(clock, wanted, PinholeStatus(), wait_for=wait_for)
        self._random = random
        self._books = books
        self._turn = turn

    @property
    def address(self) -> ipaddress.IPv6Address | None:
        """Our address that can be reached through the pinhole; None while there is none."""
        return self.status.internal_client if self.status.state in WORKING else None

    def _new_lease(self, place: Firewall) -> PinholeLease:
        """A machine that knows of no pinhole yet."""
        return PinholeLease(self.wanted, spread=lambda: self._random.uniform(-1, 1), turn=self._turn)

    async def _carry_out(self, place: Firewall, lease: PinholeLease, command: PinholeCommand) -> PinholeFact:
        """Send the action, from the address that the pinhole is for (Q193)."""
        if isinstance(command, Close):
            if lease.client is None:
                return Closed()
            closed = await place.close(command.unique_id, lease.client)
            return self._learned(place, lease, command.unique_id, lease.client, closed)
        try:
            client = place.client(self.wanted.internal_client, kept=lease.client)
        except AddressingError as error:
            return NoAddress(str(error))
        due = lease.due_by(self._clock.seconds())
        if isinstance(command, Open):
            write_ahead = functools.partial(opening, self._books, place.device.udn, self.wanted, client)
            fact = await place.open(self.wanted, client, command.lease_seconds, due=due, before=write_ahead)
            return self._learned(place, lease, 0, client, fact)
        assert isinstance(command, Extend)
        if client != lease.client:
            # the provider gave us another prefix: the old address leads nowhere, and its pinhole runs out by itself
            return Missing()
        fact = await place.extend(command.unique_id, client, command.lease_seconds, due=due)
        return self._learned(place, lease, command.unique_id, client, fact)

    def _learned(
        self, place: Firewall, lease: PinholeLease, unique_id: int, client: ipaddress.IPv6Address, fact: PinholeFact
    ) -> PinholeFact:
        if not (isinstance(fact, Denied) and lease.unsure):
            learn(self._books, place.device.udn, self.wanted, unique_id, client, fact)
        return fact

    def _left_there(self) -> None:
        if self._place is not None and self.address is not None:
            forget(self._books, self._place.device.udn, self.wanted, self.address)

    def _released(self) -> PinholeStatus:
        """Released; what it was stays visible."""
        return PinholeStatus(MappingState.RELEASED, self.status.unique_id, self.status.internal_client)

    def _news(self, status: PinholeStatus) -> object:
        """Renewals are no news, and neither are calls that fail while it works."""
        reason = "" if status.state in WORKING else status.reason
        return status.state, status.unique_id, status.internal_client, reason

    def _announce(self, status: PinholeStatus) -> None:
        """One line for each step."""
        _log.info(
            "pinhole {pinhole}: {state}{address}{why}",
            pinhole=str(self.wanted),
            state=status.state.value,
            address=f" for {status.internal_client}" if status.state in WORKING else "",
            why=f" ({status.reason})" if status.reason else "",
        )

    def _judge(self, status: PinholeStatus) -> PinholeStatus:
        """Refused and released are errors for those who wait."""
        if status.state is MappingState.REFUSED:
            raise MappingRefused(f"{self.wanted}: {status.reason}")
        if status.state is MappingState.RELEASED:
            raise MappingReleased(f"{self.wanted}: released before it was open")
        return status


class Pinholes(HeldSet[Pinhole, HeldPinhole, Firewall]):
    """Wanted pinholes, held in whichever firewall the set is attached to.

    Observers are told ``held``, a :class:`HeldPinhole`, and ``old`` and ``new``, each a
    :class:`txigd.igd.pinhole.PinholeStatus`.

    :param clock: the reactor's time.
    :param books: where what is done is written down.
    :param most: how many may be wanted at once (D6).

    :ivar settles_for: the sets whose pinholes are no leftovers; this one, unless told otherwise.
    """

    KIND = "pinholes"
    SAME = "pinhole"

    def __init__(
        self, clock: IReactorTime, *, books: Books | None = None, most: int = PINHOLES, random: Random | None = None
    ) -> None:
        super().__init__(clock, most=most)
        self._books = Books() if books is None else books
        self._random = random or Random()  # jitter needs no secret
        self._settling: Deferred[None] | None = None
        self._settles: IDelayedCall | None = None
        self._settler = self
        self.settles_for: Callable[[], Iterable[Pinholes]] = lambda: (self,)

    def attach(self, place: Firewall, *, restarted: bool = True, settled_by: Pinholes | None = None) -> None:
        """Hold everything there; what an earlier run left open, or a release that it was away for, is closed (Q199).

        That begins a moment later: what is wanted of a gateway is often said when it was found, which is now. What has
        no answer is tried again later.

        :param settled_by: the set that sees to that there, for all of them; this one by default.
        """
        super().attach(place, restarted=restarted)
        if self._place is None:
            return  # it was stopped, perhaps by whoever was told that a release is over
        self._unsettle()
        if settled_by is not None:
            self._settler = settled_by
        if self._settler is self:
            self._settles = self._clock.callLater(LEFTOVERS_SECONDS, self._settle, place)

    def detach(self, reason: str) -> None:
        """The gateway is gone; everything stays wanted."""
        super().detach(reason)
        self._unsettle()

    def part(self, reason: str, seconds: float = FAREWELL_SECONDS) -> None:
        """Leave this gateway for another one: what is ours there is closed within ``seconds`` (F16)."""
        super().part(reason, seconds)
        self._unsettle()

    def settle_later(self) -> None:
        """Close what is on record as open there and nobody wants there, when a farewell that begins now is over."""
        if self._place is not None:
            self._unsettle()
            self._settles = self._clock.callLater(FAREWELL_SECONDS, self._settle, self._place)

    def stop(self, seconds: float = FAREWELL_SECONDS) -> Deferred[None]:
        """Close everything, within ``seconds``; what the gateway did not confirm by then runs out with its lease."""
        stopped = super().stop(seconds)
        self._unsettle()
        return stopped

    def _wanted(self) -> list[Pinhole]:
        return [held.wanted for pinholes in self.settles_for() for held in pinholes if not held.leaving]

    def _settle(self, place: Firewall) -> None:
        self._settling = Deferred.fromCoroutine(self._settled(place))
        self._settling.addErrback(self._unsettled)

    async def _settled(self, place: Firewall) -> None:
        if not await settle(self._books, place, self._wanted):
            self._settles = self._clock.callLater(RETRY_CEILING_SECONDS, self._settle, place)

    def _unsettle(self) -> None:
        self._settler = self
        if self._settles is not None and self._settles.active():
            self._settles.cancel()
        settling, self._settling = self._settling, None
        if settling is not None:
            settling.cancel()

    def _unsettled(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("closing what was left open met a fault", failure=failure)

    def _key(self, wanted: Pinhole) -> Hashable:
        """What AddPinhole takes for one and the same pinhole."""
        remote, client = str(wanted.remote_host or ""), str(wanted.internal_client or "")
        return wanted.protocol, wanted.internal_port, remote, wanted.remote_port, client

    def _make(self, wanted: Pinhole, wait_for: Deferred[None] | None) -> HeldPinhole:
        wait_for = self._after_settling(wait_for)
        return HeldPinhole(self._clock, wanted, self._random, self._books, turn=self._looks.turn(), wait_for=wait_for)

    def _after_settling(self, wait_for: Deferred[None] | None) -> Deferred[None] | None:
        """What is wanted now may be what is being closed: it is opened afterwards, else the two are one pinhole."""
        settling = self._settler._settling
        if settling is None or settling.called:
            return wait_for
        settled: Deferred[None] = Deferred()
        settling.addBoth(settled.callback)
        return settled if wait_for is None else settled.addCallback(lambda _: wait_for)
