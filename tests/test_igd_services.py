"""Typed services: built from the table, named and documented by it, and true to it."""

from __future__ import annotations

import inspect
import json
import keyword
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.generate_services_stub import STUB, generate
from tests.test_action import FakeExchange, refused, service, table, variable
from tests.test_soap import MANIFEST, split
from txigd.errors import ActionError, ActionNotOffered, BadReply, InvalidArgument
from txigd.igd import services
from txigd.igd.names import keyword_name, result_name, snake_case
from txigd.igd.tables import NOTES, builtin_table, error_names, standard, standards
from txigd.igd.typed_service import PYTHON_TYPES, TypedService
from txigd.upnp.control import soap
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description.service import Action, Argument, ServiceDescription
from txigd.upnp.description.service import parse as parse_description
from txigd.upnp.http_reply import Reply

IGD = json.loads(files("txigd.igd").joinpath("igd.json").read_text(encoding="utf-8"))["services"]
IP = "urn:schemas-upnp-org:service:WANIPConnection:"
V6 = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"


class NameTests(SynchronousTestCase):
    def test_snake_case(self) -> None:
        for name, wanted in {
            "GetExternalIPAddress": "get_external_ip_address",
            "GetNATRSIPStatus": "get_nat_rsip_status",
            "X_GetICSStatistics": "x_get_ics_statistics",
            "GetPPPEncryptionProtocol": "get_ppp_encryption_protocol",
            "Layer1UpstreamMaxBitRate": "layer1_upstream_max_bit_rate",
            "GetDSLLinkInfo": "get_dsl_link_info",
            "DeviceUDN": "device_udn",
            "UniqueID": "unique_id",
            "GetACLData": "get_acl_data",
            "WANIPv6FirewallControl": "wan_ipv6_firewall_control",
            "WANIPConnection": "wan_ip_connection",
            "GetPlusVTRCommandSupported": "get_plus_vtr_command_supported",
            "ACL": "acl",
        }.items():
            self.assertEqual(wanted, snake_case(name))

    def test_keyword_name(self) -> None:
        for name, wanted in {
            "NewRemoteHost": "remote_host",
            "RemoteHost": "remote_host",
            "Newest": "newest",
            "NewIPRouters": "ip_routers",
        }.items():
            self.assertEqual(wanted, keyword_name(name))

    def test_result_name(self) -> None:
        self.assertEqual(
            ["StatusInfo", "AddAnyPortMapping", "Gettysburg"],
            [result_name(name) for name in ("GetStatusInfo", "AddAnyPortMapping", "Gettysburg")],
        )


