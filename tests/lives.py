"""Lives of a control point that are killed, and leave nothing but their journal."""

from __future__ import annotations

from tests.test_control_point import ControlPointTestCase
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.journal import Journal
from txigd.igd.mapping import PortMapping
from txigd.steady import boot_time


class LivesTestCase(ControlPointTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.journal = Journal()

    def live(self, *wanted: PortMapping, seconds: float = 5) -> list[HeldMapping]:
        self.point = self.make(journal=self.journal, identity="a")
        held = [self.point.mappings.hold(one) for one in wanted]
        self.found()
        self.wait(seconds)
        return held

    def kill(self) -> None:
        for call in tuple(self.clock.getDelayedCalls()):
            call.cancel()
        self.journal = Journal.decode(self.journal.encode(boot_time()), now=boot_time())
