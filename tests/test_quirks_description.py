"""Quirks of finding and reading descriptions (Q012, Q026, Q037-Q041, Q052-Q088) by the whole control point.

A table of URLs stands for the LAN, and sightings are put in by hand. What one document says is tested in
test_description_device.py and test_description_service.py, what one fetch does in test_description_fetch.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txigd.errors import ConnectFailed, InvalidArgument
from txigd.igd import control_point as igd
from txigd.igd.gateway_kind import is_gateway
from txigd.interfaces import IDeviceObserver, IExchange
from txigd.limits import DESCRIPTION_FETCHES, DESCRIPTION_RETRY_SECONDS, DOUBT_AGAIN_SECONDS
from txigd.upnp import addressing, control_point, url
from txigd.upnp.addressing import NextHop
from txigd.upnp.control_point import ControlPoint
from txigd.upnp.description import device, service
from txigd.upnp.discovery.multicast import Discovery
from txigd.upnp.discovery.sighting import Appeared, Doubted, Rebooted, Sighting
from txigd.upnp.discovery.targets import IGD_TARGETS
from txigd.upnp.http_reply import Reply
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.url import DeviceURL

MESSAGES = Path(__file__).parent / "messages"
ROUTER = ipaddress.ip_address("192.0.2.1")
HERE = ipaddress.ip_address("192.0.2.7")
ROOT = "http://192.0.2.1:5000/rootDesc.xml"
IGD1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
WANIP = "urn:schemas-upnp-org:service:WANIPConnection:1"
WANPPP = "urn:schemas-upnp-org:service:WANPPPConnection:1"


def one(service_type: str, path: str, service_id: str = "urn:upnp-org:serviceId:WANIPConn1") -> str:
    """A service element."""
    return (
        f"<service><serviceType>{service_type}</serviceType><serviceId>{service_id}</serviceId>"
        f"<controlURL>{path}/ctl</controlURL><eventSubURL>{path}/evt</eventSubURL><SCPDURL>/s.xml</SCPDURL></service>"
    )


def tree(
    services: str = one(WANIP, "/a"), *, udn: str = "uuid:gateway", device_type: str = IGD1, devices: str = ""
) -> Reply:
    """A description."""
    return Reply(
        200,
        body=f"<root><device><deviceType>{device_type}</deviceType><friendlyName>G</friendlyName><UDN>{udn}</UDN>"
        f"<serviceList>{services}</serviceList><deviceList>{devices}</deviceList></device></root>".encode(),
    )


@implementer(IExchange)
class Pages:
    """What answers at which URL: a reply, an error, or a list of them used up one by one; None never answers."""

    def __init__(self, **pages: Any) -> None:
        self.pages: dict[str, Any] = dict(pages)
        self.asked: list[str] = []

    def request(
        self,
        method: str,
        url: DeviceURL,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        body_cap: int,
        seconds: float,
    ) -> Deferred[Reply]:
        self.asked.append(str(url))
        page = self.pages.get(str(url), ConnectFailed("nobody there"))
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        if page is None:
            return Deferred()
        return fail(page) if isinstance(page, Exception) else succeed(page)


@implementer(IDeviceObserver)
class Told:
    """What an observer was told, by name and UDN."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def device_appeared(self, device: RemoteDevice) -> None:
        self.all.append(("appeared", device.udn))

    def device_changed(self, device: RemoteDevice) -> None:
        self.all.append(("changed", device.udn))

    def device_gone(self, device: RemoteDevice) -> None:
        self.all.append(("gone", device.udn))


class ControlPointCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pages = Pages()
        self.told = Told()
        self.patch(addressing, "address_towards", lambda host: HERE)
        self.point: Any = self.with_pages(ControlPoint(self.clock, targets=IGD_TARGETS))
        self.point.observe_devices(self.told)

    def with_pages(self, point: Any) -> Any:
        """Let the pages answer instead of the network."""
        point.exchange = self.pages
        point.running = True  # as if started, without a network
        return point

    def sighting(self, location: str = ROOT, target: str = IGD1, udn: str = "uuid:gateway") -> Sighting:
        place = url.parse(location)
        return Sighting(place, place.host, "eth0", frozenset({udn}), frozenset({target}), None, None, None, "", 1800.0)

    def see(self, location: str = ROOT, **more: str) -> Sighting:
        seen = self.sighting(location, **more)
        self.point._sighted(Appeared(seen))
        return seen

    @property
    def udns(self) -> list[str]:
        return [each.udn for each in self.point.devices]


