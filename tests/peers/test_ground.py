"""What is missing is named, and is a failure only where the environment insists."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from . import ground


class MissingTests(SynchronousTestCase):
    def refusal(self, required: str, kind: type[Exception], *programs: str) -> str:
        with (
            mock.patch.dict(os.environ, {"TXIGD_LAB": required}),
            mock.patch.object(ground, "SEARCH_PATH", "/nonexistent"),
            mock.patch.object(ground, "VENV", ground.VENV.parent / "no-such"),
        ):
            call = ground.require_programs if programs else ground.require_venv
            return str(self.assertRaises(kind, call, *programs))

    def test_programs(self) -> None:
        for required, kind in (("", SkipTest), ("required", AssertionError)):
            said = self.refusal(required, kind, "gssdp-discover", "gupnp-network-light", "Xvfb")
            self.assertIn("missing gssdp-discover, gupnp-network-light, Xvfb", said)
            self.assertIn("apt-get install gupnp-tools xvfb)", said)

    def test_venv(self) -> None:
        for required, kind in (("", SkipTest), ("required", AssertionError)):
            self.assertIn("make peers", self.refusal(required, kind))

    def test_every_version_is_pinned(self) -> None:
        lines = (Path(__file__).parent / "requirements.txt").read_text().splitlines()
        wanted = [line for line in lines if line and not line.startswith("#")]
        self.assertTrue(wanted)
        self.assertEqual([line for line in wanted if "==" not in line], [])
