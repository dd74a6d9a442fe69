"""One wanted mapping against one gateway's table: facts in with a time, commands out. Pure.

The machine never believes an answer: after every AddPortMapping it reads the entry back, and it reads before the first
one, so that nobody else's entry is overwritten. Sources: IGD:1 and IGD:2 WANIPConnection (AddPortMapping, errors),
quirks Q117-Q142, faults F30-F37, F45.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from txigd.igd.former_entry import FormerEntry
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
    MappingState,
    MappingStatus,
    Missing,
    Read,
    Reserve,
    Reserved,
    Rest,
    Seek,
    Unreadable,
)
from txigd.igd.looks import Turn
from txigd.igd.mapping import PortMapping, PortMappingEntry, is_ours
from txigd.igd.other_ports import DAY_SECONDS, OtherPorts
from txigd.limits import (
    FAILURES_BORNE,
    LEASE_CEILING_SECONDS,
    LEASE_SECONDS,
    RENEW_FRACTION,
    RENEW_JITTER,
    RENEWAL_DUE_SECONDS,
    RETRY_CEILING_SECONDS,
    RETRY_FIRST_SECONDS,
    TRIES_BEFORE_THE_END,
    VERIFY_SECONDS,
)


class _Phase(enum.Enum):
    CHECK = "read before anything is written"
    ADD = "add or renew"
    CONFIRM = "read back what was added"
    REST = "wait"
    CLEAR = "delete our own entry, then add"
    RESERVE = "have the gateway pick a port (F36)"
    SEEK = "look in the whole table for an entry whose port we were not told"
    LEAVE_SEEK = "released: the same"
    LEAVE_CHECK = "released: is there an entry of ours?"
    LEAVE = "released: delete"
    DONE = "released and gone"


class Lease:
    """One wanted mapping on one gateway.

    :param wanted: what to keep true.
    :param client: the internal client: this host's address on the gateway's link.
    :param host_id: marks our own entries.
    :param spread: returns a number in [-1, 1], for jitter.
    :param other_port: returns an external port to try after a conflict.
    :param external_port: the port chosen in an earlier life, tried first (Q140).
    :param reserves: whether the gateway offers AddAnyPortMapping.
    :param on_record: whether we made an entry that bears our tag and leads to another address than ours.
    :param former: what is on record at an external port for a former address of ours: that address, and the seconds
        until it ends (None: never, or nobody knows).
    :param turn: when to look next after a look, VERIFY_SECONDS later at most.
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
        on_record: Callable[[PortMappingEntry], bool] = lambda entry: False,
        former: Callable[[int], tuple[str, float | None] | None] = lambda port: None,
        turn: Turn = lambda now: now + VERIFY_SECONDS,
    ) -> None:
        self.wanted = wanted
        self.client = wanted.internal_client or client
        self._host_id = host_id
        self._spread = spread
        self._on_record = on_record
        self._former_on_record = former
        self._former: FormerEntry | None = None
        self._turn = turn
        self.losses = 0
        self._others = OtherPorts(other_port, offered=reserves)
        self._port = external_port or wanted.wanted_port
        self._ask_seconds = wanted.lease_seconds
        self._refused_leases: set[int] = set()
        self._granted_seconds = 0
        self._phase = _Phase.CHECK
        self._next_at = 0.0
        self._renew_at: float | None = None
        self._ends_at: float | None = None  # when the entry runs out by itself, as far as is known
        self._readable = True
        self._seen_ours = False
        self._made = False
        self._unsure = False
        self._cleared = False
        self._looked = False  # whether a refused renewal was followed by a look, once before each rest
        self._not_stored = 0
        self._failures = 0
        self.status = MappingStatus(MappingState.ADDING, self._port)

    # -- what the driver asks -------------------------------------------------------------------------------------
    def next(self, now: float) -> Command:
        """The command to carry out now; its outcome comes back through :meth:`learn`."""
        if self._phase is _Phase.REST and now >= self._next_at:
            self._phase = self._first
            if self.status.state in WORKING and not (self._readable or self._unsure):
                # all others read first: the last look is old, and some gateways overwrite anything
                self._phase = _Phase.ADD
            self._looked = False
            self._seen_ours = False  # what was seen a while ago may be somebody else's by now
        if self._phase is _Phase.REST:
            return Rest(self._next_at)
        if self._phase in (_Phase.CHECK, _Phase.CONFIRM, _Phase.LEAVE_CHECK):
            return Read(self._port)
        if self._phase is _Phase.ADD:
            return Add(self._port, self._ask_seconds)
        if self._phase is _Phase.RESERVE:
            return Reserve(self.wanted.wanted_port, self._ask_seconds)
        if self._phase in (_Phase.SEEK, _Phase.LEAVE_SEEK):
            return Seek()
        if self._phase in (_Phase.CLEAR, _Phase.LEAVE):
            return Delete(self._port)
        return Done()

    def _due(self, now: float) -> bool:
        return self._renew_at is not None and now >= self._renew_at

    def due_by(self, now: float) -> float | None:
        """By when what :meth:`next` said should be done; None where nothing of ours runs out (F46)."""
        soon, later = now + RENEWAL_DUE_SECONDS, now + VERIFY_SECONDS
        if self._phase is _Phase.CHECK and self.status.state is MappingState.ACTIVE and not self._due(now):
            return later if self._renew_at is None else min(max(self._renew_at, soon), later)  # it only makes sure
        if not self._made or self._ends_at is None or now >= self._ends_at:
            return None
        return soon if self._phase is _Phase.CONFIRM else min(self._ends_at, soon)

    def learn(self, fact: Fact, now: float) -> None:
        """Take the outcome of the last command; what does not fit the phase is ignored."""
        step = _STEPS.get((self._phase, type(fact)))
        if step is not None:
            step(self, fact, now)

    def recheck(self, now: float) -> None:
        """Something happened to the gateway's table: read it at the next opportunity."""
        if self._phase is _Phase.REST:
            self._phase = self._first
            self._next_at = now

    def gateway_restarted(self, now: float) -> None:
        """The gateway forgot everything: check, and judge its abilities afresh."""
        self._readable = True
        self._others.forget()
        self._refused_leases.clear()
        self._ask_seconds = self.wanted.lease_seconds
        self._failures = 0
        self.recheck(now)

    def gateway_silent(self, reason: str) -> None:
        """The gateway went away; the mapping stays wanted."""
        if self.status.state is not MappingState.RELEASED:
            self._say(MappingState.LOST if self.status.state in WORKING else self.status.state, reason)

    def release(self) -> None:
        """The mapping is no longer wanted: delete what is still ours, then be done."""
        if self._phase in (_Phase.LEAVE, _Phase.LEAVE_CHECK, _Phase.LEAVE_SEEK, _Phase.DONE):
            return
        if self._others.astray:
            self._phase = _Phase.LEAVE_SEEK
        elif self._unsure or self._made or self.status.state in WORKING:
            # what was read a while ago may be somebody else's by now; where nothing can be read, our own word counts
            self._phase = _Phase.LEAVE_CHECK if self._readable or self._unsure else _Phase.LEAVE
        else:
            self._finish()

    @property
    def _first(self) -> _Phase:
        """What comes before anything is written."""
        return _Phase.SEEK if self._others.astray else _Phase.CHECK

    # -- reading --------------------------------------------------------------------------------------------------
    def _ours(self, entry: PortMappingEntry) -> bool:
        if is_ours(entry.description, self._host_id):
            # two hosts may have one id (cloned machines), not one address; ours may have changed (F14)
            client = entry.internal_client.strip()
            known = self._former is not None and client == self._former.client
            return client == str(self.client) or known or self._on_record(entry)
        # Gateways that keep no description show it empty (or their own word, after we made the entry).
        return entry.leads_to(self.client, self.wanted.internal_port) and (self._made or not entry.description.strip())

    def _check_found(self, fact: Found, now: float) -> None:
        self._readable = True  # whatever it answered once, perhaps a page for people
        self._seen_ours = self._ours(fact.entry)
        self._former = self._former_entry(fact.entry, now) if self._seen_ours else None
        if not self._seen_ours:
            self.losses += self._made
            self._made = False
            self._conflict(self._owner(fact.entry), now)
        elif not fact.entry.leads_to(self.client, self.wanted.internal_port):
            self._phase = _Phase.ADD
        elif self.status.state is MappingState.ACTIVE and not self._failures:
            if self._due(now):
                self._phase = _Phase.ADD
            else:
                self._rest_active(fact.entry.lease_seconds, now)
        else:
            self._still_there(fact.entry.lease_seconds, now)

    def _still_there(self, left_seconds: int, now: float) -> None:
        """The gateway was silent for a while, and nothing happened to our entry: no need to add it again (F39, F46)."""
        if self._made and self._renew_at is not None and not self._due(now):
            self.status = MappingStatus(MappingState.ACTIVE, self._port, left_seconds)
            self._rest_active(left_seconds, now)
        elif self._made and left_seconds > self._granted_seconds * 0.6:
            self._settle(MappingState.ACTIVE, left_seconds, "", now)  # added, and only the answer was lost (F45)
        else:
            self._phase = _Phase.ADD

    def _check_missing(self, fact: Missing, now: float) -> None:
        self._readable = True
        self.losses += self._made
        self._seen_ours = self._made = False
        self._former = None
        self._granted_seconds = 0
        if self.status.state in WORKING:
            self._say(MappingState.LOST, "gone from the gateway's table")
        self._phase = _Phase.ADD

    def _unreadable(self, fact: Unreadable, now: float) -> None:
        # Q116: some say "no such entry" in a way that nobody can read; whether they show one is seen when there is one
        self._former = None
        self._phase = _Phase.ADD

    def _read_failed(self, fact: Failed, now: float) -> None:
        self._trouble(fact.text, now)

    # -- adding ---------------------------------------------------------------------------------------------------
    def _added(self, fact: Added, now: float) -> None:
        self._made, self._unsure = True, False
        self._phase = _Phase.CONFIRM  # also where it could not be read last time: an error may have been a passing one

    def _add_failed(self, fact: Failed, now: float) -> None:
        self._unsure = True  # F45: it may have been applied; the next step reads before it writes
        self._trouble(fact.text, now)

    def _denied(self, fact: Denied, now: float) -> None:
        reason = f"error {fact.code} {fact.text}".strip()
        if fact.code in (725, 402) and self._step_lease(fact.code):
            return
        if fact.code == 718 and self._seen_ours and not self._cleared:
            self._cleared = True  # Q122, F32: our own old entry stands in the way
            self._phase = _Phase.CLEAR
        elif fact.code == 718 and self._made and not self._looked:
            self._looked = True
            self._phase = _Phase.CHECK  # a renewal: ours, or somebody else's by now?
        elif fact.code == 718 and not self._made and self._occupied(now):
            pass  # Q129: our own old entry, which only our former address may delete
        elif self._seen_ours or self._made or (self._unsure and not self._readable):
            # never another port while an entry of ours may be on this one: there would be two
            self._refused(reason, now, passing=fact.code == 501)
        elif fact.code == 724 and self._port != self.wanted.internal_port:
            if self.wanted.any_port or self.wanted.external_port is None:
                self._port = self.wanted.internal_port
                self._phase = _Phase.CHECK
            else:
                self._refused(f"{reason}: this gateway wants external port {self.wanted.internal_port}", now)
        elif fact.code in (718, 729):
            self._conflict(reason, now)
        elif fact.code == 501 and self.wanted.any_port and self._others.may(now):
            self._change_port(now)  # Q124: some say 501 where 718 is due
        else:
            self._refused(reason, now, passing=fact.code == 501)

    def _step_lease(self, code: int) -> bool:
        """Q117, Q118: finite -> permanent -> a week -> an hour; each tried once per life of the gateway."""
        self._refused_leases.add(self._ask_seconds)
        for seconds in (0, LEASE_CEILING_SECONDS, LEASE_SECONDS)[: 1 if code == 725 else 3]:
            if seconds not in self._refused_leases:
                self._ask_seconds = seconds
                return True
        return False

    # -- a port that the gateway picks (F36) --------------------------------------------------------------------------
    def _reserved(self, fact: Reserved, now: float) -> None:
        self._port = fact.port
        self._seen_ours = False
        self._added(Added(), now)

    def _reserve_denied(self, fact: Denied, now: float) -> None:
        if fact.code in (725, 402) and self._step_lease(fact.code):
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

    def _sought(self, fact: Found, now: float) -> None:
        self._others.astray = False
        self._port = fact.entry.external_port
        self._phase = _Phase.CHECK

    def _not_sought(self, fact: Fact, now: float) -> None:
        self._others.astray = False
        self._phase = _Phase.CHECK

    def _leave_sought(self, fact: Found, now: float) -> None:
        self._port = fact.entry.external_port
        self._phase = _Phase.LEAVE

    # -- reading back ---------------------------------------------------------------------------------------------
    def _confirmed(self, fact: Found, now: float) -> None:
        self._readable = True
        entry = fact.entry
        if not entry.leads_to(self.client, self.wanted.internal_port):
            if self._ours(entry) and not self._cleared:
                self._cleared = True
                self._phase = _Phase.CLEAR
            else:
                self._made = False
                self._conflict(self._owner(entry), now)
            return
        # compared with what the gateway granted before: a lease that it always shortens is no failure to renew
        grown = not entry.lease_seconds or entry.lease_seconds > self._granted_seconds * 0.6
        if not grown and not self._cleared:
            self._cleared = True  # Q121: adding again does not extend the lease
            self._phase = _Phase.CLEAR
            return
        self._settle(MappingState.ACTIVE, entry.lease_seconds, "", now)

    def _not_there(self, fact: Missing, now: float) -> None:
        self._not_stored += 1
        if self._not_stored == 1:
            self._phase = _Phase.ADD
        else:
            self._made = False
            self._say(MappingState.LOST, "the gateway accepted it but does not store it")  # Q133
            self._rest(self._backoff(), now)

    def _confirm_unreadable(self, fact: Unreadable, now: float) -> None:
        self._readable = False
        self._settle(MappingState.UNVERIFIED, 0, "the gateway offers no way to read it back", now)

    # -- a former address of ours (F14) --------------------------------------------------------------------------------
    def _former_entry(self, entry: PortMappingEntry, now: float) -> FormerEntry | None:
        """What an entry of ours that was read means, where it leads to another address than ours."""
        client = entry.internal_client.strip()
        if client == str(self.client):
            return None
        known = self._former.ends_at if self._former is not None and self._former.client == client else None
        return FormerEntry(client, now + entry.lease_seconds if entry.lease_seconds else known)

    def _occupied(self, now: float) -> bool:
        """Whether an entry of our own stands in the way that cannot be deleted; if so, its end is waited for."""
        former = self._former
        if former is None or former.ends_at is None:
            record = self._former_on_record(self._port)
            if record is not None:
                client, seconds = record
                former = FormerEntry(client, None if seconds is None else now + seconds)
        if former is None:
            return False
        self._former = former
        if self.wanted.any_port and self._others.may(now):
            self._change_port(now)  # what leads to nobody any more does no harm beside it
            return True
        self._say(MappingState.REFUSED, former.reason(self._port))
        wait = former.wait(now)
        self._rest(self._backoff() if wait is None else wait, now)
        return True

    # -- clearing and leaving -------------------------------------------------------------------------------------
    def _clear_done(self, fact: Fact, now: float) -> None:
        self._phase = _Phase.ADD

    def _clear_denied(self, fact: Denied, now: float) -> None:
        if not self._occupied(now):
            self._refused(f"error {fact.code} {fact.text}".strip(), now)

    def _clear_failed(self, fact: Failed, now: float) -> None:
        if self.status.state in WORKING:
            self._say(MappingState.LOST, fact.text)  # it may have been deleted
        self._trouble(fact.text, now)

    def _leave_found(self, fact: Found, now: float) -> None:
        if self._ours(fact.entry):
            self._phase = _Phase.LEAVE
        else:
            self._finish()

    def _leave_unseen(self, fact: Fact, now: float) -> None:
        if self._made:
            self._phase = _Phase.LEAVE
        else:
            self._finish()

    def _leave_done(self, fact: Fact, now: float) -> None:
        self._finish()

    def _finish(self) -> None:
        self._phase = _Phase.DONE
        self._say(MappingState.RELEASED, "")

    # -- outcomes -------------------------------------------------------------------------------------------------
    def _settle(self, state: MappingState, left_seconds: int, reason: str, now: float) -> None:
        lease = self._granted_seconds = left_seconds or self._ask_seconds
        self._failures = self._not_stored = 0
        self._cleared = False
        self._renew_at = (
            now + lease * (RENEW_FRACTION + RENEW_JITTER * self._spread()) if lease else now + DAY_SECONDS / 2
        )
        self.status = MappingStatus(state, self._port, lease, reason)
        self._rest_active(lease, now)

    def _rest_active(self, left_seconds: int, now: float) -> None:
        self._failures = 0
        assert self._renew_at is not None
        self._ends_at = now + left_seconds if left_seconds else None
        if left_seconds and self._ask_seconds:
            # a gateway that shortens leases in silence (F34) is believed by its table
            self._renew_at = min(self._renew_at, now + left_seconds * RENEW_FRACTION)
        wake = self._renew_at if not self._readable else min(self._renew_at, self._turn(now))
        self._phase, self._next_at = _Phase.REST, wake
        self.status = replace(self.status, next_attempt=wake)

    def _trouble(self, text: str, now: float) -> None:
        seconds = self._backoff()
        if self.status.state not in WORKING:
            self._say(self.status.state, text)
        elif self._failures <= FAILURES_BORNE and (self._ends_at is None or now < self._ends_at):
            self.status = replace(self.status, reason=text)  # it lives, and a lost packet is no news
        else:
            self._say(MappingState.LOST, text)
        if self._ends_at is not None and now < self._ends_at:
            # what is there still lives: several tries before it runs out, however often it failed (F46)
            seconds = min(seconds, max(RETRY_FIRST_SECONDS, (self._ends_at - now) / TRIES_BEFORE_THE_END))
        self._rest(seconds, now)

    def _refused(self, reason: str, now: float, *, passing: bool = False) -> None:
        self._say(MappingState.REFUSED, reason)
        self._rest(self._backoff() if passing else RETRY_CEILING_SECONDS, now)  # F37: 501 may pass in a moment

    def _conflict(self, reason: str, now: float) -> None:
        if self.wanted.any_port and self._others.may(now):
            self._change_port(now)
            return
        self._port = self.wanted.wanted_port if self.wanted.any_port else self._port
        self._say(MappingState.CONFLICT, reason)
        self._rest(RETRY_CEILING_SECONDS, now)

    def _owner(self, entry: PortMappingEntry) -> str:
        return f"external port {self._port} belongs to {entry.internal_client[:60]!r} ({entry.description[:60]!r})"

    def _change_port(self, now: float) -> None:
        self._others.spend(now)
        self._pick()
        self._say(MappingState.ADDING, "another external port after a conflict")

    def _pick(self) -> None:
        if self._others.by_gateway:
            self._phase = _Phase.RESERVE
        else:
            self._port = self._others.pick()
            self._phase = _Phase.CHECK

    def _backoff(self) -> float:
        self._failures += 1
        seconds: float = min(RETRY_FIRST_SECONDS * 2 ** min(self._failures - 1, 16), RETRY_CEILING_SECONDS)
        return seconds * (1 + RENEW_JITTER * self._spread())

    def _rest(self, seconds: float, now: float) -> None:
        self._phase, self._next_at = _Phase.REST, now + seconds
        self.status = replace(self.status, next_attempt=self._next_at)

    def _say(self, state: MappingState, reason: str) -> None:
        self.status = MappingStatus(state, self._port, 0, reason)


