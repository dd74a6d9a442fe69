"""One wanted mapping against one gateway's table: facts in with a time, commands out. Pure.

The machine never believes an answer: after every AddPortMapping it reads the entry back, and it reads before the first
one, so that nobody else's entry is overwritten. Sources: IGD:1 and IGD:2 WANIPConnection (AddPortMapping, errors),
quirks Q117-Q142, faults F30-F37, F45.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txigd.igd.lease_facts import (
    WORKING,
    Add,
    Added,
    Command,
    Delete,
    Deleted,
    Denied,
    Done,
    Fact,
    Failed,
    Found,
    GiveUp,
    MappingState,
    MappingStatus,
    Missing,
    Read,
    Reserve,
    Reserved,
    Rest,
    Seek,
    Taken,
    Unreadable,
)
from txigd.igd.lease_farewell import Farewell, Step
from txigd.igd.lease_standing import Phase, Standing
from txigd.igd.mapping import PortMappingEntry
from txigd.igd.ownership import name_of


class Lease(Standing):
    """One wanted mapping on one gateway, see :class:`txigd.igd.lease_standing.Standing` for its parameters."""

    # -- what the driver asks -------------------------------------------------------------------------------------
    def next(self, now: float) -> Command:
        """The command to carry out now; its outcome comes back through :meth:`learn`."""
        if self._room_for and self._phase not in (Phase.LEAVE, Phase.GIVE_UP):
            if not self._take_leave():
                self._phase = Phase.GIVE_UP
            self._say(MappingState.ADDING, f"external port {self._port} is left to {self._room_for}")
        if self._phase is Phase.REST and now >= self._next_at:
            self._phase = self._first
            if self.status.state in WORKING and not (self._readable or self._unsure):
                # all others read first: the last look is old, and some gateways overwrite anything
                self._phase = Phase.ADD
            self._looked = False
            self._seen_ours = False  # what was seen a while ago may be somebody else's by now
        if self._phase is Phase.REST:
            return Rest(self._next_at)
        if self._farewell is not None:
            return self._farewell.next(now)
        if self._phase in (Phase.CHECK, Phase.CONFIRM):
            return Read(self._port)
        if self._phase is Phase.ADD:
            return Add(self._port, self._term.ask(now))
        if self._phase is Phase.RESERVE:
            return Reserve(self.wanted.wanted_port, self._term.ask_seconds)
        if self._phase is Phase.SEEK:
            return Seek()
        if self._phase is Phase.GIVE_UP:
            return GiveUp(self._room_for)
        return Delete(self._port) if self._phase is Phase.CLEAR else Done()

    def due_by(self, now: float) -> float | None:
        """By when what :meth:`next` said should be done; None where nothing of ours runs out (F46)."""
        if self._farewell is not None:
            return self._farewell.due_by(now)
        if self._phase is Phase.CHECK and self.status.state is MappingState.ACTIVE and not self._term.due(now):
            return self._term.look_by(now)
        return self._term.renew_by(now, renewed=self._phase is Phase.CONFIRM) if self._made else None

    def learn(self, fact: Fact, now: float) -> None:
        """Take the outcome of the last command; what does not fit the phase is ignored."""
        if self._farewell is not None:
            if self._farewell.learn(fact, now):
                self._left()
            return
        step = _STEPS.get((self._phase, type(fact)))
        if step is not None:
            step(self, fact, now)

    def owns(self, entry: PortMappingEntry) -> bool:
        """Whether an entry that was read just now is ours, by all that is known."""
        return self._whose.ours(entry, made=self._made)

    def recheck(self, now: float) -> None:
        """Something happened to the gateway's table: read it at the next opportunity."""
        if self._phase is Phase.REST:
            self._phase = self._first
            self._next_at = now

    def table_changed(self, now: float) -> None:
        """An event told of a change, anybody's: looked at where a look writes nothing, or only what became possible.

        What was refused, cannot be read or is to be renewed waits for its time: events know no back-off (D6, F30).
        """
        works = self.status.state in WORKING and self._readable and not self._term.due(now)
        taken = self.status.state is MappingState.CONFLICT and self._shown is not None and not self._seen_ours
        if works or taken:
            self.recheck(now)

    def gateway_restarted(self, now: float) -> None:
        """The gateway forgot everything: check, and judge its abilities afresh."""
        self._readable = True
        self._shown = None
        self._barred = False
        self._others.forget()
        self._allowance.excuse()
        self._term.restart()
        self.recheck(now)

    def line_came_up(self, now: float) -> None:
        """The gateway's line is up again: what it refused for a while is tried at once (F37)."""
        if self._passing and self.status.state in (MappingState.REFUSED, MappingState.ADDING, *WORKING):
            self._term.forgive()
            self.recheck(now)

    def gateway_silent(self, reason: str) -> None:
        """The gateway went away; the mapping stays wanted."""
        if self.status.state is not MappingState.RELEASED:
            self._say(MappingState.LOST if self.status.state in WORKING else self.status.state, reason)

    def release(self) -> None:
        """The mapping is no longer wanted: delete what is still ours, then be done."""
        self._room_for = ""
        if self._phase not in (Phase.LEAVE, Phase.DONE) and not self._take_leave():
            self._finish()

    def vacate(self, wanted_by: str) -> None:
        """Another mapping of ours can use no other port: make room for it, then find another one."""
        if not self.leaving:
            self._room_for = wanted_by

    @property
    def leaving(self) -> bool:
        """Whether what is at its port is taken off it: it is released, or makes room."""
        return bool(self._room_for) or self._phase in (Phase.LEAVE, Phase.DONE)

    def _take_leave(self) -> bool:
        """Begin to delete what is still ours; False where there is nothing."""
        if self._others.astray:
            begin = Step.SEEK
        elif self._unsure or self._made or self._seen_ours or self.status.state in WORKING:
            # what was read a while ago may be somebody else's by now; where nothing can be read, our own word counts
            begin = Step.CHECK if self._readable or self._unsure else Step.DELETE
        else:
            return False
        self._phase = Phase.LEAVE
        self._farewell = Farewell(
            begin,
            self._port,
            made=self._made,
            blind=not self._readable,
            runs_out=self._term.runs_out,
            ours=self.owns,
        )
        return True

    def _left(self) -> None:
        """The farewell is over."""
        if not self._room_for:
            self._finish()
            return
        self._phase, self._farewell = Phase.GIVE_UP, None

    @property
    def _first(self) -> Phase:
        """What comes before anything is written."""
        return Phase.SEEK if self._others.astray else Phase.CHECK

    # -- reading --------------------------------------------------------------------------------------------------
    def _check_found(self, fact: Found, now: float) -> None:
        self._readable = True  # whatever it answered once, perhaps a page for people
        self._shown = fact.entry
        self._seen_ours = self._whose.ours(fact.entry, made=self._made)
        self._whose.read(fact.entry if self._seen_ours else None, now)
        if not self._seen_ours:
            self.losses += self._made
            self._made = False
            self._conflict(name_of(fact.entry), now)
        elif not self._whose.right(fact.entry):
            self._phase = Phase.ADD
        elif self.status.state is MappingState.ACTIVE and not self._term.troubled:
            if self._term.due(now):
                self._phase = Phase.ADD
            else:
                self._rest_active(fact.entry.lease_seconds, now)
        else:
            self._still_there(fact.entry.lease_seconds, now)

    def _still_there(self, left_seconds: int, now: float) -> None:
        """The gateway was silent for a while, and nothing happened to our entry: no need to add it again (F39, F46)."""
        if self._made and self._term.begun() and not self._term.due(now):
            self.status = MappingStatus(MappingState.ACTIVE, self._port, left_seconds)
            self._rest_active(left_seconds, now)
        elif self._made and self._term.fresh(left_seconds):
            self._settle(MappingState.ACTIVE, left_seconds, "", now)  # added, and only the answer was lost (F45)
        else:
            self._phase = Phase.ADD

    def _check_missing(self, fact: Missing, now: float) -> None:
        self._readable = True
        self._shown = None
        self._whose.read(None, now)
        self._gone(now)

    def _unreadable(self, fact: Unreadable, now: float) -> None:
        # Q116: some say "no such entry" in a way that nobody can read; whether they show one is seen when there is one
        self._shown = None
        self._whose.read(None, now)
        if fact.passing and self.status.state is MappingState.UNVERIFIED and not self._term.due(now):
            self._rest_until(self._term.look_at(now))
        else:
            self._phase = Phase.ADD

    def _read_failed(self, fact: Failed, now: float) -> None:
        self._trouble(fact.text, now)

    # -- adding ---------------------------------------------------------------------------------------------------
    def _added(self, fact: Added, now: float) -> None:
        self._made, self._unsure = True, False
        self._phase = Phase.CONFIRM  # also where it could not be read last time: an error may have been a passing one

    def _add_failed(self, fact: Failed, now: float) -> None:
        self._unsure = True  # F45: it may have been applied; the next step reads before it writes
        if self._cleared and not self._barred and self.status.state in WORKING:
            self._say(MappingState.LOST, fact.text)  # we deleted what was there
        self._trouble(fact.text, now)

    def _denied(self, fact: Denied, now: float) -> None:
        reason = f"error {fact.code} {fact.text}".strip()
        if fact.in_doubt:
            reason += ": perhaps by our own entry, since an answer got lost and the gateway shows none"
        if self._other_lease(fact):
            return
        if fact.code == 718 and self._seen_ours and not self._cleared:
            self._cleared = True  # Q122, F32: our own old entry stands in the way
            self._phase = Phase.CLEAR
        elif fact.code == 718 and self._made and not self._looked:
            self._looked = True
            self._phase = Phase.CHECK  # a renewal: ours, or somebody else's by now?
        elif fact.code == 718 and not self._made and self._occupied(now):
            pass  # Q129: our own old entry, which only our former address may delete
        elif self._seen_ours or self._made or fact.in_doubt:
            # never another port while an entry of ours may be on this one: there would be two
            self._refused(reason, now, passing=fact.code == 501)
        elif fact.code == 724 and self._port != self.wanted.internal_port:
            if self.wanted.takes(self.wanted.internal_port):
                self._port = self._others.home = self.wanted.internal_port
                self._phase = Phase.CHECK
            else:
                self._refused(f"{reason}: this gateway wants external port {self.wanted.internal_port}", now)
        elif fact.code in (718, 729):
            self._conflict(reason, now)
        elif (fact.code == 716 or fact.bad_port) and self.wanted.any_port and self._others.may(now):
            self._change_port(now)
        elif fact.code == 501:
            self._ailing(reason, now)
        else:
            self._refused(reason, now)

    def _other_lease(self, fact: Denied) -> bool:
        """Whether the lease may be what is wrong, and there is another one to ask for."""
        return fact.code in (725, 402) and not fact.bad_port and self._term.step(fact.code, fact.other_lease)

    # -- a port that the gateway picks (F36) --------------------------------------------------------------------------
    def _reserved(self, fact: Reserved, now: float) -> None:
        self._port = fact.port
        self._seen_ours = False
        self._added(Added(), now)

    def _reserve_denied(self, fact: Denied, now: float) -> None:
        if self._other_lease(fact):
            return
        if fact.code == 728:
            self._refused(f"error {fact.code} {fact.text}".strip(), now)
            return
        self._others.pick_ourselves()
        self._pick()

    def _reserve_failed(self, fact: Failed, now: float) -> None:
        self._others.astray = True  # F45: it may have been applied, and where is known to the gateway only
        self._others.pick_ourselves()
        self._trouble(fact.text, now)

    def _not_to_be_had(self, fact: Taken, now: float) -> None:
        self._others.pick_ourselves()  # the gateway does not know whose that port is
        self._pick()

    def _gave_up(self, fact: Taken, now: float) -> None:
        self._room_for = ""
        self._taken(fact, now)

    def _sought(self, fact: Found, now: float) -> None:
        self._others.astray = False
        self._port = fact.entry.external_port
        self._phase = Phase.CHECK

    def _not_sought(self, fact: Fact, now: float) -> None:
        self._others.astray = False
        self._phase = Phase.CHECK

    # -- reading back ---------------------------------------------------------------------------------------------
    def _confirmed(self, fact: Found, now: float) -> None:
        self._readable = True
        entry = fact.entry
        if not self._whose.right(entry):
            if self._whose.ours(entry, made=self._made) and not self._cleared:
                self._cleared = True
                self._phase = Phase.CLEAR
            else:
                self._made = False
                self._conflict(name_of(entry), now)
            return
        if entry.lease_seconds and not self._term.fresh(entry.lease_seconds) and not self._cleared:
            self._cleared = True  # Q121: adding again does not extend the lease
            self._phase = Phase.CLEAR
            return
        self._settle(MappingState.ACTIVE, entry.lease_seconds, "", now)

    def _not_there(self, fact: Missing, now: float) -> None:
        self._not_stored += 1
        if self._not_stored == 1:
            self._phase = Phase.ADD
        else:
            self._made = False
            self._say(MappingState.LOST, "the gateway accepted it but does not store it")  # Q133
            self._rest(self._term.pause(), now)

    def _confirm_unreadable(self, fact: Unreadable, now: float) -> None:
        self._readable = fact.passing
        why = "it cannot be read back now" if fact.passing else "the gateway offers no way to read it back"
        self._settle(MappingState.UNVERIFIED, 0, why, now)

    # -- clearing -------------------------------------------------------------------------------------------------
    def _clear_done(self, fact: Fact, now: float) -> None:
        self._phase = Phase.ADD

    def _clear_denied(self, fact: Denied, now: float) -> None:
        self._barred = True
        if not self._occupied(now):
            self._refused(f"error {fact.code} {fact.text}".strip(), now)

    def _clear_failed(self, fact: Failed, now: float) -> None:
        if self.status.state in WORKING:
            self._say(MappingState.LOST, fact.text)  # it may have been deleted
        self._trouble(fact.text, now)


