"""What whole sessions found, each as its smallest session."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests import session_ends
from tests.session_ends import reboot
from tests.session_life import Doom
from tests.session_troubles import churn
from tests.session_world import ADDRESSES, World
from txigd import log
from txigd.igd.mapping import PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.limits import BOOT_RETRY_SECONDS, LEFTOVERS_SECONDS
from txigd.testing import Rules

WEB = PortMapping("TCP", 8080, description="web", lease_seconds=0)
GAME = PortMapping("UDP", 5000, description="game", any_port=True)
HOLE = Pinhole("TCP", 8080)


class FindsTests(SynchronousTestCase):
    def setUp(self) -> None:
        log.set_level("error")
        self.addCleanup(log.set_level, "info")
        self.world = World()
        self.addCleanup(self.world.close)

    def begin(self, *, pinholes: bool = False) -> None:
        """A life in which everything wanted is there."""
        self.world.wanted, self.world.pinholes = [WEB], [HOLE] if pinholes else []
        self.world.six = pinholes
        self.world.make(Rules())
        self.world.wait(10)
        self.world.check_wanted()

    def kill(self) -> None:
        """SIGKILL, and another life at once."""
        self.world.die(Doom("*", ""))
        self.world.begin()
        self.world.wait(10)

    def test_F53_a_pinhole_that_is_wanted_again_is_not_closed_as_a_leftover(self) -> None:
        """It is held while the leftover is asked for by its values, to be deleted then."""
        self.begin(pinholes=True)
        self.world.die(Doom("*", "", 1))
        self.world.begin()
        self.world.lately.clear()
        while not any("-> GetFirewallStatus" in line for line in self.world.lately):
            self.world.wait(0.01)
        self.world.hold_pinhole(HOLE)
        self.world.wait(2)
        self.assertFalse([line for line in self.world.lately if "DeletePinhole" in line])

    def test_Q038_the_place_over_IPv6_is_known_after_a_restart(self) -> None:
        """Each of two places of one device tells of its restart; the one not in use was forgotten."""
        self.begin(pinholes=True)
        reboot(self.world)

    def test_F20_a_router_that_was_exchanged_while_the_route_led_elsewhere(self) -> None:
        """It told of its start when nobody was to be heard but the other one."""
        self.begin()
        first = self.world.router
        self.world.move_hop()
        self.world.wait(12)
        first.replaced()
        self.world.alive(first)
        self.world.wait(12)
        self.world.move_hop()
        self.world.wait(60)
        self.world.check_wanted()

    def test_Q135_an_entry_whose_deletion_was_refused_stays_on_record(self) -> None:
        self.begin()
        self.world.router.once["DeletePortMapping"] = [501]
        self.world.release(WEB)
        self.world.wait(10)
        self.world.check()
        self.kill()
        self.world.check_unwanted()

    def test_Q199_a_pinhole_whose_deletion_was_refused_stays_on_record(self) -> None:
        self.begin(pinholes=True)
        self.world.router.once["DeletePinhole"] = [501]
        self.world.release_pinhole(HOLE)
        self.world.wait(10)
        self.world.check()
        self.kill()
        self.world.check_unwanted()

    def test_Q199_a_leftover_is_on_record_while_it_is_asked_for(self) -> None:
        """It was released in the moment in which the settling began, so its own record was taken back meanwhile."""
        self.begin(pinholes=True)
        self.world.router.reboot(keep=False, move=False)
        self.world.alive(self.world.router)
        self.world.wait(LEFTOVERS_SECONDS + 0.1)
        self.world.latency = 1.5
        self.world.release_pinhole(HOLE)
        for _ in range(200):
            self.world.wait(0.1)
            self.world.check()

    def test_Q199_numbers_are_given_anew_while_pinholes_are_opened_again(self) -> None:
        """The first one got the number that the second one had, whose request was under way already."""
        self.begin(pinholes=True)
        self.world.hold_pinhole(Pinhole("UDP", 5001))
        self.world.wait(5)
        self.world.pinholes.reverse()  # the next life asks for the second one first
        self.kill()
        self.world.router.reboot(keep=False, move=False)
        self.world.alive(self.world.router)
        for _ in range(100):
            self.world.wait(0.01)
            self.world.check()

    def test_F45_a_pinhole_whose_answer_got_lost_stays_on_record_when_it_is_refused_then(self) -> None:
        self.world.pinholes = [HOLE]
        self.world.six = True
        self.world.make(Rules())
        self.world.router.once["AddPinhole"] = ["lost", 501]
        for _ in range(60):
            self.world.wait(0.5)
            self.world.check()

    def test_F51_what_cannot_be_deleted_at_the_end_stays_on_record(self) -> None:
        self.begin()
        self.world.router.faults["DeletePortMapping"] = 501
        self.world.life.stop()
        self.world.check()
        self.world.router.faults.clear()
        self.world.begin()
        self.world.wait(10)
        self.world.release(WEB)
        self.world.wait(10)
        self.world.check_left()

    def test_F53_an_entry_of_ours_that_cannot_be_renewed_is_deleted_when_released(self) -> None:
        """It was taken over from a former life, so this one never had a success to remember."""
        self.begin()
        self.world.router.faults["AddPortMapping"] = 606
        self.kill()
        self.world.release(WEB)
        self.world.wait(10)
        self.world.check_left()

    def test_F20_F21_a_router_that_was_exchanged_and_moves_then(self) -> None:
        """It was forgotten that the new one had been heard of: nothing told that it was there no more."""
        self.begin(pinholes=True)
        router = self.world.router
        router.replaced()
        self.world.alive(router)
        self.world.wait(5)
        router.reboot(keep=False, move=True)
        self.world.alive(router)
        router.up = False
        self.world.wait(12)
        router.replaced()
        self.world.own = ADDRESSES[1]
        self.world.wait(2)
        self.world.peace()

    def test_F51_what_could_not_be_looked_at_is_not_deleted(self) -> None:
        """Released while the gateway does not answer: it lost its table, and somebody else took the port."""
        self.begin()
        router = self.world.router
        router.faults["GetSpecificPortMappingEntry"] = "hang"
        self.world.release(WEB)
        self.world.wait(3)
        router.forget()
        self.world.occupy(router, "TCP", 8080)
        self.world.wait(60)
        self.world.check()

    # -- what is awaited -----------------------------------------------------------------------------------------------
    def test_F15_a_link_that_was_down_for_a_moment_is_heard_on_again(self) -> None:
        """The callback port was closed with the link, and the address is the same as before."""
        self.begin()
        session_ends.blip(self.world)

    def test_Q052_a_description_without_a_WAN_device_after_a_restart_is_no_last_word(self) -> None:
        self.begin()
        session_ends.partial(self.world)

    def test_Q052_a_first_description_without_a_WAN_device_is_no_last_word(self) -> None:
        """Host and router boot together."""
        self.world.wanted = [WEB]
        self.world.make(Rules())
        self.world.router.whole_at = self.world.clock.seconds() + 20.0
        self.world.wait(20.0 + BOOT_RETRY_SECONDS + session_ends.SOON)
        self.world.check_wanted()

    def test_F30_F37_what_is_refused_is_not_asked_for_at_each_change_of_the_table(self) -> None:
        self.begin()
        session_ends.refused_churn(self.world)

    def test_F31_what_conflicts_is_not_asked_for_at_each_change_of_the_table(self) -> None:
        """Nothing shows at the port, and yet it is taken: by the gateway itself (Q128)."""
        self.begin()
        router = self.world.router
        router.state.table.rules = replace(router.state.table.rules, reserved_ports=frozenset({8080}))
        router.forget()
        churn(self.world, router)
        self.world.check()

    def test_F35_what_cannot_be_read_back_is_not_added_at_each_change_of_the_table(self) -> None:
        self.begin()
        session_ends.blind_churn(self.world)

    def test_F53_a_gateway_with_a_word_of_its_own_keeps_one_entry_over_restarts(self) -> None:
        """It shows the same description for everybody's entry: what we made is known by the record, once it was read.

        What had no answer, or was not read back before a kill, nobody can know there; so random sessions have none.
        """
        for wanted in (WEB, GAME):
            for rules in (Rules(), Rules(version=1), Rules(version=1, permanent_leases_only=True)):
                world = World()
                self.addCleanup(world.close)
                world.wanted = [wanted]
                world.make(rules, word="UPnP")
                world.wait(70)
                world.check_wanted()
                for _ in range(3):
                    session_ends.same(world)
                    world.wait(70)
                world.check()
                world.life.stop()
                world.check_left()

    def test_F21_calls_to_a_port_that_is_silent_now_hold_up_nobody(self) -> None:
        """All is looked at while the router falls silent; it comes back at another port."""
        self.world.wanted = [PortMapping("TCP", 8080 + number) for number in range(10)]
        self.world.make(Rules())
        self.world.wait(20)
        self.world.check_wanted()
        session_ends.grave(self.world)

    def test_F06_a_subscriber_that_was_dropped_without_a_word_subscribes_after_news(self) -> None:
        self.begin()
        session_ends.dropped(self.world)

    def test_F45_a_pinhole_that_is_released_before_its_answer_is_closed(self) -> None:
        self.begin(pinholes=True)
        session_ends.unsure(self.world)

    def test_F14_F20_another_router_at_another_port_while_our_own_address_changes(self) -> None:
        """The former one is opened anew because of the address, which is not to go on for ever."""
        self.world.wanted = [replace(WEB, lease_seconds=3600), replace(GAME, lease_seconds=600)]
        self.world.pinholes, self.world.six = [HOLE], True
        self.world.make(Rules())
        self.world.wait(20)
        self.world.own = ADDRESSES[1]
        self.world.router.replaced()
        self.world.router.reboot(keep=False, move=True)
        self.world.peace()
