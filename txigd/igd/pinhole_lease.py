"""The machine that keeps one IPv6 pinhole open: facts in with a time, commands out. Pure.

No action lists pinholes, so all that is known of one is the UniqueID that AddPinhole gave (Q199). Whether it is still
there only UpdatePinhole tells: miniupnpd 2.3.1 answers GetPinholePackets from memory after its rules were flushed, and
CheckPinholeWorking is rare (Q198). So every look extends the lease. Sources: IGD:2 WANIPv6FirewallControl:1
(AddPinhole, UpdatePinhole, errors), quirks Q193-Q200.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from txigd.igd.allowance import Allowance
from txigd.igd.lease_facts import WORKING, Added, Denied, Done, Failed, MappingState, Missing, Rest, Unreadable
from txigd.igd.lifespan import rest_before
from txigd.igd.looks import Turn
from txigd.igd.pinhole import (
    Close,
    Closed,
    Extend,
    NoAddress,
    Open,
    Opened,
    Pinhole,
    PinholeCommand,
    PinholeFact,
    PinholeStatus,
)
from txigd.limits import (
    FAILURES_BORNE,
    LEFTOVER_PINHOLE_SECONDS,
    READ_TRIES,
    RENEW_FRACTION,
    RENEW_JITTER,
    RENEWAL_DUE_SECONDS,
    RETRY_CEILING_SECONDS,
    RETRY_FIRST_SECONDS,
    VERIFY_SECONDS,
)

# What a gateway says of its whole firewall: it is off, or lets no host open pinholes. What is open may be shut as well.
_SHUT = frozenset({702, 703})


class _Phase(enum.Enum):
    OPEN = "add"
    EXTEND = "is it still there? renew"
    REST = "wait"
    RECALL = "released, and perhaps there: add once more, which tells its number"
    CLOSE = "released: delete"
    DONE = "released and gone"


class PinholeLease:
    """One wanted pinhole on one gateway.

    :param wanted: what to keep open.
    :param spread: returns a number in [-1, 1], for jitter.
    :param turn: when to look next after a look, VERIFY_SECONDS later at most.
    :param unique_id: what an earlier life was given for ``client``; asked about first.

    :ivar losses: how often what was open was found gone.
    :ivar client: our address that the pinhole leads to, the InternalClient; None while there is no pinhole.
    :ivar unsure: a request to add it had no answer: it may be there, whatever the next one is answered (F45).
    """

    def __init__(
        self,
        wanted: Pinhole,
        *,
        spread: Callable[[], float],
        turn: Turn = lambda now: now + VERIFY_SECONDS,
        unique_id: int | None = None,
        client: ipaddress.IPv6Address | None = None,
    ) -> None:
        self.wanted = wanted
        self.client = client
        self.unsure = False
        self._spread = spread
        self._turn = turn
        self.losses = 0
        self._allowance = Allowance()
        self._unique_id = unique_id
        self._phase = _Phase.OPEN if unique_id is None else _Phase.EXTEND
        self._next_at = self._not_before = 0.0
        self._ends_at = 0.0  # when it runs out by itself
        self._extends = True
        self._failures = 0
        self._tries_left = READ_TRIES  # of a farewell
        self._again_at = 0.0  # the next one of them
        self.status = PinholeStatus(MappingState.ADDING)

    def next(self, now: float) -> PinholeCommand:
        """The command to carry out now; its outcome comes back through :meth:`learn`."""
        if self._phase is _Phase.REST and now >= self._next_at:
            # AddPinhole with the same values extends as well, and answers the same UniqueID
            self._phase = _Phase.OPEN if self._unique_id is None or not self._extends else _Phase.EXTEND
        if self._phase is _Phase.REST:
            return Rest(self._next_at)
        if self._phase is _Phase.OPEN:
            return Open(self.wanted.lease_seconds)
        if self._phase is not _Phase.DONE and now < self._again_at:
            return Rest(self._again_at)
        if self._phase is _Phase.RECALL:
            return Open(min(self.wanted.lease_seconds, LEFTOVER_PINHOLE_SECONDS))
        if self._unique_id is None or self._phase is _Phase.DONE:
            return Done()
        if self._phase is _Phase.EXTEND:
            return Extend(self._unique_id, self.wanted.lease_seconds)
        return Close(self._unique_id)

    def due_by(self, now: float) -> float | None:
        """By when what :meth:`next` said should be done; None where nothing runs out (F46)."""
        return min(self._ends_at, now + RENEWAL_DUE_SECONDS) if self._stands(now) else None

    def learn(self, fact: PinholeFact, now: float) -> None:
        """Take the outcome of the last command; what does not fit the phase is ignored."""
        step = _STEPS.get((self._phase, type(fact)))
        if step is not None:
            step(self, fact, now)

    def recheck(self, now: float) -> None:
        """Something happened to the gateway's firewall: look at the next opportunity."""
        if self._phase is _Phase.REST:
            self._next_at = max(now, self._not_before)  # every look is a renewal

    def gateway_restarted(self, now: float) -> None:
        """Its pinholes are gone, or belong to somebody else now: UniqueIDs start anew."""
        if self._phase in (_Phase.RECALL, _Phase.CLOSE):
            # Perhaps it was away for a moment only, and the pinhole is there: its number of today is asked for.
            self._unique_id, self._phase, self._again_at = None, _Phase.RECALL, 0.0
        if self._phase in _LEAVING:
            return
        self._unique_id, self._extends, self._failures = None, True, 0
        self.unsure = False
        self._allowance.excuse()
        self._not_before = 0.0
        self._phase = _Phase.OPEN
        if self.status.state in WORKING:
            self._say(MappingState.LOST, "the gateway restarted")

    def gateway_silent(self, reason: str) -> None:
        """The gateway went away; the pinhole stays wanted."""
        if self.status.state is not MappingState.RELEASED:
            self._say(MappingState.LOST if self.status.state in WORKING else self.status.state, reason)

    def release(self) -> None:
        """The pinhole is no longer wanted: delete it, then be done.

        Where a request to add it had no answer it is asked for once more: nothing else tells the number (Q199, F45).
        What has no answer now may get one a moment later, so it is tried READ_TRIES times, as for a mapping.
        """
        if self._phase in _LEAVING:
            return
        if self.unsure:
            self._phase = _Phase.RECALL
        else:
            self._close()

    def _stands(self, now: float) -> bool:
        """Whether it is there, as far as is known, since its lease has not ended."""
        return self._unique_id is not None and now < self._ends_at

    def _opened(self, fact: Opened, now: float) -> None:
        self._unique_id, self.client = fact.unique_id, fact.client
        self.unsure = False
        self._held(now)

    def _extended(self, fact: Added, now: float) -> None:
        self._held(now)

    def _held(self, now: float) -> None:
        lease = self.wanted.lease_seconds
        self._failures = 0
        self._ends_at = now + lease
        pause = self._allowance.made(now, lease)
        reason = f"a lease of {lease} s is too short to be kept; {self._allowance.told(now)}" if pause else ""
        self.status = PinholeStatus(MappingState.ACTIVE, self._unique_id, self.client, lease, reason)
        surely = lease - min(1.0, lease / 2)  # gateways count whole seconds: a lease may be up to one shorter
        half = surely * (RENEW_FRACTION + RENEW_JITTER * self._spread())
        self._not_before = now + pause
        self._rest(max(min(half, self._turn(now) - now), pause), now)

    def _inextensible(self, fact: Unreadable, now: float) -> None:
        self._extends = False
        self._phase = _Phase.OPEN

    def _missing(self, fact: Missing, now: float) -> None:
        """704: a UniqueID is never used again for the same pinhole, so it is added anew."""
        self._unique_id = None
        if self.status.state in WORKING:
            self.losses += 1
            self._allowance.lost(now)
            self._say(MappingState.LOST, "gone from the gateway's firewall")
        self._phase = _Phase.OPEN
        pause = self._allowance.pause(now)
        if pause:
            self._say(MappingState.LOST, f"gone from the gateway's firewall; {self._allowance.told(now)}")
            self._not_before = now + pause
            self._rest(pause, now)

    def _denied(self, fact: Denied, now: float) -> None:
        """Without a code it was not the gateway that refused; to look for that again costs it nothing.

        The number stays for the farewell, unless it is not ours any more (606); next time it is added anew. A renewal
        that was refused shuts nothing: what is open stays so until its lease ends.
        """
        if fact.code == 606:
            self._unique_id = None
        self._extends = False
        reason = f"error {fact.code} {fact.text}".strip() if fact.code else fact.text
        if self.status.state in WORKING and self._stands(now) and fact.code not in _SHUT:
            self.status = replace(self.status, reason=reason)
        else:
            self._say(MappingState.REFUSED, reason)
        pause = RETRY_CEILING_SECONDS if fact.code else VERIFY_SECONDS
        if self._stands(now):
            pause = rest_before(self._ends_at, now, pause) * (1 + RENEW_JITTER * self._spread())
        self._rest(pause, now)

    def _homeless(self, fact: NoAddress, now: float) -> None:
        self._extends = False
        self._say(MappingState.REFUSED, fact.text)
        self._rest(VERIFY_SECONDS, now)

    def _failed(self, fact: Failed, now: float) -> None:
        self._failures += 1
        self.unsure |= self._phase is _Phase.OPEN
        if self.status.state in WORKING and self._failures <= FAILURES_BORNE and now < self._ends_at:
            self.status = replace(self.status, reason=fact.text)  # it lives, and a lost packet is no news
        else:
            self.gateway_silent(fact.text)
        pause: float = min(RETRY_FIRST_SECONDS * 2 ** min(self._failures - 1, 16), RETRY_CEILING_SECONDS)
        if self._stands(now):
            pause = rest_before(self._ends_at, now, pause, floor=RETRY_FIRST_SECONDS)
        self._rest(pause * (1 + RENEW_JITTER * self._spread()), now)

    def _recalled(self, fact: Opened, now: float) -> None:
        self._unique_id, self.client = fact.unique_id, fact.client
        self._close()

    def _not_recalled(self, fact: PinholeFact, now: float) -> None:
        """What may be there is still on record, and looked for later."""
        self._close()

    def _close(self) -> None:
        """Delete what has a number."""
        if self._unique_id is None:
            self._finish()
        else:
            self._phase = _Phase.CLOSE

    def _closed(self, fact: Closed, now: float) -> None:
        self._finish()

    def _unheard(self, fact: Failed, now: float) -> None:
        """No answer, or we did not wait for it. What is given up is still on record, and looked for later."""
        self._tries_left -= 1
        if self._tries_left > 0:
            self._again_at = now + RETRY_FIRST_SECONDS
        elif self._phase is _Phase.RECALL:
            self._close()
        else:
            self._finish()

    def _finish(self) -> None:
        self._phase = _Phase.DONE
        self._say(MappingState.RELEASED, "")

    def _rest(self, seconds: float, now: float) -> None:
        self._phase, self._next_at = _Phase.REST, now + seconds
        self.status = replace(self.status, next_attempt=self._next_at)

    def _say(self, state: MappingState, reason: str) -> None:
        self.status = PinholeStatus(state, self._unique_id, self.client, 0, reason)


