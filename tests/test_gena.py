"""Tests of the messages of eventing."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import BadMessage, NotificationRefused, SubscriptionError
from txigd.limits import GRANT_CEILING_SECONDS, GRANT_FLOOR_SECONDS, NAME_OCTETS, SCPD_VARIABLES
from txigd.upnp.eventing import gena
from txigd.upnp.eventing.request import BodyReader, HeadReader, RequestHead, framing, read_head
from txigd.upnp.http_reply import Reply, ReplyReader

MESSAGES = Path(__file__).with_name("messages")
MANIFEST = {entry["file"]: entry for entry in json.loads((MESSAGES / "manifest.json").read_text("utf-8"))}
SID = "uuid:0d1a6c2e-77a0-11eb-9439-0242ac130002"


def entries(*prefixes: str) -> list[str]:
    return sorted(name for name in MANIFEST if name.startswith(prefixes))


def request(name: str) -> tuple[RequestHead, bytes]:
    found = HeadReader().feed((MESSAGES / name).read_bytes())
    assert found is not None, name
    head, rest = found
    body = BodyReader(framing(head))
    body.feed(rest)
    return head, body.body


def reply(octets: bytes) -> Reply:
    reader = ReplyReader(65536, no_body=True)
    if not reader.feed(octets):
        reader.finish()
    return Reply(reader.status, reader.reason, tuple(reader.headers))


def notify(*fields: tuple[str, str]) -> list[tuple[str, str]]:
    """A good NOTIFY header, with the given fields in place of those of the same name."""
    replaced = {name.lower() for name, _ in fields}
    good = [pair for pair in gena.notify_headers(SID, 1) if pair[0].lower() not in replaced]
    return [*good, *(pair for pair in fields if pair[1] != "ABSENT")]


class WrittenTests(SynchronousTestCase):
    """Header lists are exact: order, upper-case names, values."""

    def test_Q165_Q167_subscribe(self) -> None:
        self.assertEqual(
            gena.subscribe_headers("http://192.0.2.10:45123/evt/7f3c1e9a", 1800),
            [("CALLBACK", "<http://192.0.2.10:45123/evt/7f3c1e9a>"), ("NT", "upnp:event"), ("TIMEOUT", "Second-1800")],
        )

    def test_Q167_renew(self) -> None:
        self.assertEqual(gena.renew_headers(SID, 1800), [("SID", SID), ("TIMEOUT", "Second-1800")])

    def test_unsubscribe(self) -> None:
        self.assertEqual(gena.unsubscribe_headers(SID), [("SID", SID)])

    def test_requests_agree_with_the_samples(self) -> None:
        for name, headers in (
            ("gena-subscribe-request.http", gena.subscribe_headers("http://192.0.2.10:45123/evt/7f3c1e9a")),
            ("gena-renew-request.http", gena.renew_headers(SID)),
            ("gena-unsubscribe-request.http", gena.unsubscribe_headers(SID)),
        ):
            head, _ = request(name)
            sample = [pair for pair in head.headers if pair[0] not in ("HOST", "USER-AGENT")]
            self.assertEqual(sample, headers, name)

    def test_propertyset_and_header_agree_with_the_sample(self) -> None:
        octets = (MESSAGES / "gena-notify-change.http").read_bytes()
        self.assertTrue(octets.endswith(b"\r\n\r\n" + gena.propertyset({"ExternalIPAddress": "203.0.113.8"})))
        head, _ = request("gena-notify-change.http")
        sample = [pair for pair in head.headers if pair[0] not in ("HOST", "CONTENT-LENGTH")]
        self.assertEqual(sample, gena.notify_headers(SID, 1))

    @given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True), st.text("ab<>&\"' é\n]")))
    def test_propertyset_is_read_back(self, values: dict[str, str]) -> None:
        stripped = {name: text.strip() for name, text in values.items()}
        self.assertEqual(gena.read_values(gena.propertyset(values)), stripped)

    def test_F11_following(self) -> None:
        self.assertEqual([gena.following(n) for n in (0, 1, 4294967294, 4294967295)], [1, 2, 4294967295, 1])


class GrantTests(SynchronousTestCase):
    """Answers to SUBSCRIBE."""

    def test_samples(self) -> None:
        timeouts = {"infinite": 1800, None: 300}
        seen = 0
        for name in entries("gena-subscribe-response", "gena-renew-response", "gena-bad-sub", "miniupnpd-subscribe"):
            octets = (MESSAGES / name).read_bytes()
            if not octets.startswith(b"HTTP/"):
                continue
            seen += 1
            answer, expect = reply(octets), MANIFEST[name]["expect"]
            if "sid" in expect:
                grant = gena.read_grant(answer)
                self.assertEqual(grant.sid, expect["sid"], name)
                wanted = expect.get("timeout")
                if name != "gena-subscribe-response-statevar.http":
                    self.assertEqual(grant.seconds, timeouts.get(wanted, wanted), name)
                continue
            error = self.assertRaises(SubscriptionError, gena.read_grant, answer)
            self.assertEqual(error.status, 0 if answer.status == 200 else answer.status, name)
        self.assertEqual(seen, 13)

    def test_Q164_C9_timeouts(self) -> None:
        for text, seconds in (
            ("Second-1800", 1800),
            ("second-300", 300),
            ("SECOND-300", 300),
            ("1800", 1800),
            (" Second-0600 ", 600),
            ("infinite", 1800),
            ("Second-infinite", 1800),
            ("Second-300.0", 300),
            ("", 300),
            ("Second-abc", 300),
            ("Second--5", 300),
            ("Second-0", GRANT_FLOOR_SECONDS),
            ("Second-1", GRANT_FLOOR_SECONDS),
            ("Second-99999999", GRANT_CEILING_SECONDS),
            ("Second-" + "9" * 5000, 300),
        ):
            self.assertEqual(gena.read_timeout(text), seconds, text[:40])

    def test_C9_unusable_sid(self) -> None:
        for sid in ("", " ", "a" * 257, "uuid:a\rb", "uuid:a b", "uuid:\x00", "uuid:é", "x" * 1_000_000):
            answer = Reply(200, headers=(("SID", sid), ("TIMEOUT", "Second-1800")))
            self.assertEqual(self.assertRaises(SubscriptionError, gena.read_grant, answer).status, 0)

    def test_Q163_opaque_sid_any_case_of_name(self) -> None:
        answer = Reply(200, headers=(("Sid", "12345"), ("timeout", "second-300")))
        self.assertEqual(gena.read_grant(answer), gena.Grant("12345", 300))

    def test_Q166_renewal_without_or_with_a_new_sid(self) -> None:
        self.assertEqual(gena.read_grant(Reply(200), renewing="uuid:1").sid, "uuid:1")
        self.assertEqual(gena.read_grant(Reply(200, headers=(("SID", "uuid:2"),)), renewing="uuid:1").sid, "uuid:2")

    def test_Q180_empty_header_values(self) -> None:
        answer = reply(b"HTTP/1.1 200 OK\r\nContent-Type: \r\nSERVER:\r\nSID: uuid:1\r\nTIMEOUT: \r\n\r\n")
        self.assertEqual(gena.read_grant(answer), gena.Grant("uuid:1", 300))

    def test_refusals_carry_their_status(self) -> None:
        for status in (400, 404, 405, 412, 500, 501, 503):
            self.assertEqual(self.assertRaises(SubscriptionError, gena.read_grant, Reply(status)).status, status)

    @given(st.text(max_size=300), st.text(max_size=40), st.integers(100, 599))
    def test_C9_nothing_but_a_grant_or_the_error(self, sid: str, timeout: str, status: int) -> None:
        try:
            grant = gena.read_grant(Reply(status, headers=(("SID", sid), ("TIMEOUT", timeout))))
        except SubscriptionError:
            return
        self.assertTrue(GRANT_FLOOR_SECONDS <= grant.seconds <= GRANT_CEILING_SECONDS)
        self.assertTrue(grant.sid.isprintable() and grant.sid.isascii() and 1 <= len(grant.sid) <= 256)


class NotificationTests(SynchronousTestCase):
    """NOTIFY messages."""

    def test_samples(self) -> None:
        """Every NOTIFY of the manifest: its answer, SEQ and values; an unknown SID is for the callback port to know."""
        seen = 0
        for name in entries("gena-notify", "gena-bad-notify", "miniupnpd-notify"):
            if not (MESSAGES / name).read_bytes().startswith(b"NOTIFY /"):
                continue
            seen += 1
            head, body = request(name)
            expect = MANIFEST[name]["expect"]
            if expect["answer"] != 200 and "unknown-sid" not in name:
                error = self.assertRaises(NotificationRefused, gena.read_notification, head.headers, body)
                self.assertEqual(error.status, expect["answer"], name)
                continue
            event = gena.read_notification(head.headers, body)
            self.assertEqual(event.sid == SID, "unknown-sid" not in name)
            self.assertEqual(event.seq, expect.get("seq", event.seq), name)
            self.assertEqual(dict(event.values), expect.get("values", dict(event.values)), name)
            self.assertTrue(event.values, name)
        self.assertEqual(seen, 29)

    def test_bad_value_is_handed_over_as_text(self) -> None:
        head, body = request("gena-notify-bad-value.http")
        values = gena.read_notification(head.headers, body).values
        self.assertEqual(values, {"PortMappingNumberOfEntries": "many", "ConnectionStatus": "Connected"})

    def test_lastchange_is_unescaped_once(self) -> None:
        head, body = request("gena-notify-lastchange.http")
        text = gena.read_notification(head.headers, body).values["LastChange"]
        self.assertTrue(text.startswith('<Event xmlns="urn:schemas-upnp-org:metadata-1-0/AVT/"><InstanceID val="0">'))

    def test_Q159_missing_seq(self) -> None:
        headers = notify(("SEQ", "ABSENT"))
        self.assertEqual(self.assertRaises(NotificationRefused, gena.read_envelope, headers).status, 400)
        self.assertEqual(gena.read_envelope(headers, lenient=True), gena.Envelope(SID, None))
        self.assertRaises(NotificationRefused, gena.read_envelope, notify(("SEQ", "x")), lenient=True)

    def test_C1_seq_values(self) -> None:
        for text, seq in (("0", 0), ("0000000002", 2), ("4294967295", 4294967295), ("0" * 300 + "7", 7)):
            self.assertEqual(gena.read_envelope(notify(("SEQ", text))).seq, seq)
        for text in ("4294967296", "-1", "1.0", "", "x", "٣", "1 2", "+1", "9" * 5000):
            self.assertEqual(
                self.assertRaises(NotificationRefused, gena.read_envelope, notify(("SEQ", text))).status, 400
            )

    def test_C1_order_of_the_checks(self) -> None:
        nothing: list[tuple[str, str]] = []
        self.assertEqual(self.assertRaises(NotificationRefused, gena.read_envelope, nothing).reason, "nt")
        both = notify(("SID", "ABSENT"), ("SEQ", "ABSENT"))
        error = self.assertRaises(NotificationRefused, gena.read_envelope, both)
        self.assertEqual((error.status, error.reason), (412, "sid"))

    def test_doubled_fields(self) -> None:
        twice = [*notify(), ("sid", SID), ("SEQ", "1"), ("nt", "upnp:event")]
        self.assertEqual(gena.read_envelope(twice), gena.Envelope(SID, 1))
        for field, status in ((("SID", "uuid:other"), 412), (("SEQ", "2"), 400), (("NTS", "ssdp:alive"), 412)):
            error = self.assertRaises(NotificationRefused, gena.read_envelope, [*notify(), field])
            self.assertEqual(error.status, status)

    def test_Q163_names_in_any_case(self) -> None:
        headers = [("nt", "upnp:event"), ("Nts", "UPNP:PROPCHANGE"), ("Sid", "12"), ("seq", "3")]
        self.assertEqual(gena.read_envelope(headers), gena.Envelope("12", 3))

    def test_Q178_content_type_does_not_matter(self) -> None:
        for kind in ("ABSENT", "", "application/octet-stream", "text/html; charset=x"):
            self.assertEqual(gena.read_envelope(notify(("CONTENT-TYPE", kind))).seq, 1)

    def test_Q178_F12_trailing_nul(self) -> None:
        self.assertEqual(gena.read_values(gena.propertyset({"A": "1"}) + b"\0\r\n\0"), {"A": "1"})

    def test_Q176_prefixed_variables(self) -> None:
        for start in (b'<s:A xmlns:s="urn:x">1</s:A>', b"<s:A>1</s:A>"):
            body = (
                b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property>%s</e:property></e:propertyset>'
            )
            self.assertEqual(gena.read_values(body % start), {"A": "1"})

    def test_Q176_names_take_the_spelling_of_the_description(self) -> None:
        body = gena.propertyset({"connectionstatus": "Connected", "X_New": "1"})
        self.assertEqual(gena.read_values(body, ["ConnectionStatus"]), {"ConnectionStatus": "Connected", "X_New": "1"})

    def test_Q177_namespaces_and_forms(self) -> None:
        for body in (
            b"<propertyset><property><A>1</A><B>2</B></property></propertyset>",
            b"<PropertySet><Property><A>1</A></Property><Property><B>2</B></Property></PropertySet>",
            b'<x:propertyset xmlns:x="urn:wrong"><x:property><A>1</A></x:property><B>2</B></x:propertyset>',
        ):
            self.assertEqual(gena.read_values(body), {"A": "1", "B": "2"})

    def test_C6_many_and_long_names_are_bounded(self) -> None:
        body = gena.propertyset({f"V{n}": "1" for n in range(SCPD_VARIABLES + 100)})
        self.assertRaises(NotificationRefused, gena.read_values, body)
        self.assertEqual(gena.read_values(gena.propertyset({"A" * (NAME_OCTETS + 1): "1", "B": "2"})), {"B": "2"})

    def test_no_property_set(self) -> None:
        for body in (
            b"",
            b"\0",
            b"hello",
            b"<html></html>",
            b"<propertyset>",
            b"<!DOCTYPE a []><propertyset/>",
            b"<a" * 9,
        ):
            self.assertEqual(self.assertRaises(NotificationRefused, gena.read_values, body).status, 400)

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(["NT", "nts", "SID", "Seq", "X"]), st.text(max_size=30)), max_size=8),
        st.one_of(st.binary(max_size=200), st.text("<>/propertyse:&;ABx='\" \0", max_size=200).map(str.encode)),
        st.booleans(),
    )
    @example([], b"", False)
    def test_nothing_but_a_notification_or_the_refusal(
        self, fields: list[tuple[str, str]], body: bytes, lenient: bool
    ) -> None:
        for headers in (fields, [*gena.notify_headers(SID, 1), *fields]):
            try:
                event = gena.read_notification(headers, body, lenient=lenient)
            except NotificationRefused as refusal:
                self.assertIn(refusal.status, (400, 412))
            else:
                self.assertTrue(event.seq is None or 0 <= event.seq <= gena.SEQ_MAX)


class DeviceSideTests(SynchronousTestCase):
    """What the simulated gateway reads."""

    sender = ipaddress.IPv4Address("192.0.2.10")

    def test_samples(self) -> None:
        for name in entries("gena-subscribe-request", "gena-renew-request", "gena-bad-subscribe-request"):
            head, _ = request(name)
            expect = MANIFEST[name]["expect"]
            if "answer" in expect:
                error = self.assertRaises(SubscriptionError, gena.read_subscribe, head.headers, sender=self.sender)
                self.assertEqual(error.status, expect["answer"], name)
                continue
            wish = gena.read_subscribe(head.headers, sender=self.sender)
            self.assertEqual(wish.seconds, 1800)
            self.assertEqual(wish.sid, SID if "renew" in name else "")
            self.assertEqual(len(wish.callbacks), 0 if "renew" in name else 2 if "two" in name else 1)
            self.assertEqual(wish.variables, ("ConnectionStatus", "ExternalIPAddress") if "statevar" in name else ())

    def test_C10_foreign_callbacks_are_left_out(self) -> None:
        headers = [("CALLBACK", "<http://203.0.113.66/x><http://192.0.2.10:1/y>"), ("NT", "upnp:event")]
        wish = gena.read_subscribe(headers, sender=self.sender)
        self.assertEqual([str(url) for url in wish.callbacks], ["http://192.0.2.10:1/y"])

    def test_timeouts(self) -> None:
        for text, seconds in (("Second-infinite", 1800), ("Second-60", 60), ("", 1800), ("Second-x", 1800)):
            self.assertEqual(gena.read_subscribe([("SID", "1"), ("TIMEOUT", text)]).seconds, seconds)

    def test_unsubscribe(self) -> None:
        head, _ = request("gena-unsubscribe-request.http")
        self.assertEqual(gena.read_unsubscribe(head.headers), SID)
        for headers, status in (([], 412), ([("SID", "1"), ("NT", "upnp:event")], 400)):
            self.assertEqual(self.assertRaises(SubscriptionError, gena.read_unsubscribe, headers).status, status)

    def test_grant_is_read_back(self) -> None:
        answer = Reply(200, headers=tuple(gena.grant_headers("uuid:1", 900)))
        self.assertEqual(gena.read_grant(answer), gena.Grant("uuid:1", 900))

    def test_the_introductions_template_is_no_message(self) -> None:
        octets = (MESSAGES / "intro-bad-gena-template.http.txt").read_bytes()
        self.assertEqual(self.assertRaises(BadMessage, read_head, octets).reason, "head")
