"""The options of ``twistd igd``: what they become, and the one line that refuses them."""

from __future__ import annotations

import io
import sys

from twisted.trial.unittest import SynchronousTestCase

import txigd
from txigd.limits import MAPPINGS, POLL_SECONDS
from txigd.service.options import Options


class OptionsTests(SynchronousTestCase):
    def parsed(self, *words: str) -> Options:
        options = Options()
        options.parseOptions(list(words))
        return options

    def said(self, *words: str, status: int = 2) -> str:
        """What is written before the end."""
        out = io.StringIO()
        self.patch(sys, "stderr" if status else "stdout", out)
        with self.assertRaises(SystemExit) as caught:
            self.parsed(*words)
        self.assertEqual(caught.exception.code or 0, status)
        return out.getvalue()

    def test_nothing_asked_for(self):
        options = self.parsed()
        self.assertEqual((options["links"], options["mappings"], options["gateway"]), ([], [], None))
        self.assertEqual((options["poll"], options["callback-port"], options["log-level"]), (POLL_SECONDS, 0, "info"))
        self.assertFalse(options["simulate"])

    def test_everything_asked_for(self):
        options = self.parsed(
            *("--link", "lo", "-g", "192.168.1.1", "-m", "tcp:8080", "--map", "UDP:5000:15000", "--map=tcp:81:any"),
            *("--poll", "2.5", "--callback-port", "4711", "--log-level", "debug"),
        )
        self.assertEqual(
            [str(wanted) for wanted in options["mappings"]], ["tcp:8080:8080", "udp:5000:15000", "tcp:81:81"]
        )
        self.assertEqual([wanted.any_port for wanted in options["mappings"]], [False, False, True])
        self.assertEqual((options["links"], options["gateway"]), (["lo"], "192.168.1.1"))
        self.assertEqual((options["poll"], options["callback-port"], options["log-level"]), (2.5, 4711, "debug"))

    def test_the_same_mapping_twice_is_one_wish(self):
        self.assertEqual(len(set(self.parsed("--map", "tcp:80", "--map", "tcp:80")["mappings"])), 1)

    def test_every_bad_option_is_refused_in_one_line(self):
        table: list[tuple[str, str]] = [
            ("--bogus", "--bogus"),
            ("--map", "--map"),
            ("tcp:8080", "'tcp:8080' is no option; mappings are written --map tcp:8080"),
            ("--map 8080", "--map '8080' is no mapping: write PROTOCOL:INTERNAL[:EXTERNAL], for example tcp:8080"),
            ("--map tcp:0", "--map 'tcp:0': internal port 0: ports go from 1 to 65535"),
            ("--map tcp:70000", "internal port 70000: ports go from 1 to 65535"),
            ("--map tcp:80:0", "external port 0"),
            ("--map sctp:80", "protocol 'sctp': a gateway maps TCP or UDP"),
            ("--map tcp:80 --map tcp:81:80", "external port 80 is already wanted for tcp:80:80"),
            ("--link nope", "no such link: nope; this host has: "),
            ("--gateway router", "http://ADDRESS:PORT/PATH"),
            ("--gateway http://[fe80::1]:5000/d.xml", "which link leads to fe80::1? Write http://[fe80::1%"),
            ("--gateway ftp://192.168.1.1/", "http://ADDRESS:PORT/PATH"),
            ("--poll 0", "--poll '0': write a number from 1 to 86400"),
            ("--poll nan", "--poll 'nan'"),
            ("--poll often", "--poll 'often'"),
            ("--callback-port 70000", "--callback-port '70000': write a port from 1 to 65535, or 0 for any"),
            ("--callback-port 1.5", "--callback-port '1.5'"),
            ("--callback-port http", "--callback-port 'http'"),
            ("--search-port 70000", "--search-port '70000': write a port"),
            ("--callback-host router --callback-port 5000", "callback host 'router': write an address"),
            ("--callback-host 192.168.1.7", "name the callback port as well"),
            ("--pinhole tcp", "--pinhole 'tcp' is no pinhole: write PROTOCOL:PORT"),
            ("--pinhole tcp:0", "internal port 0"),
            ("--map-file /nowhere/mappings", "--map-file /nowhere/mappings: No such file"),
            ("--state /", "state file '/': this is a directory: name a file in it"),
            ("--state /dev/null", "state file '/dev/null': this is no regular file: name another"),
            ("--log-level loud", "--log-level 'loud': use one of debug, info, warn, error"),
            ("--simulate --link lo", "leave out --gateway and --link"),
            ("--simulate --gateway 127.0.0.1", "leave out --gateway and --link"),
        ]
        for words, said in table:
            with self.subTest(words):
                line = self.said(*words.split())
                self.assertIn(said, line)
                self.assertTrue(line.startswith("twistd igd: "), line)
                self.assertTrue(line.endswith("(see 'twistd igd --help')\n"), line)
                self.assertEqual(line.count("\n"), 1)

    def test_D6_more_mappings_than_may_be_held(self):
        words = [word for port in range(1, MAPPINGS + 2) for word in ("--map", f"tcp:{port}")]
        self.assertIn(f"{MAPPINGS} may be held at once", self.said(*words))

    def test_what_is_wrong_stays_on_one_line(self):
        line = self.said("--gateway", "a\nb\x1b[2J")
        self.assertEqual(line.count("\n"), 1)
        self.assertNotIn("\x1b", line)

    def test_version_is_that_of_txigd(self):
        self.assertEqual(self.said("--version", status=0), f"txigd {txigd.__version__}\n")

    def test_help_tells_every_option_and_an_example(self):
        text = str(Options())
        for word in (
            "--map",
            "--gateway",
            "--link",
            "--poll",
            "--callback-port",
            "--log-level",
            "--map-file",
            "--state",
            "--simulate",
            "--version",
        ):
            self.assertIn(word, text)
        self.assertIn("twistd -n igd --map tcp:8080", " ".join(text.split()))
