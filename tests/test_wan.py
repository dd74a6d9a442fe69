"""The WAN side: hints, reads, polls, the choice between connections, and what observers are told."""

from __future__ import annotations

import ipaddress

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.memory_lan import US, Asked, MemoryGateway, MemoryLAN, reply
from txigd.errors import ExchangeError, NoConnection, Stopped, WaitTimeout
from txigd.igd.connection import Connection
from txigd.igd.status import Learned, WANStatus
from txigd.igd.wan import WAN
from txigd.interfaces import IWANObserver
from txigd.limits import (
    CALM_SECONDS,
    CONFIRM_SECONDS,
    POLL_SECONDS,
    SETTLE_CEILING_SECONDS,
    SETTLE_SECONDS,
    SOON_SECONDS,
)
from txigd.upnp.control import soap
from txigd.upnp.http_reply import Reply

IP = ipaddress.IPv4Address("11.22.33.44")
NEW = ipaddress.IPv4Address("11.22.33.50")


@implementer(IWANObserver)
class Observer:
    """Keeps what it hears, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[tuple[WANStatus, WANStatus]] = []
        self.error = error

    def wan_changed(self, old: WANStatus, new: WANStatus) -> None:
        self.heard.append((old, new))
        if self.error is not None:
            raise self.error


class WANTestCase(SynchronousTestCase):
    connection = "IP"

    def setUp(self) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock, connection=self.connection)
        self.lan = MemoryLAN(self.clock, self.router)
        self.wan = WAN(self.clock)
        self.observer = Observer()
        self.wan.observe(self.observer)

    def connect(self, *names: str, default: int = -1) -> list[Connection]:
        connections = [Connection(self.lan.proxy(self.router, name), US) for name in names or ("WANIPConnection",)]
        self.successResultOf(Deferred.fromCoroutine(self.wan.use(connections, default)))
        self.clock.advance(0)
        self.lan.asked.clear()
        return connections

    def steps(self) -> list[tuple[str, str]]:
        self.clock.advance(0)
        return [(_short(old), _short(new)) for old, new in self.observer.heard]

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))


def _short(status: WANStatus) -> str:
    if not status.reachable:
        return "unreachable"
    return f"{status.connection_status} {status.external_ip}"


class EventTests(WANTestCase):
    def test_the_first_state_is_no_change(self) -> None:
        self.connect()
        self.assertEqual((self.wan.status.external_ip, self.wan.status.learned), (IP, Learned.READ))
        self.assertEqual(self.steps(), [])

    def test_F29_one_step_for_one_change(self) -> None:
        self.connect()
        self.router.state.line.address = str(NEW)
        self.wan.hint()
        self.wait(3)
        self.assertEqual(self.steps(), [("Connected 11.22.33.44", "Connected 11.22.33.50")])
        self.assertEqual(self.wan.status.learned, Learned.EVENT)

    def test_a_burst_is_read_once_when_it_has_settled_and_once_more(self) -> None:
        self.connect()
        self.router.state.line.address = str(NEW)
        for _ in range(3):
            self.wan.hint()
            self.clock.advance(SETTLE_SECONDS / 2)
        self.assertEqual(self.lan.asked, [])
        self.clock.advance(SETTLE_SECONDS)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 1)
        self.clock.advance(SOON_SECONDS)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 1, "the news came: nothing to hurry for")
        self.clock.advance(CONFIRM_SECONDS)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 2)
        self.wait(POLL_SECONDS - 3)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 2)

    def test_F29_a_read_that_brought_no_news_is_soon_repeated(self) -> None:
        """The event was quicker than the router's own answer, or told only of the first half of a change."""
        self.connect()
        begun = self.clock.seconds()
        self.wan.hint()
        self.clock.advance(SETTLE_SECONDS)
        self.router.state.line.address = str(NEW)
        self.clock.advance(SOON_SECONDS)
        self.clock.advance(0)
        self.assertEqual(self.steps(), [("Connected 11.22.33.44", "Connected 11.22.33.50")])
        self.assertLess(self.clock.seconds() - begun, 1)

    def test_F29_half_a_change_is_soon_read_again(self) -> None:
        """The old address was removed, and the event of the new one got lost (Q161)."""
        self.connect()
        self.router.state.line.address = ""
        self.wan.hint()
        self.clock.advance(SETTLE_SECONDS)
        self.router.state.line.address = str(NEW)
        self.clock.advance(SOON_SECONDS)
        self.assertEqual(self.steps()[-1][1], "Connected 11.22.33.50")

    def test_F29_a_read_that_failed_is_soon_repeated_and_counts_as_one_failure(self) -> None:
        self.connect()
        told: list[int] = []
        self.wan.on_unreachable = lambda: told.append(1)
        self.router.state.line.address = str(NEW)
        self.router.faults["*"] = "refuse"
        self.wan.hint()
        self.clock.advance(SETTLE_SECONDS)
        asked = len(self.lan.asked)
        self.clock.advance(SOON_SECONDS)
        self.assertEqual(len(self.lan.asked), 2 * asked)
        self.assertEqual((self.steps(), told), ([], []), "two failures at once are one")
        self.wait(CONFIRM_SECONDS)
        self.assertEqual((self.steps(), told), ([("Connected 11.22.33.44", "unreachable")], [1]))

    def test_what_tells_of_something_else_is_not_read_again_so_soon(self) -> None:
        self.connect()
        self.wan.hint(likely=False)
        self.clock.advance(SETTLE_SECONDS)
        self.clock.advance(SOON_SECONDS)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 1)
        self.clock.advance(CONFIRM_SECONDS)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 2)

    def test_a_storm_delays_the_read_to_a_ceiling(self) -> None:
        self.connect()
        self.router.state.line.address = str(NEW)
        begun = self.clock.seconds()
        while self.clock.seconds() - begun < SETTLE_CEILING_SECONDS + 0.01:
            self.wan.hint()
            self.clock.advance(0.05)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 1)

    def test_the_second_read_finds_what_the_event_lost(self) -> None:
        """miniupnpd events the old value first, and loses the last change of a burst."""
        self.connect()
        self.wan.hint()
        self.clock.advance(SETTLE_SECONDS)
        self.router.state.line.address = str(NEW)
        self.wait(CONFIRM_SECONDS)
        self.assertEqual(len(self.steps()), 1)

    def test_a_hint_while_a_read_is_in_flight_is_read_afterwards(self) -> None:
        self.connect()
        self.router.faults["*"] = "hang"
        self.wan.hint()
        self.clock.advance(SETTLE_SECONDS)
        self.assertEqual(len(self.lan.open), 1)
        self.wan.hint()
        self.wan.hint()
        self.clock.advance(SETTLE_SECONDS)
        self.assertEqual(len(self.lan.open), 1, "one read at a time")
        self.router.faults.clear()
        self.router.state.line.address = str(NEW)
        before = len(self.lan.asked)
        (hanging,) = self.lan.open
        hanging.errback(ExchangeError("cut"))
        self.clock.advance(0)
        self.assertEqual(self.steps(), [("Connected 11.22.33.44", "Connected 11.22.33.50")])
        self.assertEqual(self.lan.names()[before:], ["GetStatusInfo", "GetExternalIPAddress"])

    def test_hints_before_the_first_description_are_nothing(self) -> None:
        self.wan.hint()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_hint_during_use_waits_for_it(self) -> None:
        connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US)
        self.router.faults["*"] = "hang"
        using = Deferred.fromCoroutine(self.wan.use([connection]))
        self.wan.hint()
        self.clock.advance(2)
        self.assertEqual(len(self.lan.asked), 1)
        self.router.faults.clear()
        for hanging in tuple(self.lan.open):
            hanging.callback(reply(500))
        self.successResultOf(using)
        self.assertEqual(self.wan.status.external_ip, IP)
        self.assertEqual(self.lan.count("GetExternalIPAddress"), 2)