class TableTests(SynchronousTestCase):
    def test_whole_standard(self) -> None:
        self.assertEqual(list(IGD), [entry.service_type for entry in standards()])
        for entry in standards():
            source = IGD[entry.service_type]
            self.assertEqual([a["name"] for a in source["actions"]], list(entry.description.actions))
            self.assertEqual([v["name"] for v in source["variables"]], list(entry.description.variables))
            for action in source["actions"]:
                ours = entry.description.actions[action["name"]]
                self.assertEqual([a["name"] for a in action["in"]], [a.name for a in ours.inputs])
                self.assertEqual([a["name"] for a in action["out"]], [a.name for a in ours.outputs])
                for argument in (*ours.inputs, *ours.outputs):
                    self.assertIn(argument.variable, entry.description.variables)
                self.assertTrue(set(entry.action_errors[action["name"]]) <= set(entry.errors))

    def test_same_as_the_service_descriptions(self) -> None:
        """The SCPD samples were written from the same tables by other means."""
        directory = Path(__file__).with_name("messages")
        seen = 0
        for entry in standards():
            sample = directory / f"scpd-{entry.name}-{entry.version}.xml"
            described = parse_description(sample.read_bytes())
            ours = entry.description
            self.assertEqual(set(described.actions), set(ours.actions))
            for name, action in described.actions.items():
                self.assertEqual(tuple(action.inputs), tuple(ours.actions[name].inputs), name)
                self.assertEqual(tuple(action.outputs), tuple(ours.actions[name].outputs), name)
            for name, theirs in described.variables.items():
                own = ours.variables[name]
                self.assertEqual((theirs.data_type, theirs.evented), (own.data_type, own.evented), name)
                self.assertEqual(tuple(theirs.allowed), own.allowed, name)
                self.assertEqual((theirs.minimum, theirs.maximum), (own.minimum, own.maximum), name)
            seen += 1
        self.assertEqual(12, seen)

    def test_nearest_lower_version_of_any_vendor(self) -> None:
        for service_type, wanted in {
            f"{IP}1": f"{IP}1",
            f"{IP}2": f"{IP}2",
            f"{IP}3": f"{IP}2",
            f"{IP}0": f"{IP}1",
            "urn:dslforum-org:service:WANIPConnection:1": f"{IP}1",
            "urn:schemas-upnp-org:service:WANPPPConnection:2": "urn:schemas-upnp-org:service:WANPPPConnection:1",
            "urn:SCHEMAS-UPNP-ORG:Service:wanipconnection:1 ": f"{IP}1",
        }.items():
            found = standard(service_type)
            assert found is not None
            self.assertEqual(wanted, found.service_type)
            self.assertIs(builtin_table(service_type), found.description)

    def test_what_is_not_of_igd(self) -> None:
        for other in ("", "urn:schemas-upnp-org:service:AVTransport:1", f"{IP}x", "WANIPConnection:1", f"{IP}1:2"):
            self.assertIsNone(builtin_table(other))

    def test_error_names(self) -> None:
        self.assertEqual("InactiveConnectionStateRequired", error_names(f"{IP}1")[703])
        self.assertEqual("InboundPinholeNotAllowed", error_names(V6)[703])
        self.assertEqual("Invalid Args", error_names(V6)[402])
        self.assertNotIn(718, error_names(V6))
        self.assertEqual("ConflictInMappingEntry", error_names("urn:x")[718])

    def test_soap_has_the_names_of_the_connection_services(self) -> None:
        for service_type in (f"{IP}1", f"{IP}2", "urn:schemas-upnp-org:service:Layer3Forwarding:1"):
            for code, name in error_names(service_type).items():
                self.assertEqual(name, soap.ERROR_NAMES[code])

    def test_notes_are_of_variables_that_exist(self) -> None:
        self.assertEqual(set(), set(NOTES) - {name for entry in standards() for name in entry.description.variables})


class ClassTests(SynchronousTestCase):
    def test_the_stub_is_fresh(self) -> None:
        self.assertEqual(generate(), STUB.read_text(encoding="utf-8"), "run python -m tests.generate_services_stub")

    def test_one_class_per_service_one_method_per_action(self) -> None:
        classes = services.service_classes()
        self.assertEqual(list(IGD), list(classes))
        for service_type, made in classes.items():
            self.assertEqual([a["name"] for a in IGD[service_type]["actions"]], [a.wire for a in made.actions.values()])
            self.assertIs(made, getattr(services, made.__name__))
            for action in made.actions.values():
                self.assertTrue(callable(getattr(made, action.name)))
                self.assertNotIn(action.name, dir(TypedService))
                names = [argument.name for argument in action.inputs]
                self.assertEqual(len(names), len({*names, "self", "seconds"}) - 2)
                for name in (action.name, *names, *(output.name for output in action.outputs)):
                    self.assertTrue(name.isidentifier() and not keyword.iskeyword(name), name)
                self.assertEqual(action.result is not None, len(action.outputs) > 1)

    def test_names(self) -> None:
        self.assertEqual(["WANIPConnection1", "WANIPConnection2"], [n for n in dir(services) if n.startswith("WANIPC")])
        with self.assertRaises(AttributeError):
            services.WANIPConnection9  # type: ignore[attr-defined]
        self.assertEqual("txigd.igd.services", services.StatusInfo.__module__)

    def test_services_that_answer_alike_share_the_result(self) -> None:
        results = {
            made.actions["get_status_info"].result
            for name, made in services.service_classes().items()
            if "get_status_info" in made.actions
        }
        self.assertEqual({services.StatusInfo}, results)

    def test_signature_and_documentation(self) -> None:
        method = services.WANIPConnection2.add_port_mapping
        self.assertEqual(
            "(self, *, remote_host: str, external_port: int, protocol: str, internal_port: int, internal_client: str, "
            "enabled: bool, port_mapping_description: str, lease_duration: int, seconds: float = 10.0)",
            str(inspect.signature(method)),
        )
        for words in (
            "AddPortMapping of WANIPConnection:2, required",
            ":param lease_duration: ui4 0..604800; seconds",
            ":param protocol: string; one of TCP, UDP.",
            "718 ConflictInMappingEntry",
            ":return: Deferred of None.",
            "Source: the WANIPConnection:2 service template",
        ):
            self.assertIn(words, method.__doc__ or "")
        self.assertIn(":class:`StatusInfo`", services.WANIPConnection1.get_status_info.__doc__ or "")
        self.assertIn("optional", services.WANIPConnection1.request_termination.__doc__ or "")
        self.assertIn(":ivar uptime: ui4; seconds.", services.StatusInfo.__doc__ or "")

    def test_what_needs_TLS_says_so(self) -> None:
        protection = services.DeviceProtection1
        said = {name for name in protection.actions if "Needs TLS" in (getattr(protection, name).__doc__ or "")}
        free = {"send_setup_message", "get_supported_protocols", "get_assigned_roles", "get_roles_for_action"}
        self.assertEqual(said, set(protection.actions) - free)
        others = [made for made in services.service_classes().values() if made is not protection]
        self.assertFalse([made for made in others for name in made.actions if "TLS" in getattr(made, name).__doc__])

    def test_every_type_has_a_python_type(self) -> None:
        used = {v.data_type for entry in standards() for v in entry.description.variables.values()}
        self.assertEqual(set(PYTHON_TYPES) - {"ui1"}, used)

    def test_tables_are_loaded_when_asked_for(self) -> None:
        program = (
            "import txigd.igd.services, txigd.igd.tables as t; assert t.standards.cache_info().currsize == 0; "
            "from txigd.igd.services import WANIPConnection1; assert t.standards.cache_info().currsize == 1"
        )
        subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parent.parent)


