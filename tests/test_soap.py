"""Envelopes: requests byte by byte, replies as real devices send them, the device's side."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import ActionError, BadMessage, BadReply, HTTPStatusError, InvalidArgument
from txigd.limits import ERROR_TEXT_CHARACTERS, SCPD_ARGUMENTS
from txigd.upnp.control import soap

MESSAGES = Path(__file__).with_name("messages")
MANIFEST = {entry["file"]: entry for entry in json.loads((MESSAGES / "manifest.json").read_text(encoding="utf-8"))}
IP1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
IP2 = "urn:schemas-upnp-org:service:WANIPConnection:2"
HEAD = (
    '<?xml version="1.0"?>\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
)
TAIL = "</s:Body></s:Envelope>"
# What XML can carry, as a parser gives it back: no carriage return, no blanks at the ends.
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n<>&\"']")
)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)


def split(name: str) -> tuple[str, str, bytes]:
    """First line, header block and body of a sample; interim answers skipped, chunks joined."""
    raw = (MESSAGES / name).read_bytes()
    while True:
        head, _, body = raw.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 100"):
            break
        raw = body
    first, _, fields = head.decode("latin-1").partition("\r\n")
    if re.search(r"(?im)^transfer-encoding:\s*chunked", fields):
        rest, body = body, b""
        while size := int(rest.partition(b"\r\n")[0].partition(b";")[0], 16):
            start = rest.index(b"\r\n") + 2
            body += rest[start : start + size]
            rest = rest[start + size + 2 :]
    return first, fields, body


def status_of(name: str) -> int:
    return int(split(name)[0].split()[1])


def fields_of(name: str) -> list[tuple[str, str]]:
    pairs = [line.partition(":") for line in split(name)[1].split("\r\n")]
    return [(key, value.strip()) for key, _, value in pairs]


def reply(content: str) -> bytes:
    return (HEAD + content + TAIL).encode()


def answered(inside: str, action: str = "GetStatusInfo", service_type: str = IP1) -> bytes:
    return reply(f'<u:{action}Response xmlns:u="{service_type}">{inside}</u:{action}Response>')


class RequestTests(SynchronousTestCase):
    def test_every_sample_request_byte_by_byte(self) -> None:
        """What read_request finds, request writes again exactly."""
        seen = 0
        for name in sorted(MANIFEST):
            if not re.fullmatch(r"soap-(?!Query|mpost).*-request\.http", name):
                continue
            _, _, body = split(name)
            service_type, action, arguments = soap.read_request(body)
            self.assertEqual(MANIFEST[name]["expect"]["action"], action, name)
            self.assertEqual(body, soap.request(service_type, action, list(arguments.items())), name)
            wanted = [pair for pair in fields_of(name) if pair[0] in ("CONTENT-TYPE", "SOAPACTION")]
            self.assertEqual(wanted, soap.headers(service_type, action), name)
            seen += 1
        self.assertEqual(19, seen)

    def test_add_port_mapping_bytes(self) -> None:
        arguments = [("NewRemoteHost", ""), ("NewPortMappingDescription", "Tom & <Jerry> \"'")]
        self.assertEqual(
            f'{HEAD}<u:AddPortMapping xmlns:u="{IP1}"><NewRemoteHost></NewRemoteHost><NewPortMappingDescription>'
            f"Tom &amp; &lt;Jerry&gt; \"'</NewPortMappingDescription></u:AddPortMapping>{TAIL}".encode(),
            soap.request(IP1, "AddPortMapping", arguments),
        )

    def test_Q095_compact_envelope(self) -> None:
        envelope = soap.request(IP1, "GetStatusInfo").partition(b"?>\n")[2]
        self.assertNotRegex(envelope.decode(), r"\n|> <|standalone")
        self.assertIn(b'"http://schemas.xmlsoap.org/soap/envelope/"', envelope)

    def test_Q096_order_is_kept(self) -> None:
        body = soap.request(IP1, "Do", [("B", "1"), ("A", "2"), ("C", "3")])
        self.assertIn(b"<B>1</B><A>2</A><C>3</C>", body)

    def test_Q098_only_three_characters_are_escaped(self) -> None:
        self.assertIn(b"<A>&amp;&lt;&gt;\"'</A>", soap.request(IP1, "Do", [("A", "&<>\"'")]))

    def test_Q100_empty_arguments_are_sent(self) -> None:
        self.assertIn(b"<NewRemoteHost></NewRemoteHost>", soap.request(IP1, "Do", [("NewRemoteHost", "")]))

    def test_Q089_Q090_spelling_and_quotes_of_soapaction(self) -> None:
        self.assertEqual(
            [("CONTENT-TYPE", 'text/xml; charset="utf-8"'), ("SOAPACTION", f'"{IP1}#GetStatusInfo"')],
            soap.headers(IP1, "GetStatusInfo"),
        )

    def test_Q091_header_and_body_name_the_same_type(self) -> None:
        vendor = "urn:dslforum-org:service:WANIPConnection:1"
        self.assertIn(f'xmlns:u="{vendor}"'.encode(), soap.request(vendor, "GetInfo"))
        self.assertEqual(f'"{vendor}#GetInfo"', dict(soap.headers(vendor, "GetInfo"))["SOAPACTION"])

    def test_Q091_a_vendors_type_may_have_dots_and_hyphens(self) -> None:
        for vendor in "urn:dslforum-org:service:X_AVM-DE_Types:1", "urn:x:service:a.b-c_D:12":
            self.assertEqual(f'"{vendor}#GetInfo"', dict(soap.headers(vendor, "GetInfo"))["SOAPACTION"])
            self.assertEqual(soap.read_request(soap.request(vendor, "GetInfo"))[:2], (vendor, "GetInfo"))

    def test_Q102_mpost_headers(self) -> None:
        name = "soap-mpost-request.http"
        wanted = [pair for pair in fields_of(name) if pair[0] in ("CONTENT-TYPE", "MAN", "01-SOAPACTION")]
        self.assertEqual(wanted, soap.headers(IP1, "GetExternalIPAddress", mpost=True))
        self.assertEqual(split(name)[2], soap.request(IP1, "GetExternalIPAddress"))

    def test_query_state_variable(self) -> None:
        name = "soap-QueryStateVariable-request.http"
        self.assertEqual(split(name)[2], soap.query_state_variable("ConnectionStatus"))
        self.assertEqual(split(name)[2], soap.request(soap.CONTROL, soap.QUERY, [("varName", "ConnectionStatus")]))
        self.assertIn(("SOAPACTION", f'"{soap.CONTROL}#QueryStateVariable"'), soap.headers(soap.CONTROL, soap.QUERY))
        self.assertIn(soap.headers(soap.CONTROL, soap.QUERY)[1], fields_of(name))
        read = soap.read_request(split(name)[2])
        self.assertEqual((soap.CONTROL, soap.QUERY, {"varName": "ConnectionStatus"}), read)

    def test_B10_service_types_that_never_go_out(self) -> None:
        for bad in (
            "",
            'x"\r\nX: y',
            IP1 + "\r\nX:",
            IP1 + '"',
            "urn:a:service:b:1234",
            IP1 + " ",
            "urn:ä:service:b:1",
            "urn:a:service:b–c:1",
            "urn:a:service:b/c:1",
            "urn:a:service:b&c:1",
            "urn:a:service:b'c:1",
            "urn:a:service:b#c:1",
            "urn:a:service:b.c:1\n",
        ):
            with self.assertRaises(InvalidArgument):
                soap.request(bad, "GetStatusInfo")
            with self.assertRaises(InvalidArgument):
                soap.headers(bad, "GetStatusInfo")
        with self.assertRaises(InvalidArgument):
            soap.request(soap.CONTROL, "GetStatusInfo")

    def test_B10_names_that_never_go_out(self) -> None:
        for bad in ("", "a b", "a\n", 'a"', "a#b", "<a>", "a:b", "1a", "a" * 129):
            for call in (
                lambda bad=bad: soap.request(IP1, bad),
                lambda bad=bad: soap.request(IP1, "Do", [(bad, "")]),
                lambda bad=bad: soap.headers(IP1, bad),
                lambda bad=bad: soap.query_state_variable(bad),
            ):
                self.assertRaises(InvalidArgument, call)

    def test_B10_text_is_escaped_or_refused(self) -> None:
        body = soap.request(IP1, "Do", [("A", "</A></x><y>")])
        self.assertIn(b"<A>&lt;/A&gt;&lt;/x&gt;&lt;y&gt;</A>", body)
        for bad in ("\0", "\r", "\x1b", "\ud800", "\ufffe"):
            self.assertRaises(InvalidArgument, soap.request, IP1, "Do", [("A", f"x{bad}")])


class ManifestTests(SynchronousTestCase):
    """Every control sample, read as the manifest says."""

    def outcome(self, name: str, action: str, outputs: tuple[str, ...]) -> dict[str, str]:
        return soap.read_reply(action, status_of(name), split(name)[2], outputs)

    def test_requests(self) -> None:
        names = [
            name
            for name, entry in MANIFEST.items()
            if name.endswith("-request.http") and entry["group"] in ("The 2004 note", "The introduction")
        ]
        names = [name for name in names if "action" in MANIFEST[name]["expect"]]
        self.assertEqual(4, len(names))
        for name in names:
            service_type, action, _ = soap.read_request(split(name)[2])
            self.assertEqual((IP1, MANIFEST[name]["expect"]["action"]), (service_type, action), name)

    def test_answers(self) -> None:
        seen = 0
        for name, entry in MANIFEST.items():
            if "out" not in entry["expect"] or not name.startswith(("soap-", "note2004-", "intro-")):
                continue
            body = split(name)[2]
            found = re.search(rb"[<:](\w+)Response\b", body)
            assert found is not None
            wanted = entry["expect"]["out"]
            got = self.outcome(name, found[1].decode(), tuple(wanted))
            self.assertEqual(wanted, {key: got.get(key) for key in wanted}, name)
            seen += 1
        self.assertEqual(31, seen)

    def test_faults(self) -> None:
        seen = 0
        for name, entry in MANIFEST.items():
            if "error" not in entry["expect"]:
                continue
            caught = self.assertRaises(ActionError, self.outcome, name, "AddPortMapping", ())
            self.assertEqual(entry["expect"]["error"], caught.code, name)
            self.assertEqual("vendor" if caught.code == 801 else soap.ERROR_NAMES[caught.code], caught.name, name)
            self.assertEqual("AddPortMapping", caught.action)
            seen += 1
        self.assertEqual(27, seen)

    def test_status_without_error(self) -> None:
        for name, status in {
            "soap-fault-no-body.http": 500,
            "soap-fault-html.http": 500,
            "soap-fault-404-http.http": 404,
            "soap-405.http": 405,
            "soap-mpost-510.http": 510,
        }.items():
            caught = self.assertRaises(HTTPStatusError, self.outcome, name, "AddPortMapping", ())
            self.assertEqual(status, caught.status, name)
        caught = self.assertRaises(HTTPStatusError, self.outcome, "soap-fault-html.http", "AddPortMapping", ())
        self.assertIn("500 Internal Server Error", caught.excerpt)

    def test_bad_ones(self) -> None:
        for name in ("soap-bad-response-truncated.http", "soap-bad-response-not-xml.http"):
            self.assertRaises(BadReply, self.outcome, name, "GetExternalIPAddress", ("NewExternalIPAddress",))

    def test_bad_template_lacks_the_client(self) -> None:
        """The template of the note can be read; that InternalClient is missing is for the device to answer (402)."""
        name = "note2004-bad-template-without-internalclient.http"
        _, action, arguments = soap.read_request(split(name)[2])
        self.assertEqual("AddPortMapping", action)
        self.assertNotIn("NewInternalClient", arguments)

    def test_bad_uptime_is_given_raw(self) -> None:
        outputs = ("NewConnectionStatus", "NewLastConnectionError", "NewUptime")
        got = self.outcome("soap-response-bad-uptime.http", "GetStatusInfo", outputs)
        self.assertEqual(set(outputs), set(got))
        self.assertFalse(got["NewUptime"].isdigit())

    def test_query_state_variable(self) -> None:
        got = self.outcome("soap-QueryStateVariable-response.http", soap.QUERY, ("return",))
        self.assertEqual({"return": "Connected"}, got)

    def test_port_listing_forms(self) -> None:
        for form in ("escaped", "cdata", "nested", "empty"):
            name = f"soap-GetListOfPortMappings-response-{form}.http"
            got = self.outcome(name, "GetListOfPortMappings", ("NewPortListing",))
            count = got["NewPortListing"].count("PortMappingEntry") // 2
            self.assertEqual(MANIFEST[name]["expect"]["entries"], count, name)


class ReplyTests(SynchronousTestCase):
    OUTPUTS = ("NewConnectionStatus", "NewLastConnectionError", "NewUptime")

    def test_Q105_any_prefix_and_a_blank_in_the_namespace(self) -> None:
        body = (
            b'<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/ "><SOAP-ENV:Body>'
            b'<m:GetStatusInfoResponse xmlns:m="urn:x "><NewUptime>5</NewUptime></m:GetStatusInfoResponse>'
            b"</SOAP-ENV:Body></SOAP-ENV:Envelope>"
        )
        self.assertEqual({"NewUptime": "5"}, soap.read_reply("GetStatusInfo", 200, body, self.OUTPUTS))

    def test_Q106_wrong_service_type_or_none(self) -> None:
        for tag in (f'GetStatusInfoResponse xmlns="{IP2}"', "GetStatusInfoResponse"):
            body = reply(f"<{tag}><NewUptime>5</NewUptime></GetStatusInfoResponse>")
            self.assertEqual({"NewUptime": "5"}, soap.read_reply("GetStatusInfo", 200, body, self.OUTPUTS))

    def test_Q107_names_in_other_case(self) -> None:
        body = answered("<newuptime>5</newuptime><NEWCONNECTIONSTATUS>Connected</NEWCONNECTIONSTATUS>")
        got = soap.read_reply("GetStatusInfo", 200, body, self.OUTPUTS)
        self.assertEqual({"NewUptime": "5", "NewConnectionStatus": "Connected"}, got)

    def test_Q108_bare_text_for_one_output(self) -> None:
        body = answered("203.0.113.7", "GetExternalIPAddress")
        got = soap.read_reply("GetExternalIPAddress", 200, body, ("NewExternalIPAddress",))
        self.assertEqual({"NewExternalIPAddress": "203.0.113.7"}, got)
        self.assertEqual({}, soap.read_reply("GetStatusInfo", 200, answered("Connected"), self.OUTPUTS))

    def test_Q109_empty_reply(self) -> None:
        for empty in (b"", b"\r\n \0"):
            self.assertEqual({}, soap.read_reply("AddPortMapping", 200, empty, ()))
            caught = self.assertRaises(BadReply, soap.read_reply, "GetStatusInfo", 200, empty, self.OUTPUTS)
            self.assertIn("empty reply", str(caught))
        self.assertEqual({}, soap.read_reply("AddPortMapping", 200, reply(""), ()))
        self.assertRaises(BadReply, soap.read_reply, "GetStatusInfo", 200, reply(""), self.OUTPUTS)

    def test_Q110_extras_kept_missing_absent(self) -> None:
        body = answered("<X_Extra>1</X_Extra><NewUptime>5</NewUptime><NewUptime>6</NewUptime>")
        got = soap.read_reply("GetStatusInfo", 200, body, self.OUTPUTS)
        self.assertEqual({"X_Extra": "1", "NewUptime": "5"}, got)

    def test_Q110_extras_are_bounded(self) -> None:
        body = answered("".join(f"<X{n}>1</X{n}>" for n in range(3 * SCPD_ARGUMENTS)) + "<NewUptime>5</NewUptime>")
        got = soap.read_reply("GetStatusInfo", 200, body, self.OUTPUTS)
        self.assertEqual("5", got["NewUptime"])
        self.assertEqual(SCPD_ARGUMENTS + 1, len(got))

    def test_Q111_fault_in_a_success(self) -> None:
        body = soap.fault(402)
        self.assertEqual(402, self.assertRaises(ActionError, soap.read_reply, "Do", 200, body, ()).code)
        fault = "<s:Fault><faultstring>no</faultstring></s:Fault>"
        self.assertRaises(BadReply, soap.read_reply, "Do", 200, reply(fault), ())
        both = reply(f"<DoResponse/>{fault}")
        self.assertRaises(BadReply, soap.read_reply, "Do", 200, both, ())

    def test_an_output_called_errorCode_is_no_fault(self) -> None:
        body = answered("<errorCode>718</errorCode>", "X_GetError")
        self.assertEqual({"errorCode": "718"}, soap.read_reply("X_GetError", 200, body, ("errorCode",)))

    def test_Q112_forms_of_fault(self) -> None:
        inside = "<errorCode>718</errorCode>"
        for fault in (
            f"<s:Fault><faultCode>s:Client</faultCode><detail><UPnPError>{inside}</UPnPError></detail></s:Fault>",
            f"<s:Fault><detail><UPnPError>{inside}</UPnPError></detail></s:Fault>",
            f'<s:Fault><detail><UPnPError xmlns="urn:dslforum-org:control-1-0">{inside}</UPnPError></detail></s:Fault>',
            f"<FAULT><DETAIL><UPNPERROR>{inside.replace('errorCode', 'ErrorCode')}</UPNPERROR></DETAIL></FAULT>",
            f"<UPnPError>{inside}</UPnPError>",
        ):
            for status in (500, 200, 400):
                caught = self.assertRaises(ActionError, soap.read_reply, "Do", status, reply(fault), ())
                self.assertEqual((718, "ConflictInMappingEntry", ""), (caught.code, caught.name, caught.text))

    def test_Q113_codes_of_the_vendor(self) -> None:
        for code, name in ((-911, "vendor"), (801, "vendor"), (900, "vendor"), (799, "unknown"), (613, "unknown")):
            body = soap.fault(code, "Own words")
            caught = self.assertRaises(ActionError, soap.read_reply, "Do", 500, body, ())
            self.assertEqual((code, name, "Own words"), (caught.code, caught.name, caught.text))

    def test_Q114_junk_behind_and_inside(self) -> None:
        body = soap.fault(718) + b"\x00\xfe\x81junk"
        self.assertEqual(718, self.assertRaises(ActionError, soap.read_reply, "Do", 500, body, ()).code)
        broken = soap.fault(718, "Taken").replace(b"</detail>", b"</dtl\x01\xff>")
        for status in (500, 200):
            caught = self.assertRaises(ActionError, soap.read_reply, "Do", status, broken, ())
            self.assertEqual((718, "Taken"), (caught.code, caught.text))

    def test_Q115_unescaped_once(self) -> None:
        body = answered("<NewConnectionStatus>a &amp;amp; b</NewConnectionStatus>")
        got = soap.read_reply("GetStatusInfo", 200, body, self.OUTPUTS)
        self.assertEqual("a &amp; b", got["NewConnectionStatus"])

    def test_Q116_no_xml_in_a_500(self) -> None:
        caught = self.assertRaises(HTTPStatusError, soap.read_reply, "Do", 500, b"Sorry,\r\nbusy", ())
        self.assertEqual((500, "Sorry, busy"), (caught.status, caught.excerpt))
        fault = reply("<s:Fault><faultstring>Internal</faultstring></s:Fault>")
        caught = self.assertRaises(HTTPStatusError, soap.read_reply, "Do", 500, fault, ())
        self.assertEqual("Internal", caught.excerpt)

    def test_a_good_answer_with_an_error_status_is_an_error(self) -> None:
        body = answered("<NewUptime>5</NewUptime>")
        self.assertRaises(HTTPStatusError, soap.read_reply, "GetStatusInfo", 500, body, self.OUTPUTS)

    def test_B9_answer_to_another_action(self) -> None:
        body = answered("<NewUptime>5</NewUptime>", "GetExternalIPAddress")
        self.assertRaises(BadReply, soap.read_reply, "GetStatusInfo", 200, body, self.OUTPUTS)
        self.assertRaises(BadReply, soap.read_reply, "AddPortMapping", 200, body, ())

    def test_error_text_is_one_bounded_line(self) -> None:
        body = soap.fault(501, "a\nb" + "x" * 5000)
        caught = self.assertRaises(ActionError, soap.read_reply, "Do", 500, body, ())
        self.assertTrue(caught.text.startswith("a bx"))
        self.assertEqual(ERROR_TEXT_CHARACTERS, len(caught.text))

    def test_a_document_as_value_is_given_as_markup(self) -> None:
        body = answered('<p:L xmlns:p="urn:p" a="1&quot;"><p:E>&amp;</p:E></p:L>', "Get").replace(b"<p:L", b"<Out><p:L")
        body = body.replace(b"</p:L>", b"</p:L></Out>")
        got = soap.read_reply("Get", 200, body, ("Out",))
        self.assertEqual({"Out": '<L xmlns="urn:p" a="1&quot;"><E>&amp;</E></L>'}, got)

    @settings(deadline=None)
    @given(st.integers(100, 599), st.binary() | TEXT.map(lambda text: reply(text)), st.booleans())
    @example(200, b"<a><b/></a>", True)
    @example(500, b"<errorCode>999999999</errorCode><", False)
    def test_arbitrary_octets(self, status: int, body: bytes, some: bool) -> None:
        try:
            got = soap.read_reply("GetStatusInfo", status, body, self.OUTPUTS if some else ())
        except (ActionError, HTTPStatusError, BadReply):
            return
        self.assertIsInstance(got, dict)

    @settings(deadline=None)
    @given(st.data())
    def test_damaged_answers(self, data: st.DataObject) -> None:
        whole = data.draw(st.sampled_from([answered("<NewUptime>5</NewUptime>"), soap.fault(718)]))
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, len(whole)))
        damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
        try:
            soap.read_reply("GetStatusInfo", data.draw(st.sampled_from([200, 500])), damaged, self.OUTPUTS)
        except (ActionError, HTTPStatusError, BadReply):
            pass


class DeviceSideTests(SynchronousTestCase):
    def test_faults_byte_by_byte(self) -> None:
        seen = 0
        for name in sorted(MANIFEST):
            if re.fullmatch(r"soap-fault-\d{3}\.http|soap-QueryStateVariable-fault-404\.http", name):
                self.assertEqual(split(name)[2], soap.fault(MANIFEST[name]["expect"]["error"]), name)
                seen += 1
        self.assertEqual(22, seen)
        self.assertEqual(split("soap-fault-800-vendor.http")[2], soap.fault(801, "Sample vendor error"))

    def test_answers_byte_by_byte(self) -> None:
        seen = 0
        for name, entry in MANIFEST.items():
            found = re.fullmatch(r"soap-(\w+)-response\.http", name)
            if found is None or found[1] == soap.QUERY:
                continue
            body = split(name)[2]
            service_type = re.search(r'xmlns:u="([^"]+)"', body.decode())
            assert service_type is not None
            self.assertEqual(body, soap.response(service_type[1], found[1], entry["expect"]["out"]), name)
            seen += 1
        self.assertEqual(18, seen)
        body = split("soap-QueryStateVariable-response.http")[2]
        self.assertEqual(body, soap.response(soap.CONTROL, soap.QUERY, [("return", "Connected")]))

    def test_requests_that_are_none(self) -> None:
        for bad in (b"", b"junk", b"<a/>", reply(""), reply("<a/><b/>"), HEAD.encode()):
            self.assertRaises(BadMessage, soap.read_request, bad)
        many = "".join(f"<A{n}/>" for n in range(SCPD_ARGUMENTS + 1))
        self.assertRaises(BadMessage, soap.read_request, reply(f"<Do>{many}</Do>"))

    @settings(deadline=None)
    @given(st.lists(st.tuples(NAME, TEXT), max_size=5, unique_by=lambda pair: pair[0]))
    def test_any_text_goes_there(self, arguments: list[tuple[str, str]]) -> None:
        got = soap.read_request(soap.request(IP1, "Do", arguments))
        self.assertEqual((IP1, "Do", {name: text.strip() for name, text in arguments}), got)

    @settings(deadline=None)
    @given(st.lists(st.tuples(NAME, TEXT), max_size=5, unique_by=lambda pair: pair[0].lower()))
    def test_any_text_comes_back(self, outputs: list[tuple[str, str]]) -> None:
        body = soap.response(IP1, "Do", outputs)
        got = soap.read_reply("Do", 200, body, [name for name, _ in outputs])
        self.assertEqual({name: text.strip() for name, text in outputs}, got)

    @settings(deadline=None)
    @given(TEXT)
    def test_any_error_text_is_one_line(self, text: str) -> None:
        caught = self.assertRaises(ActionError, soap.read_reply, "Do", 500, soap.fault(501, text), ())
        self.assertEqual(1, len(caught.text.splitlines() or [""]))

    @settings(deadline=None)
    @given(st.binary())
    def test_arbitrary_octets(self, body: bytes) -> None:
        try:
            soap.read_request(body)
        except BadMessage:
            pass