class FindingTests(ControlPointCase):
    """Which LOCATION leads to the gateway."""

    def test_Q012_dead_and_slow_locations_hold_up_nobody(self) -> None:
        self.pages.pages = {f"http://192.0.2.{n}:80/d.xml": None for n in range(20, 20 + DESCRIPTION_FETCHES - 1)}
        self.pages.pages[ROOT] = tree()
        for location in self.pages.pages:
            self.see(location, target=WANPPP, udn=f"uuid:{location}")
        self.see("http://192.0.2.99:80/dead.xml", target=WANPPP, udn="uuid:dead")
        self.assertEqual(self.udns, ["uuid:gateway"])

    def test_Q012_only_a_wan_service_makes_a_gateway(self) -> None:
        cases = {
            "": False,
            one("urn:schemas-upnp-org:service:ContentDirectory:1", "/c"): False,
            one("urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1", "/c"): False,
            one(WANPPP, "/c"): True,
            one("urn:schemas-upnp-org:service:WANIPConnection:3", "/c"): True,
        }
        for services, expected in cases.items():
            description = device.parse(tree(services).body, url.parse(ROOT))
            self.assertIs(is_gateway(description), expected, services)

    def test_Q026_Q055_another_reply_of_the_same_device_serves(self) -> None:
        self.pages.pages = {"http://192.0.2.1:5000/rootDe": Reply(404), ROOT: tree()}
        self.see("http://192.0.2.1:5000/rootDe")
        self.assertEqual(self.udns, [])
        self.see()
        self.assertEqual(self.udns, ["uuid:gateway"])

    def test_Q055_a_login_page_first(self) -> None:
        page = Reply(200, body=b"<html><title>Log in</title></html>")
        self.pages.pages = {"http://192.0.2.1:80/": page, ROOT: tree()}
        self.see("http://192.0.2.1:80/")
        self.see()
        self.assertEqual(self.udns, ["uuid:gateway"])

    def test_Q038_one_device_under_several_locations(self) -> None:
        other = "http://192.0.2.1:5000/IGDV1/rootDesc.xml"
        self.pages.pages = {ROOT: tree(), other: tree()}
        self.see()
        self.see(other, udn="uuid:embedded")
        self.assertEqual(self.told.all, [("appeared", "uuid:gateway")])
        (found,) = self.point.devices
        self.assertEqual({str(place) for place in found.sightings}, {ROOT, other})
        self.assertEqual(str(found.location), ROOT, "the first stays in use")

    def test_Q041_looks_past_the_first_answer_of_a_router(self) -> None:
        wps = "http://192.0.2.1:1990/WFADevice.xml"
        self.pages.pages = {
            wps: tree("", udn="uuid:wps", device_type="urn:schemas-wifialliance-org:device:WFADevice:1"),
            ROOT: tree(),
        }
        self.see(wps, target="upnp:rootdevice", udn="uuid:wps")
        self.see()
        gateways = [each.udn for each in self.point.devices if is_gateway(each.description)]
        self.assertEqual(gateways, ["uuid:gateway"])

    def test_Q072_the_description_is_believed_not_the_announcement(self) -> None:
        for announced, described in ((IGD1, IGD1[:-1] + "2"), (IGD1[:-1] + "2", IGD1)):
            self.setUp()
            self.pages.pages = {ROOT: tree(device_type=described)}
            self.see(target=announced)
            (found,) = self.point.devices
            self.assertEqual(found.description.root.device_type, described)


class RankTests(ControlPointCase):
    """Which gateway is used, and which is not even asked."""

    def test_A4_F22_a_rogue_that_is_quicker_gets_no_request(self) -> None:
        self.point = self.with_pages(igd.ControlPoint(self.clock))
        self.point.next_hops = (NextHop(ROUTER, "eth0"),)
        self.point.routed = frozenset({"eth0"})
        rogue = "http://192.0.2.66:5000/rootDesc.xml"
        self.pages.pages = {ROOT: tree(), rogue: tree(udn="uuid:rogue", device_type=IGD1[:-1] + "2")}
        self.see(rogue, target=IGD1[:-1] + "2", udn="uuid:rogue")
        self.point._sighted(Rebooted(self.sighting(rogue), self.sighting(rogue)))
        self.point._sighted(Doubted(self.sighting(rogue), "byebye"))
        self.see()
        self.assertEqual(self.udns, ["uuid:gateway"])
        self.assertEqual([asked for asked in self.pages.asked if asked.startswith("http://192.0.2.66")], [])
        self.assertEqual(self.point.declined_hosts, ("192.0.2.66",))

    def test_A4_the_same_name_from_elsewhere_gets_no_request(self) -> None:
        self.point = self.with_pages(igd.ControlPoint(self.clock))
        self.point.next_hops = (NextHop(ROUTER, "eth0"),)
        self.point.routed = frozenset({"eth0"})
        self.pages.pages = {ROOT: tree()}
        before = self.see()
        self.pages.asked.clear()
        self.point._sighted(Rebooted(self.sighting("http://192.0.2.66:5000/rootDesc.xml"), before))
        self.assertEqual([asked for asked in self.pages.asked if "192.0.2.66" in asked], [])
        (found,) = self.point.devices
        self.assertEqual(str(found.location), ROOT)


