"""Test cases that need the lab. Without it they skip with the reason, or fail where TXIGD_LAB=required."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from .lab import Lab


def require_lab() -> None:
    """Raises SkipTest with the reason where there can be no lab; AssertionError if the environment insists on one."""
    why_not = Lab.why_not()
    if why_not is None:
        return
    if os.environ.get("TXIGD_LAB") == "required":
        raise AssertionError(f"TXIGD_LAB=required, and the router lab cannot run: {why_not}")
    raise SkipTest(f"router lab: {why_not}")


class _WithLab:
    """`self.lab`: a fresh lab for each test, made with `lab_config`."""

    lab_config: dict[str, Any] = {}

    def setUp(self) -> None:
        require_lab()
        self.lab = Lab(**self.lab_config)
        self.addCleanup(self.lab.stop)  # type: ignore[attr-defined]
        self.lab.start()


class LabCase(_WithLab, SynchronousTestCase):
    """For tests that start programs in the lab and look at what they did."""


class AsyncLabCase(_WithLab, TestCase):
    """The same for tests that wait for Deferreds; the verbs of the lab still block."""