# (what was asked, what came back) -> what follows; a pair that is not listed came out of turn.
_STEPS: dict[tuple[_Phase, type], Callable[[Lease, Any, float], None]] = {
    (_Phase.CHECK, Found): Lease._check_found,
    (_Phase.CHECK, Missing): Lease._check_missing,
    (_Phase.CHECK, Unreadable): Lease._unreadable,
    (_Phase.CHECK, Failed): Lease._read_failed,
    (_Phase.ADD, Added): Lease._added,
    (_Phase.ADD, Denied): Lease._denied,
    (_Phase.ADD, Failed): Lease._add_failed,
    (_Phase.RESERVE, Reserved): Lease._reserved,
    (_Phase.RESERVE, Denied): Lease._reserve_denied,
    (_Phase.RESERVE, Failed): Lease._reserve_failed,
    (_Phase.SEEK, Found): Lease._sought,
    (_Phase.SEEK, Missing): Lease._not_sought,
    (_Phase.SEEK, Unreadable): Lease._not_sought,
    (_Phase.SEEK, Failed): Lease._read_failed,
    (_Phase.LEAVE_SEEK, Found): Lease._leave_sought,
    (_Phase.LEAVE_SEEK, Missing): Lease._leave_done,
    (_Phase.LEAVE_SEEK, Unreadable): Lease._leave_done,
    (_Phase.LEAVE_SEEK, Failed): Lease._leave_done,
    (_Phase.CONFIRM, Found): Lease._confirmed,
    (_Phase.CONFIRM, Missing): Lease._not_there,
    (_Phase.CONFIRM, Unreadable): Lease._confirm_unreadable,
    (_Phase.CONFIRM, Failed): Lease._read_failed,
    (_Phase.CLEAR, Deleted): Lease._clear_done,
    (_Phase.CLEAR, Denied): Lease._clear_denied,
    (_Phase.CLEAR, Failed): Lease._clear_failed,
    (_Phase.LEAVE_CHECK, Found): Lease._leave_found,
    (_Phase.LEAVE_CHECK, Missing): Lease._leave_done,
    (_Phase.LEAVE_CHECK, Unreadable): Lease._leave_unseen,
    (_Phase.LEAVE_CHECK, Failed): Lease._leave_unseen,
    (_Phase.LEAVE, Deleted): Lease._leave_done,
    (_Phase.LEAVE, Denied): Lease._leave_done,
    (_Phase.LEAVE, Failed): Lease._leave_done,
}