class BootTests(ControlPointCase):
    """Gateways that boot, reboot and move."""

    def test_Q052_the_router_of_this_host_gets_a_minute_to_boot(self) -> None:
        self.point.next_hops = (NextHop(ROUTER, "eth0"),)
        self.point.routed = frozenset({"eth0"})
        self.pages.pages = {ROOT: [Reply(200), Reply(404), ConnectFailed(), tree()]}
        self.see()
        asked = [len(self.pages.asked)]
        for seconds in (1, 2, 4):
            self.clock.advance(seconds)
            asked.append(len(self.pages.asked))
        self.assertEqual(asked, [1, 2, 3, 4], "after 1, 2 and 4 s")
        self.assertEqual(self.udns, ["uuid:gateway"])

    def test_Q052_not_for_ever(self) -> None:
        self.point.next_hops = (NextHop(ROUTER, "eth0"),)
        self.point.routed = frozenset({"eth0"})
        self.see()
        for _ in range(600):
            self.clock.advance(1)
        self.assertEqual(len(self.pages.asked), 7, "at 0, 1, 3, 7, 15, 31 and 63 s")

    def test_Q052_others_get_one_try(self) -> None:
        self.see()
        self.clock.advance(DESCRIPTION_RETRY_SECONDS - 1)
        self.see()
        self.assertEqual(len(self.pages.asked), 1)
        self.clock.advance(2)
        self.pages.pages = {ROOT: tree()}
        self.see()
        self.assertEqual(self.udns, ["uuid:gateway"])

    def test_Q069_no_url_outlives_a_reboot(self) -> None:
        self.pages.pages = {ROOT: [tree(one(WANIP, "/vmitz")), tree(one(WANIP, "/kqwop"))]}
        before = self.see()
        self.point._sighted(Rebooted(before, before))
        self.assertEqual(self.told.all, [("appeared", "uuid:gateway"), ("changed", "uuid:gateway")])
        (found,) = self.point.devices
        (connection,) = found.description.root.all_services()
        self.assertEqual(
            [str(place) for place in (connection.control_url, connection.event_url)],
            ["http://192.0.2.1:5000/kqwop/ctl", "http://192.0.2.1:5000/kqwop/evt"],
        )

    def test_Q070_Q037_F03_another_port_after_a_reboot(self) -> None:
        moved = "http://192.0.2.1:40001/7a573845/gatedesc0b.xml"
        self.pages.pages = {ROOT: tree(), moved: tree(one(WANIP, "/b"))}
        before = self.see()
        self.pages.pages.pop(ROOT)
        self.point._sighted(Rebooted(self.sighting(moved), before))
        (found,) = self.point.devices
        self.assertEqual(str(found.location), moved)
        self.assertEqual({str(place) for place in found.sightings}, {moved})
        (connection,) = found.description.root.all_services()
        self.assertEqual(str(connection.control_url), "http://192.0.2.1:40001/b/ctl")
        self.assertEqual(self.pages.asked, [ROOT, moved], "one GET, nothing at the old URLs")

    def test_Q034_Q036_F20_a_byebye_is_asked_about(self) -> None:
        for answers, expected in ((tree(), ["uuid:gateway"]), (ConnectFailed(), []), (Reply(404), [])):
            self.setUp()
            self.pages.pages = {ROOT: tree()}
            seen = self.see()
            self.point.discovery = _Discovery()
            self.pages.pages = {ROOT: answers}
            self.point._sighted(Doubted(seen, "byebye"))
            self.assertEqual(self.udns, ["uuid:gateway"])
            self.clock.advance(DOUBT_AGAIN_SECONDS)
            self.assertEqual(self.udns, expected)

    def test_F20_another_device_at_the_same_url(self) -> None:
        self.pages.pages = {ROOT: [tree(), tree(udn="uuid:new")]}
        before = self.see()
        self.point._sighted(Rebooted(before, before))
        self.assertEqual(
            self.told.all, [("appeared", "uuid:gateway"), ("gone", "uuid:gateway"), ("appeared", "uuid:new")]
        )


