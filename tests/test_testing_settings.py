"""What can be set at the simulated gateway: the link by its medium, the LAN; and what needs a certificate."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.test_testing_control import UDN, ControlCase
from txigd.errors import InvalidArgument
from txigd.igd.tables import NEEDS_TLS
from txigd.testing.line import Line
from txigd.testing.rules import Rules
from txigd.testing.shape import Shape
from txigd.testing.state import State
from txigd.testing.tree import MEDIA, Tree
from txigd.upnp import url
from txigd.upnp.description import device

DSL, CABLE, POTS = "WANDSLLinkConfig", "WANCableLinkConfig", "WANPOTSLinkConfig"
LAN, IP, PPP, PROTECTION = "LANHostConfigManagement", "WANIPConnection", "WANPPPConnection", "DeviceProtection"


class SettingsCase(ControlCase):
    medium = ""
    lan_device = False
    secure = False

    def make(self, **options) -> State:
        tree = Tree(
            version=self.version,
            udn=UDN,
            friendly_name="g",
            connection=self.connection,
            medium=self.medium,
            lan_device=self.lan_device,
        )
        state = State(tree, Line("203.0.113.7"), Rules(version=self.version, secure=self.secure), **options)
        state.line.connect(self.now)
        return state


class TreeTests(SynchronousTestCase):
    def names(self, **options) -> list[str]:
        made = Tree(udn=UDN, friendly_name="g", **options)
        read = device.parse(made.description("http://192.0.2.1:5000"), url.parse("http://192.0.2.1:5000/rootDesc.xml"))
        self.assertEqual(read.problems, ())
        udns = [found.udn for found in made.root.walk()]
        self.assertEqual(len(set(udns)), len(udns))
        return [found.name for found in read.root.all_services()]

    def test_as_it_always_was_unless_asked_for(self) -> None:
        self.assertFalse([name for name in self.names(version=1) if "Link" in name or "LAN" in name])
        self.assertEqual([name for name in self.names(version=2) if "Link" in name], ["WANEthernetLinkConfig"])

    def test_the_one_link_service_that_fits_the_medium(self) -> None:
        for version in (1, 2):
            for medium in MEDIA:
                names = self.names(version=version, medium=medium)
                self.assertEqual([name for name in names if "Link" in name], [f"WAN{medium}LinkConfig"])

    def test_lan_device(self) -> None:
        self.assertIn(LAN, self.names(version=1, lan_device=True, wans=2))

    def test_no_such_medium(self) -> None:
        self.assertRaises(InvalidArgument, Shape, medium="smoke signals")


class DSLTests(SettingsCase):
    medium, connection = "DSL", "PPP"

    def test_set_is_what_get_tells(self) -> None:
        self.call(DSL, "SetDSLLinkType", {"NewLinkType": "PPPoA"})
        self.call(DSL, "SetDestinationAddress", {"NewDestinationAddress": "PVC: 1/32"})
        self.call(DSL, "SetATMEncapsulation", {"NewATMEncapsulation": "VCMUX"})
        self.call(DSL, "SetFCSPreserved", {"NewFCSPreserved": "1"})
        told = {"NewLinkType": "PPPoA", "NewLinkStatus": "Up"}
        self.assertEqual(self.call(DSL, "GetDSLLinkInfo"), told)
        self.assertEqual(self.call(DSL, "GetDestinationAddress"), {"NewDestinationAddress": "PVC: 1/32"})
        self.assertEqual(self.call(DSL, "GetATMEncapsulation"), {"NewATMEncapsulation": "VCMUX"})
        self.assertEqual(self.call(DSL, "GetFCSPreserved"), {"NewFCSPreserved": "1"})
        self.state.reboot(keep_mappings=False)
        self.assertEqual(self.call(DSL, "GetDSLLinkInfo"), told, "a reboot changes nothing of it")

    def test_what_is_not_listed(self) -> None:
        self.refused(601, DSL, "SetDSLLinkType", {"NewLinkType": "PPPoX"})
        self.refused(601, DSL, "SetATMEncapsulation", {"NewATMEncapsulation": "llc"})
        self.refused(402, DSL, "SetFCSPreserved", {"NewFCSPreserved": "perhaps"})
        self.assertEqual(self.call(DSL, "GetDSLLinkInfo")["NewLinkType"], "PPPoE")
        self.version = 1
        self.state = self.make()
        self.refused(402, DSL, "SetDSLLinkType", {"NewLinkType": "PPPoX"})

    def test_nobody_sets_what_sets_itself(self) -> None:
        self.state.settings.of(DSL)["AutoConfig"] = True
        self.refused(719, DSL, "SetDSLLinkType", {"NewLinkType": "PPPoA"})
        self.refused(719, PPP, "ConfigureConnection", {"NewUserName": "a", "NewPassword": "b"})
        self.assertEqual(self.call(DSL, "GetAutoConfig"), {"NewAutoConfig": "1"})

    def test_events(self) -> None:
        self.assertEqual(self.state.evented(DSL), {"LinkStatus": "Up", "AutoConfig": "0"})
        self.state.line.carrier = False
        self.state.settings.of(DSL)["AutoConfig"] = True
        self.assertEqual(self.state.evented(DSL), {"LinkStatus": "Down", "AutoConfig": "1"})

    def test_a_circuit_that_leads_nowhere(self) -> None:
        self.call(DSL, "SetDestinationAddress", {"NewDestinationAddress": "eight, thirty-five"})
        self.call(PPP, "RequestConnection")  # connected it is already
        self.call(PPP, "ForceTermination")
        self.refused(708, PPP, "RequestConnection")
        self.call(DSL, "SetDestinationAddress", {"NewDestinationAddress": "PVC:8/35"})
        self.call(PPP, "RequestConnection")
        self.assertTrue(self.state.line.is_connected)

    def test_access_type(self) -> None:
        for medium in MEDIA:
            self.medium = medium
            self.state = self.make()
            told = self.call("WANCommonInterfaceConfig", "GetCommonLinkProperties")
            self.assertEqual(told["NewWANAccessType"], medium)


class CableTests(SettingsCase):
    medium, version = "Cable", 1

    def test_every_value_is_told(self) -> None:
        told: dict[str, str] = {}
        for action in self.state.tree.services[CABLE].template.actions:
            told |= self.call(CABLE, action)
        variables = self.state.tree.services[CABLE].template.variables
        self.assertEqual(set(told), {f"New{name}" for name in variables})
        for name, variable in variables.items():
            if variable.allowed:
                self.assertIn(told[f"New{name}"], variable.allowed)

    def test_without_carrier(self) -> None:
        self.assertEqual(self.call(CABLE, "GetCableLinkConfigInfo")["NewCableLinkConfigState"], "operational")
        self.state.line.carrier = False
        self.assertEqual(self.call(CABLE, "GetCableLinkConfigInfo")["NewCableLinkConfigState"], "notReady")
        self.assertEqual(self.state.evented(CABLE), {"BPIEncryptionEnabled": "1"})


class POTSTests(SettingsCase):
    medium, connection, version = "POTS", "PPP", 1
    info = {"NewISPPhoneNumber": "+1 555 0100", "NewISPInfo": "an ISP", "NewLinkType": "PPP_Dialup"}

    def test_set_is_what_get_tells(self) -> None:
        self.call(POTS, "SetISPInfo", self.info)
        self.assertEqual(self.call(POTS, "GetISPInfo"), self.info)
        retries = {"NewNumberOfRetries": "7", "NewDelayBetweenRetries": "60"}
        self.call(POTS, "SetCallRetryInfo", retries)
        self.assertEqual(self.call(POTS, "GetCallRetryInfo"), retries)

    def test_what_is_not_listed_changes_nothing(self) -> None:
        before = self.call(POTS, "GetISPInfo")
        self.refused(402, POTS, "SetISPInfo", {**self.info, "NewLinkType": "Ethernet"})
        self.assertEqual(self.call(POTS, "GetISPInfo"), before)

    def test_nobody_to_call(self) -> None:
        self.call(POTS, "SetISPInfo", {**self.info, "NewISPPhoneNumber": ""})
        self.call(PPP, "ForceTermination")
        self.refused(708, PPP, "RequestConnection")


class LANTests(SettingsCase):
    lan_device = True

    def test_single_values(self) -> None:
        rows: tuple = (
            ("DHCPRelay", "SetDHCPRelay", {"NewDHCPRelay": "1"}),
            ("SubnetMask", "SetSubnetMask", {"NewSubnetMask": "255.255.0.0"}),
            ("DomainName", "SetDomainName", {"NewDomainName": "lan.example"}),
            ("AddressRange", "SetAddressRange", {"NewMinAddress": "10.0.0.2", "NewMaxAddress": "10.0.0.9"}),
        )
        for name, action, given in rows:
            self.call(LAN, action, given)
            self.assertEqual(self.call(LAN, f"Get{name}"), given)

    def test_values_that_make_no_sense(self) -> None:
        for mask in ("255.0.255.0", "24", "", "0.0.0.255", "mask"):
            self.refused(600, LAN, "SetSubnetMask", {"NewSubnetMask": mask})
        for low, high in (("10.0.0.9", "10.0.0.2"), ("10.0.0.2", ""), ("x", "10.0.0.2")):
            self.refused(600, LAN, "SetAddressRange", {"NewMinAddress": low, "NewMaxAddress": high})
        for text in ("", "10.0.0.1,", "router", "::1"):
            self.refused(600, LAN, "SetIPRouter", {"NewIPRouters": text})

    def test_lists(self) -> None:
        rows = (
            ("IPRouter", "GetIPRoutersList", "NewIPRouters"),
            ("DNSServer", "GetDNSServers", "NewDNSServers"),
            ("ReservedAddress", "GetReservedAddresses", "NewReservedAddresses"),
        )
        for name, get, argument in rows:
            before = self.call(LAN, get)
            self.call(LAN, f"Set{name}", {argument: "10.0.0.1, 10.0.0.2"})
            have = [*filter(None, [before[argument]]), "10.0.0.1", "10.0.0.2"]
            self.assertEqual(self.call(LAN, get), {argument: ",".join(have)})
            self.refused(701, LAN, f"Set{name}", {argument: "10.0.0.3,10.0.0.2"})
            self.refused(702, LAN, f"Delete{name}", {argument: "10.0.0.1,10.0.0.3"})
            self.assertEqual(self.call(LAN, get), {argument: ",".join(have)}, "all that are given, or none")
            self.call(LAN, f"Delete{name}", {argument: "10.0.0.2,10.0.0.1"})
            self.assertEqual(self.call(LAN, get), before)

    def test_a_list_has_an_end(self) -> None:
        self.call(LAN, "SetDNSServer", {"NewDNSServers": ",".join(f"10.0.0.{n}" for n in range(63))})
        self.refused(501, LAN, "SetDNSServer", {"NewDNSServers": "10.0.1.1"})

    def test_only_while_it_may_be_configured(self) -> None:
        self.call(LAN, "SetDHCPServerConfigurable", {"NewDHCPServerConfigurable": "0"})
        self.refused(501, LAN, "SetDomainName", {"NewDomainName": "x"})
        self.refused(501, LAN, "DeleteDNSServer", {"NewDNSServers": "192.168.1.1"})
        self.assertEqual(self.call(LAN, "GetDHCPServerConfigurable"), {"NewDHCPServerConfigurable": "0"})
        self.call(LAN, "SetDHCPServerConfigurable", {"NewDHCPServerConfigurable": "1"})
        self.call(LAN, "SetDomainName", {"NewDomainName": "x"})


class ProtectionTests(SettingsCase):
    def roles(self, service: str, action: str, **more: str) -> tuple[str, str]:
        for holder in self.state.tree.root.walk():
            for node in holder.services:
                if node.name == service:
                    given = {"DeviceUDN": holder.udn, "ServiceId": node.service_id, "ActionName": action, **more}
                    told = self.call(PROTECTION, "GetRolesForAction", given)
                    return told["RoleList"], told["RestrictedRoleList"]
        raise AssertionError(service)

    def test_what_needs_a_certificate_is_not_for_the_public(self) -> None:
        template = self.state.tree.services[PROTECTION].template
        for name in NEEDS_TLS:
            given = {argument.name: "eA==" for argument in template.actions[name].inputs}
            self.refused(606, PROTECTION, name, given)

    def test_introduction(self) -> None:
        message = {"ProtocolType": "WPS", "InMessage": "AQ=="}
        self.refused(704, PROTECTION, "SendSetupMessage", message)
        self.refused(600, PROTECTION, "SendSetupMessage", {**message, "ProtocolType": "smile"})
        self.refused(402, PROTECTION, "SendSetupMessage", {**message, "InMessage": "\N{BULLET}"})

    def test_roles(self) -> None:
        self.assertEqual(self.roles(IP, "AddPortMapping"), ("Public", ""))
        self.assertEqual(self.roles(PROTECTION, "GetACLData"), ("Admin", ""))
        self.assertEqual(self.roles(PROTECTION, "UserLogin"), ("Public", ""))
        self.secure = True
        self.state = self.make()
        self.assertEqual(self.roles(IP, "AddPortMapping"), ("Admin", "Public"))
        self.assertEqual(self.roles(IP, "GetExternalIPAddress"), ("Public", ""))
        wrong = ({"DeviceUDN": "uuid:x"}, {"ServiceId": "urn:x"}, {"ActionName": "AddEverything"})
        for more in wrong:
            self.refused(600, PROTECTION, "GetRolesForAction", self.names(**more))

    def names(self, **more: str) -> dict[str, str]:
        holder = self.state.tree.connection_device
        node = next(one for one in holder.services if one.name == IP)
        return {"DeviceUDN": holder.udn, "ServiceId": node.service_id, "ActionName": "AddPortMapping", **more}
