"""The traffic moves from one connection of a gateway to another: nothing of ours stays on the former one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.memory_lan import Asked, MemoryGateway, reply
from tests.test_control_point import WEB, ControlPointTestCase, hop
from txigd.igd.gateway import Gateway
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping
from txigd.limits import CONFIRM_SECONDS, FAREWELL_SECONDS, HTTP_TOTAL_SECONDS, POLL_SECONDS, RETRY_CEILING_SECONDS
from txigd.steady import boot_time
from txigd.testing.table import MappingTable
from txigd.upnp.control import soap

IP, PPP = "WANIPConnection", "WANPPPConnection"
GAME = PortMapping("TCP", 5000, description="game")


class TwoLineGateway(MemoryGateway):
    """Two connections: two tables, or one that both show.

    ``down`` is the one that answers nobody, ``mute`` the one that refuses to tell its state, ``word`` what an idle one
    says of its line.
    """

    down = mute = ""
    word = b"Unconfigured"

    def split(self) -> None:
        self.tables = {IP: self.state.table, PPP: MappingTable(self.state.table.rules)}

    def share(self) -> None:
        self.tables = {IP: self.state.table, PPP: self.state.table}

    def answer(self, asked: Asked, body: bytes):
        services = self.state.tree.services
        name = next((name for name in (IP, PPP) if services[name].control_path == asked.url.target), "")
        if name and name == self.down and "PortMapping" in asked.name:
            return None
        if name and name == self.mute and asked.name in ("GetStatusInfo", "GetExternalIPAddress"):
            return reply(500, soap.fault(501, "Action Failed"))
        self.state.table = self.tables[name or IP]
        answered = super().answer(asked, body)
        if answered is None or asked.name != "GetStatusInfo":
            return answered
        return reply(answered.status, answered.body.replace(b"Unconfigured", self.word))

    def carry(self, name: str) -> None:
        self.state.tree.live_service = self.state.tree.services[name]

    def ports(self, name: str) -> list[int]:
        self.tables[name].expire(self.clock.seconds())
        return sorted(entry.external_port for entry in self.tables[name])


class FormerConnectionTests(ControlPointTestCase):
    first, second = IP, PPP

    def setUp(self) -> None:
        super().setUp()
        self.router = self.two = TwoLineGateway(self.clock, connection=f"both-with-{self.first[3:-10]}-live")
        self.router.state.table.rules = replace(self.router.state.table.rules, permanent_leases_only=True)
        self.two.split()
        self.lan.gateways[:] = [self.router]
        self.journal = Journal()

    def live(self, *wanted: PortMapping) -> tuple[Gateway, list[HeldMapping]]:
        self.point = self.make(journal=self.journal, identity="a")
        held = [self.point.mappings.hold(one) for one in wanted]
        gateway = self.found()
        self.wait(2)
        return gateway, held

    def kill(self) -> None:
        for call in tuple(self.clock.getDelayedCalls()):
            call.cancel()
        self.lan.open.clear()
        self.journal = Journal.decode(self.journal.encode(boot_time()), now=boot_time())

    def move(self, gateway: Gateway, to: str, seconds: float = 2) -> None:
        self.two.carry(to)
        gateway.wan.hint()
        self.wait(seconds)

    def tables(self) -> tuple[list[int], list[int]]:
        return self.two.ports(self.first), self.two.ports(self.second)

    def on_record(self) -> list[int]:
        return [record.external_port for udn in self.journal.udns for record in self.journal.entries(udn)]

    def test_F23_whichever_way_it_goes_nothing_is_pending_after_the_end(self) -> None:
        for seed in range(15):
            self.setUp()
            chance = Random(seed)
            gateway, _ = self.live(WEB)
            to = self.first
            for _ in range(chance.randint(1, 6)):
                to = self.second if to == self.first else self.first
                self.two.carry(to)
                gateway.wan.hint()
                self.two.down = chance.choice((self.first, self.second, "", "", ""))
                self.wait(chance.choice((1, 2, 3, 6, 9, 20)))
                self.two.down = ""
            self.wait(700, 5)
            self.successResultOf(self.point.stop())
            self.assertEqual((self.clock.getDelayedCalls(), self.tables(), self.on_record()), ([], ([], []), []), seed)

    def test_F23_F33_what_is_held_moves(self) -> None:
        gateway, (web,) = self.live(WEB)
        own = gateway.mappings.hold(GAME)
        self.wait(1)
        self.assertEqual(self.tables(), ([5000, 8080], []))
        self.move(gateway, self.second)
        self.assertEqual(self.tables(), ([], [5000, 8080]))
        self.assertEqual((web.status.state, own.status.state), (MappingState.ACTIVE, MappingState.ACTIVE))
        self.move(gateway, self.first)
        self.two.down = ""
        self.stop()
        self.assertEqual((self.tables(), self.on_record()), (([], []), []))

    def test_F23_F33_a_connection_that_does_not_answer_is_asked_again_until_it_does(self) -> None:
        gateway, _ = self.live(WEB, GAME)
        self.two.down = self.first
        self.move(gateway, self.second, 2 * HTTP_TOTAL_SECONDS)
        self.assertEqual(self.tables(), ([5000, 8080], [5000, 8080]))
        self.assertEqual(sorted(self.on_record()), [5000, 5000, 8080, 8080])
        self.two.down = ""
        self.wait(RETRY_CEILING_SECONDS + 2 * HTTP_TOTAL_SECONDS)
        self.assertEqual(self.tables(), ([], [5000, 8080]))
        self.assertEqual(sorted(self.on_record()), [5000, 8080])
        self.lan.asked.clear()
        self.wait(3 * RETRY_CEILING_SECONDS)
        path = self.router.state.tree.services[self.first].control_path
        self.assertNotIn(path, [one.url.target for one in self.lan.asked if "PortMapping" in one.name])
        self.stop()
        self.assertEqual((self.tables(), self.on_record()), (([], []), []))

    def test_F23_F51_at_the_end_it_is_looked_for_on_both(self) -> None:
        gateway, (held,) = self.live(WEB)
        self.two.down = self.first
        self.move(gateway, self.second, 2 * HTTP_TOTAL_SECONDS)
        self.two.down = ""
        held.release()
        self.assertEqual(self.tables(), ([8080], []))
        self.stop()
        self.assertEqual((self.tables(), self.on_record()), (([], []), []))

    def test_F23_back_before_the_farewell_is_over(self) -> None:
        gateway, (held,) = self.live(WEB)
        self.two.down = self.first
        self.move(gateway, self.second)
        self.two.down = ""
        self.move(gateway, self.first, FAREWELL_SECONDS + 100)
        self.assertEqual((self.tables(), held.status.state), (([8080], []), MappingState.ACTIVE))
        self.stop()
        self.assertEqual((self.tables(), self.on_record()), (([], []), []))

    def test_F23_F53_killed_before_it_took_leave(self) -> None:
        gateway, _ = self.live(WEB)
        self.two.down = self.first
        self.move(gateway, self.second)
        self.kill()
        self.two.down = ""
        self.live(WEB)
        self.wait(FAREWELL_SECONDS + 2)
        self.assertEqual(self.tables(), ([], [8080]))
        self.stop()
        self.assertEqual((self.tables(), self.on_record()), (([], []), []))

    def test_F23_F53_killed_and_the_traffic_moved_meanwhile(self) -> None:
        self.live(WEB)
        self.kill()
        self.two.carry(self.second)
        self.live(WEB)
        self.wait(FAREWELL_SECONDS + 2)
        self.assertEqual(self.tables(), ([], [8080]))

    def test_F23_a_line_that_drops_has_not_moved(self) -> None:
        # the first of the description says that it is down as well, and no default is told
        self.two.faults["GetDefaultConnectionService"] = 401
        self.two.word = b"Disconnected"
        self.two.carry(self.second)
        gateway, (web,) = self.live(WEB)
        line = gateway.wan.connection
        self.two.cut()
        self.wait(POLL_SECONDS + 2)
        self.assertFalse(gateway.wan.status.connected)
        self.assertIs(gateway.wan.connection, line)
        self.assertEqual(self.tables(), ([], [8080]))
        self.router.boot_id += 1
        self.discovery.alive(self.router)
        self.wait(60)
        self.assertEqual((gateway.wan.connection.name, self.two.ports(self.first)), (line.name, []), "nor has it then")
        self.two.restore()
        self.wait(POLL_SECONDS + 2)
        self.assertEqual((web.status.state, self.tables()), (MappingState.ACTIVE, ([], [8080])))

    def test_F23_a_connection_that_refuses_to_tell_has_not_moved(self) -> None:
        self.two.carry(self.second)
        gateway, (web,) = self.live(WEB)
        added = self.lan.count("AddPortMapping")
        told: list[str] = []
        gateway.wan._watched.observe(lambda old, new: told.append(str(new)))
        for seconds, heard in ((CONFIRM_SECONDS, 0), (12, 2)):
            self.two.mute = self.second
            gateway.wan.hint()
            self.wait(seconds)
            self.two.mute = ""
            self.wait(POLL_SECONDS + 2)
            self.assertEqual(len(told), heard, told)
            self.assertEqual((web.status.state, self.tables()), (MappingState.ACTIVE, ([], [8080])))
        self.assertEqual(self.lan.count("AddPortMapping"), added)

    def test_F23_somebody_elses_entry_there_is_let_alone(self) -> None:
        gateway, _ = self.live(WEB)
        self.two.down = self.first
        self.move(gateway, self.second)
        self.router.state.table = self.two.tables[self.first]
        self.router.foreign(8080)
        self.two.down = ""
        self.wait(2 * RETRY_CEILING_SECONDS)
        self.stop()
        self.assertEqual(self.tables(), ([8080], []))

    def test_F23_two_connections_that_show_one_table(self) -> None:
        self.two.share()
        gateway, (held,) = self.live(WEB)
        self.move(gateway, self.second)
        self.assertEqual((self.tables(), held.status.state), (([8080], [8080]), MappingState.ACTIVE))
        self.two.down = self.second
        self.move(gateway, self.first)
        self.two.down = ""
        self.wait(FAREWELL_SECONDS + 10)
        self.assertEqual((self.tables(), held.status.state), (([8080], [8080]), MappingState.ACTIVE))
        self.stop()
        self.assertEqual((self.tables(), self.on_record()), (([], []), []))


class OtherWayRoundTests(FormerConnectionTests):
    first, second = PPP, IP


class FormerGatewayTests(ControlPointTestCase):
    """Another gateway took over, and the one of before is still there."""

    options = {"any_gateway": True}
    other: MemoryGateway

    def setUp(self) -> None:
        super().setUp()
        self.two()

    def two(self) -> None:
        self.other = MemoryGateway(self.clock, "192.168.1.254", udn="uuid:2", name="Other")
        self.lan.gateways.append(self.other)
        self.found()
        self.discovery.gateways.append(self.other)
        self.discovery.alive(self.other)
        self.wait(1)

    def move(self, to: str) -> None:
        self.hops = (hop(to),)
        self.point._follow_links()

    def live(self, seconds: float) -> None:
        """Time passes, and both announce themselves."""
        for _ in range(int(seconds // 60)):
            self.wait(60, 1)
            self.discovery.alive(self.router)
            self.discovery.alive(self.other)

    def tables(self) -> tuple[list[int], list[int]]:
        return [port for port, _ in self.ports()], [port for port, _ in self.ports(self.other)]

    def asked(self, router: MemoryGateway) -> list[str]:
        return [name for name in self.to(router.address) if "PortMapping" in name]

    def silent_while_it_moves(self, *wanted: PortMapping) -> None:
        for one in wanted:
            self.point.mappings.hold(one)
        self.wait(1)
        self.router.faults["*"] = "hang"
        self.move(self.other.address)
        self.wait(FAREWELL_SECONDS + 1)
        self.router.faults.clear()
        ports = [one.wanted_port for one in wanted]
        self.assertEqual(self.tables(), (ports, ports))

    def test_F16_F33_silent_at_the_hand_over_it_is_asked_again(self) -> None:
        self.silent_while_it_moves(PortMapping("TCP", 8080, lease_seconds=0))
        self.live(RETRY_CEILING_SECONDS + 60)
        self.assertEqual(self.tables(), ([], [8080]))
        self.lan.asked.clear()
        self.live(3 * RETRY_CEILING_SECONDS)
        self.assertEqual(self.asked(self.router), [], "and let alone from then on")

    def test_F16_what_is_wanted_of_it_alone_stays(self) -> None:
        own = self.point.gateways[0].mappings.hold(PortMapping("TCP", 5000, any_port=True))
        self.point.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["DeletePortMapping"] = "hang"
        self.move(self.other.address)
        self.wait(FAREWELL_SECONDS + 1)
        self.router.faults.clear()
        self.live(RETRY_CEILING_SECONDS + 60)
        self.assertEqual((self.tables(), own.status.state), (([5000], [8080]), MappingState.ACTIVE))

    def test_F16_F51_nothing_after_the_stop(self) -> None:
        self.silent_while_it_moves(PortMapping("TCP", 8080, lease_seconds=0))
        self.stop()
        self.assertEqual((self.tables(), self.clock.getDelayedCalls()), (([], []), []))

    def test_F16_F02_gone_it_is_not_asked_and_back_it_is(self) -> None:
        self.silent_while_it_moves(PortMapping("TCP", 8080, lease_seconds=0))
        device = next(one for one in self.point.devices if one.udn == self.router.udn)
        self.router.faults["*"] = "hang"
        self.point.device_gone(device)
        self.router.faults.clear()
        self.lan.asked.clear()
        self.wait(2 * RETRY_CEILING_SECONDS, 1)
        self.assertEqual((self.asked(self.router), self.tables()), ([], ([8080], [8080])))
        self.point.device_appeared(device)
        self.wait(FAREWELL_SECONDS + 2)
        self.assertEqual(self.tables(), ([], [8080]))

    def test_F16_in_use_again_what_is_wanted_stays(self) -> None:
        self.silent_while_it_moves(PortMapping("TCP", 8080, lease_seconds=0))
        self.move(self.router.address)
        self.live(2 * RETRY_CEILING_SECONDS)
        (held,) = self.point.mappings
        self.assertEqual((self.tables(), held.status.state), (([8080], []), MappingState.ACTIVE))

    def test_F16_in_use_again_before_it_is_asked(self) -> None:
        held = self.point.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["DeletePortMapping"] = "refuse"
        self.move(self.other.address)
        self.wait(FAREWELL_SECONDS - 2)
        self.router.faults.clear()
        self.move(self.router.address)
        self.wait(1)
        self.assertEqual((self.tables(), held.status.state), (([8080], []), MappingState.ACTIVE))
        self.lan.asked.clear()
        self.wait(FAREWELL_SECONDS)
        self.assertEqual(self.asked(self.router), [])

    def test_F16_in_use_again_while_it_is_asked(self) -> None:
        """The look is given up, whichever of its calls is under way."""
        for action in ("GetSpecificPortMappingEntry", "DeletePortMapping"):
            self.setUp()
            self.point.mappings.hold(PortMapping("TCP", 8080, lease_seconds=0))
            self.wait(1)
            self.router.faults[action] = "hang"
            self.move(self.other.address)
            self.wait(FAREWELL_SECONDS + 1)
            self.assertEqual(self.asked(self.router)[-1], action)
            self.assertEqual((len(self.lan.open), self.tables()), (1, ([8080], [8080])))
            self.router.faults.clear()
            self.move(self.router.address)
            (held,) = self.point.mappings
            for _ in range(40):
                self.wait(0.5)
                if held.status.state is MappingState.ACTIVE:
                    self.assertEqual(self.tables()[0], [8080])
            self.assertIs(held.status.state, MappingState.ACTIVE)

    def test_F16_somebody_elses_entry_there_is_let_alone(self) -> None:
        self.silent_while_it_moves(WEB)
        self.router.state.table.clear()
        self.router.foreign(8080)
        self.live(2 * RETRY_CEILING_SECONDS)
        self.assertEqual([entry.description for entry in self.router.table], ["theirs"])


class TwinTests(ControlPointTestCase):
    """One router that announces two devices, and shows one table by both."""

    def test_F16_Q038_the_one_that_comes_back_takes_nothing_that_is_in_use(self) -> None:
        twin = MemoryGateway(self.clock, port=5001, udn="uuid:2", name="Twin")
        twin.state.table = self.router.state.table
        self.lan.gateways.append(twin)
        self.found()
        self.discovery.gateways.append(twin)
        self.discovery.alive(twin)
        self.wait(1)
        held = self.point.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["*"] = "hang"
        self.discovery.byebye(self.router)
        self.wait(40)
        self.assertEqual([self.point.current], [one for one in self.point.gateways if one.udn == twin.udn])
        self.router.faults.clear()
        self.discovery.alive(self.router)
        for _ in range(100):  # what is on record of the former one is removed, and is back at once
            self.wait(0.5)
            self.assertEqual((held.status.state, len(self.ports())), (MappingState.ACTIVE, 1))
