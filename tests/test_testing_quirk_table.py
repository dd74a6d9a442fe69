"""The table of quirks that the simulated gateway plays: complete, free of contradictions, and every entry has teeth."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import txigd.testing
from tests import test_testing_quirks, test_testing_quirks_ssdp
from tests.ids import catalogue
from txigd.errors import InvalidArgument
from txigd.testing import QUIRKS, SimulatedGateway
from txigd.testing.control import Answer
from txigd.testing.quirks import NOT_PLAYED, TABLE, Asked, Played, Scene
from txigd.testing.quirks.habit import TRAITS, Quirk
from txigd.testing.rules import Rules
from txigd.testing.tree import Tree
from txigd.upnp.control import soap
from txigd.upnp.discovery import message
from txigd.upnp.eventing import gena

IP1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
IGD1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
ORIGIN = "http://192.168.1.1:5000"
ALWAYS = "as it always does"
CASES = (*vars(test_testing_quirks).values(), *vars(test_testing_quirks_ssdp).values())


def head(*lines: str, method: str = "POST", path: str = "/ctl/IPConn") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines]).encode()


def posted(*lines: str, action: str = "AddPortMapping", body: bytes = b"", **fields: Any) -> Asked:
    given = ('SOAPACTION: "x#AddPortMapping"', "Content-Length: 3", "Host: 192.168.1.1:5000")
    made = {"method": "POST", "path": "/ctl/IPConn", "service_type": IP1, "arguments": {"NewRemoteHost": ""}, **fields}
    return Asked(head=head(*(lines or given)), body=body, action=action, **made)


def subscribed(*lines: str, peer: str = "192.168.1.7") -> Asked:
    return Asked("SUBSCRIBE", "/evt/IPConn", head(*lines, method="SUBSCRIBE"), service_type=IP1, peer=peer)


CALLBACK = ("CALLBACK: <http://192.168.1.7:5000/x>", "NT: upnp:event", "TIMEOUT: Second-1800")
GOOD_BODY = soap.request(IP1, "AddPortMapping", [("NewRemoteHost", "")])

# what a strict gateway refuses: by id, a request and the answer
REFUSED: dict[str, tuple[Asked, object]] = {
    "Q053": (Asked("GET", "/", head("Host: 239.255.255.250:1900", method="GET")), HTTPStatus.BAD_REQUEST),
    "Q054": (Asked("GET", "/", head("Host: router.lan:5000", method="GET")), HTTPStatus.FORBIDDEN),
    "Q059": (posted("Expect: 100-continue"), HTTPStatus.PAYMENT_REQUIRED),
    "Q064": (posted(path="//ctl/IPConn"), HTTPStatus.NOT_FOUND),
    "Q066": (posted(path="/ctl/IPConn"), HTTPStatus.NOT_FOUND),
    "Q089": (posted("Soapaction: x"), HTTPStatus.NOT_IMPLEMENTED),
    "Q090": (posted("SOAPACTION: x#AddPortMapping"), 401),
    "Q091": (posted(f'SOAPACTION: "{IP1[:-1]}2#AddPortMapping"', body=GOOD_BODY), 401),
    "Q092": (posted("SOAPACTION: x#AddPortMapping", 'Content-Type: "text/xml"'), 401),
    "Q093": (posted(pieces=2), "close"),
    "Q094": (posted("Transfer-Encoding: chunked"), HTTPStatus.LENGTH_REQUIRED),
    "Q095": (posted(body=GOOD_BODY.replace(b"><s:Body", b">\n <s:Body")), HTTPStatus.INTERNAL_SERVER_ERROR),
    "Q096": (posted(arguments={"NewProtocol": "TCP", "NewRemoteHost": ""}), 402),
    "Q098": (posted(body=b"<a>&quot;</a>"), 402),
    "Q099": (posted(arguments={"NewPortMappingDescription": ""}), 501),
    "Q100": (posted(arguments={"NewEnabled": "true", "NewRemoteHost": ""}), 402),
    "Q102": (posted(), HTTPStatus.METHOD_NOT_ALLOWED),
    "Q103": (posted(running=2), "close"),
    "Q104": (posted(arguments={"NewStartPort": "0"}), 402),
    "Q165": (subscribed(*CALLBACK[:2], "TIMEOUT: Second-1800.0"), HTTPStatus.BAD_REQUEST),
    "Q167": (subscribed("Callback: <x>", "Nt: upnp:event", "Timeout: Second-1800"), HTTPStatus.PRECONDITION_FAILED),
    "Q171": (subscribed(*CALLBACK, peer="192.168.1.8"), HTTPStatus.PRECONDITION_FAILED),
    "Q172": (subscribed("CALLBACK: <http://8.8.8.8:80/x>"), HTTPStatus.PRECONDITION_FAILED),
}
CODES = (("AddPortMapping", 718), ("DeletePortMapping", 714), ("GetGenericPortMappingEntry", 713), ("GetX", 401))
SAMPLES = {
    "batch": [
        message.answer(IGD1, "uuid:1", f"{ORIGIN}/rootDesc.xml", server="a/1", date="now", boot_id=7, config_id=1),
        message.alive("upnp:rootdevice", "uuid:1", f"{ORIGIN}/rootDesc.xml", host="h:1900", server="a/1", boot_id=7),
    ],
    "searches": [
        b'M-SEARCH * HTTP/1.1\r\nHOST: h:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: '
        + IGD1[:-1].encode()
        + b"2\r\n\r\n",
        b'M-SEARCH * HTTP/1.1\r\nHost: h:1900\r\nMan: "ssdp:discover"\r\nMX: 2\r\nST: ' + IGD1.encode() + b"\r\n\r\n",
        b'M-SEARCH * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: a\r\n\r\n',
    ],
}


class CatalogueTests(SynchronousTestCase):
    def test_every_id_is_played_or_has_a_reason(self) -> None:
        quirks = next(listed for listed in catalogue.read() if listed.name == "quirks")
        played = {identifier[:4] for identifier in TABLE}
        self.assertEqual(sorted(played | NOT_PLAYED.keys()), sorted(quirks.ids))
        self.assertFalse(played & NOT_PLAYED.keys())

    def test_every_one_is_met_by_a_control_point(self) -> None:
        named = {name.split("_")[1] for case in CASES for name in dir(case) if name.startswith("test_Q")}
        self.assertEqual(sorted(set(TABLE) - named), [])

    def test_what_is_public(self) -> None:
        self.assertIs(txigd.testing.QUIRKS, QUIRKS)
        for identifier, says in QUIRKS.items():
            self.assertRegex(identifier, r"^Q[0-9]{3}[b-z]?$")
            self.assertTrue(says and says == says.strip() and not says.endswith("."), identifier)

    def test_every_trait_is_looked_at_by_a_server(self) -> None:
        folder = Path(txigd.testing.__file__).parent
        servers = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
        used = {trait for quirk in TABLE.values() for trait in quirk.traits}
        self.assertEqual(used, set(TRAITS))
        for trait in TRAITS:
            self.assertIn(f'"{trait}"', servers)


class TeethTests(SynchronousTestCase):
    def played(self, identifier: str) -> Played:
        played = Played({identifier})
        played.scene = Scene(
            ORIGIN, "http://192.168.1.1:5001", f"{ORIGIN}/rootDesc.xml", "uuid:1", "11.22.33.44",
            random=Random(1), first_path="/rootDesc.xml",
        )  # fmt: skip
        return played

    def test_every_quirk_changes_something(self) -> None:
        for identifier, quirk in TABLE.items():
            if ALWAYS in quirk.says or quirk.rules or quirk.faults or quirk.traits or quirk.options or quirk.setup:
                continue
            self.assertTrue(any(self.changes(identifier, quirk)), identifier)

    def changes(self, identifier: str, quirk: Quirk) -> list[bool]:
        played = self.played(identifier)
        tree = Tree(version=2, udn="uuid:1", friendly_name="a & b")
        description = tree.description(ORIGIN)
        scpds = [tree.scpd(service) for service in tree.services.values()]
        listing = {"NewExternalIPAddress": "1.2.3.4", "NewLeaseDuration": "9", "NewLastConnectionError": "ERROR_NONE"}
        answers = [
            Answer(200, soap.response(IP1, "GetX", {"NewPortMappingDescription": "x"})),
            Answer(500, soap.fault(713, "No"), 713),
        ]
        asked = [posted(action=name) for name in ("GetGenericPortMappingEntry", "AddPortMapping")]
        replies = [
            (
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/xml\r\nContent-Length: 9\r\n\r\n123456789",
                one,
            )
            for one in (posted("Accept-Encoding: gzip"),)
        ] + [
            (b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-9\r\nContent-Length: 0\r\n\r\n", one)
            for one in (subscribed(*CALLBACK), subscribed("SID: uuid:1", "TIMEOUT: Second-9"))
        ]
        body = gena.propertyset({"ConnectionStatus": "Connected", "ExternalIPAddress": "1.2.3.4"})
        notify = head("NT: upnp:event", "SID: uuid:1", "SEQ: 3", f"CONTENT-LENGTH: {len(body)}") + b"\r\n\r\n" + body
        actions = ("GetExternalIPAddress", "GetStatusInfo", "GetTotalBytesSent", "GetSpecificPortMappingEntry")
        values = {**listing, "NewUptime": "5", "NewTotalBytesSent": "77", "NewConnectionStatus": "Connected"}
        return [
            played.sends(SAMPLES["batch"]) != SAMPLES["batch"],
            not all(played.hears(search, unicast=False) for search in SAMPLES["searches"]),
            played.sends(SAMPLES["batch"]) != SAMPLES["batch"],  # once more: Q008 minds what was heard
            played.description(description, "/rootDesc.xml") != description,
            [played.scpd(document) for document in scpds] != scpds,
            any(played.outputs(action, dict(values)) != values for action in actions for _ in range(4)),
            any(played.code(action, code) != code for action, code in CODES),
            any(played.answers(answer, one) != answer for answer in answers for one in asked),
            any(played.reply(octets, one) != octets for octets, one in replies),
            played.notify(notify) != notify,
            identifier in REFUSED or any(played.asked(one) is not None for one in self.requests()),
            any(played.held(one) for one in self.requests()),
        ]  # fmt: skip

    def requests(self) -> list[Asked]:
        return [
            Asked("GET", "/rootDesc.xml", head(method="GET")),
            Asked("GET", "/WANIPCn.xml", head(method="GET")),
            posted(action="GetGenericPortMappingEntry", arguments={"NewPortMappingIndex": "2"}),
            posted(action="GetStatusInfo"),
            Asked("SUBSCRIBE", "/evt/L3F", head(*CALLBACK), service_type="urn:x:service:Layer3Forwarding:1"),
        ]

    def test_what_a_strict_gateway_refuses(self) -> None:
        for identifier, (asked, fault) in REFUSED.items():
            self.assertEqual(self.played(identifier).asked(asked), fault, identifier)

    def test_rules_and_options_are_real_ones(self) -> None:
        for identifier, quirk in TABLE.items():
            Rules(**quirk.rules)
            SimulatedGateway(Clock(), quirks={identifier}, ssdp=False, relay=False)


class ChoiceTests(SynchronousTestCase):
    def refused(self, *identifiers: str) -> str:
        with self.assertRaises(InvalidArgument) as caught:
            SimulatedGateway(Clock(), quirks=identifiers, ssdp=False, relay=False)
        return str(caught.exception)

    def test_no_such_quirk(self) -> None:
        self.assertRegex(self.refused("Q04x"), r"'Q04x'.*near it: .*Q04")
        self.assertIn("Q", self.refused("nonsense"))

    def test_not_played(self) -> None:
        for identifier in NOT_PLAYED:
            self.assertIn(NOT_PLAYED[identifier], self.refused(identifier))

    def test_contradictions(self) -> None:
        for pair in (("Q043", "Q046"), ("Q117", "Q118"), ("Q028", "Q028b"), ("Q073", "Q149"), ("Q129", "Q130")):
            self.assertRegex(self.refused(*pair), re.compile(f"{pair[0]} and {pair[1]} contradict"))

    def test_one_of_ones_own(self) -> None:
        own = Quirk("its friendly name is shouted", description=lambda document, scene: document.upper())
        self.assertEqual(Played({own}).description(b"<a/>", "/"), b"<A/>")
