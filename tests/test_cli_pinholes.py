"""What may be written after ``txigd pinhole`` and ``txigd unpinhole``; what they do is shown in the lab."""

from __future__ import annotations

import contextlib
import io
import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from txigd.cli.arguments import parse
from txigd.cli.pinholes import PINHOLE_COMMANDS, pinhole_state
from txigd.igd.lease_facts import MappingState
from txigd.igd.pinhole import Pinhole, PinholeStatus

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
