"""Which of our mappings has a place in a gateway's table: two that lead to different ports never write at one. Pure.

A mapping asks before it reads or writes anything at an external port, and has that port until it is released, parts
from the gateway or moves to another port. Whoever can use one port only goes before those that take any, as after a
restart; among equals the first one stays. Those that lead to the same share it, and the last one to go deletes.
Source: threat D5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from txigd.igd.journal_entry import Slot
from txigd.igd.lease import Lease
from txigd.igd.lease_facts import WORKING, Taken


class Claimant(Protocol):
    """Whoever drives a lease machine."""

    @property
    def leaving(self) -> bool:
        """Whether it is no longer wanted."""

    def recheck(self) -> None:
        """The place may be free now; or it should be looked at what stands there."""

    def vacate(self, wanted_by: str) -> None:
        """Take what is there off this place, and find another one."""


@dataclass(frozen=True, slots=True)
class _Claim:
    udn: str
    slot: Slot
    lease: Lease
    claimant: Claimant

    def is_at(self, udn: str, slot: Slot) -> bool:
        return (self.udn, self.slot) == (udn, slot)

    @property
    def ends(self) -> bool:
        """Whether it will be given up soon."""
        return self.lease.leaving or self.claimant.leaving

    def leads_as(self, lease: Lease) -> bool:
        own = self.lease
        return (own.client, own.wanted.internal_port) == (lease.client, lease.wanted.internal_port)


class Claims:
    """Those of one control point: at most one for each lease machine."""

    def __init__(self) -> None:
        self._had: dict[Lease, _Claim] = {}
        self._in_vain: dict[Lease, _Claim] = {}

    def ask(self, lease: Lease, claimant: Claimant, udn: str, slot: Slot) -> Taken | None:
        """None: it may read and write there, and what it had before is given up; otherwise it hears when that ends.

        :param udn: names the connection, whose table it is.
        """
        had = self._had.get(lease)
        if had is not None and had.is_at(udn, slot):
            return None
        self.give_up(lease)
        claim = _Claim(udn, slot, lease, claimant)
        there = [one for one in self._had.values() if one.is_at(udn, slot)]
        others = [one for one in there if one.ends or not one.leads_as(lease)]
        if lease.wanted.any_port:  # who can use no other port and waits for it goes before
            waiting = [one for one in self._in_vain.values() if one.is_at(udn, slot) and not one.ends]
            others += [one for one in waiting if not one.lease.wanted.any_port and not one.leads_as(lease)]
        if not others:
            self._had[lease] = claim
            return None
        self._in_vain[lease] = claim
        staying = [one for one in others if not one.ends]
        ends = not staying or (not lease.wanted.any_port and all(one.lease.wanted.any_port for one in staying))
        for one in staying if ends else ():
            one.claimant.vacate(str(lease.wanted))
        return Taken(str(others[0].lease.wanted), ends=ends)

    def give_up(self, lease: Lease | None) -> None:
        """It has, and wants, none any more."""
        if lease is None:
            return
        self._in_vain.pop(lease, None)
        had = self._had.pop(lease, None)
        if had is not None:
            for one in (*self._had.values(), *self._in_vain.values()):
                if one.is_at(had.udn, had.slot):
                    one.claimant.recheck()

    def inherit(self, lease: Lease, former: Lease) -> None:
        """One machine takes over from another that asks no more: our own address changed."""
        self._in_vain.pop(former, None)
        had = self._had.pop(former, None)
        there = () if had is None else [one for one in self._had.values() if one.is_at(had.udn, had.slot)]
        if had is not None and all(one.leads_as(lease) for one in there):
            self._had[lease] = replace(had, lease=lease)

    def shared(self, lease: Lease) -> bool:
        """Whether another one works by the same entry."""
        had = self._had.get(lease)
        there = [] if had is None else [one.lease for one in self._had.values() if one.is_at(had.udn, had.slot)]
        return any(other is not lease and other.status.state in WORKING for other in there)

    def intruded(self, udn: str, slot: Slot) -> None:
        """Something of ours stands there that does not belong to those whose place it is: let them look."""
        for one in tuple(self._had.values()):
            if one.is_at(udn, slot):
                one.claimant.recheck()