class PollTests(WANTestCase):
    def test_a_silent_drop_is_found_by_the_poll(self) -> None:
        self.connect()
        self.router.cut()
        self.wait(POLL_SECONDS + 1)
        self.assertEqual(len(self.steps()), 1)
        self.assertFalse(self.wan.status.connected)
        self.assertEqual(self.wan.status.learned, Learned.POLL)

    def test_what_no_event_tells_is_told_within_half_a_minute(self) -> None:
        """With a second to spare for the read, however soon after a poll it happens, and in both directions."""
        self.connect()
        for change in (self.router.cut, self.router.restore):
            polled = self.lan.count("GetStatusInfo")
            while self.lan.count("GetStatusInfo") == polled:
                self.wait(0.05)
            change()
            begun = self.clock.seconds()
            self.observer.heard.clear()
            while not self.steps():
                self.wait(0.05)
            self.assertLess(self.clock.seconds() - begun, 29)

    def test_a_drop_in_the_middle_of_a_read_is_told_as_one(self) -> None:
        self.connect()
        answer = self.router.answer

        def then_cut(asked: Asked, body: bytes) -> Reply | None:
            told = answer(asked, body)
            self.router.cut()
            return told

        self.patch(self.router, "answer", then_cut)
        self.wait(2 * POLL_SECONDS)
        self.assertEqual(self.steps(), [("Connected 11.22.33.44", "Disconnected None")])

    def test_an_unreachable_gateway_is_told_after_two_reads_close_together(self) -> None:
        self.connect()
        told: list[float] = []
        self.wan.on_unreachable = lambda: told.append(self.clock.seconds())
        self.router.faults["*"] = "refuse"
        self.wait(POLL_SECONDS + 0.1)
        self.assertEqual((self.steps(), told), ([], []))
        self.wait(CONFIRM_SECONDS + 0.1)
        self.assertEqual(self.steps(), [("Connected 11.22.33.44", "unreachable")])
        self.assertEqual(len(told), 1)
        self.assertFalse(self.wan.status.connected)
        self.wait(POLL_SECONDS)
        self.assertEqual((len(self.steps()), len(told)), (1, 2), "told once, suspected at each read")
        self.router.faults.clear()
        self.wait(POLL_SECONDS)
        self.assertEqual(self.steps()[1:], [("unreachable", "Connected 11.22.33.44")])

    def test_one_failed_read_is_nothing(self) -> None:
        self.connect()
        self.router.faults["*"] = "html"
        self.wait(POLL_SECONDS + 0.1)
        self.router.faults.clear()
        self.wait(5)
        self.assertEqual(self.steps(), [])
        self.router.faults["*"] = "html"
        self.wait(POLL_SECONDS - 5)
        self.assertEqual(self.steps(), [], "failures that are not in a row do not add up")

    def test_uptime_alone_is_no_change(self) -> None:
        self.connect()
        self.wait(3 * POLL_SECONDS + 1)
        self.assertEqual(self.steps(), [])
        self.assertEqual(self.wan.status.uptime_seconds, 3 * POLL_SECONDS)
        self.assertEqual(self.wan.status.learned, Learned.READ)


