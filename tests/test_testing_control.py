"""Control of the simulated gateway: SOAP in, SOAP out, by the standard and by the captures of the seeds."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import ActionError
from txigd.testing import control
from txigd.testing.line import Line
from txigd.testing.rules import Rules
from txigd.testing.state import State
from txigd.testing.template import TEMPLATES, read_arguments
from txigd.testing.tree import Tree
from txigd.upnp.control import soap

MESSAGES = Path(__file__).with_name("messages")
MANIFEST = {row["file"]: row for row in json.loads((MESSAGES / "manifest.json").read_text())}
UDN = "uuid:5e0ca1e1-0001-4a11-9d00-02aa55c3d001"
CALLER = "192.0.2.10"
ADD = {
    "NewRemoteHost": "",
    "NewExternalPort": "8080",
    "NewProtocol": "TCP",
    "NewInternalPort": "80",
    "NewInternalClient": CALLER,
    "NewEnabled": "1",
    "NewPortMappingDescription": "a <b> & c",
    "NewLeaseDuration": "3600",
}
PORT = {"NewRemoteHost": "", "NewExternalPort": "8080", "NewProtocol": "TCP"}


class ControlCase(SynchronousTestCase):
    version = 2
    connection = "IP"

    def setUp(self) -> None:
        self.now = 1000.0
        self.state = self.make()

    def make(self, **options) -> State:
        tree = Tree(version=self.version, udn=UDN, friendly_name="g", connection=self.connection)
        state = State(tree, Line("203.0.113.7"), Rules(version=self.version), **options)
        state.line.connect(self.now)
        return state

    def post(self, service: str, body: bytes, soap_action: str = "") -> control.Answer:
        node = self.state.tree.services[service]
        return control.answer(self.state, node, control.read(body, soap_action), caller=CALLER, now=self.now)

    def call(self, service: str, action: str, arguments: dict[str, str] | None = None, service_type: str = "") -> dict:
        node = self.state.tree.services[service]
        service_type = service_type or node.template.service_type
        reply = self.post(service, soap.request(service_type, action, tuple((arguments or {}).items())))
        self.assertIn(reply.status, (200, 500))
        template = node.template.actions.get(action)
        names = [argument.name for argument in template.outputs] if template else []
        return soap.read_reply(action, reply.status, reply.body, names)

    def refused(self, code: int, *args, **kwargs) -> None:
        self.assertEqual(self.assertRaises(ActionError, self.call, *args, **kwargs).code, code)


class CaptureTests(ControlCase):
    """What the programs of the seeds sent, sent again."""

    version = 1

    def capture(self, name: str) -> tuple[bytes, str]:
        head, _, body = (MESSAGES / name).read_bytes().partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        return body, {key.upper(): value for key, value in fields.items()}["SOAPACTION"]

    def test_template_without_internal_client(self) -> None:
        name = "note2004-bad-template-without-internalclient.http"
        reply = self.post("WANIPConnection", *self.capture(name))
        self.assertEqual(reply.error, MANIFEST[name]["expect"]["answer_error"])
        self.assertIn(b"<errorCode>402</errorCode>", reply.body)
        self.assertEqual(reply.status, 500)

    def test_windows_xp_maps_and_deletes(self) -> None:
        self.assertEqual(
            self.post("WANIPConnection", *self.capture("note2004-wrt54g-addportmapping-request.http")).status, 200
        )
        (entry,) = self.state.table
        self.assertEqual((entry.protocol, entry.external_port, entry.internal_port), ("UDP", 27360, 8615))
        self.assertEqual((entry.internal_client, entry.expires), ("192.168.1.101", None))
        reply = self.post("WANIPConnection", *self.capture("note2004-wrt54g-deleteportmapping-request.http"))
        self.assertEqual(reply.error, 714, "TCP 41209 was never mapped here")

    def test_bitcomet_asks(self) -> None:
        body, soap_action = self.capture("intro-huawei-getspecific-request.http")
        self.assertEqual(self.post("WANIPConnection", body, soap_action).error, 714)
        self.call("WANIPConnection", "AddPortMapping", {**ADD, "NewExternalPort": "25118"})
        self.assertEqual(self.post("WANIPConnection", body, soap_action).status, 200)

    def test_every_request_sample_of_the_standard_services(self) -> None:
        self.version = 2
        self.connection = "both-with-IP-live"
        self.state = self.make()
        asked = 0
        for path in sorted(MESSAGES.glob("soap-*-request.http")):
            body, soap_action = self.capture(path.name) if "mpost" not in path.name else (b"", "")
            if not soap_action:
                continue
            name = soap_action.strip('"').split("#")[0].split(":")[3:4]
            service = self.state.tree.services.get(name[0] if name else "")
            if service is not None:
                asked += 1
                self.assertIn(self.post(service.name, body, soap_action).error, (0, 714, 713, 730, 704), path.name)
        self.assertGreater(asked, 12)


class AnswerTests(ControlCase):
    connection = "both-with-PPP-live"

    def test_every_action_answers(self) -> None:
        """Whatever the values, the answer is 200 or a code that the standard lists for the action or for all."""
        samples = {"boolean": "1", "ui2": "1", "ui4": "60", "string": "x", "bin.base64": "eA=="}
        for node in self.state.tree.services.values():
            for action in node.template.actions.values():
                given = {a.name: samples[node.template.variables[a.variable].data_type] for a in action.inputs}
                try:
                    self.call(node.name, action.name, given)
                except ActionError as error:
                    listed = node.template.standard.action_errors[action.name]
                    self.assertIn(error.code, {*listed, 401, 402, 501, 600, 601, 606}, action.name)
                    missing = action.name not in control.implemented(node.name)
                    self.assertEqual(error.code == 401, missing, f"{node.name} {action.name}")

    def test_every_action_of_the_standard_is_implemented(self) -> None:
        for template in TEMPLATES.values():
            self.assertEqual(set(template.actions) - control.implemented(template.name), set(), template.service_type)

    def test_Q143_Q149_the_idle_service(self) -> None:
        self.assertEqual(self.call("WANIPConnection", "GetExternalIPAddress"), {"NewExternalIPAddress": "0.0.0.0"})
        self.assertEqual(self.call("WANIPConnection", "GetStatusInfo")["NewConnectionStatus"], "Unconfigured")
        self.assertEqual(self.call("WANPPPConnection", "GetExternalIPAddress"), {"NewExternalIPAddress": "203.0.113.7"})
        self.call("WANIPConnection", "AddPortMapping", ADD)
        self.assertEqual(len(self.state.table), 1, "both services have one table")
        self.refused(706, "WANIPConnection", "RequestConnection")

    def test_arguments(self) -> None:
        rows: tuple = (
            ({"NewExternalPort": "70000"}, 402),
            ({"NewExternalPort": "-1"}, 402),
            ({"NewExternalPort": ""}, 402),
            ({"NewExternalPort": "1" * 30}, 402),
            ({"NewEnabled": "maybe"}, 402),
            ({"NewLeaseDuration": "4294967296"}, 402),
            ({"Extra": "1"}, 402),
            ({"NewExternalPort": " 080 "}, 0),
            ({"NewEnabled": "true"}, 0),
            ({"NewProtocol": "SCTP"}, 601),
            ({"NewInternalClient": ""}, 715),
            ({"NewInternalPort": "0"}, 732),
        )
        for fields, code in rows:
            given = {**ADD, **fields}
            if code:
                self.refused(code, "WANIPConnection", "AddPortMapping", given)
            else:
                self.call("WANIPConnection", "AddPortMapping", given)
        for missing in ADD:
            given = {name: value for name, value in ADD.items() if name != missing}
            self.refused(402, "WANIPConnection", "AddPortMapping", given)

    def test_mapping_round(self) -> None:
        self.call("WANIPConnection", "AddPortMapping", ADD)
        self.now += 600
        wanted = {
            "NewInternalPort": "80",
            "NewInternalClient": CALLER,
            "NewEnabled": "1",
            "NewPortMappingDescription": "a <b> & c",
            "NewLeaseDuration": "3000",
        }
        self.assertEqual(self.call("WANIPConnection", "GetSpecificPortMappingEntry", PORT), wanted)
        index = {"NewPortMappingIndex": "0"}
        self.assertEqual(self.call("WANPPPConnection", "GetGenericPortMappingEntry", index), {**PORT, **wanted})
        other = {**ADD, "NewInternalClient": "192.0.2.11"}
        self.refused(718, "WANIPConnection", "AddPortMapping", other)
        self.assertEqual(self.call("WANIPConnection", "AddAnyPortMapping", other), {"NewReservedPort": "8081"})
        window = {"NewStartPort": "1", "NewEndPort": "65535", "NewProtocol": "TCP", "NewManage": "1"}
        listing = self.call("WANIPConnection", "GetListOfPortMappings", {**window, "NewNumberOfPorts": "0"})
        self.assertEqual(listing["NewPortListing"].count("<p:PortMappingEntry>"), 2)
        self.assertIn("<p:NewDescription>a &lt;b&gt; &amp; c</p:NewDescription>", listing["NewPortListing"])
        self.call("WANIPConnection", "DeletePortMappingRange", {**window, "NewManage": "0"})
        self.assertEqual([e.internal_client for e in self.state.table], ["192.0.2.11"])
        self.refused(714, "WANIPConnection", "DeletePortMapping", PORT)

    def test_no_address_no_mapping(self) -> None:
        self.state.line.cut("ERROR_NO_CARRIER")
        self.refused(501, "WANPPPConnection", "AddPortMapping", ADD)
        self.assertEqual(self.call("WANPPPConnection", "GetExternalIPAddress"), {"NewExternalIPAddress": ""})
        self.refused(713, "WANCommonInterfaceConfig", "GetActiveConnection", {"NewActiveConnectionIndex": "0"})

    def test_F27_private_address_hidden_as_by_miniupnpd(self) -> None:
        for hidden, address in ((False, "10.0.0.2"), (True, "")):
            self.state = self.make(hide_private_address=hidden)
            self.state.line.address = "10.0.0.2"
            self.assertEqual(self.call("WANPPPConnection", "GetExternalIPAddress"), {"NewExternalIPAddress": address})
        self.refused(501, "WANPPPConnection", "AddPortMapping", ADD)

    def test_connection_type(self) -> None:
        change = {"NewConnectionType": "IP_Bridged"}
        self.refused(601, "WANIPConnection", "SetConnectionType", {"NewConnectionType": "Nonsense"})
        self.call("WANIPConnection", "SetConnectionType", change)
        self.assertEqual(self.call("WANIPConnection", "GetConnectionTypeInfo")["NewConnectionType"], "IP_Bridged")
        self.refused(703, "WANPPPConnection", "SetConnectionType", {"NewConnectionType": "IP_Routed"})
        self.state = self.make(read_only_type=True)
        self.refused(731, "WANIPConnection", "SetConnectionType", change)

    def test_interface(self) -> None:
        self.call("WANCommonInterfaceConfig", "SetEnabledForInternet", {"NewEnabledForInternet": "0"})
        self.assertEqual(self.state.line.last_error, "ERROR_NOT_ENABLED_FOR_INTERNET")
        self.refused(709, "WANPPPConnection", "RequestConnection")
        self.state.traffic.sent(2**32 + 5)
        self.assertEqual(self.call("WANCommonInterfaceConfig", "GetTotalBytesSent"), {"NewTotalBytesSent": "5"})

    def test_active_connection(self) -> None:
        found = self.call("WANCommonInterfaceConfig", "GetActiveConnection", {"NewActiveConnectionIndex": "0"})
        self.assertEqual(found["NewActiveConnDeviceContainer"], self.state.tree.connection_container)
        self.assertEqual(found["NewActiveConnectionServiceID"], "urn:upnp-org:serviceId:WANPPPConn1")
        self.refused(713, "WANCommonInterfaceConfig", "GetActiveConnection", {"NewActiveConnectionIndex": "1"})

    def test_login_is_configured_while_disconnected(self) -> None:
        login = {"NewUserName": "me", "NewPassword": "secret"}
        self.refused(703, "WANPPPConnection", "ConfigureConnection", login)
        self.call("WANPPPConnection", "ForceTermination")
        self.call("WANPPPConnection", "ConfigureConnection", login)
        self.assertEqual(self.call("WANPPPConnection", "GetUserName"), {"NewUserName": "me"})
        self.assertEqual(self.call("WANPPPConnection", "GetPassword"), {"NewPassword": ""}, "never handed out")

    def test_firewall_off(self) -> None:
        self.state.pinholes.firewall_enabled = False
        self.refused(702, "WANIPv6FirewallControl", "DeletePinhole", {"UniqueID": "1"})
        self.assertEqual(self.call("WANIPv6FirewallControl", "GetFirewallStatus")["FirewallEnabled"], "0")

    def test_external_address_that_is_none(self) -> None:
        self.state.hide_private_address = True
        self.state.line.address = "(null)"
        self.assertEqual(self.call("WANPPPConnection", "GetExternalIPAddress"), {"NewExternalIPAddress": "(null)"})

    def test_default_connection(self) -> None:
        default = self.call("Layer3Forwarding", "GetDefaultConnectionService")["NewDefaultConnectionService"]
        self.assertTrue(default.endswith(",urn:upnp-org:serviceId:WANPPPConn1"))
        container = self.state.tree.connection_container
        name = "NewDefaultConnectionService"
        self.refused(720, "Layer3Forwarding", "SetDefaultConnectionService", {name: "uuid:x,y"})
        self.refused(721, "Layer3Forwarding", "SetDefaultConnectionService", {name: f"{container},y"})
        link = f"{container},urn:upnp-org:serviceId:WANEthLinkC1"
        self.refused(723, "Layer3Forwarding", "SetDefaultConnectionService", {name: link})
        other = f"{container},urn:upnp-org:serviceId:WANIPConn1"
        self.call("Layer3Forwarding", "SetDefaultConnectionService", {name: other})
        self.assertEqual(self.state.evented("Layer3Forwarding"), {"DefaultConnectionService": other})

    def test_pinhole_round(self) -> None:
        wish = {
            "RemoteHost": "",
            "RemotePort": "0",
            "InternalClient": "2001:db8::10",
            "InternalPort": "8080",
            "Protocol": "6",
            "LeaseTime": "60",
        }
        unique_id = self.call("WANIPv6FirewallControl", "AddPinhole", wish)
        self.refused(709, "WANIPv6FirewallControl", "CheckPinholeWorking", unique_id)
        self.call("WANIPv6FirewallControl", "UpdatePinhole", {**unique_id, "NewLeaseTime": "600"})
        self.now += 599
        self.state.advance(self.now)
        self.call("WANIPv6FirewallControl", "DeletePinhole", unique_id)
        self.refused(704, "WANIPv6FirewallControl", "DeletePinhole", unique_id)


class ProtocolTests(ControlCase):
    def test_versions_and_names(self) -> None:
        for service_type, code in (("WANIPConnection:1", 0), ("WANIPConnection:2", 0), ("WANIPConnection:3", 401)):
            whole = f"urn:schemas-upnp-org:service:{service_type}"
            reply = self.post("WANIPConnection", soap.request(whole, "GetStatusInfo"), f'"{whole}#GetStatusInfo"')
            self.assertEqual(reply.error, code)
            self.assertEqual(whole.encode() in reply.body, not code, "the answer names the version asked for")
        self.refused(
            401, "WANIPConnection", "GetStatusInfo", service_type="urn:schemas-upnp-org:service:Layer3Forwarding:1"
        )
        self.refused(401, "WANIPConnection", "Nothing")

    def test_soapaction_must_agree(self) -> None:
        whole = "urn:schemas-upnp-org:service:WANIPConnection:2"
        body = soap.request(whole, "GetStatusInfo")
        self.assertEqual(self.post("WANIPConnection", body, f'"{whole}#ForceTermination"').error, 402)
        self.assertEqual(self.state.line.status, "Connected")

    def test_no_soap(self) -> None:
        for body in (b"", b"hello", b"<a/>", b"\xff\xfe"):
            self.assertEqual((self.post("WANIPConnection", body).error), 402)
        body = soap.query_state_variable("ConnectionStatus").replace(b"QueryStateVariable", b"Other")
        self.assertEqual(self.post("WANIPConnection", body).error, 401)

    def test_query_state_variable(self) -> None:
        reply = self.post("WANIPConnection", soap.query_state_variable("ConnectionStatus"))
        self.assertEqual(soap.read_reply(soap.QUERY, 200, reply.body, ["return"]), {"return": "Connected"})
        self.assertEqual(self.post("WANIPConnection", soap.query_state_variable("Nothing")).error, 404)

    def test_version_1_has_no_version_2_actions(self) -> None:
        self.version = 1
        self.state = self.make()
        self.refused(401, "WANIPConnection", "AddAnyPortMapping", ADD)
        self.refused(402, "WANIPConnection", "AddPortMapping", {**ADD, "NewProtocol": "SCTP"})

    def test_strict_reading_of_types(self) -> None:
        service = TEMPLATES["urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"]
        for text, value in (("1", True), ("0", False), (" Yes ", True), ("false", False)):
            read = read_arguments(service, "SetEnabledForInternet", {"NewEnabledForInternet": text})
            self.assertIs(read["NewEnabledForInternet"], value)