class SettingsTests(SynchronousTestCase):
    """What the operator sets for a firewall or a container."""

    def test_Q007_the_search_port_reaches_discovery(self) -> None:
        asked: dict[str, Any] = {}

        class Seen(Discovery):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                asked.update(options)
                super().__init__(*arguments, **options)

        self.patch(control_point, "Discovery", Seen)
        self.patch(addressing, "links", lambda names=(): ())
        self.patch(addressing, "next_hops", lambda: ())
        point = ControlPoint(MemoryReactorClock(), targets=IGD_TARGETS, search_port=50_000)
        point.startService()
        self.successResultOf(point.stopService())
        self.assertEqual(asked["search_port"], 50_000)

    def test_Q173_callback_host_and_port(self) -> None:
        point = ControlPoint(Clock(), targets=IGD_TARGETS, callback_host=" 192.168.1.7 ", callback_port=40_000)
        self.assertEqual(point.callbacks._paths.advertised, (ipaddress.ip_address("192.168.1.7"), 40_000))
        self.assertIsNone(ControlPoint(Clock(), targets=IGD_TARGETS, callback_port=40_000).callbacks._paths.advertised)

    def test_Q173_C10_what_is_refused(self) -> None:
        for host, port in (
            ("192.168.1.7", 0),
            ("laptop.lan", 40_000),
            ("8.8.8.8", 40_000),
            ("0.0.0.0", 40_000),
            ("239.255.255.250", 40_000),
            ("::", 40_000),
            ("ff02::c", 40_000),
            ("", 40_000),
        ):
            with self.assertRaises(InvalidArgument, msg=host):
                ControlPoint(Clock(), targets=IGD_TARGETS, callback_host=host, callback_port=port)


class _Discovery:
    """What the control point uses of discovery when it verifies."""

    def __init__(self) -> None:
        self.presence = self

    def confirm(self, location: DeviceURL, now: float) -> None:
        """Nothing to remember."""

    def forget(self, location: DeviceURL) -> None:
        """Nothing to forget."""

    def pin(self, location: DeviceURL) -> None:
        """Nothing to pin."""

    def search(self) -> None:
        """Nobody to search for."""

    def unpin(self, location: DeviceURL) -> None:
        """Nothing was pinned."""

    def probe(self, host: object, port: int) -> bool:
        """Nobody to ask."""
        return True


class TreeTests(SynchronousTestCase):
    """What stands in a description, and in those of its services."""

    def test_Q076_Q073_Q074_F24_every_connection_is_exposed(self) -> None:
        lines = "".join(
            f"<device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><UDN>uuid:wan{n}</UDN><deviceList>"
            f"<device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><UDN>uuid:con{n}</UDN>"
            f"<serviceList>{one(WANIP, f'/ip{n}')}{one(WANPPP, f'/ppp{n}')}</serviceList></device>"
            "</deviceList></device>"
            for n in range(3)
        )
        description = device.parse(tree("", devices=lines).body, url.parse(ROOT))
        found = list(description.root.all_services())
        self.assertEqual([each.name for each in found], ["WANIPConnection", "WANPPPConnection"] * 3)
        self.assertEqual([each.udn for each in found], ["uuid:con0"] * 2 + ["uuid:con1"] * 2 + ["uuid:con2"] * 2)
        self.assertEqual(len({each.path for each in found}), 6, "told apart though every serviceId is the same")
        self.assertEqual(len({str(each.control_url) for each in found}), 6)

    def test_the_firewall_in_a_device_of_its_own(self) -> None:
        firewall = one("urn:schemas-upnp-org:service:WANIPv6FirewallControl:1", "/igd2upnp/control/WANIPv6Firewall1")
        beside = f"<device><deviceType>urn:x:device:D:1</deviceType><serviceList>{firewall}</serviceList></device>"
        description = device.parse(tree(devices=beside).body, url.parse(ROOT))
        self.assertEqual(
            [(each.name, str(each.control_url)) for each in description.root.all_services()],
            [
                ("WANIPConnection", "http://192.0.2.1:5000/a/ctl"),
                ("WANIPv6FirewallControl", "http://192.0.2.1:5000/igd2upnp/control/WANIPv6Firewall1/ctl"),
            ],
        )

    def test_Q085_Q086_Q087_Q083_a_careless_service_description(self) -> None:
        table = service.parse(
            b"<scpd><actionList><action><name> GetTotal </name><argumentList><argument><name>NewTotal</name>"
            b"<direction>out</direction><relatedStateVariable> Total </relatedStateVariable></argument></argumentList>"
            b"</action><action><name>No Name</name></action></actionList><serviceStateTable>"
            b"<stateVariable><name>\n Total\n</name><dataType>ui8</dataType></stateVariable>"
            b"<stateVariable><name>Quiet</name><sendEvents>no</sendEvents><dataType>string</dataType></stateVariable>"
            b"</serviceStateTable></scpd>"
        )
        self.assertEqual(list(table.actions), ["GetTotal"])
        self.assertEqual(table.variables[table.actions["GetTotal"].outputs[0].variable].data_type, "ui8")
        self.assertEqual(table.evented, ("Total",))