class FlapTests(WANTestCase):
    def test_F38_a_hundred_flaps_in_a_minute_are_ten_steps_at_most_and_the_last_is_true(self) -> None:
        self.connect()
        for number in range(200):
            self.router.cut() if number % 2 == 0 else self.router.restore()
            if number % 3 == 0:
                self.wan.hint()  # events are at most one a second
            self.clock.pump([0.1, 0.1, 0.1])
        self.assertLessEqual(len(self.steps()), 10)
        self.wait(CONFIRM_SECONDS + CALM_SECONDS + 1)
        self.assertLessEqual(len(self.steps()), 10)
        self.assertEqual(self.wan.status.external_ip, IP)
        self.assertTrue(self.steps()[-1][1].startswith("Connected"))
        for (_, told), (following, _) in zip(self.steps(), self.steps()[1:], strict=False):
            self.assertEqual(told, following, "each step begins where the last one ended")

    def test_F38_a_drop_is_told_at_once_though_it_flaps(self) -> None:
        self.connect()
        for _ in range(3):
            self.router.cut()
            self.successResultOf(self.wan.refresh())
            self.router.restore()
            self.successResultOf(self.wan.refresh())
        self.router.cut()
        self.successResultOf(self.wan.refresh())
        self.assertEqual(len(self.steps()), 7)
        self.router.restore()
        self.assertTrue(self.successResultOf(self.wan.refresh()).connected, "who asks is answered with the truth")
        self.assertEqual(len(self.steps()), 7)
        self.clock.advance(CALM_SECONDS)
        self.assertEqual(len(self.steps()), 8)

    def test_Q147_an_address_that_flips_is_told_when_it_is_calm(self) -> None:
        self.connect()
        for number in range(40):
            self.router.state.line.address = str((IP, NEW)[number % 2])
            self.successResultOf(self.wan.refresh())
            self.clock.advance(1)
        self.assertLessEqual(len(self.steps()), 10)
        self.clock.advance(CALM_SECONDS)
        self.assertEqual(self.wan.status.external_ip, NEW)


