"""A real router that restarts before its provider gave it an address: it says 501 until then."""

from __future__ import annotations

import time

from .test_faults import FaultCase

PATIENCE = 8  # seconds in which four other ports would be tried, and more
ADDRESS = "11.22.33.44"


class LateLineTests(FaultCase):
    held = ("tcp:8080:any", "udp:5000")

    def test_F01_F37_the_external_port_is_the_same_when_the_address_comes_late(self) -> None:
        daemon = self.begin()
        before = sorted(self.table())
        self.assertEqual(len(before), 2)
        self.lab.kill_router()
        self.lab.net.script("ip -n router addr flush dev wan")
        self.lab.start_router()
        self.wait(lambda: bool(self.logged("error 501")), 60)
        time.sleep(PATIENCE)
        self.assertEqual(self.table(), [])
        self.lab.net.script(f"ip -n router addr add {ADDRESS}/24 dev wan")
        self.wait(lambda: sorted(self.table()) == before, 60)
        self.end(daemon)
        self.clean()
