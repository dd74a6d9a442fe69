"""Whole sessions of everything there is: time, datagrams, answers, faults, events, addresses, gateways, kills.

Invariants: at most one live entry per wanted mapping, no foreign delete or overwrite, no request to a host that never
was the next hop, everything of ours on record, no storm of requests, no logged error; some quiet minutes after the last
fault everything wanted is active; after a stop nothing is pending and nothing of ours is left.

TXIGD_SESSIONS=100000 makes a campaign of it, with other sessions each time; ``make session`` does so.
"""

from __future__ import annotations

import gc
import os
import traceback

from hypothesis import HealthCheck, settings
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

from tests.session_world import ADDRESSES, HOPS, ROGUE, Broken, World
from txigd import log
from txigd.igd.mapping import PortMapping
from txigd.testing import Rules

SESSIONS = int(os.environ.get("TXIGD_SESSIONS", "0"))
QUIET_SECONDS = 660.0
WANTED = (
    PortMapping("TCP", 8080, description="web"),
    PortMapping("UDP", 5000, description="game", any_port=True, lease_seconds=600),
    PortMapping("TCP", 9000, 9001, description="long", lease_seconds=0),
    PortMapping("TCP", 7000, description="short", lease_seconds=60),
)
KINDS = (
    Rules(),
    Rules(version=1),
    Rules(version=1, permanent_leases_only=True),
    Rules(version=1, extends=False),
    Rules(renewal_code=718),
    Rules(max_lease=120),
    Rules(same_port_only=True),
    Rules(capacity=3),
)
FAULTS = ("hang", "refuse", "lost", "html", 501, 402, 714, 718, 725, 728, 401)
NAMES = (
    "*",
    "AddPortMapping",
    "AddAnyPortMapping",
    "GetSpecificPortMappingEntry",
    "GetGenericPortMappingEntry",
    "DeletePortMapping",
    "GetStatusInfo",
    "SUBSCRIBE",
    "GET",
)
LIES = ({"ConnectionStatus": "Disconnected"}, {"ExternalIPAddress": "6.6.6.6"}, {"PortMappingNumberOfEntries": "0"})
seldom = st.sampled_from((False, False, False, True))  # a life that ends takes with it what might have gone wrong
routers = st.sampled_from((0, 0, 0, 1, 2))


class Session(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.broken = False

    @initialize(kind=st.sampled_from(KINDS), wanted=st.lists(st.sampled_from(WANTED), unique=True, min_size=1))
    def gateways(self, kind: Rules, wanted: list[PortMapping]) -> None:
        """All gateways are of one kind."""
        self.world.wanted = wanted
        self.world.own_ports = {one.wanted_port for one in WANTED}
        self.world.make(kind)

    # -- what users do -----------------------------------------------------------------------------------------------
    @rule(which=st.sampled_from(WANTED))
    def hold(self, which: PortMapping) -> None:
        if which not in self.world.wanted:
            self.world.wanted.append(which)
        self.world.life.point.mappings.hold(which)

    @precondition(lambda self: self.world.wanted)
    @rule(which=st.integers(0, 3))
    def release(self, which: int) -> None:
        wanted = self.world.wanted.pop(which % len(self.world.wanted))
        for held in self.world.life.point.mappings:
            if held.wanted == wanted:
                held.release()

    @rule(seconds=st.sampled_from((0.0, 0.01, 0.03, 0.3, 1.0, 2.5, 7.0, 31.0, 65.0, 310.0, 1900.0)))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(forget=st.booleans(), now=seldom)
    def kill(self, forget: bool, now: bool) -> None:
        """Killed, and started again with the same wishes or with fewer."""
        if not now:
            return
        self.world.life.kill()
        if forget and self.world.wanted:
            self.world.wanted.pop()
        self.world.begin()

    @rule(now=seldom)
    def stop(self, now: bool) -> None:
        if not now:
            return
        self.world.life.stop()
        self.world.begin()

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
        if not keep:
            self._forget_foreign(gateway.udn)
        if told:
            self.world.alive(gateway)

    @rule(number=st.sampled_from((0, 1)))
    def replace(self, number: int) -> None:
        """Another box at the same place."""
        gateway = self.world.gateways[number]
        self._forget_foreign(gateway.udn)
        gateway.reboot(keep=False, move=False)
        root = gateway.state.tree.root
        head, _, tail = root.udn.rpartition("-")
        gateway.replaced(f"{head}-{int(tail) + 10:012d}")

    def _forget_foreign(self, udn: str) -> None:
        for key in [key for key in self.world.foreign if key[0] == udn]:
            del self.world.foreign[key]

    @rule(number=routers, up=st.booleans())
    def power(self, number: int, up: bool) -> None:
        self.world.gateways[number].up = up

    @rule(number=routers, name=st.sampled_from(NAMES), fault=st.sampled_from(FAULTS))
    def trouble(self, number: int, name: str, fault: object) -> None:
        self.world.gateways[number].faults[name] = fault

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
        gateway.state.table.clear()
        self._forget_foreign(gateway.udn)
        if told:
            gateway.publish()

    @rule(number=routers, which=st.sampled_from(WANTED))
    def neighbour(self, number: int, which: PortMapping) -> None:
        """Another client takes a port that we want, if it is free."""
        self.world.occupy(self.world.gateways[number], which.protocol, which.wanted_port)

    @rule(number=routers)
    def neighbour_leaves(self, number: int) -> None:
        gateway = self.world.gateways[number]
        for key, entry in tuple(self.world.foreign.items()):
            if key[0] == gateway.udn:
                gateway.state.table.delete(entry.protocol, entry.external_port, "")
                del self.world.foreign[key]

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

    @rule(own=st.sampled_from(ADDRESSES))
    def address(self, own: str) -> None:
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
        try:
            self.world.check()
        except Broken:
            self.broken = True
            raise

    def teardown(self) -> None:
        world = self.world
        try:
            if self.broken or not world.gateways:
                return
            world.heal()
            for _ in range(int(QUIET_SECONDS / 60)):
                world.alive(world.router)
                world.wait(60)
                world.check()
            world.check_wanted()
            world.own = ADDRESSES[1 - ADDRESSES.index(world.own)]  # and once more in the life that went through it all
            world.wait(400)
            world.check_wanted()
            world.life.stop()
            world.check_left()
            if SESSIONS:
                gc.collect()
            world.check()
        finally:
            world.close()


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
            max_examples=SESSIONS or 60,
            stateful_step_count=50 if SESSIONS else 30,
            deadline=None,
            derandomize=not SESSIONS,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )

    def test_hosts(self) -> None:
        """The world's rogue is no next hop, or the sessions would show nothing."""
        self.assertNotIn(ROGUE, HOPS)