class ChoiceTests(WANTestCase):
    connection = "both-with-PPP-live"

    def test_F23_Q143_the_one_that_is_up_is_taken(self) -> None:
        self.connect("WANIPConnection", "WANPPPConnection")
        self.assertEqual(self.wan.connection.name, "WANPPPConnection:1")
        self.assertEqual((self.wan.status.service, self.wan.status.external_ip), ("WANPPPConnection:1", IP))
        self.assertEqual(len(self.wan.connections), 2)

    def test_F23_it_moves_when_the_other_took_over_and_sticks(self) -> None:
        live: list[str] = []
        self.wan.on_live = lambda connection: live.append(connection.name)
        self.connect("WANIPConnection", "WANPPPConnection")
        self.assertEqual(live, [], "the choice at the start is told by use() itself")
        tree = self.router.state.tree
        tree.live_service = tree.services["WANIPConnection"]
        self.wan.hint()
        self.wait(3)
        self.assertEqual(live, ["WANIPConnection:2"])
        self.assertEqual(self.wan.connection.name, "WANIPConnection:2")
        self.assertEqual(len(self.steps()), 1)
        self.lan.asked.clear()
        self.wait(POLL_SECONDS)
        self.assertEqual(self.lan.names(), ["GetStatusInfo", "GetExternalIPAddress"], "the other one is left alone")

    def test_one_that_hangs_does_not_hide_the_other(self) -> None:
        connections = [Connection(self.lan.proxy(self.router, n), US) for n in ("WANIPConnection", "WANPPPConnection")]
        bad = connections[0].proxy.service.control_url
        rest = self.router.answer
        self.patch(self.router, "answer", lambda asked, body: None if asked.url == bad else rest(asked, body))
        using = Deferred.fromCoroutine(self.wan.use(connections))
        self.clock.advance(10)
        self.successResultOf(using)
        self.assertEqual(self.wan.status.external_ip, IP)

    def test_described_again_with_the_other_first(self) -> None:
        self.connect("WANIPConnection", "WANPPPConnection")
        self.connect("WANPPPConnection")
        self.assertEqual(self.wan.connection.name, "WANPPPConnection:1")
        self.assertEqual(self.steps(), [])


