"""The BinaryLight of the sample documents as a device on loopback: it switches, it events, it can be asked.

Made of :class:`txigd.testing.ScriptedDevice` and the device side of the message modules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import defer

from txigd.testing import Received, ScriptedDevice
from txigd.upnp.control import soap
from txigd.upnp.eventing import gena
from txigd.upnp.http import Exchange
from txigd.upnp.url import DeviceURL, parse

SAMPLES = Path(__file__).with_name("messages")
SWITCH = "urn:schemas-upnp-org:service:SwitchPower:1"
UDN = "uuid:cc93d8e6-6b8b-4f60-87ca-228c36b5b0e8"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def http(status: str, body: bytes = b"", *fields: str) -> bytes:
    """A reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", 'Content-Type: text/xml; charset="utf-8"', *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Light:
    """One light; ``on`` is what Status says, ``sids`` the subscriptions that are alive.

    :ivar scpd: the service description; None for 404.
    :ivar mute: answers nothing but what asks for its own description.
    :ivar octets: what Status says in place of ``on``.
    """

    def __init__(self, reactor: Any, *, scpd: bytes | None = None) -> None:
        self.on = False
        self.octets = ""
        self.mute = False
        self.scpd = sample("intro-binarylight-scpd.xml") if scpd is None else scpd
        self.description = sample("intro-binarylight-description.xml")
        self.sids: dict[str, tuple[DeviceURL, int]] = {}
        self.made = 0
        self.sent: list[defer.Deferred[Any]] = []
        self.device = ScriptedDevice(reactor, {lambda request: True: self.answer})
        self._exchange = Exchange(reactor)

    @property
    def location(self) -> str:
        return f"{self.device.origin}/light.xml"

    def open(self) -> None:
        self.device.open()

    async def close(self) -> None:
        self._exchange.close()
        await defer.gatherResults(self.sent, consumeErrors=True)
        await self.device.close()

    def lines(self) -> list[str]:
        """Method and path, or action, of each request so far."""
        return [one.action or " ".join(one.line.split(" ")[:2]) for one in self.device.received]

    def switch(self, on: bool) -> None:
        """Somebody presses the button."""
        self.on = on
        for sid in tuple(self.sids):
            self.notify(sid)

    # -- what it answers ---------------------------------------------------------------------------------------------
    def answer(self, request: Received) -> bytes | None:
        method, path, *_ = request.line.split(" ")
        if self.mute and path != "/light.xml":
            return None
        if method == "GET":
            documents = {"/light.xml": self.description, "/SwitchPower1.xml": self.scpd}
            return http("200 OK", documents[path]) if documents.get(path) else http("404 Not Found")
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return self.subscription(method, request)
        _, action, arguments = soap.read_request(request.body)
        if action == "QueryStateVariable":
            if arguments.get("varName") != "Status":
                return sample("soap-QueryStateVariable-fault-404.http")
            body = sample("soap-QueryStateVariable-response.http").partition(b"\r\n\r\n")[2]
            return http("200 OK", body.replace(b"Connected", self.octets.encode() or b"%d" % self.on))
        if action == "SetTarget":
            self.switch(arguments["NewTargetValue"] == "1")
            return http("200 OK", soap.response(SWITCH, action, {}))
        outputs = {
            "GetStatus": {"ResultStatus": self.octets or f"{self.on:d}"},
            "GetTarget": {"RetTargetValue": f"{self.on:d}"},
        }
        if action not in outputs:
            return http("500 Internal Server Error", soap.fault(401))
        return http("200 OK", soap.response(SWITCH, action, outputs[action]))

    def subscription(self, method: str, request: Received) -> bytes:
        sid = request.header("SID")
        if method == "UNSUBSCRIBE":
            self.sids.pop(sid, None)
        elif not sid:
            self.made += 1
            sid = f"uuid:light-{self.made}"
            self.sids[sid] = (parse(request.header("CALLBACK").strip("<>")), 0)
            self.notify(sid)
        return http("200 OK", b"", f"SID: {sid}", "TIMEOUT: Second-1800")

    def notify(self, sid: str) -> None:
        url, seq = self.sids[sid]
        self.sids[sid] = (url, gena.following(seq) if seq else 1)
        body = gena.propertyset({"Status": self.octets or f"{self.on:d}"})
        sent = self._exchange.request("NOTIFY", url, gena.notify_headers(sid, seq), body, body_cap=1000, seconds=5)
        sent.addErrback(lambda failure: None)
        self.sent.append(sent)