_LEAVING = frozenset({_Phase.RECALL, _Phase.CLOSE, _Phase.DONE})
# (what was asked, what came back) -> what follows; a pair that is not listed came out of turn.
_STEPS: dict[tuple[_Phase, type], Callable[[PinholeLease, Any, float], None]] = {
    (_Phase.OPEN, Opened): PinholeLease._opened,
    (_Phase.OPEN, Denied): PinholeLease._denied,
    (_Phase.OPEN, Failed): PinholeLease._failed,
    (_Phase.OPEN, NoAddress): PinholeLease._homeless,
    (_Phase.EXTEND, Added): PinholeLease._extended,
    (_Phase.EXTEND, Missing): PinholeLease._missing,
    (_Phase.EXTEND, Denied): PinholeLease._denied,
    (_Phase.EXTEND, Failed): PinholeLease._failed,
    (_Phase.EXTEND, NoAddress): PinholeLease._homeless,
    (_Phase.EXTEND, Unreadable): PinholeLease._inextensible,
    (_Phase.RECALL, Opened): PinholeLease._recalled,
    (_Phase.RECALL, NoAddress): PinholeLease._not_recalled,
    (_Phase.RECALL, Denied): PinholeLease._not_recalled,
    (_Phase.RECALL, Failed): PinholeLease._unheard,
    (_Phase.CLOSE, Closed): PinholeLease._closed,
    (_Phase.CLOSE, Failed): PinholeLease._unheard,
}