class LifeTests(WANTestCase):
    def test_nothing_to_use(self) -> None:
        self.failureResultOf(Deferred.fromCoroutine(self.wan.use([])), NoConnection)
        with self.assertRaises(NoConnection):
            self.wan.connection
        self.failureResultOf(self.wan.refresh(), NoConnection)

    def test_none_answers(self) -> None:
        self.router.faults["*"] = "refuse"
        connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US)
        self.failureResultOf(Deferred.fromCoroutine(self.wan.use([connection])), ExchangeError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refresh_is_a_fresh_cancellable_deferred(self) -> None:
        self.connect()
        self.router.faults["*"] = "hang"
        one, other = self.wan.refresh(), self.wan.refresh()
        self.assertIsNot(one, other)
        one.cancel()
        self.failureResultOf(one)
        self.clock.advance(10)
        self.failureResultOf(other, ExchangeError)

    def test_F60_observers_in_order_and_one_that_raises(self) -> None:
        self.connect()
        self.wan.forget(self.observer)
        order: list[str] = []
        bad = Observer(ZeroDivisionError())
        late = Observer()
        self.wan.observe(bad)
        self.wan.observe(late)
        self.patch(late, "wan_changed", lambda old, new: order.append(f"late, after {len(bad.heard)}"))
        self.wan.forget(late)
        self.wan.observe(late)
        self.router.cut()
        self.successResultOf(self.wan.refresh())
        self.assertEqual(order, [], "in a later turn")
        self.clock.advance(0)
        self.assertEqual(order, ["late, after 1"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.observer.heard, [])

    def test_observed_twice_heard_once(self) -> None:
        self.connect()
        self.wan.observe(self.observer)
        self.router.cut()
        self.successResultOf(self.wan.refresh())
        self.assertEqual(len(self.steps()), 1)

    def test_who_observes_again_hears_what_is_about_to_be_told(self) -> None:
        """As an application does that observes in gateway_found(), which is called when a gateway came back as well."""
        self.connect()
        self.router.cut()
        self.successResultOf(self.wan.refresh())
        self.wan.observe(self.observer)
        self.assertEqual(len(self.steps()), 1)

    def test_when_is_fresh_for_each_caller_and_stopped_in_the_end(self) -> None:
        self.connect()
        up = self.successResultOf(self.wan.when(lambda status: status.connected))
        self.assertEqual(up.external_ip, IP)
        one = self.wan.when(lambda status: not status.connected)
        late = self.wan.when(lambda status: not status.connected, timeout=1)
        never = self.wan.when(lambda status: False)
        self.clock.advance(1)
        self.failureResultOf(late, WaitTimeout)
        self.router.cut()
        self.successResultOf(self.wan.refresh())
        self.clock.advance(0)
        self.assertFalse(self.successResultOf(one).connected)
        self.wan.stop()
        self.failureResultOf(never, Stopped)
        self.failureResultOf(self.wan.when(lambda status: True), Stopped)

    def test_no_delayed_call_after_stop_whatever_was_under_way(self) -> None:
        self.connect()
        self.router.faults["*"] = "hang"
        self.wan.hint()
        self.clock.advance(SETTLE_SECONDS)
        self.wan.hint()
        self.assertEqual(len(self.lan.open), 1)
        self.wan.stop()
        self.assertEqual(self.lan.open, set())
        self.wan.hint()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_during_use(self) -> None:
        self.router.faults["*"] = "hang"
        connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US)
        using = Deferred.fromCoroutine(self.wan.use([connection]))
        self.wan.stop()
        self.router.faults.clear()
        (hanging,) = self.lan.open
        hanging.callback(reply(500))
        self.successResultOf(using)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_and_found_again(self) -> None:
        self.connect()
        waiting = self.wan.when(lambda status: not status.reachable)
        self.wan.lost()
        self.clock.advance(0)
        self.successResultOf(waiting)
        self.assertEqual(self.steps(), [("Connected 11.22.33.44", "unreachable")])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.connect()
        self.assertEqual(self.steps()[1:], [("unreachable", "Connected 11.22.33.44")])

    def test_a_read_of_the_former_description_changes_nothing(self) -> None:
        self.connect()
        self.router.faults["*"] = "hang"
        old = self.wan.refresh()
        (hanging,) = self.lan.open
        self.router.faults.clear()
        told: list[int] = []
        self.wan.on_unreachable = lambda: told.append(1)
        self.connect()
        self.router.faults["*"] = "refuse"
        hanging.errback(ExchangeError("gone"))
        self.failureResultOf(old)
        self.clock.advance(CONFIRM_SECONDS)
        self.assertEqual((told, self.lan.count("GetStatusInfo")), ([], 0))

    def test_nor_does_one_that_succeeds(self) -> None:
        (former,) = self.connect()
        self.router.faults["*"] = "hang"
        old = self.wan.refresh()
        (hanging,) = self.lan.open
        self.router.faults.clear()
        self.connect()
        told = {"NewConnectionStatus": "Disconnected", "NewLastConnectionError": "", "NewUptime": "0"}
        down = reply(200, soap.response(former.proxy.service.service_type, "GetStatusInfo", told))
        self.router.answers["GetStatusInfo"] = lambda _: down
        hanging.callback(down)
        self.assertFalse(self.successResultOf(old).connected)
        self.assertEqual(self.steps(), [])
        self.assertTrue(self.wan.status.connected)
