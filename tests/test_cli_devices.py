"""``txigd describe``, ``call`` and ``subscribe`` as real processes against a light and a gateway; ``status -v``."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.child import TXIGD, Child, own_loopback, reactor
from tests.scripted_light import SAMPLES, UDN, Light
from txigd.cli import arguments
from txigd.cli.device_commands import DEVICE_COMMANDS, jsonable, word
from txigd.cli.device_tree import description_data, description_lines
from txigd.testing import SimulatedGateway
from txigd.upnp.control import soap
from txigd.upnp.description import device
from txigd.upnp.url import parse

DESCRIPTION = SAMPLES / "intro-binarylight-description.xml"


class ArgumentTests(SynchronousTestCase):
    def test_what_may_be_written(self) -> None:
        options = arguments.parse(["call", "http://192.0.2.1/d.xml", "SwitchPower", "SetTarget", "A=1=2", "B="])
        self.assertEqual((options.arguments, options.link, options.gateway), ([("A", "1=2"), ("B", "")], [], None))
        self.assertEqual(arguments.parse(["subscribe", "http://192.0.2.1/", "S", "--for", "3"]).seconds, 3)
        self.assertEqual(
            arguments.parse(["describe", "d.xml", "--base", "http://192.0.2.1/"]).base, "http://192.0.2.1/"
        )
        self.patch(sys, "stderr", io.StringIO())
        for command in (*DEVICE_COMMANDS, "subscribe"):
            self.assertRaises(SystemExit, arguments.parse, [command])
        shown = io.StringIO()
        self.patch(sys, "stdout", shown)
        self.assertRaises(SystemExit, arguments.parse, ["describe", "--help"])
        self.assertIn("a URLBase in it wins", " ".join(shown.getvalue().split()))

    def test_values(self) -> None:
        for data_type, value, shown, as_json in (
            ("boolean", True, "1", True),
            ("ui2", 7, "7", 7),
            ("ui2", None, "", None),
            ("bin.hex", b"\x00\xff", "00ff", "00ff"),
            ("bin.base64", b"hi!", "aGkh", "aGkh"),
            ("fixed.14.4", Decimal("1E+3"), "1000.0000", "1000.0000"),
            ("dateTime", datetime(2024, 2, 3), "2024-02-03T00:00:00", "2024-02-03T00:00:00"),
            ("string", "a", "a", "a"),
        ):
            self.assertEqual((word(value, data_type), jsonable(value, data_type)), (shown, as_json))


class TreeTests(SynchronousTestCase):
    def described(self, name: str, *changes: tuple[bytes, bytes]) -> Any:
        document = (SAMPLES / name).read_bytes()
        for old, new in changes:
            self.assertIn(old, document)
            document = document.replace(old, new)
        return device.parse(document, parse("http://192.0.2.1:5000/a/d.xml"))

    def test_urls_are_absolute(self) -> None:
        page = b"<UDN>uuid:cc", b"<presentationURL>page?x</presentationURL><iconList><icon><mimetype>image/png" \
            b"</mimetype><width>48</width><height>32</height><depth>24</depth><url>i.png</url></icon></iconList>" \
            b"<UDN>uuid:cc"  # fmt: skip
        made = self.described(DESCRIPTION.name, page)
        told = description_data(made, {})["device"]
        self.assertEqual(told["presentation_url"], "http://192.0.2.1:5000/a/page?x")
        (icon,) = told["icons"]
        self.assertEqual((icon["url"], icon["width"]), ("http://192.0.2.1:5000/a/i.png", 48))
        self.assertIn("  icon: image/png 48x32x24 http://192.0.2.1:5000/a/i.png", list(description_lines(made, {})))

    def test_Q088_a_page_elsewhere_is_shown_as_it_is(self) -> None:
        page = b"<UDN>uuid:cc", b"<presentationURL>http://evil.example/</presentationURL><UDN>uuid:cc"
        made = self.described(DESCRIPTION.name, page)
        self.assertEqual(description_data(made, {})["device"]["presentation_url"], "http://evil.example/")

    def test_B11_text_of_a_device_cannot_draw_on_the_terminal(self) -> None:
        made = self.described(DESCRIPTION.name, (b"KitchenLights", "a\u202eb".encode()))
        self.assertIn("device a?b: urn:schemas-upnp-org:device:BinaryLight:1", list(description_lines(made, {})))

    def test_embedded_devices(self) -> None:
        made = self.described("description-igd1.xml")
        (wan,) = description_data(made, {})["device"]["devices"]
        self.assertEqual(wan["devices"][0]["services"][0]["described_by"], "none")
        lines = list(description_lines(made, {}))
        self.assertTrue(any(line.startswith("    device ") for line in lines))


class CommandTests(TestCase):
    timeout = 180

    def light(self, **options: Any) -> Light:
        light = Light(reactor, **options)
        light.open()
        self.addCleanup(light.close)
        return light

    async def gateway(self, **options: Any) -> SimulatedGateway:
        gateway = SimulatedGateway(reactor, **{"relay": False, "ssdp": False, **options})
        await gateway.start()
        self.addCleanup(gateway.stop)
        return gateway

    async def txigd(self, *words: str, status: int = 0) -> str:
        child = Child(self, [*TXIGD, *words])
        self.assertEqual(await child.end(), status, child.out + child.err)
        self.assertNotIn("Traceback", child.err)
        if status:
            self.assertEqual(child.err.count("\n"), 1, child.err)
            return child.err
        self.assertEqual(child.err, "")
        return child.out

    async def test_describe(self) -> None:
        light = self.light()
        text = await self.txigd("describe", light.location)
        for line in (
            "device KitchenLights: urn:schemas-upnp-org:device:BinaryLight:1",
            f"    control: {light.device.origin}/SwitchPower/Control",
            f"    events: {light.device.origin}/SwitchPower/Event",
            "    action SetTarget(NewTargetValue: boolean)",
            "    variable Target: boolean = '0'",
            "    variable Status: boolean = '0' [evented]",
        ):
            self.assertIn(f"{line}\n", text)
        told = json.loads(await self.txigd("describe", light.location, "--json"))
        (service,) = told["device"]["services"]
        self.assertEqual((told["device"]["udn"], service["described_by"]), (UDN, "own"))
        self.assertEqual(service["scpd_url"], f"{light.device.origin}/SwitchPower1.xml")
        self.assertEqual([(one["name"], one["evented"]) for one in service["variables"]],
                         [("Target", False), ("Status", True)])  # fmt: skip
        self.assertEqual(service["actions"][0]["in"][0]["type"], "boolean")

    async def test_Q082_F25_describe_where_the_standard_knows_more(self) -> None:
        light = self.light(scpd=b"<html>Log in</html>")
        light.description = light.description.replace(b"service:SwitchPower:1", b"service:WANCommonInterfaceConfig:1")
        told = json.loads(await self.txigd("describe", light.location, "--json"))
        (service,) = told["device"]["services"]
        self.assertEqual(service["described_by"], "standard")
        self.assertIn("GetCommonLinkProperties", [action["name"] for action in service["actions"]])

    async def test_describe_every_service_of_a_gateway(self) -> None:
        gateway = await self.gateway()
        told = json.loads(await self.txigd("describe", gateway.location, "--json"))
        services = _services(told["device"])
        names = {service["type"].split(":")[3] for service in services}
        self.assertLessEqual({"WANIPConnection", "Layer3Forwarding", "WANCommonInterfaceConfig"}, names)
        self.assertEqual({service["described_by"] for service in services}, {"own"})

    async def test_describe_a_file(self) -> None:
        told = json.loads(await self.txigd("describe", str(DESCRIPTION), "--base", "http://192.0.2.7:80/x/", "--json"))
        (service,) = told["device"]["services"]
        self.assertEqual(service["control_url"], "http://192.0.2.7/SwitchPower/Control")
        self.assertEqual(service["described_by"], "none")
        folder = Path(self.mktemp())
        os.mkdir(folder)
        (folder / "based.xml").write_bytes(
            DESCRIPTION.read_bytes().replace(b"<device>", b"<URLBase>http://192.0.2.7:5/b/</URLBase><device>", 1)
        )
        for base, control in (
            ("http://192.0.2.7/x/", "http://192.0.2.7:5/"),
            ("http://192.0.2.8/x/", "http://192.0.2.8/"),
        ):
            told = json.loads(
                await self.txigd("describe", str((folder / "based.xml").resolve()), "--base", base, "--json")
            )
            self.assertTrue(told["device"]["services"][0]["control_url"].startswith(control), told)
        (folder / "d.xml").write_bytes(DESCRIPTION.read_bytes())
        (folder / "SwitchPower1.xml").write_bytes((SAMPLES / "intro-binarylight-scpd.xml").read_bytes())
        text = await self.txigd("describe", str((folder / "d.xml").resolve()))
        self.assertIn("action GetStatus() -> ResultStatus: boolean\n", text)
        text = await self.txigd("describe", str(SAMPLES / "description-igd1.xml"))
        self.assertIn("(cannot be read: the standard's is shown)\n", text)
        self.assertIn("action GetExternalIPAddress() -> NewExternalIPAddress: string\n", text)
        scpd = await self.txigd("describe", str(SAMPLES / "scpd-WANIPConnection-1.xml"))
        self.assertIn("variable ExternalIPAddress: string [evented]\n", scpd)

    def folder(self) -> Path:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        return folder

    async def test_describe_waits_for_no_pipe(self) -> None:
        folder = self.folder()
        pipe = folder / "pipe"
        os.mkfifo(pipe)
        for file in (str(pipe), "/dev/zero"):
            said = f"txigd describe: {file}: a pipe or a device; write a file, or http://ADDRESS:PORT/PATH\n"
            self.assertEqual(await self.txigd("describe", file, status=2), said)
        self.assertIn("Is a directory", await self.txigd("describe", str(folder), status=2))
        os.mkfifo(folder / "SwitchPower1.xml")
        (folder / "d.xml").write_bytes(DESCRIPTION.read_bytes())
        self.assertIn("device KitchenLights", await self.txigd("describe", str(folder / "d.xml")))

    async def test_describe_quotes_no_file_but_markup(self) -> None:
        file = self.folder() / "named by mistake"
        for content in (b"password = hunter2\n", b"\x7fELF hunter2", b"a <hunter2> b", b"hunter2 <r><s></r>", b""):
            file.write_bytes(content)
            line = await self.txigd("describe", str(file), status=1)
            self.assertIn(f"txigd describe: {file}: no XML that can be read: it does not begin with '<'; is", line)
            self.assertNotIn("hunter2", line)
        for content in (b"<html>hunter2</html>", b"\xef\xbb\xbf\n <html>hunter2</html>"):
            file.write_bytes(content)
            self.assertIn("begins '<html>hunter2", await self.txigd("describe", str(file), status=1))
        file.write_bytes(b"HTTP/1.1 200 OK\r\n\r\n" + DESCRIPTION.read_bytes())
        self.assertIn("device KitchenLights", await self.txigd("describe", str(file)), "Q078")

    async def test_describe_what_is_none(self) -> None:
        light = self.light()
        self.assertIn(
            "no device description", await self.txigd("describe", f"{light.device.origin}/SwitchPower1.xml", status=1)
        )
        nothing, closed = f"{light.device.origin}/no.xml", "http://127.0.0.1:1/d.xml"
        for command, *more in ["describe"], ["call", "S", "A"], ["subscribe", "S"]:
            for where, said in (
                (
                    nothing,
                    f"{nothing}: HTTP status 404; is this the URL of a device description? 'txigd discover' shows",
                ),
                (closed, f"{closed}: Connection refused; are address and port right, and is it switched on?"),
            ):
                self.assertIn(f": {said}", await self.txigd(command, where, *more, status=1))
        self.assertIn("No such file", await self.txigd("describe", "nothing-there.xml", status=2))
        self.assertIn(
            "no URL with an address in it: 'http://light.local/d.xml'; write http://ADDRESS:PORT/PATH with an address",
            await self.txigd("describe", "http://light.local/d.xml", status=2),
        )
        for words in (
            ("describe", "http://[fe80::1]:5/d.xml"),
            ("call", "http://[fe80::1]:5/d.xml", "S", "A"),
            ("subscribe", "http://[fe80::1]:5/d.xml", "S"),
            ("ip", "--gateway", "http://[fe80::1]:5/d.xml"),
        ):
            self.assertRegex(await self.txigd(*words, status=2), r"which link .* Write http://\[fe80::1%\S+\]:5/d\.xml")
        self.assertIn(
            "no such link: nolink0; this host has: ",
            await self.txigd("describe", "http://[fe80::1%nolink0]:5/d.xml", status=2),
        )

    async def test_call(self) -> None:
        light = self.light()
        self.assertEqual(await self.txigd("call", light.location, "SwitchPower", "settarget", "newtargetvalue=1"),
                         "settarget: done\n")  # fmt: skip
        self.assertTrue(light.on)
        self.assertEqual(await self.txigd("call", light.location, "SwitchPower:1", "GetStatus"), "ResultStatus=1\n")
        told = await self.txigd("call", light.location, "urn:upnp-org:serviceId:SwitchPower:1", "GetStatus", "--json")
        self.assertEqual(json.loads(told), {"ResultStatus": True})
        told = await self.txigd("call", light.location, "SwitchPower", "QueryStateVariable", "varName=Status")
        self.assertEqual(told, "Status=1\n")

    async def test_octets_are_shown_as_they_are_written(self) -> None:
        scpd = (SAMPLES / "intro-binarylight-scpd.xml").read_bytes().replace(b"boolean<", b"bin.base64<")
        light = self.light(scpd=scpd.replace(b"<defaultValue>0<", b"<defaultValue>aGkh<"))
        told = json.loads(await self.txigd("describe", light.location, "--json"))
        self.assertEqual(told["device"]["services"][0]["variables"][0]["default"], "aGkh")
        self.assertIn("variable Target: bin.base64 = 'aGkh'\n", await self.txigd("describe", light.location))
        light.octets = "aGkh"
        get = "call", light.location, "SwitchPower", "GetStatus"
        self.assertEqual(await self.txigd(*get), "ResultStatus=aGkh\n")
        self.assertEqual(json.loads(await self.txigd(*get, "--json")), {"ResultStatus": "aGkh"})
        query = "call", light.location, "SwitchPower", "QueryStateVariable", "varName=Status"
        self.assertEqual(await self.txigd(*query), "Status=aGkh\n")
        watch = "subscribe", light.location, "SwitchPower", "--for", "1"
        self.assertIn("  Status=aGkh [all]\n", await self.txigd(*watch))
        self.assertEqual(json.loads(await self.txigd(*watch, "--json"))["values"], {"Status": "aGkh"})
        await self.txigd("call", light.location, "SwitchPower", "SetTarget", "NewTargetValue=aGkh")
        (sent,) = [one.body for one in light.device.received if one.action == "SetTarget"]
        self.assertEqual(soap.read_request(sent)[2], {"NewTargetValue": "aGkh"})
        wrong = "'686921' is no base64; write it like aGk="
        await self.refused(wrong, 2, "call", light.location, "SwitchPower", "SetTarget", "NewTargetValue=686921")

    async def test_Q074_Q076_one_of_several_services_of_a_name(self) -> None:
        gateway = await self.gateway(quirks={"Q074", "Q076"})
        shown = await self.txigd("describe", gateway.location)
        for line in ("  service Layer3Forwarding:1 (0)", "      service WANIPConnection:2 (1.0.1)"):
            self.assertIn(f"{line}\n", shown)
        told = json.loads(await self.txigd("describe", gateway.location, "--json"))
        self.assertIn("1.0.1", [one["path"] for one in _services(told["device"]) if "WANIPC" in one["type"]])
        status = "call", gateway.location, "1.0.1", "GetStatusInfo"
        self.assertIn("NewConnectionStatus=Disconnected\n", await self.txigd(*status))
        for command, *more in (("call", "GetStatusInfo"), ("subscribe", "--for", "1")):
            child = Child(self, [*TXIGD, command, gateway.location, "wanipconnection", *more])
            self.assertEqual(await child.end(), 0, child.err)
            self.assertIn("ConnectionStatus=Connected", child.out)
            self.assertEqual(
                child.err,
                f"txigd {command}: 'wanipconnection' is WANIPConnection:2 (0.0.1) here, not WANIPConnection:2 (1.0.1); "
                "a place in the tree names one of them\n",
            )

    def refused(self, said: str, status: int, *words: str) -> Deferred[None]:
        asked = Deferred.fromCoroutine(self.txigd(*words, status=status))
        return asked.addCallback(lambda line: self.assertIn(said, line))

    async def test_a_wrong_call_is_told_what_is_right(self) -> None:
        light, gateway = self.light(), await self.gateway()
        switch = ("call", light.location, "SwitchPower")
        wan = ("call", gateway.location, "WANIPConnection", "DeletePortMapping", "NewRemoteHost=")
        running: list[Deferred[None]] = []
        for words, said, status in (
            ((*switch, "SetTarget"), "SetTarget takes NewTargetValue: boolean; given: none", 2),
            ((*switch, "SetTarget", "Target=1"), "takes NewTargetValue: boolean; given: Target", 2),
            (
                (*switch, "SetTarget", "NewTargetValue=1", "newtargetvalue=0"),
                "given: NewTargetValue, newtargetvalue",
                2,
            ),
            ((*switch, "SetTarget", "NewTargetValue=on"), "NewTargetValue: 'on' is no bool", 2),
            ((*switch, "Explode"), "no action 'Explode'; it has SetTarget, GetTarget, GetStatus", 1),
            ((*switch, "QueryStateVariable", "Status"), "call: 'Status': write NAME=VALUE", 2),
            ((*switch, "QueryStateVariable", "a=Status"), "takes varName=NAME", 2),
            ((*switch, "QueryStateVariable", "varName=Nothing"), "error 404 Invalid Var; 'txigd describe URL'", 1),
            (("call", light.location, "Dimming", "X"), "no service 'Dimming'; it has SwitchPower:1", 1),
            ((*wan, "NewExternalPort=-1", "NewProtocol=TCP"), "NewExternalPort: -1 is not in 0..65535", 2),
            ((*wan, "NewExternalPort=80", "NewProtocol=SCTP"), "use one of TCP, UDP", 2),
            ((*wan, "NewExternalPort=80", "NewProtocol=TCP"), "error 714", 1),
            ((*wan, f"NewExternalPort={'9' * 40}", "NewProtocol=TCP"), "a number of 40 digits is out of range", 2),
            (("describe", light.location, "--base", light.location), "describe: --base is for a FILE", 2),
            (("describe", light.location, "--base", "nonsense"), "describe: --base is for a FILE", 2),
        ):
            running.append(self.refused(said, status, *words))
        await gatherResults(running)
        posted = [line for line in light.lines() if line == "SetTarget"]
        self.assertEqual(posted, [], "nothing wrong was sent")

    async def test_call_with_arguments_named_like_our_own_words(self) -> None:
        words = ("seconds", "due", "action", "self", "arguments")
        taken = "".join(
            f"<argument><name>{name}</name><direction>in</direction><relatedStateVariable>Target"
            "</relatedStateVariable></argument>"
            for name in words
        )
        action = f"<action><name>Wait</name><argumentList>{taken}</argumentList></action><action>"
        scpd = (SAMPLES / "intro-binarylight-scpd.xml").read_bytes()
        light = self.light(scpd=scpd.replace(b"<action>", action.encode(), 1))
        given = [f"{name}=1" for name in words]
        await self.refused("error 401", 1, "call", light.location, "SwitchPower", "Wait", *given)
        (sent,) = [one.body for one in light.device.received if one.action == "Wait"]
        self.assertEqual(soap.read_request(sent)[2], dict.fromkeys(words, "1"))

    async def test_a_call_that_fails_does_not_blame_the_url(self) -> None:
        gateway = await self.gateway()
        for fault, said in (("empty", "GetStatusInfo"), ("close", ""), (HTTPStatus.NOT_FOUND, "HTTP status 404")):
            gateway.set_fault("GetStatusInfo", fault)
            line = await self.txigd("call", gateway.location, "WANIPConnection", "GetStatusInfo", status=1)
            self.assertTrue(line.startswith(f"txigd call: {gateway.location}: "), line)
            self.assertIn(said, line)
            self.assertNotIn("is this the URL", line)

    async def test_subscribe(self) -> None:
        light = self.light()
        child = Child(self, [*TXIGD, "subscribe", light.location, "SwitchPower"])
        await child.says(r"\+00:00|[+-]\d\d:\d\d  Status=0 \[all\]\n")
        light.switch(True)
        await child.says(r"  Status=1\n")
        child.signal("INT")
        self.assertEqual(await child.end(), 0, child.err)
        self.assertEqual((light.sids, child.err), ({}, ""))

    async def test_subscribe_for_a_while_as_json(self) -> None:
        light = self.light()
        told = json.loads(await self.txigd("subscribe", light.location, "SwitchPower", "--for", "1", "--json"))
        self.assertEqual((told["initial"], told["values"]), (True, {"Status": False}))
        self.assertEqual(light.sids, {})

    async def test_F25_silence_costs_the_time_that_was_given_and_the_next_step_is_said(self) -> None:
        light = self.light()
        light.mute = True
        light.description = light.description.replace(b":SwitchPower:", b":Unheard-of:")
        short = "Unheard-of", "--timeout", "0.5"
        why = "no whole reply in time"
        describe = Child(self, [*TXIGD, "describe", light.location, "--timeout", "0.5"])
        self.assertEqual(await describe.end(), 0, describe.err)
        self.assertIn("(cannot be read)\n", describe.out)
        self.assertEqual(describe.err, "txigd describe: no description of Unheard-of:1 in time; try --timeout 60\n")
        line = await self.txigd("call", light.location, "Unheard-of", "Do", "--timeout", "0.5", status=1)
        said = f"has no description that can be read ({why}), so its actions are not known; try --timeout 60\n"
        self.assertTrue(line.endswith(said), line)
        line = await self.txigd("subscribe", light.location, *short, "--for", "30", status=1)
        self.assertTrue(line.endswith(f"no events of Unheard-of:1 (failed): {why}; try --timeout 60\n"), line)
        line = await self.txigd("subscribe", light.location, "Unheard-of", "--for", "1", status=1)
        self.assertTrue(line.endswith("it was not subscribed to in 1 s; try a longer --for\n"), line)

    async def test_F58_a_callback_port_that_is_taken_is_told(self) -> None:
        light = self.light()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            words = ("subscribe", light.location, "SwitchPower", "--callback-port", str(port), "--for", "2")
            child = Child(self, [*TXIGD, *words])
            self.assertEqual(await child.end(), 0, child.err)
        said = f"callback port {port} of 127.0.0.1 is taken; another port is used"
        self.assertEqual(child.err, f"txigd subscribe: {said}\n")
        self.assertIn("Status=0 [all]", child.out, "its events come all the same")

    async def test_F06_a_refused_subscription(self) -> None:
        gateway = await self.gateway()
        gateway.set_fault("SUBSCRIBE", 412)
        line = await self.txigd("subscribe", gateway.location, "Layer3Forwarding", "--for", "20", status=1)
        self.assertIn("no events of Layer3Forwarding:1 (refused)", line)
        self.assertIn("412", line)

    def subscribed(self, gateway: SimulatedGateway, **limits: float) -> Child:
        """``txigd subscribe`` with short times, but for its farewell."""
        short = {
            "EVENTS_VERIFY_SECONDS": 0.5,
            "DEVICE_GRACE_SECONDS": 3.0,
            "RESUBSCRIBE_FLOOR_SECONDS": 1.0,
            "UNSUBSCRIBE_SECONDS": 20.0,  # on a busy machine
            **limits,
        }
        program = f"from txigd import limits; vars(limits).update({short}); from txigd.cli.main import script; script()"
        return Child(self, [sys.executable, "-c", program, "subscribe", gateway.location, "WANIPConnection"])

    async def test_subscribe_ends_when_the_device_died(self) -> None:
        for options, short in (({}, {}), ({"ssdp": True}, {"EVENTS_VERIFY_SECONDS": 1000.0})):
            gateway = await self.gateway(**{"address": own_loopback(), **options})
            child = self.subscribed(gateway, **short)
            await child.says("SystemUpdateID=")
            await gateway.stop()  # it says goodbye where it has SSDP, else a renewal tells
            self.assertEqual(await child.end(), 1, child.out)
            waiting, end = child.err.splitlines()
            self.assertRegex(waiting, r"^txigd subscribe: http://\S+: .+; waiting 3 s for it to come back$")
            self.assertRegex(
                end,
                r"^txigd subscribe: http://\S+ did not come back in 3 s \(.+\), so no more events come; when .*again$",
            )

    async def test_F03_subscribe_goes_on_after_a_restart(self) -> None:
        gateway = await self.gateway()
        for seconds, said in (
            (0, "events may be lost: the subscription was lost"),
            (1.5, "Connection refused; waiting"),
        ):
            child = self.subscribed(gateway, DEVICE_GRACE_SECONDS=20.0)
            await child.says("SystemUpdateID=")
            await gateway.reboot(seconds=seconds)
            await child.says(said)
            await child.says("it restarted or had forgotten us: subscribed again; what happened meanwhile may be lost")
            await child.says(r"(?s)SystemUpdateID=.*SystemUpdateID=")
            gateway.change_address(f"11.22.33.{60 + int(seconds)}")
            await child.says(rf"ExternalIPAddress=11\.22\.33\.{60 + int(seconds)}\n")
            child.signal("INT")
            self.assertEqual(await child.end(), 0, child.err)
            self.assertEqual(child.err.count("\n"), 2, child.err)
            self.assertEqual(gateway.subscribers, ())

    async def test_status_v_says_why_and_what(self) -> None:
        gateway = await self.gateway()
        gateway.set_fault("GetTotalPacketsSent", 401)
        words = ("status", "--link", "lo", "--gateway", gateway.location, "-v")
        child = Child(self, [*TXIGD, *words])
        self.assertEqual(await child.end(), 0, child.err)
        for pattern in (
            r"why this one: +Simulated gateway at 127\.0\.0\.1: named by the user, not the default route",
            r"WANIPConnection:2 in use: rank 6, connected, public address \(Connected 11\.22\.33\.44\)",
            r"GetTotalPacketsSent refused",
            r"events: +Layer3Forwarding:1: subscribed",
            r"traffic: +received \d+ octets \(\d+/s\), sent \d+ octets",
            r"line: +ethernet link status Up",
        ):
            self.assertRegex(child.out, pattern)
        told = Child(self, [*TXIGD, *words, "--json"])
        self.assertEqual(await told.end(), 0, told.err)
        data = json.loads(told.out)
        self.assertTrue(data["ranking"][0]["in_use"])
        capabilities = next(value for name, value in data["capabilities"].items() if name.startswith("WANIPConn"))
        self.assertEqual(capabilities["GetStatusInfo"], "works")
        self.assertEqual(gateway.subscribers, ())

    async def test_Q074_Q076_status_v_keeps_equal_services_apart(self) -> None:
        gateway = await self.gateway(quirks={"Q074", "Q076"})
        gateway.set_fault("SUBSCRIBE", 412)
        words = ("status", "--link", "lo", "--gateway", gateway.location, "-v")
        child = Child(self, [*TXIGD, *words])
        self.assertEqual(await child.end(), 0, child.err)
        told = [line[18:].strip() for line in child.out.splitlines()]
        self.assertEqual(len(set(told)), len(told), "no two lines are equal")
        for line in (
            "WANIPConnection:2 (0.0.1): Connected",
            "WANCommonInterfaceConfig:1 (1.0): 10 not tried",
            "WANIPConnection:2 (1.0.1): refused",
            "Layer3Forwarding:1: SUBSCRIBE answered with HTTP status 412",
            "WANIPConnection:2 (1.0.1): SUBSCRIBE answered with HTTP status 412",
        ):
            self.assertIn(line, told)
        self.assertIn("\n                    WANIPConnection:2 (1.0.1) not used: rank 2", child.out)
        as_json = Child(self, [*TXIGD, *words, "--json"])
        self.assertEqual(await as_json.end(), 0, as_json.err)
        data = json.loads(as_json.out)
        self.assertEqual(len(data["capabilities"]), len(data["services"]))
        self.assertEqual(data["capabilities"]["WANIPConnection:2 (0.0.1)"]["GetStatusInfo"], "works")
        self.assertLessEqual(data["eventing"].keys(), data["capabilities"].keys())


def _services(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [*told["services"], *(service for one in told["devices"] for service in _services(one))]
