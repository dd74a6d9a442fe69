"""``txigd pinhole`` and ``txigd unpinhole``: what may be written, and what is held; more is shown in the lab."""

from __future__ import annotations

import contextlib
import io
import ipaddress
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from txigd import ControlPoint
from txigd.cli import pinholes as cli
from txigd.cli.arguments import parse
from txigd.cli.pinholes import PINHOLE_COMMANDS, pinhole_state
from txigd.cli.report import Report
from txigd.igd.firewall import Firewall
from txigd.igd.lease_facts import MappingState
from txigd.igd.pinhole import Pinhole, PinholeStatus
from txigd.testing import SimulatedGateway
from txigd.upnp.http import Exchange

reactor: Any = installed

HERE = ipaddress.IPv6Address("2001:db8::2")


class ArgumentTests(SynchronousTestCase):
    def refused(self, *words: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertEqual(self.assertRaises(SystemExit, parse, words).code, 2)
        self.assertEqual(said.getvalue().count("\n"), 1)
        return said.getvalue()

    def test_what_may_be_written(self) -> None:
        options = parse(["pinhole", "tcp:8080", "UDP:5000", "--lease", "60", "--hold", "--address", str(HERE)])
        self.assertEqual(options.pinholes, [Pinhole("TCP", 8080), Pinhole("UDP", 5000)])
        self.assertEqual((options.lease, options.hold, options.address), (60, True, HERE))
        options = parse(["unpinhole", "7", "65535"])
        self.assertEqual((options.ids, options.address), ([7, 65535], None))
        for command in ("pinhole", "unpinhole"):
            self.assertIn(command, PINHOLE_COMMANDS)

    def test_what_is_wrong_is_said_with_what_is_right(self) -> None:
        table = [
            (("pinhole", "8080"), "tcp:8080"),
            (("pinhole", "tcp:0"), "'tcp:0': internal port 0: ports go from 1 to 65535"),
            (("pinhole", "sctp:1"), "TCP or UDP"),
            (("pinhole", "tcp:1", "--lease", "0"), "1 to 86400"),
            (("pinhole", "tcp:1", "--lease", "86401"), "1 to 86400"),
            (("pinhole", "tcp:1", "--address", "192.168.1.2"), "write an IPv6 address"),
            (("unpinhole", "x"), "write the number"),
            (("unpinhole", "65536"), "write the number"),
            (("unpinhole",), "ID"),
        ]
        for words, text in table:
            with self.subTest(" ".join(words)):
                self.assertIn(text, self.refused(*words))

    def test_what_programs_are_told(self) -> None:
        status = PinholeStatus(MappingState.ACTIVE, 7, HERE, 60, "", 12345.0)
        self.assertEqual(
            pinhole_state(status),
            {"state": MappingState.ACTIVE, "unique_id": 7, "address": HERE, "lease_seconds": 60, "reason": ""},
        )


class HoldTests(TestCase):
    """On a simulated gateway over IPv6 loopback."""

    timeout = 180

    async def run_it(self, *words: str) -> tuple[list[list[int]], str]:
        """The ports that are open while it waits for Ctrl-C, and when it has ended; with what it said."""
        router = SimulatedGateway(reactor, address="::1", ssdp=False, relay=False)
        try:
            await router.start()
        except CannotListenError as error:
            raise SkipTest(f"no IPv6 here: {error}") from None
        self.addCleanup(router.stop)
        # this host need have no global address: it asks from loopback for another one
        self.patch(Firewall, "client", lambda *_, **__: HERE)
        self.patch(Exchange, "sending_from", lambda exchange, source: exchange)
        open_ports: list[list[int]] = []

        def look() -> None:
            open_ports.append([one.internal_port for _, one in router.state.pinholes])

        async def interrupted(_: Any) -> None:
            look()

        self.patch(cli, "interrupted", interrupted)
        options = parse(["pinhole", *words, "--gateway", router.location])
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertEqual(await cli.pinhole(reactor, options, Report("txigd")), 0)
        look()
        return open_ports, said.getvalue()

    async def test_held_until_the_interrupt_on_whichever_gateway_is_in_use(self) -> None:
        held: list[str] = []
        self.patch(ControlPoint, "farewell", self._noting(held, ControlPoint.farewell))
        open_ports, said = await self.run_it("tcp:8080", "--hold")
        self.assertEqual((open_ports, held), ([[8080], []], ["tcp6:8080"]))
        self.assertIn("[2001:db8::2]:8080 TCP is open for 3600 s; its number is 1", said)

    def _noting(self, held: list[str], farewell: Any) -> Any:
        def noting(point: ControlPoint) -> Any:
            held.extend(str(one.wanted) for one in point.pinholes)
            return farewell(point)

        return noting

    async def test_left_open_without_hold(self) -> None:
        open_ports, _ = await self.run_it("tcp:8080")
        self.assertEqual(open_ports, [[8080]])
