"""The traffic moves from one connection of a gateway to another: nothing of ours stays on the former one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.memory_lan import Asked, MemoryGateway, reply
from tests.test_control_point import WEB, ControlPointTestCase
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
