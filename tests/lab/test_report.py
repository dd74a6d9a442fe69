"""A support report of the real miniupnpd, and the same status from its replay."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.utils import getProcessOutputAndValue

from txigd.igd.report_format import from_text
from txigd.testing.reported import ReportedGateway

from .case import AsyncLabCase
from .lab import CLIENT, NEIGHBOUR_ADDRESS

reactor: Any = installed
ROOT = Path(__file__).resolve().parents[2]
# Where the replay is, who it is and how long it has been up is another matter.
ELSEWHERE = {"location", "address", "local_address", "next_hop", "udn", "external_ip", "uptime_seconds", "services"}


class ReportTests(AsyncLabCase):
    timeout = 180

    def in_lab(self, *arguments: str) -> str:
        done = self.lab.run(CLIENT, [sys.executable, "-m", "txigd", *arguments], timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stdout

    async def out_here(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        out, errors, status = await getProcessOutputAndValue(
            sys.executable, ["-m", "txigd", *arguments], env=environment, reactor=reactor
        )
        self.assertEqual(status, 0, (out + errors).decode())
        return out.decode()

    def status(self, text: str) -> dict[str, Any]:
        return {name: value for name, value in json.loads(text).items() if name not in ELSEWHERE}

    async def test_miniupnpd_replayed_has_the_same_status(self) -> None:
        self.lab.add_foreign_mapping(7777, "TCP")
        before = json.loads(self.in_lab("status", "--json"))
        said = json.loads(self.in_lab("report", "--json"))
        file = self.lab.folder / said["file"]
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        text = file.read_text(encoding="utf-8")
        for secret in ("11.22.33.44", self.lab.routers["router"].udn, "libminiupnpc"):
            self.assertNotIn(secret, text)
        report = from_text(text)
        self.assertTrue(any(b"MiniUPnPd" in one.octets for one in report.datagrams))
        self.assertGreaterEqual(len(report.events), 3)
        kinds = {step.kind for step in report.steps if step.outcome == "ok"}
        self.assertEqual(kinds, {"description", "scpd", "call", "subscribe", "unsubscribe"})

        replay = ReportedGateway(reactor, report, ssdp=False)
        self.addCleanup(replay.stop)
        await replay.start()
        named = ("--link", "lo", "--gateway", replay.location, "--json")
        after = json.loads(await self.out_here("status", *named))
        self.assertEqual(self.status(json.dumps(after)), self.status(json.dumps(before)))
        self.assertEqual(len(after["external_ip"]), len("11.22.33.44"))
        self.assertEqual([one["service"] for one in after["services"]], [one["service"] for one in before["services"]])
        entries = json.loads(await self.out_here("list", *named))
        self.assertEqual([(e["external_port"], e["internal_client"]) for e in entries], [(7777, NEIGHBOUR_ADDRESS)])

    async def test_the_router_is_as_it_was(self) -> None:
        self.lab.add_foreign_mapping(7777, "TCP")
        rules, table = self.lab.router_rules(), self.lab.upnpc("-l").count("->")
        self.in_lab("report", "--output", "out.json")
        self.assertEqual(self.lab.router_rules(), rules)
        self.assertEqual(self.lab.upnpc("-l").count("->"), table)