class CallTests(SynchronousTestCase):
    ANY: dict[str, Any] = {
        "remote_host": "",
        "external_port": 1,
        "protocol": "UDP",
        "internal_port": 1,
        "internal_client": "192.0.2.10",
        "enabled": True,
        "port_mapping_description": "x",
        "lease_duration": 0,
    }

    def proxy(
        self, service_type: str, *answers: Reply | Exception, own: ServiceDescription | None = None
    ) -> ServiceProxy:
        self.exchange = FakeExchange(*answers)
        return ServiceProxy(service(service_type=service_type), own, Caller(self.exchange, clock=Clock()))

    def ip(self, *answers: Reply | Exception, own: ServiceDescription | None = None) -> services.WANIPConnection2:
        return services.WANIPConnection2(self.proxy(f"{IP}2", *answers, own=own))

    def answer(self, action: str, **outputs: str) -> Reply:
        return Reply(200, body=soap.response(f"{IP}2", action, outputs))

    def test_every_sample_answer_through_its_method(self) -> None:
        seen = 0
        for made in services.service_classes().values():
            for action in made.actions.values():
                name = f"soap-{action.wire}-response.http"
                body = split(name)[2] if name in MANIFEST else b""
                if made.standard.service_type.encode() not in body:
                    continue
                typed = made(self.proxy(made.standard.service_type, Reply(200, body=body)))
                given: dict[type, Any] = {str: "", int: 1, bool: True, bytes: b""}
                arguments = {argument.name: given[argument.python_type] for argument in action.inputs}
                if "protocol" in arguments and arguments["protocol"] == "":
                    arguments["protocol"] = "TCP"
                got = self.successResultOf(getattr(typed, action.name)(**arguments))
                wanted = MANIFEST[name]["expect"]["out"]
                texts = [str(int(v)) if isinstance(v, bool) else str(v) for v in self.flat(got)]
                self.assertEqual(list(wanted.values()), texts, name)
                seen += 1
        self.assertEqual(18, seen)

    def flat(self, got: object) -> list[object]:
        if got is None:
            return []
        return list(got) if isinstance(got, tuple) else [got]

    def test_the_bytes_that_go_out(self) -> None:
        typed = services.WANIPConnection1(
            self.proxy(f"{IP}1", Reply(200, body=soap.response(f"{IP}1", "AddPortMapping")))
        )
        done = typed.add_port_mapping(
            remote_host="",
            external_port=6881,
            protocol="tcp",
            internal_port=6881,
            internal_client="192.0.2.10",
            enabled=True,
            port_mapping_description="Tom & <Jerry>",
            lease_duration=3600,
        )
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(split("soap-AddPortMapping-request.http")[2], self.exchange.asked[0]["body"])

    def test_several_outputs(self) -> None:
        typed = self.ip(self.answer("GetStatusInfo", NewConnectionStatus="Connected", NewUptime="7"))
        got = self.successResultOf(typed.get_status_info())
        self.assertIsInstance(got, services.StatusInfo)
        self.assertEqual(("Connected", None, 7), got)

    def test_one_output(self) -> None:
        typed = self.ip(self.answer("AddAnyPortMapping", NewReservedPort="40123"))
        self.assertEqual(40123, self.successResultOf(typed.add_any_port_mapping(**self.ANY)))

    def test_an_empty_text_is_a_value(self) -> None:
        typed = self.ip(self.answer("GetExternalIPAddress", NewExternalIPAddress=""))
        self.assertEqual("", self.successResultOf(typed.get_external_ip_address()))

    def test_B9_an_only_output_that_is_missing_or_makes_no_sense(self) -> None:
        arguments: dict[str, Any] = {"seconds": 5.0}
        for outputs in ({}, {"NewAutoDisconnectTime": ""}, {"NewAutoDisconnectTime": "soon"}):
            typed = self.ip(self.answer("GetAutoDisconnectTime", **outputs))
            self.failureResultOf(typed.get_auto_disconnect_time(**arguments), BadReply)

    def test_B9_a_port_that_is_none(self) -> None:
        for port in ("70000", "-1", "x"):
            typed = self.ip(self.answer("GetGenericPortMappingEntry", NewExternalPort=port, NewInternalPort="65535"))
            got = self.successResultOf(typed.get_generic_port_mapping_entry(port_mapping_index=0))
            self.assertEqual((None, 65535), (got.external_port, got.internal_port))

    def test_Q150_uptime_that_cannot_be_read(self) -> None:
        typed = self.ip(self.answer("GetStatusInfo", NewConnectionStatus="Connected", NewUptime="a while"))
        self.assertIsNone(self.successResultOf(typed.get_status_info()).uptime)

    def test_Q152_counters_beyond_their_type(self) -> None:
        type_ = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
        for text, wanted in {"-531985522": 3762981774, "99999999999": 99999999999}.items():
            reply = Reply(200, body=soap.response(type_, "GetTotalBytesSent", {"NewTotalBytesSent": text}))
            typed = services.WANCommonInterfaceConfig1(self.proxy(type_, reply))
            self.assertEqual(wanted, self.successResultOf(typed.get_total_bytes_sent()))

    def test_empty_enabled_and_lease(self) -> None:
        typed = self.ip(self.answer("GetGenericPortMappingEntry", NewEnabled="", NewLeaseDuration=""))
        got = self.successResultOf(typed.get_generic_port_mapping_entry(port_mapping_index=0))
        self.assertEqual((True, 0), (got.enabled, got.lease_duration))

    def test_a_description_of_its_own_with_other_types_and_case(self) -> None:
        outputs = (Argument("newuptime", "U"), Argument("NewConnectionStatus", "S"))
        own = table(
            Action(name="GetStatusInfo", inputs=(), outputs=outputs),
            U=variable("U", "string"),
            S=variable("S", "ui4"),
        )
        typed = self.ip(self.answer("GetStatusInfo", NewUptime="7", NewConnectionStatus="12"), own=own)
        self.assertEqual(("12", None, 7), self.successResultOf(typed.get_status_info()))

    def test_Q083_an_action_that_the_description_lacks(self) -> None:
        own = table(Action(name="X_Own", inputs=(), outputs=()))
        typed = self.ip(self.answer("GetExternalIPAddress", NewExternalIPAddress="203.0.113.7"), own=own)
        self.assertEqual("203.0.113.7", self.successResultOf(typed.get_external_ip_address()))
        self.assertIn("X_Own", typed.proxy.capabilities)

    def test_Q086_types_and_ranges_of_its_own_are_no_matter(self) -> None:
        inputs = builtin_table(f"{IP}2").actions["DeletePortMapping"].inputs  # type: ignore[union-attr]
        own = table(
            Action(name="DeletePortMapping", inputs=inputs, outputs=()),
            ExternalPort=variable("ExternalPort", "string", allowed=("http",)),
        )
        typed = self.ip(self.answer("DeletePortMapping"), own=own)
        self.successResultOf(typed.delete_port_mapping(remote_host="", external_port=1, protocol="TCP"))
        sent = soap.read_request(self.exchange.asked[0]["body"])[2]
        self.assertEqual({"NewRemoteHost": "", "NewExternalPort": "1", "NewProtocol": "TCP"}, sent)

    def test_Q084_wrong_names_in_the_description(self) -> None:
        inputs = (Argument("NewHost", "RemoteHost"), Argument("NewPort", "ExternalPort"))
        own = table(Action(name="DeletePortMapping", inputs=inputs, outputs=()))
        typed = self.ip(self.answer("DeletePortMapping"), own=own)
        self.successResultOf(typed.delete_port_mapping(remote_host="", external_port=1, protocol="TCP"))
        sent = soap.read_request(self.exchange.asked[0]["body"])[2]
        self.assertEqual({"NewRemoteHost": "", "NewExternalPort": "1", "NewProtocol": "TCP"}, sent)

    def test_Q084_the_reserved_port_under_either_name(self) -> None:
        inputs = builtin_table(f"{IP}2").actions["AddAnyPortMapping"].inputs  # type: ignore[union-attr]
        wrong = Action(name="AddAnyPortMapping", inputs=inputs, outputs=(Argument("NewExternalPort", "ExternalPort"),))
        for own in (None, table(wrong)):
            for name in ("NewReservedPort", "NewExternalPort"):
                typed = self.ip(self.answer("AddAnyPortMapping", **{name: "40123"}), own=own)
                self.assertEqual(40123, self.successResultOf(typed.add_any_port_mapping(**self.ANY)))

    def test_wrong_keywords_are_type_errors_at_once(self) -> None:
        typed: Any = self.ip()
        for call in (
            lambda: typed.get_status_info(1),
            lambda: typed.get_status_info(nothing=1),
            lambda: typed.delete_port_mapping(remote_host=""),
        ):
            self.assertRaises(TypeError, call)

    def test_wrong_values_come_with_the_deferred(self) -> None:
        done = self.ip().delete_port_mapping(remote_host="", external_port=70000, protocol="TCP")
        self.assertIn("NewExternalPort", str(self.failureResultOf(done, InvalidArgument).value))

    def test_errors_are_named_as_the_service_names_them(self) -> None:
        typed = services.WANIPv6FirewallControl1(self.proxy(V6, refused(703), refused(402)))
        failed = self.failureResultOf(typed.delete_pinhole(unique_id=1), ActionError)
        self.assertEqual(
            (703, "InboundPinholeNotAllowed", "DeletePinhole"),
            (failed.value.code, failed.value.name, failed.value.action),
        )
        self.assertEqual(
            "Invalid Args", self.failureResultOf(typed.delete_pinhole(unique_id=1), ActionError).value.name
        )

    def test_seconds_and_cancelling(self) -> None:
        typed = self.ip()
        done = typed.get_status_info(seconds=3.0)
        self.assertEqual(3.0, self.exchange.asked[0]["seconds"])
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(1, self.exchange.cancelled)

    def test_typed(self) -> None:
        for service_type, wanted in {
            f"{IP}1": "WANIPConnection1",
            f"{IP}2": "WANIPConnection2",
            "urn:x-com:service:WANPPPConnection:2": "WANPPPConnection1",
            V6: "WANIPv6FirewallControl1",
        }.items():
            typed = services.typed(self.proxy(service_type))
            self.assertEqual(wanted, type(typed).__name__)
            self.assertIn(service_type, repr(typed))
        self.assertRaises(ActionNotOffered, services.typed, self.proxy("urn:x-com:service:AVTransport:1"))

    def test_Q091_the_gateways_own_spelling_of_the_type_is_sent(self) -> None:
        typed: Any = services.typed(self.proxy("urn:x-com:service:WANPPPConnection:2"))
        typed.get_status_info()
        self.assertIn(
            ("SOAPACTION", '"urn:x-com:service:WANPPPConnection:2#GetStatusInfo"'), self.exchange.asked[0]["headers"]
        )

    def test_capabilities_are_those_of_the_proxy(self) -> None:
        proxy = self.proxy(f"{IP}2", refused(401))
        typed = services.WANIPConnection2(proxy)
        self.assertIs(proxy, typed.proxy)
        self.failureResultOf(typed.get_status_info(), ActionError)
        self.assertEqual("refused", typed.proxy.capabilities["GetStatusInfo"])
        self.assertEqual("unknown", typed.proxy.capabilities["AddPortMapping"])
        again = services.WANIPConnection2(proxy)
        self.assertEqual("refused", again.proxy.capabilities["GetStatusInfo"])