# (what was asked, what came back) -> what follows; a pair that is not listed came out of turn.
_STEPS: dict[tuple[Phase, type], Callable[[Lease, Any, float], None]] = {
    (Phase.CHECK, Found): Lease._check_found,
    (Phase.CHECK, Missing): Lease._check_missing,
    (Phase.CHECK, Unreadable): Lease._unreadable,
    (Phase.CHECK, Failed): Lease._read_failed,
    (Phase.ADD, Added): Lease._added,
    (Phase.ADD, Denied): Lease._denied,
    (Phase.ADD, Failed): Lease._add_failed,
    (Phase.RESERVE, Reserved): Lease._reserved,
    (Phase.RESERVE, Denied): Lease._reserve_denied,
    (Phase.RESERVE, Failed): Lease._reserve_failed,
    (Phase.SEEK, Found): Lease._sought,
    (Phase.SEEK, Missing): Lease._not_sought,
    (Phase.SEEK, Unreadable): Lease._not_sought,
    (Phase.SEEK, Failed): Lease._read_failed,
    (Phase.CONFIRM, Found): Lease._confirmed,
    (Phase.CONFIRM, Missing): Lease._not_there,
    (Phase.CONFIRM, Unreadable): Lease._confirm_unreadable,
    (Phase.CONFIRM, Failed): Lease._read_failed,
    (Phase.CHECK, Taken): Lease._taken,
    (Phase.ADD, Taken): Lease._taken,
    (Phase.CONFIRM, Taken): Lease._taken,
    (Phase.CLEAR, Taken): Lease._taken,
    (Phase.RESERVE, Taken): Lease._not_to_be_had,
    (Phase.GIVE_UP, Taken): Lease._gave_up,
    (Phase.CLEAR, Deleted): Lease._clear_done,
    (Phase.CLEAR, Denied): Lease._clear_denied,
    (Phase.CLEAR, Failed): Lease._clear_failed,
}
