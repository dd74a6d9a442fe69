"""Quirks of eventing (Q157-Q192) over real sockets: a raw device grants, notifies and is judged, octet for octet.

One row of a table is one gateway. What a subscription decides is tested in test_subscription.py and test_subscriber.py,
what the callback port refuses in test_callback.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.pauses import rest
from tests.raw_client import Answer, ask
from tests.raw_server import RawConnection, RawServer, reactor
from txigd.upnp.description.device import Service
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.eventing.subscriber import Subscriber
from txigd.upnp.http import Exchange
from txigd.upnp.url import DeviceURL, parse

SID = "uuid:0d1a6c2e"
GRANT = f"HTTP/1.1 200 OK\r\nSID: {SID}\r\nTIMEOUT: Second-1800\r\n\r\n".encode()
PROPERTY = "<e:property><ConnectionStatus>Connected</ConnectionStatus></e:property>"
SET = f'<?xml version="1.0"?><e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">{PROPERTY}</e:propertyset>'
FIELDS = ("NT: upnp:event", "NTS: upnp:propchange", "SID: {sid}", "SEQ: 0")

# the answer to SUBSCRIBE, and the SID of the NOTIFY that follows
GRANTS: dict[str, tuple[bytes, str]] = {
    "Q163 lower-case names, a SID that is no UUID": (
        b"HTTP/1.1 200 OK\r\nsid: 42\r\ntimeout: second-300\r\n\r\n",
        "42",
    ),
    "Q163 mixed case": (b"HTTP/1.1 200 OK\r\nSid: uuid:7\r\nTimeout: Second-300\r\n\r\n", "uuid:7"),
    "Q164 no TIMEOUT": (b"HTTP/1.1 200 OK\r\nSID: uuid:7\r\n\r\n", "uuid:7"),
    "Q164 infinite": (b"HTTP/1.1 200 OK\r\nSID: uuid:7\r\nTIMEOUT: infinite\r\n\r\n", "uuid:7"),
    "Q164 Second-infinite": (b"HTTP/1.1 200 OK\r\nSID: uuid:7\r\nTIMEOUT: Second-infinite\r\n\r\n", "uuid:7"),
    "Q164 a bare number": (b"HTTP/1.1 200 OK\r\nSID: uuid:7\r\nTIMEOUT: 1800\r\n\r\n", "uuid:7"),
    "Q180 empty fields": (b"HTTP/1.1 200 OK\r\nContent-Type: \r\nSERVER:\r\nSID: uuid:7\r\n\r\n", "uuid:7"),
    "Q044 no slash": (b"HTTP1.1 200 OK\r\nSID: uuid:7\r\n\r\n", "uuid:7"),
    "F62 LF only": (b"HTTP/1.0 200 OK\nSID: uuid:7\n\n", "uuid:7"),
}

# fields of the NOTIFY, with Content-Length added where None stands, and the body
NOTIFYS: dict[str, tuple[tuple[str | None, ...], str]] = {
    "plain": ((*FIELDS, "CONTENT-TYPE: text/xml", None), SET),
    "Q163 names in any case": (("nt: upnp:event", "Nts: upnp:propchange", "Sid: {sid}", "seq: 0", None), SET),
    "Q176 undeclared prefix": (
        (*FIELDS, None),
        SET.replace("<Conn", "<s:Conn").replace("</Conn", "</s:Conn"),
    ),
    "Q176 other case": ((*FIELDS, None), SET.replace("ConnectionStatus", "connectionstatus")),
    "Q177 no namespace": ((*FIELDS, None), re.sub(r"e:| xmlns:e=\S+?\"(?=>)", "", SET)),
    "Q177 another namespace": ((*FIELDS, None), SET.replace("event-1-0", "control-1-0")),
    "Q177 several variables in one property": (
        (*FIELDS, None),
        SET.replace("<ConnectionStatus>", "<X_A>1</X_A><ConnectionStatus>"),
    ),
    "Q177 several properties": (
        (*FIELDS, None),
        SET.replace(PROPERTY, "<e:property><X_A>1</X_A></e:property>" + PROPERTY),
    ),
    "Q178 no type, no length": (FIELDS, SET),
    "Q178 another type": ((*FIELDS, "CONTENT-TYPE: text/html", None), SET),
    "Q178 trailing NUL": ((*FIELDS, None), SET + "\0"),
    "Q159 zeros before the number": ((*FIELDS[:3], "SEQ: 000", None), SET),
    "Q189 blank before the colon": (("NT : upnp:event", *FIELDS[1:], None), SET),
}

# a NOTIFY that is told off, as UDA 1.1 section 4 says, and the status
REFUSED: dict[str, tuple[str, Iterable[str], int]] = {
    "unknown SID": ("NOTIFY", (*FIELDS[:2], "SID: uuid:nobody", FIELDS[3]), 412),
    "no SID": ("NOTIFY", (*FIELDS[:2], FIELDS[3]), 412),
    "no NT": ("NOTIFY", FIELDS[1:], 400),
    "no NTS": ("NOTIFY", (FIELDS[0], *FIELDS[2:]), 400),
    "another NT": ("NOTIFY", ("NT: upnp:propchange", *FIELDS[1:]), 412),
    "another method": ("GET", (), 405),
    "POST": ("POST", FIELDS, 405),
}


def notify(
    callback: DeviceURL, fields: Iterable[str | None], body: str, sid: str = SID, method: str = "NOTIFY"
) -> bytes:
    """The octets of a NOTIFY."""
    octets = body.encode()
    lines = [f"Content-Length: {len(octets)}" if line is None else line.format(sid=sid) for line in fields]
    head = "\r\n".join([f"{method} {callback.target} HTTP/1.1", f"HOST: {callback.authority}", *lines, "", ""])
    return head.encode() + octets


class DeviceCase(TestCase):
    """A raw device on loopback, and the real subscriber, exchange and callback port."""

    timeout = 180

    def setUp(self) -> None:
        self.exchange = Exchange(reactor)
        self.addCleanup(self.exchange.close)
        self.callbacks = CallbackServer(reactor)
        self.addCleanup(self.callbacks.stop)
        self.values: list[dict[str, str]] = []
        self.peers: list[str] = []

    async def subscribed(self, grant: bytes = GRANT, *, interface: str = "127.0.0.1") -> DeviceURL:
        """Subscribe at a device that answers so; what CALLBACK named."""

        def script(connection: RawConnection) -> None:
            self.peers.append(connection.transport.getPeer().host)
            connection.send(grant if connection.got.startswith(b"SUBSCRIBE") else b"HTTP/1.1 200 OK\r\n\r\n")
            connection.close()

        self.device = RawServer(script, interface=interface)
        service = Service("urn:schemas-upnp-org:service:WANIPConnection:1", "", None, self.device.url("/evt"), None)
        granted: Deferred[str] = Deferred()
        self.subscriber = Subscriber(
            reactor,
            self.exchange,
            self.callbacks,
            service,
            lambda values, initial: self.values.append(values),
            lambda state: granted.callback(state) if state in ("subscribed", "refused", "failed") else None,
            variables=["ConnectionStatus"],
        )
        self.subscriber.start()
        self.assertEqual(await granted, "subscribed")
        found = re.search(rb"CALLBACK: <([^<>]*)>", self.device.requests[0])
        assert found is not None
        return parse(found[1].decode())

    async def ended(self) -> None:
        await self.subscriber.stop()
        await self.device.stop()
        self.values.clear()

    async def heard(self) -> dict[str, str]:
        """The values of the next event; a test that waits in vain runs into its time limit."""
        while not self.values:
            await deferLater(reactor, 0.005)
        return self.values[0]

    async def send(self, callback: DeviceURL, octets: bytes) -> Answer:
        return await ask(callback.port, octets, address=str(callback.host))


class GrantTests(DeviceCase):
    ids = {"Q163", "Q164", "Q180"}

    async def test_events_come_after_every_form_of_grant(self) -> None:
        for name, (grant, sid) in GRANTS.items():
            callback = await self.subscribed(grant)
            answer = await self.send(callback, notify(callback, (*FIELDS, None), SET, sid))
            self.assertEqual(answer.status, 200, name)
            self.assertEqual(await self.heard(), {"ConnectionStatus": "Connected"}, name)
            await self.ended()

    async def test_Q171_Q172_C10_callback_is_the_address_that_subscribes(self) -> None:
        callback = await self.subscribed(interface="127.0.0.5")
        self.assertEqual([str(callback.host)], self.peers)
        self.assertEqual(self.device.requests[0].count(b"http://"), 1, "no second URL, no name")
        await self.ended()

    async def test_Q165_Q185_Q167_the_request(self) -> None:
        callback = await self.subscribed()
        await self.subscriber.stop()
        subscribe, unsubscribe = (octets.split(b"\r\n") for octets in self.device.requests)
        self.assertEqual(
            [line for line in subscribe if line.partition(b":")[0] in (b"CALLBACK", b"NT", b"TIMEOUT", b"SID")],
            [b"CALLBACK: <%s>" % str(callback).encode(), b"NT: upnp:event", b"TIMEOUT: Second-1800"],
        )
        self.assertEqual(unsubscribe[0], b"UNSUBSCRIBE /evt HTTP/1.1")
        self.assertIn(b"SID: " + SID.encode(), unsubscribe)
        await self.device.stop()


class NotifyTests(DeviceCase):
    ids = {"Q159", "Q163", "Q176", "Q177", "Q178", "Q189"}

    async def test_every_form_of_notify_is_heard(self) -> None:
        for name, (fields, body) in NOTIFYS.items():
            callback = await self.subscribed()
            answer = await self.send(callback, notify(callback, fields, body))
            self.assertEqual(answer.status, 200, name)
            self.assertEqual((await self.heard()).get("ConnectionStatus"), "Connected", name)
            await self.ended()

    async def test_Q191_what_is_told_off(self) -> None:
        callback = await self.subscribed()
        for name, (method, fields, status) in REFUSED.items():
            answer = await self.send(callback, notify(callback, (*fields, None), SET, method=method))
            self.assertEqual(answer.status, status, name)
        other = DeviceURL(callback.host, callback.port, "/another")
        self.assertEqual((await self.send(callback, notify(other, (*FIELDS, None), SET))).status, 404)
        await rest(reactor, 0.05)
        self.assertEqual(self.values, [], "nothing of it was believed")
        answer = await self.send(callback, notify(callback, (*FIELDS, None), SET))
        self.assertEqual(answer.status, 200, "and the subscription goes on")
        await self.heard()
        await self.ended()
