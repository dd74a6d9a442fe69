"""Programs under ``react`` that are interrupted while they await something: no traceback, and nothing left behind."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.child import Child, own_loopback, reactor
from txigd.testing import SimulatedGateway

PROGRAM = """
import sys
from twisted.internet.task import react
from txigd import ControlPoint, PortMapping

async def main(reactor):
    async with ControlPoint(reactor, links=["lo"], gateway=sys.argv[1]) as control_point:
        try:
            print("started")
            gateway = await control_point.gateway(60)
            held = gateway.mappings.hold(PortMapping("TCP", 8080))
            print("found")
            await held.when_active()
            print("mapped")
            {last}
        finally:
            print("tidied up")
    print("not reached")

react(main)
"""


class InterruptTests(TestCase):
    timeout = 180

    async def interrupted(
        self, at: str, last: str = "await gateway.wan.when(lambda status: False)", **faults: Any
    ) -> None:
        router = SimulatedGateway(reactor, address=own_loopback(), relay=False, ssdp=False)
        await router.start()
        self.addCleanup(router.stop)
        for name, fault in faults.items():
            router.set_fault(name, fault)
        child = Child(self, [sys.executable, "-c", PROGRAM.replace("{last}", last), router.location])
        await child.says(f"{at}\n")
        await deferLater(reactor, 0.5)  # for the request that hangs
        child.signal("INT")
        self.assertEqual(await child.end(), 0, child.err)
        self.assertEqual(child.err, "")
        self.assertTrue(child.out.endswith("tidied up\n"), child.out)
        self.assertEqual(router.subscribers, ())
        self.router = router

    async def test_while_it_waits_for_a_change(self) -> None:
        await self.interrupted("mapped")
        self.assertEqual(len(self.router.mappings), 0)

    async def test_while_it_waits_for_an_answer(self) -> None:
        await self.interrupted("mapped", 'await gateway.counters.call("GetTotalBytesSent")', GetTotalBytesSent="hang")

    async def test_while_it_waits_for_its_mapping(self) -> None:
        await self.interrupted("found", AddPortMapping="hang")

    async def test_while_it_waits_for_a_gateway(self) -> None:
        await self.interrupted("started", GetStatusInfo="hang")
