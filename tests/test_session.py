"""Whole sessions of everything there is: time, datagrams, answers, faults, events, addresses, gateways, kills.

Invariants: at most one live entry per wanted mapping, no foreign delete or overwrite, no request to a host that never
was the next hop, everything of ours on disk, no storm of requests, no logged error; some quiet minutes after the last
fault everything wanted is active, and after a kill nothing unwanted is left; after a stop nothing is pending and
nothing of ours is there.

TXIGD_SESSIONS=100000 makes a campaign of it, with other sessions each time; ``make session`` does so. Whether the
sessions can find anything is measured by ``make mutants``.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import traceback
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests import session_troubles
from tests.session_ends import ENDS, LAST
from tests.session_gateway import SILENT
from tests.session_life import MOMENTS, Broken, Doom
from tests.session_world import ADDRESSES, HOPS, ROGUE, World
from txigd import log
from txigd.igd.mapping import PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.testing import Rules

SESSIONS = int(os.environ.get("TXIGD_SESSIONS", "0"))
SHRINK = os.environ.get("TXIGD_SHRINK", "1" if SESSIONS else "0") != "0"  # else the first one that breaks will do
WANTED = (
    PortMapping("TCP", 8080, description="web"),
    PortMapping("UDP", 5000, description="game", any_port=True, lease_seconds=600),
    PortMapping("TCP", 9000, 9001, description="long", lease_seconds=0),
    PortMapping("TCP", 7000, description="short", lease_seconds=60),
)
PINHOLES = (
    Pinhole("TCP", 8080),
    Pinhole("UDP", 5001, lease_seconds=120),
    Pinhole("TCP", 9000, ipaddress.IPv6Address("2001:db8:5::1"), 443, lease_seconds=600),
)
KINDS = (
    Rules(),
    Rules(),
    Rules(version=1),
    Rules(version=1, permanent_leases_only=True),
    Rules(version=1, extends=False),
    Rules(renewal_code=718),
    Rules(max_lease=120),
    Rules(same_port_only=True),
    Rules(capacity=3),
    Rules(version=1, overwrites_all=True),
    Rules(max_lease=1),  # neither of these two can be kept: what holds is that nobody is kept busy by them
    Rules(lifetime_seconds=5),
)
FAULTS = (*SILENT, "html", 501, 402, 714, 718, 725, 728, 401)
NAMES = (
    "*",
    "AddPortMapping",
    "AddAnyPortMapping",
    "GetSpecificPortMappingEntry",
    "GetGenericPortMappingEntry",
    "DeletePortMapping",
    "AddPinhole",
    "UpdatePinhole",
    "DeletePinhole",
    "GetStatusInfo",
    "SUBSCRIBE",
    "GET",
)
CHANGING = tuple(name for name in NAMES if "Mapping" in name or "Pinhole" in name)
CAUSES = ("hold", "again", "table", "reboot", "renew", "address", "neighbour", "release", "restart", "none")
LIES = ({"ConnectionStatus": "Disconnected"}, {"ExternalIPAddress": "6.6.6.6"}, {"PortMappingNumberOfEntries": "0"})
seldom = st.sampled_from((False, False, False, True))  # a life that ends takes with it what might have gone wrong
routers = st.sampled_from((0, 0, 0, 1, 2))


class Session(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.broken = False
        self.ends: list[str] = []

    @initialize(
        kind=st.sampled_from(KINDS),
        wanted=st.lists(st.sampled_from(WANTED), unique=True, min_size=1),
        pinholes=st.lists(st.sampled_from(PINHOLES), unique=True),
        six=st.booleans(),
        ends=st.lists(st.sampled_from(sorted(ENDS)), unique=True, max_size=3),
    )
    def gateways(
        self, kind: Rules, wanted: list[PortMapping], pinholes: list[Pinhole], six: bool, ends: list[str]
    ) -> None:
        """All gateways are of one kind."""
        self.world.wanted = wanted
        self.world.pinholes = pinholes
        self.world.six = six
        self.world.make(kind)
        self.ends = ends

    # -- what users do -----------------------------------------------------------------------------------------------
    @rule(which=st.sampled_from(WANTED))
    def hold(self, which: PortMapping) -> None:
        self.world.hold(which)

    @rule(which=st.sampled_from(PINHOLES))
    def hold_pinhole(self, which: Pinhole) -> None:
        self.world.hold_pinhole(which)

    @precondition(lambda self: self.world.wanted)
    @rule(which=st.integers(0, 3))
    def release(self, which: int) -> None:
        self.world.release(self.world.wanted[which % len(self.world.wanted)])

    @precondition(lambda self: self.world.pinholes)
    @rule(which=st.integers(0, 2))
    def release_pinhole(self, which: int) -> None:
        self.world.release_pinhole(self.world.pinholes[which % len(self.world.pinholes)])

    @rule(seconds=st.sampled_from((0.0, 0.01, 0.03, 0.3, 1.0, 2.5, 7.0, 31.0, 65.0, 310.0, 1900.0)))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(fewer=st.integers(0, 2), now=seldom)
    def kill(self, fewer: int, now: bool) -> None:
        """Killed, and started again with the same wishes or with fewer."""
        if now:
            self.world.die(Doom("*", "", fewer))
            self.world.begin()

    @rule(now=seldom)
    def stop(self, now: bool) -> None:
        if now and self.world.living:
            self.world.doom = None
            self._judged(self.world.life.stop)
            self.world.begin()

    @rule(which=st.integers(0, 3), seconds=st.sampled_from((0.0, 0.03, 1.0, 12.0)))
    def unsure(self, which: int, seconds: float) -> None:
        """Wanted for a moment in which no answer comes."""
        world, mapping, pinhole = self.world, WANTED[which], PINHOLES[which % len(PINHOLES)]
        if mapping not in world.wanted and pinhole not in world.pinholes:
            session_troubles.unsure(world, mapping, pinhole, seconds=seconds)
            world.wait(1.0)

    # -- what goes wrong in the very moment ----------------------------------------------------------------------------
    @rule(
        name=st.sampled_from((*CHANGING, "*")),
        moment=st.sampled_from(MOMENTS),
        cause=st.sampled_from(CAUSES),
        which=st.integers(0, 3),
        fewer=st.integers(0, 2),
        down=st.sampled_from((0.0, 3.0, 100.0)),
        after=st.sampled_from((1.0, 12.0, 70.0)),
    )
    def killed_in_flight(
        self, name: str, moment: str, cause: str, which: int, fewer: int, down: float, after: float
    ) -> None:
        """Something makes it ask, and it is killed while it does."""
        self.world.doom = Doom(name, moment, fewer, down)
        self._cause("neighbour" if name == "AddAnyPortMapping" else cause, which)
        self.world.wait(after)

    @rule(
        name=st.sampled_from(CHANGING),
        faults=st.lists(st.sampled_from((*SILENT, *SILENT, *FAULTS)), min_size=1, max_size=3),
        cause=st.sampled_from(CAUSES),
        which=st.integers(0, 3),
        after=st.sampled_from((1.0, 12.0, 70.0)),
    )
    def next_calls_fail(self, name: str, faults: list[object], cause: str, which: int, after: float) -> None:
        """Just the next ones of one action."""
        self.world.router.once[name] = [self.world.bearable(name, fault) for fault in faults]
        self._cause("neighbour" if name == "AddAnyPortMapping" else cause, which)
        self.world.wait(after)

    @rule(codes=st.lists(st.sampled_from((501, 718, 725)), min_size=1, max_size=3), restart=st.booleans())
    def renewal_refused(self, codes: list[object], restart: bool) -> None:
        """Of what takes any port, while it stands: in the life that made it, or in the next one."""
        world = self.world
        world.hold(WANTED[1])
        world.wait(20.0)
        world.router.once["AddPortMapping"] = codes
        if restart:
            self._cause("restart", 0)
        world.wait(30.0 if restart else 400.0)

    @rule(times=st.integers(1, 2), cause=st.sampled_from(CAUSES), which=st.integers(0, 3))
    def neighbour_is_faster(self, times: int, cause: str, which: int) -> None:
        """The port was free when it was looked at, and is taken when it is asked for."""
        if not self.world.careless:
            self.world.router.snatches = times
            self._cause(cause, which)
            self.world.wait(5.0)

    def _cause(self, cause: str, which: int) -> None:
        """Make the control point ask for something."""
        world = self.world
        if cause == "hold":
            world.hold(WANTED[which])
            world.hold_pinhole(PINHOLES[which % len(PINHOLES)])
        elif cause in ("again", "release"):
            self._let_go(which, again=cause == "again")
        elif cause == "table":
            world.router.forget()
            world.router.publish()
        elif cause == "reboot":
            world.router.reboot(keep=bool(which % 2), move=False)
            world.alive(world.router)
        elif cause == "renew":
            world.wait(1900.0)
        elif cause == "address":
            self.address(ADDRESSES[which % 2])
            world.wait(6.0)
        elif cause == "neighbour":
            if WANTED[1] in world.wanted:
                world.release(WANTED[1])
            world.wait(0.5)
            world.occupy(world.router, "UDP", 5000)
            world.hold(WANTED[1])
        elif cause == "restart":
            world.life.kill()
            world.begin()

    def _let_go(self, which: int, *, again: bool) -> None:
        world = self.world
        for one in world.wanted[which:]:
            world.release(one)
            if again:
                world.hold(one)
        for hole in world.pinholes[which:]:
            world.release_pinhole(hole)
            if again:
                world.hold_pinhole(hole)

    # -- what gateways do --------------------------------------------------------------------------------------------
    @rule(number=routers)
    def announce(self, number: int) -> None:
        self.world.alive(self.world.gateways[number])

    @rule(number=routers)
    def byebye(self, number: int) -> None:
        """True or forged."""
        self.world.byebye(self.world.gateways[number])

    @rule(number=routers, keep=st.booleans(), move=st.booleans(), told=st.booleans())
    def reboot(self, number: int, keep: bool, move: bool, told: bool) -> None:
        gateway = self.world.gateways[number]
        gateway.reboot(keep=keep, move=move)
        if told:
            self.world.alive(gateway)

    @rule(number=routers, seconds=st.sampled_from((1.0, 20.0, 200.0)))
    def partial(self, number: int, seconds: float) -> None:
        """It restarts and describes a part of itself only."""
        session_troubles.partial(self.world, self.world.gateways[number], seconds)

    @rule(number=routers, silent=st.sampled_from((0.1, 1.0, 9.0)))
    def grave(self, number: int, silent: float) -> None:
        """It is silent, and then at another port."""
        session_troubles.grave(self.world, self.world.gateways[number], silent=silent)

    @rule(number=routers, now=seldom)
    def churn(self, number: int, now: bool) -> None:
        """Its table changes all the time, for minutes where that is all there is to do."""
        seconds = session_troubles.CHURN_SECONDS if now and SESSIONS else 20.0
        session_troubles.churn(self.world, self.world.gateways[number], seconds)

    @rule(number=st.sampled_from((0, 1)))
    def replace(self, number: int) -> None:
        """Another box at the same place."""
        self.world.gateways[number].replaced()

    @rule(number=routers, up=st.booleans())
    def power(self, number: int, up: bool) -> None:
        self.world.gateways[number].up = up

    @rule(number=routers, name=st.sampled_from(NAMES), fault=st.sampled_from(FAULTS))
    def trouble(self, number: int, name: str, fault: object) -> None:
        self.world.gateways[number].faults[name] = self.world.bearable(name, fault)

    @rule(number=routers)
    def no_trouble(self, number: int) -> None:
        self.world.gateways[number].faults.clear()

    @rule(number=routers, up=st.booleans(), told=st.booleans())
    def line(self, number: int, up: bool, told: bool) -> None:
        gateway = self.world.gateways[number]
        gateway.state.line.carrier = up
        if up:
            gateway.state.line.connect(self.world.clock.seconds())
        else:
            gateway.state.line.cut("ERROR_NO_CARRIER")
        if told:
            gateway.publish()

    @rule(number=routers, last=st.integers(1, 250), told=st.booleans())
    def external_address(self, number: int, last: int, told: bool) -> None:
        gateway = self.world.gateways[number]
        gateway.state.line.address = f"11.22.33.{last}"
        if told:
            gateway.publish()

    @rule(number=routers, told=st.booleans())
    def forget_table(self, number: int, told: bool) -> None:
        gateway = self.world.gateways[number]
        gateway.forget()
        if told:
            gateway.publish()

    @rule(number=routers, which=st.sampled_from(WANTED))
    def neighbour(self, number: int, which: PortMapping) -> None:
        """Another client takes a port that we want, if it is free."""
        self.world.occupy(self.world.gateways[number], which.protocol, which.wanted_port)

    @rule(number=routers, port=st.integers(2000, 2003))
    def neighbour_opens(self, number: int, port: int) -> None:
        """Another client gets the next number of a pinhole."""
        self.world.occupy_number(self.world.gateways[number], port)

    @rule(number=routers)
    def neighbour_leaves(self, number: int) -> None:
        self.world.neighbours_leave(self.world.gateways[number])

    # -- events ------------------------------------------------------------------------------------------------------
    @rule(number=routers)
    def publish(self, number: int) -> None:
        self.world.gateways[number].publish()

    @rule(
        number=routers,
        which=st.integers(0, 3),
        back=st.integers(0, 3),
        skip=st.integers(0, 2),
        lie=st.sampled_from((None, *LIES)),
    )
    def odd_event(self, number: int, which: int, back: int, skip: int, lie: dict[str, str] | None) -> None:
        """Doubled, reordered, lost before, or not true."""
        gateway = self.world.gateways[number]
        sids = sorted(gateway.subscribers)
        if sids:
            gateway.notify(sids[which % len(sids)], back=back, skip=skip, lie=lie)

    @rule(number=routers)
    def drop_subscribers(self, number: int) -> None:
        """As miniupnpd does, without a word."""
        self.world.gateways[number].subscribers.clear()

    # -- what this host goes through ---------------------------------------------------------------------------------
    @rule(up=st.booleans())
    def cable(self, up: bool) -> None:
        self.world.cable = up

    @rule(seconds=st.sampled_from((6.0, 0.4, 40.0)))
    def blip(self, seconds: float) -> None:
        session_troubles.blip(self.world, seconds)

    @rule(own=st.sampled_from(ADDRESSES))
    def address(self, own: str) -> None:
        if not self.world.router.word:  # where our tag is not shown, nothing tells what a former address made
            self.world.own = own

    @rule()
    def route(self) -> None:
        self.world.move_hop()

    @rule(latency=st.sampled_from((0.0, 0.02, 0.4, 3.0)))
    def slow(self, latency: float) -> None:
        self.world.latency = latency

    # -- what must hold ----------------------------------------------------------------------------------------------
    @invariant()
    def holds(self) -> None:
        self._judged(self.world.check)

    def _judged(self, judge: Callable[[], object]) -> None:
        try:
            judge()
        except Broken as broken:
            self.broken = True
            raise Broken("\n".join((str(broken), *self.world.lately))) from None

    def teardown(self) -> None:
        try:
            if not self.broken and self.world.gateways:
                self._judged(self._end)
        finally:
            self.world.close()

    def _end(self) -> None:
        world = self.world
        world.peace()
        for end in (*(ENDS[name] for name in self.ends), *LAST.values()):
            world.note(f"at the end: {end.__name__}")
            end(world)
            world.check()
        if SESSIONS:
            gc.collect()
        world.check()


class SessionTests(SynchronousTestCase):
    def test_whole_sessions(self) -> None:
        log.set_level("error")
        self.addCleanup(log.set_level, "info")
        try:
            run_state_machine_as_test(Session, settings=self._how())
        except Exception as error:  # with its notes, which tell the session
            self.fail("".join(traceback.format_exception(error)))
        gc.collect()  # a Deferred that failed unheard is logged when it goes

    def _how(self) -> settings:
        return settings(
            max_examples=SESSIONS or 45,
            stateful_step_count=50 if SESSIONS else 30,
            deadline=None,
            derandomize=not SESSIONS,
            database=None,
            phases=[phase for phase in Phase if SHRINK or phase in (Phase.explicit, Phase.generate)],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )

    def test_hosts(self) -> None:
        """The world's rogue is no next hop, or the sessions would show nothing."""
        self.assertNotIn(ROGUE, HOPS)
