"""Where one wanted mapping stands: what is known of it, what a user is told, when it goes on. Pure.

The machine itself, which asks and learns, is :class:`txigd.igd.lease.Lease`; here is what it comes to.
Sources: quirks Q122-Q124, Q129, faults F01, F30, F31, F37, F46.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import replace

from txigd.igd.allowance import Allowance
from txigd.igd.lease_facts import WORKING, MappingState, MappingStatus, Taken
from txigd.igd.lease_farewell import Farewell
from txigd.igd.lease_term import Term
from txigd.igd.looks import Turn
from txigd.igd.mapping import PortMapping, PortMappingEntry
from txigd.igd.other_ports import OtherPorts
from txigd.igd.ownership import FormerOnRecord, OnRecord, Ownership
from txigd.limits import HIDDEN_RETRY_SECONDS, PICKS, VERIFY_SECONDS


class Phase(enum.Enum):
    """What is asked next."""

    CHECK = "read before anything is written"
    ADD = "add or renew"
    CONFIRM = "read back what was added"
    REST = "wait"
    CLEAR = "delete our own entry, then add"
    RESERVE = "have the gateway pick a port (F36)"
    SEEK = "look in the whole table for an entry whose port we were not told"
    LEAVE = "released, or to make room: delete what is ours"
    GIVE_UP = "nothing of ours is there any more: another mapping may have the port"
    DONE = "released and gone"


class Standing:
    """How one wanted mapping on one gateway stands.

    :param wanted: what to keep true.
    :param client: the internal client: this host's address on the gateway's link.
    :param host_id: marks our own entries.
    :param spread: returns a number in [-1, 1], for jitter.
    :param other_port: returns an external port to try after a conflict.
    :param external_port: the port that it had in an earlier life, tried first and not given up lightly (Q140).
    :param reserves: whether the gateway offers AddAnyPortMapping.
    :param on_record: see :data:`txigd.igd.ownership.OnRecord`.
    :param former: see :data:`txigd.igd.ownership.FormerOnRecord`.
    :param turn: when to look next after a look, VERIFY_SECONDS later at most.
    :param line_up: whether the gateway's line is up and has an address; None where nobody knows.
    :param hidden: whether it is up, and the gateway tells no address of it (F27).
    :ivar losses: how often what we had made was found gone, or somebody else's.
    """

    def __init__(
        self,
        wanted: PortMapping,
        *,
        client: ipaddress.IPv4Address,
        host_id: str,
        spread: Callable[[], float],
        other_port: Callable[[], int],
        external_port: int = 0,
        reserves: bool = False,
        on_record: OnRecord = lambda entry: False,
        former: FormerOnRecord = lambda port: None,
        turn: Turn = lambda now: now + VERIFY_SECONDS,
        line_up: Callable[[], bool | None] = lambda: None,
        hidden: Callable[[], bool] = lambda: False,
    ) -> None:
        self.wanted = wanted
        self.client = wanted.internal_client or client
        self._whose = Ownership(wanted, self.client, host_id, on_record=on_record, former=former)
        self._term = Term(wanted.lease_seconds, spread=spread, turn=turn)
        self._allowance = Allowance()
        self.losses = 0
        self._line_up = line_up
        self._hidden = hidden
        self._port = external_port or wanted.wanted_port
        self._others = OtherPorts(other_port, offered=reserves, first=self._port, kept=external_port)
        self._passing = False  # the last refusal may pass in a moment
        self._phase = Phase.CHECK
        self._next_at = 0.0
        self._farewell: Farewell | None = None
        self._room_for = ""  # another mapping of ours that can use no other port than this one
        self._readable = True  # the gateway shows entries, as far as is known
        self._shown: PortMappingEntry | None = None  # what the last look showed, whosever it is
        self._seen_ours = False  # the last look showed an entry of ours
        self._made = False  # we added one, and did not see it gone
        self._unsure = False  # we may have added one, and had no answer (F45)
        self._cleared = False  # whether one of ours that stood in the way was to be deleted, once before each rest
        self._barred = False  # that is not ours to delete from here: it was asked, and not again (F14)
        self._looked = False  # whether a refused renewal was followed by a look, once before each rest
        self._not_stored = 0  # how often in a row what was added was not there
        self.status = MappingStatus(MappingState.ADDING, self._port)

    # -- what it comes to ----------------------------------------------------------------------------------------------
    def _settle(self, state: MappingState, left_seconds: int, reason: str, now: float) -> None:
        self._not_stored = 0
        self._others.works(self._port)
        self._passing = self._barred = False
        pause = self._allowance.made(now, left_seconds or self._term.ask_seconds)
        lease = self._term.begin(left_seconds, now, pause=pause)
        if pause:
            reason = reason or f"a lease of {lease} s is too short to be kept; {self._allowance.told(now)}"
        self.status = MappingStatus(state, self._port, lease, reason)
        self._rest_active(lease, now)

    def _rest_active(self, left_seconds: int, now: float) -> None:
        self._rest_until(self._term.seen(left_seconds, now, readable=self._readable))

    def _trouble(self, text: str, now: float) -> None:
        seconds = self._term.retry(now)
        if self.status.state not in WORKING:
            self._say(self.status.state, text)
        elif self._term.bears(now):
            self.status = replace(self.status, reason=text)
        else:
            self._say(MappingState.LOST, text)
        self._rest(seconds, now)

    def _refused(
        self, reason: str, now: float, *, passing: bool = False, state: MappingState = MappingState.REFUSED
    ) -> None:
        """Tried again later; ``passing`` where that may help in a moment (F37).

        A renewal that is refused takes nothing away: what stands works until its lease ends.
        """
        self._passing = passing
        if self._others.home and not (self._seen_ours or self._made or self._unsure):
            self._port = self._others.home
        if self._stands(now):
            self.status = replace(self.status, reason=reason)
            self._rest(self._term.retry(now, refused=True) if passing else self._term.long_retry(now), now)
            return
        if passing and self._hidden():
            # its line is up, so this passes when it gets a public address, which is heard of (F37)
            self._say(state, f"{reason}: double_nat, most likely: connected, but the gateway shows no address")
            self._rest(self._term.long_pause(HIDDEN_RETRY_SECONDS), now)
            return
        self._say(state, reason)
        self._rest(self._term.pause(refused=True) if passing else self._term.long_pause(), now)

    def _stands(self, now: float) -> bool:
        """Whether what we made works yet: it was just seen, or nothing speaks against it where nothing is shown."""
        deleted = self._cleared and not self._barred
        if self.status.state not in WORKING or not self._made or deleted or not self._term.lives(now):
            return False
        return not self._readable or (self._seen_ours and self._shown is not None and self._whose.right(self._shown))

    def _gone(self, now: float) -> None:
        """What was there is not: added again, but not at once for ever where it never lasts."""
        if self._made:
            self.losses += 1
            self._allowance.lost(now)
            self._term.gone(now)
        self._seen_ours = self._made = False
        pause = self._allowance.pause(now)
        if self.status.state in WORKING or pause:
            more = f"; {self._allowance.told(now)}" if pause else ""
            self._say(MappingState.LOST, f"gone from the gateway's table{more}")
        if pause:
            self._rest(max(pause, self._term.long_pause(pause)), now)
        else:
            self._phase = Phase.ADD

    def _ailing(self, reason: str, now: float) -> None:
        """501: most say it while their line is down, and keep the port for us; some say it where 718 is due (Q124).

        Another port is tried where no entry of ours ever stood, while the line is up, and when it lasts.
        """
        may_be_taken = self.wanted.any_port and self._port != self._others.ours and self._line_up() is not False
        if not may_be_taken or not self._others.may(now):
            self._others.trust()
            self._refused(reason, now, passing=True)
        elif self._others.doubt(now):
            self._change_port(now)
        else:
            self._refused(f"{reason}: another port if that lasts", now, passing=True, state=MappingState.ADDING)

    def _conflict(self, reason: str, now: float) -> None:
        if self.wanted.any_port and self._others.may(now):
            self._others.home = 0
            self._change_port(now)
            return
        if self.wanted.any_port:
            self._port = self._others.home = self.wanted.wanted_port
        self._say(MappingState.CONFLICT, reason)
        self._rest(self._term.long_pause(), now)

    def _taken(self, fact: Taken, now: float) -> None:
        """It is another mapping's of ours; :meth:`recheck` follows when that one leaves it."""
        self._shown = None
        self._seen_ours = self._made = False
        if fact.ends:
            self._say(MappingState.ADDING, f"external port {self._port} is yet to be left by {fact.by}, held before it")
            self._rest(self._term.long_pause(), now)
        else:
            self._others.pick_ourselves()  # the gateway does not know what is to stand there
            self._conflict(f"external port {self._port} is held for {fact.by}", now)

    def _occupied(self, now: float) -> bool:
        """Whether our entry of a former address stands in the way; if so, its end is waited for (F14)."""
        former = self._whose.in_the_way(self._port, now)
        if former is None:
            return False
        if self.wanted.any_port and self._others.may(now):
            self._others.home = 0
            self._change_port(now)  # what leads to nobody any more does no harm beside it
            return True
        self._say(MappingState.REFUSED, former.reason(self._port))
        wait = former.wait(now)
        self._rest(self._term.pause() if wait is None else wait, now)
        return True

    def _change_port(self, now: float) -> None:
        self._others.spend(now)
        self._pick()
        self._say(MappingState.ADDING, "another external port after a conflict")

    def _pick(self) -> None:
        if self._others.by_gateway:
            self._phase = Phase.RESERVE
        else:
            # another one than this, which a small range may give by chance
            picks = (self._others.pick() for _ in range(PICKS))
            self._port = next((port for port in picks if port != self._port), self._port)
            self._phase = Phase.CHECK

    def _rest(self, seconds: float, now: float) -> None:
        self._rest_until(now + seconds)

    def _rest_until(self, until: float) -> None:
        self._phase, self._next_at = Phase.REST, until
        self._cleared = self._barred  # what was tried in vain may work next time
        self.status = replace(self.status, next_attempt=until)

    def _say(self, state: MappingState, reason: str) -> None:
        self.status = MappingStatus(state, self._port, 0, reason)

    def _finish(self) -> None:
        self._phase = Phase.DONE
        if self._farewell is not None:
            self._port = self._farewell.port
        self._say(MappingState.RELEASED, "")
