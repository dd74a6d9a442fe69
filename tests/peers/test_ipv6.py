"""txigd and its simulated gateway on IPv6 only: at a unique local address, and at a link-local one with its zone."""

from __future__ import annotations

import json
import sys

from .ground import CLIENT, GATEWAY, GATEWAY_ADDRESS_6
from .test_devices import NEW, OLD
from .test_programs import SimulatedCase

LINK_LOCAL = "fe80::78"


class IPv6Tests(SimulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.net.script(
            f"ip -n {GATEWAY} addr add {LINK_LOCAL}/64 dev lan nodad\n"
            f"ip -n {GATEWAY} addr flush dev lan scope global\n"
            f"ip -n {GATEWAY} addr add {GATEWAY_ADDRESS_6}/64 dev lan nodad\n"
            f"ip -n {CLIENT} -4 addr flush dev lan\n"
        )

    def test_discovered_and_used(self) -> None:
        for address, in_url in ((GATEWAY_ADDRESS_6, GATEWAY_ADDRESS_6), (f"{LINK_LOCAL}%lan", LINK_LOCAL)):
            with self.subTest(address):
                state = self.simulate(address=address)
                self.assertTrue(state["location"].startswith(f"http://[{in_url}]:"), state["location"])
                (found,) = json.loads(self.txigd("discover", "--json"))
                self.assertEqual((found["address"], found["external_ip"]), (address, OLD))
                self.gateway.end()

    def test_events_by_ipv6(self) -> None:
        for address in (GATEWAY_ADDRESS_6, f"{LINK_LOCAL}%lan"):
            with self.subTest(address):
                self.simulate(address=address)
                self.do("drop_wan")  # so that nothing is mapped: a mapping needs an IPv4 address of this host
                watching = self.talker(
                    CLIENT,
                    [sys.executable, "-m", "txigd", "watch", "--json", "--gateway", address, "--poll", "600"],
                )
                self.assertEqual(watching.value()["new"]["connection_status"], "Disconnected")
                self.do("restore_wan")
                self.do("change_address", NEW)
                told = watching.value()["new"]
                while told["external_ip"] != NEW:
                    told = watching.value()["new"]
                self.assertEqual((told["connection_status"], told["learned"]), ("Connected", "event"))
                watching.end()
                self.assertEqual(self.state()["subscribers"], [])
                peers = {one["peer"].partition("%")[0] for one in self.state()["requests"]}
                self.assertTrue(all(":" in peer for peer in peers), peers)
                self.gateway.end()
