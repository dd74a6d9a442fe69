"""The WAN line of the simulated gateway against the state table of ConnectionStatus."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import ActionError
from txigd.testing.line import Line
from txigd.testing.template import TEMPLATES

SERVICE = TEMPLATES["urn:schemas-upnp-org:service:WANIPConnection:2"]
REQUEST, TERMINATE, FORCE = "RequestConnection", "RequestTermination", "ForceTermination"


class LineTests(SynchronousTestCase):
    def line(self, status: str = "Disconnected", **fields) -> Line:
        return Line("203.0.113.7", setup_seconds=2.0, status=status, **fields)

    def test_table(self) -> None:
        rows = (
            (REQUEST, "Disconnected", 0, "Connecting"),
            (REQUEST, "PendingDisconnect", 0, "Connected"),
            (REQUEST, "Connected", 0, "Connected"),
            (REQUEST, "Unconfigured", 706, ""),
            (REQUEST, "Connecting", 705, ""),
            (REQUEST, "Disconnecting", 707, ""),
            (TERMINATE, "Connected", 0, "Disconnecting"),
            (TERMINATE, "Connecting", 0, "Disconnecting"),
            (TERMINATE, "Unconfigured", 706, ""),
            (TERMINATE, "Disconnecting", 707, ""),
            (TERMINATE, "PendingDisconnect", 707, ""),
            (TERMINATE, "Disconnected", 711, ""),
            (FORCE, "Connected", 0, "Disconnecting"),
            (FORCE, "Connecting", 0, "Disconnecting"),
            (FORCE, "PendingDisconnect", 0, "Disconnecting"),
            (FORCE, "Unconfigured", 706, ""),
            (FORCE, "Disconnecting", 707, ""),
            (FORCE, "Disconnected", 711, ""),
        )
        for action, before, code, after in rows:
            line = self.line(before)
            if code:
                error = self.assertRaises(ActionError, line.act, action, SERVICE, 0)
                self.assertEqual((error.code, line.status), (code, before), (action, before))
            else:
                line.act(action, SERVICE, 0)
                self.assertEqual(line.status, after, (action, before))

    def test_other_refusals(self) -> None:
        line = self.line(connection_type="IP_Bridged")
        self.assertEqual(self.assertRaises(ActionError, line.act, REQUEST, SERVICE, 0).code, 710)
        line = self.line(enabled_for_internet=False)
        self.assertEqual(self.assertRaises(ActionError, line.act, REQUEST, SERVICE, 0).code, 709)

    def test_connects_and_counts_uptime(self) -> None:
        line = self.line()
        line.act(REQUEST, SERVICE, 100)
        self.assertEqual((line.next_change(), line.external_address, line.uptime(101)), (102, "", 0))
        line.advance(101.9)
        self.assertEqual(line.status, "Connecting")
        line.advance(105)
        self.assertEqual(
            (line.status, line.external_address, line.last_error), ("Connected", "203.0.113.7", "ERROR_NONE")
        )
        self.assertEqual((line.uptime(110), line.next_change()), (8, None), "counted from when it was due")

    def test_without_carrier(self) -> None:
        line = self.line(carrier=False)
        line.act(REQUEST, SERVICE, 0)
        line.advance(2)
        self.assertEqual((line.status, line.last_error), ("Disconnected", "ERROR_NO_CARRIER"))

    def test_warning_before_disconnect(self) -> None:
        line = self.line("Connected", warn_delay=10)
        line.act(TERMINATE, SERVICE, 0)
        self.assertEqual((line.status, line.is_connected), ("PendingDisconnect", True))
        line.advance(10)
        self.assertEqual(line.status, "Disconnecting")
        line.advance(12)
        self.assertEqual((line.status, line.next_change()), ("Disconnected", None))

    def test_auto_disconnect(self) -> None:
        line = self.line()
        line.connect(0)
        line.advance(2)
        line.set_auto_disconnect(60, 3)
        line.advance(61)
        self.assertEqual(line.status, "Connected")
        line.advance(100)
        self.assertEqual(line.status, "Disconnected")
        line.connect(200)
        line.advance(202)
        self.assertEqual(line.next_change(), 262)
        line.set_auto_disconnect(0, 210)
        self.assertIsNone(line.next_change())

    def test_cut(self) -> None:
        line = self.line()
        line.connect(0)
        line.cut("ERROR_ISP_DISCONNECT")
        line.advance(100)
        self.assertEqual((line.status, line.last_error), ("Disconnected", "ERROR_ISP_DISCONNECT"))

    def test_without_setup_time_nothing_is_passed_through(self) -> None:
        line = Line("203.0.113.7")
        line.connect(5)
        self.assertEqual((line.status, line.uptime(7)), ("Connected", 2))
        line.act(FORCE, SERVICE, 8)
        self.assertEqual((line.status, line.last_error), ("Disconnected", "ERROR_USER_DISCONNECT"))
