"""The demonstration: it says what happened, and fails when something did not."""

from __future__ import annotations

import re

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from txigd.testing import demo


class DemoTests(TestCase):
    timeout = 180

    def run_demo(self, change=lambda router: None) -> Deferred[tuple[int, str]]:
        lines: list[str] = []
        shown = demo.Demo(reactor, lines.append)
        change(shown._router)
        return Deferred.fromCoroutine(shown.run()).addCallback(lambda status: (status, "\n".join(lines)))

    async def test_every_step_happens(self):
        status, text = await self.run_demo()
        self.assertEqual(status, 0, text)
        self.assertIn("11.22.33.44 -> 11.22.33.50", text)
        self.assertIn("Connected -> Disconnected", text)
        self.assertIn("echoed over TCP: 'hello', over UDP: 'hello'", text)
        steps = re.findall(r"^  (\d+)\.  ", text, re.M)
        self.assertEqual(steps, [str(number) for number in range(1, 10)])
        self.assertEqual(len(re.findall(r"\[\d+ ms\]$", text, re.M)), 9, "each step tells its time")

    async def test_without_events_it_fails_and_says_at_which_step(self):
        self.patch(demo, "STEP_SECONDS", 5.0)

        def deaf(router):
            router.silent_events = True

        status, text = await self.run_demo(deaf)
        self.assertEqual(status, 1)
        self.assertTrue(text.endswith("FAILED: nothing came of it in 5 s"), text)
        self.assertIn("5.  The WAN line drops", text)
        self.assertNotIn("comes back", text)

    async def test_without_a_relay_no_bytes_come_through(self):
        def dumb(router):
            router._relay = None

        status, text = await self.run_demo(dumb)
        self.assertEqual(status, 1)
        self.assertIn("FAILED: TCP to the mapped port", text)
