"""txigd.upnp.description.device: one tree, whose URLs stay on the device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd import limits
from txigd.errors import DescriptionError
from txigd.upnp import url
from txigd.upnp.description import device
from txigd.upnp.description.device import Device, Service
from txigd.upnp.http_reply import ReplyReader

MESSAGES = Path(__file__).parent / "messages"
LOCATION = url.parse("http://192.0.2.1:49153/k3d9/rootDesc.xml")
WANIP = "urn:schemas-upnp-org:service:WANIPConnection:1"


def sample(name):
    """The body of a sample; its HTTP head is read by the project's own reader."""
    octets = (MESSAGES / name).read_bytes()
    if not name.endswith(".http"):
        return octets
    reader = ReplyReader(limits.DESCRIPTION_OCTETS)
    if not reader.feed(octets):
        reader.finish()
    return reader.body


def described(services="", *, base="", before="", devices="", root_attributes="", udn="<UDN>uuid:1</UDN>"):
    return (
        f'<root xmlns="urn:schemas-upnp-org:device-1-0"{root_attributes}>'
        f"<specVersion><major>1</major><minor>1</minor></specVersion>{base}"
        f"<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>{before}{udn}"
        f"<serviceList>{services}</serviceList>{devices}</device></root>"
    ).encode()


def service(control="/c", event="/e", scpd="/s", service_type=WANIP, service_id="urn:upnp-org:serviceId:1"):
    return (
        f"<service><serviceType>{service_type}</serviceType><serviceId>{service_id}</serviceId>"
        f"<controlURL>{control}</controlURL><eventSubURL>{event}</eventSubURL><SCPDURL>{scpd}</SCPDURL></service>"
    )


def embedded(content="", udn="uuid:2"):
    return f"<device><deviceType>urn:x:device:D:1</deviceType><UDN>{udn}</UDN>{content}</device>"


class SampleTests(SynchronousTestCase):
    """Every description among the wire samples does what the manifest says."""

    def test_samples(self):
        seen = 0
        for entry in json.loads((MESSAGES / "manifest.json").read_text(encoding="utf-8")):
            name = entry["file"]
            if "description" not in name or "request" in name:
                continue
            seen += 1
            expect = entry["expect"]
            location = LOCATION
            if name.startswith("note2004-befsr41"):
                location = url.parse("http://192.168.1.1:5678/rootDesc.xml")
            elif name.startswith("note2004-wrt54g"):
                location = url.parse("http://192.168.1.1:5431/dyndev/uuid:000625d8-095f-0006-25d8-095f0232aa18")
            elif name.startswith("intro-huawei"):
                location = url.parse("http://192.168.1.1:2800/IGD.xml")
            if not entry["valid"]:
                with self.assertRaises(DescriptionError, msg=name):
                    device.parse(sample(name), location)
                continue
            description = device.parse(sample(name), location)
            services = list(description.root.all_services())
            if "services" in expect:
                self.assertEqual(len(services), expect["services"], name)
            if "devices" in expect:
                self.assertEqual(len(list(description.root.walk())), expect["devices"], name)
            for key, field in (("control", "control_url"), ("event", "event_url"), ("scpd", "scpd_url")):
                if f"resolved_{key}" in expect:
                    found = [str(getattr(s, field)) for s in services if s.name == "WANIPConnection"]
                    self.assertIn(expect[f"resolved_{key}"], found, name)
        self.assertGreater(seen, 15)

    def test_igd2_in_full(self):
        description = device.parse(sample("description-igd2.xml"), LOCATION)
        self.assertEqual(
            (
                description.config_id,
                description.spec_version,
                description.location,
                description.base,
                description.problems,
            ),
            (1337, (1, 1), LOCATION, LOCATION, ()),
        )
        root = description.root
        self.assertEqual(
            (root.friendly_name, root.udn), ("Sample & Gateway", "uuid:5e0ca1e1-0002-4a11-9d00-02aa55c3d101")
        )
        self.assertEqual((root.manufacturer, root.manufacturer_url), ("Sample Works", "http://www.example.com/"))
        self.assertEqual((root.model_name, root.model_number, root.serial_number), ("samplegw", "2", "0001"))
        self.assertEqual((root.model_description, root.model_url, root.upc), ("sample gateway for tests", "", ""))
        self.assertEqual(root.presentation_url, "/")
        self.assertEqual(
            [(s.name, s.version, s.path) for s in root.all_services()],
            [
                ("Layer3Forwarding", 1, (0,)),
                ("DeviceProtection", 1, (1,)),
                ("LANHostConfigManagement", 1, (0, 0)),
                ("WANCommonInterfaceConfig", 1, (1, 0)),
                ("WANEthernetLinkConfig", 1, (1, 0, 0)),
                ("WANIPConnection", 2, (1, 0, 1)),
                ("WANIPv6FirewallControl", 1, (1, 0, 2)),
            ],
        )
        lan = list(root.all_services())[2]
        self.assertIsNone(lan.event_url)
        self.assertEqual(
            (lan.udn, lan.service_id),
            ("uuid:5e0ca1e1-0002-4a11-9d00-02aa55c3d1f0", "urn:upnp-org:serviceId:LANHostCfg1"),
        )
        self.assertEqual(
            [d.device_type.split(":")[3] for d in root.walk()],
            ["InternetGatewayDevice", "LANDevice", "WANDevice", "WANConnectionDevice"],
        )

    def test_icons(self):
        icons = (
            "<iconList><icon><mimetype>image/png</mimetype><width>48</width><height> 47 </height><depth>24</depth>"
            "<url>i.png</url></icon><icon><url></url></icon><icon><url>https://x/</url></icon>"
            "<icon><width>-1</width><url>/j</url></icon></iconList>"
        )
        root = device.parse(described(before=icons), LOCATION).root
        self.assertEqual(
            [(i.mimetype, i.width, i.height, i.depth, str(i.url)) for i in root.icons],
            [
                ("image/png", 48, 47, 24, "http://192.0.2.1:49153/k3d9/i.png"),
                ("", 0, 0, 0, "http://192.0.2.1:49153/j"),
            ],
        )


class URLTests(SynchronousTestCase):
    """Base and resolution (F26)."""

    def urls(self, base="", location=LOCATION, **urls):
        base = f"<URLBase>{base}</URLBase>" if base is not None else ""
        self.description = device.parse(described(service(**urls), base=base), location)
        found = list(self.description.root.all_services())
        return str(found[0].control_url) if found else None

    def test_F26_table(self):
        # base, control URL, result
        rows = [
            (None, "/ctl", "http://192.0.2.1:49153/ctl"),
            (None, "ctl/IPConn", "http://192.0.2.1:49153/k3d9/ctl/IPConn"),
            (None, "?WANIPConnection", "http://192.0.2.1:49153/k3d9/rootDesc.xml?WANIPConnection"),
            (None, "../up", "http://192.0.2.1:49153/up"),
            ("", "ctl", "http://192.0.2.1:49153/k3d9/ctl"),
            ("http://192.0.2.1:5000", "ctl", "http://192.0.2.1:5000/ctl"),
            ("http://192.0.2.1:5000/", "ctl", "http://192.0.2.1:5000/ctl"),
            ("http://192.0.2.1:5000/a/b", "ctl", "http://192.0.2.1:5000/a/ctl"),
            ("http://192.0.2.1", "/ctl", "http://192.0.2.1/ctl"),
            ("http://127.0.0.1:5000/", "/ctl", "http://192.0.2.1:49153/ctl"),
            ("http://0.0.0.0/", "ctl", "http://192.0.2.1:49153/k3d9/ctl"),
            ("http://gw.example/", "ctl", "http://192.0.2.1:49153/k3d9/ctl"),
            ("http://198.51.100.7/", "/ctl", "http://192.0.2.1:49153/ctl"),
            ("/relative", "/ctl", "http://192.0.2.1:49153/ctl"),
            ("nonsense", "ctl", "http://192.0.2.1:49153/k3d9/ctl"),
        ]
        for base, control, result in rows:
            self.assertEqual(self.urls(base, control=control), result, (base, control))

    def test_Q061_no_urlbase(self):
        self.urls(None)
        self.assertEqual((self.description.base, self.description.problems), (LOCATION, ()))

    def test_Q062_empty_urlbase_is_no_problem(self):
        self.urls("")
        self.assertEqual((self.description.base, self.description.problems), (LOCATION, ()))

    def test_Q062_urlbase_on_another_host_is_told(self):
        self.urls("http://198.51.100.7/")
        self.assertEqual(len(self.description.problems), 1)
        self.assertIn("http://198.51.100.7/", self.description.problems[0])

    def test_Q062_urlbase_may_be_left_out_by_the_caller(self):
        document = described(service("c"), base="<URLBase>http://192.0.2.1:5000/</URLBase>")
        one = device.parse(document, LOCATION)
        other = device.parse(document, LOCATION, use_base=False)
        self.assertEqual((str(one.base), other.base), ("http://192.0.2.1:5000/", LOCATION))
        self.assertEqual(str(other.root.services[0].control_url), "http://192.0.2.1:49153/k3d9/c")

    def test_Q063_another_port(self):
        self.assertEqual(self.urls(control="http://192.0.2.1:2468//WANIP"), "http://192.0.2.1:2468//WANIP")

    def test_Q064_double_slash(self):
        self.assertEqual(self.urls(control="//WANIP//c"), "http://192.0.2.1:49153//WANIP//c")

    def test_Q065_wrong_host_keeps_the_path(self):
        for text in (
            "http://10.0.0.9:81/ctl?x=1",
            "http://gw.example/ctl?x=1",
            "//10.0.0.9/ctl?x=1",
            "http://[fe80::1]/ctl?x=1",
        ):
            self.assertEqual(self.urls(control=text), "http://192.0.2.1:49153/ctl?x=1", text)
            problem = f"{WANIP} controlURL: {text!r} is not on this host, http://192.0.2.1:49153/ctl?x=1 is used"
            self.assertEqual(self.description.problems, (problem,))
            self.assertEqual(self.description.root.services[0].problems, (problem,))

    def test_Q065_wrong_host_without_path(self):
        self.assertEqual(self.urls(control="http://10.0.0.9"), "http://192.0.2.1:49153/")
        self.assertEqual(self.urls(control="http://10.0.0.9?x"), "http://192.0.2.1:49153/?x")

    def test_Q065_the_host_is_that_of_location_not_of_urlbase(self):
        self.assertEqual(self.urls("http://192.0.2.1:5000/", control="http://10.0.0.9/c"), "http://192.0.2.1:49153/c")

    def test_A7_forms_that_hide_a_host(self):
        for text in (
            "http://192.0.2.1:80@evil/",
            "http://192.0.2.1\\@evil/",
            "file:///etc/passwd",
            "ftp://192.0.2.1/",
            "https://192.0.2.1/ctl",
            "http:///x",
            "http://192.0.2.1%00.evil/",
            "/a b",
            "/a\\b",
            "/caf\u00e9",
            "/" + "a" * limits.LOCATION_OCTETS,
        ):
            result = self.urls(control=text)
            if result is not None:
                self.assertTrue(result.startswith("http://192.0.2.1:49153/"), (text, result))
            else:
                self.assertIn("left out", self.description.problems[0])

    def test_A7_skipped(self):
        for text in (
            "http://192.0.2.1:80@evil/",
            "file:///etc/passwd",
            "ftp://192.0.2.1/",
            "https://192.0.2.1/ctl",
            "/a b",
        ):
            self.assertIsNone(self.urls(control=text), text)

    @given(
        st.text(max_size=40) | st.from_regex(r"(http:)?//[a-z0-9.@:\[\]\\%/-]{0,30}"),
        st.sampled_from(["control", "event", "scpd"]),
    )
    def test_A7_no_url_ever_leaves_the_host(self, text, which):
        if any(c < " " or c in "<&\ufffe\uffff\x7f" or "\ud800" <= c <= "\udfff" for c in text):
            return
        description = device.parse(described(service(**{which: text}), base=f"<URLBase>{text}</URLBase>"), LOCATION)
        for found in description.root.all_services():
            for address in (found.control_url, found.event_url, found.scpd_url):
                if address is not None:
                    self.assertEqual(address.host, LOCATION.host)

    def test_A7_bad_event_and_scpd_urls_leave_the_service(self):
        self.assertEqual(self.urls(event="ftp://x/", scpd="ftp://x/"), "http://192.0.2.1:49153/c")
        found = self.description.root.services[0]
        self.assertEqual((found.event_url, found.scpd_url), (None, None))
        self.assertEqual(len(found.problems), 2)

    def test_Q066_query(self):
        self.assertEqual(
            self.urls(control="/soap.cgi?service=WANIPConn1&amp;a=/b"),
            "http://192.0.2.1:49153/soap.cgi?service=WANIPConn1&a=/b",
        )

    def test_Q067_colons_in_a_relative_path(self):
        location = url.parse("http://192.0.2.1:5431/dyndev/uuid:0-0/")
        self.assertEqual(
            self.urls(control="uuid:1/WANIP:1", location=location),
            "http://192.0.2.1:5431/dyndev/uuid:0-0/uuid:1/WANIP:1",
        )

    def test_Q068_event_url(self):
        self.urls(control="/same", event="/same")
        self.assertEqual(self.description.root.services[0].event_url, self.description.root.services[0].control_url)
        self.urls(event="")
        self.assertIsNone(self.description.root.services[0].event_url)
        self.assertEqual(self.description.problems, ())
        bare = f"<service><serviceType>{WANIP}</serviceType></service>"
        found = device.parse(described(bare), LOCATION).root.services[0]
        self.assertEqual((found.control_url, found.event_url, found.scpd_url, found.service_id), (None, None, None, ""))

    def test_Q077_blanks_in_elements(self):
        self.assertEqual(self.urls(control="\n  /ctl \t\n"), "http://192.0.2.1:49153/ctl")
        root = device.parse(described(before="<friendlyName>\n My\n  router </friendlyName>"), LOCATION).root
        self.assertEqual(root.friendly_name, "My router")

    def test_zone_stays_with_the_host(self):
        location = url.DeviceURL(url.with_zone(url.parse("http://[fe80::1]/").host, "eth0"), 5000, "/d.xml")
        self.urls(
            "http://[fe80::1]:5001/",
            control="c",
            event="http://[fe80::1]:7/e",
            scpd="http://[fe80::2]/s",
            location=location,
        )
        found = self.description.root.services[0]
        addresses = [u for u in (found.control_url, found.event_url, found.scpd_url) if u is not None]
        self.assertEqual([u.host for u in addresses], [location.host] * 3)
        self.assertEqual([u.port for u in addresses], [5001, 7, 5000])


class TreeTests(SynchronousTestCase):
    """Devices and services."""

    def test_Q071_versions(self):
        found = device.parse(
            described(service(service_type="urn:schemas-upnp-org:service:WANPPPConnection:2")), LOCATION
        )
        self.assertEqual((found.root.services[0].name, found.root.services[0].version), ("WANPPPConnection", 2))

    def test_Q074_same_id_twice(self):
        found = device.parse(described(service("/1") + service("/2")), LOCATION).root.services
        self.assertEqual(found[0].service_id, found[1].service_id)
        self.assertNotEqual((found[0].udn, found[0].path), (found[1].udn, found[1].path))

    def test_Q074_Q076_labels_that_no_two_services_have(self):
        twice = "<serviceList>" + service("/1", service_type=f"{WANIP[:-1]}2") + "</serviceList>"
        devices = f"<deviceList>{embedded(twice, 'uuid:a')}{embedded(twice, 'uuid:b')}</deviceList>"
        found = list(device.parse(described(service(), devices=devices), LOCATION).root.all_services())
        self.assertEqual([one.place for one in found], ["0", "0.0", "1.0"])
        self.assertEqual(
            list(device.labels(found).values()),
            ["WANIPConnection:1", "WANIPConnection:2 (0.0)", "WANIPConnection:2 (1.0)"],
        )
        for other, said in (
            (replace(found[0], udn="uuid:z"), "WANIPConnection:1 (0 of uuid:z)"),
            (replace(found[0], service_id="b"), "WANIPConnection:1 (0 of uuid:1, b)"),
        ):
            told = list(device.labels([found[0], other]).values())
            self.assertEqual((told[1], len(set(told))), (said, 2))

    def test_Q075_lists_repeated_nested_or_missing(self):
        devices = (
            f"<deviceList>{embedded(udn='uuid:a')}<deviceList>{embedded(udn='uuid:b')}</deviceList></deviceList>"
            f"<deviceList>{embedded(udn='uuid:c')}</deviceList>{embedded(service(), udn='uuid:d')}"
        )
        root = device.parse(described(devices=devices), LOCATION).root
        self.assertEqual([d.udn for d in root.walk()], ["uuid:1", "uuid:a", "uuid:b", "uuid:c", "uuid:d"])
        self.assertEqual([s.path for s in root.all_services()], [(3, 0)])

    def test_Q075_two_devices_below_the_root_element(self):
        document = f"<root>{embedded(udn='uuid:a')}{embedded(service(), udn='uuid:b')}</root>".encode()
        root = device.parse(document, LOCATION).root
        self.assertEqual([d.udn for d in root.walk()], ["uuid:a", "uuid:b"])

    def test_Q081_wrong_root_and_case(self):
        for document in (
            f"<Root>{embedded(service())}</Root>",
            f"<scpd xmlns='urn:x'>{embedded(service())}</scpd>",
            embedded(service()),
            f"<ROOT>{embedded(service()).upper()}</ROOT>".replace(WANIP.upper(), WANIP),
        ):
            self.assertEqual(len(device.parse(document.encode(), LOCATION).root.services), 1)

    def test_services_elsewhere_are_none(self):
        root = device.parse(described(before=f"<X_vendor>{service()}</X_vendor>"), LOCATION).root
        self.assertEqual(root.services, ())

    def test_B10_service_types(self):
        for bad in (
            "",
            'urn:schemas-upnp-org:service:WANIPConnection:1"\r\nX: y',
            "urn:schemas-upnp-org:service:WANIPConnection:1000",
            "urn:schemas-upnp-org:service:WANIPConnection",
            "urn:schemas-upnp-org:device:WANIPConnection:1",
            "urn:schemas upnp:service:WANIPConnection:1",
            "urn:x:service:WAN#IP:1",
            "urn:x:service:\u0661:\u0661",
            f"urn:{'x' * 300}:service:A:1",
        ):
            description = device.parse(described(service(service_type=bad) + service("/good")), LOCATION)
            self.assertEqual([s.path for s in description.root.services], [(1,)], bad)
            self.assertIn("service left out", description.problems[0])

    def test_Q091_a_vendors_service_type_may_have_dots_and_hyphens(self):
        for name in "X_AVM-DE_Types", "a.b-c", "-":
            description = device.parse(described(service(service_type=f"urn:dslforum-org:service:{name}:1")), LOCATION)
            self.assertEqual([(s.name, s.version) for s in description.root.services], [(name, 1)])
            self.assertEqual(description.problems, ())

    def test_Q077_blanks_round_a_service_type(self):
        self.assertEqual(len(device.parse(described(service(service_type=f"\n {WANIP} ")), LOCATION).root.services), 1)

    def test_Q088_presentation_url_is_text(self):
        root = device.parse(
            described(before="<presentationURL>http://www.router.example</presentationURL>"), LOCATION
        ).root
        self.assertEqual(root.presentation_url, "http://www.router.example")

    def test_no_udn(self):
        description = device.parse(described(udn=""), LOCATION)
        self.assertEqual(description.root.udn, str(LOCATION))
        self.assertEqual(description.problems, ("the root device has no UDN",))

    def test_Q027_udn_is_opaque(self):
        self.assertEqual(device.parse(described(udn="<UDN> uuid:upnp-X 1 </UDN>"), LOCATION).root.udn, "uuid:upnp-X 1")

    def test_versions_and_config_id(self):
        for attributes, config_id in (
            ("", None),
            (' configId="7"', 7),
            (' configId="-7"', None),
            (' configId="x"', None),
        ):
            self.assertEqual(device.parse(described(root_attributes=attributes), LOCATION).config_id, config_id)
        document = described().replace(b"<major>1</major><minor>1</minor>", b"<major>two</major>")
        self.assertEqual(device.parse(document, LOCATION).spec_version, (1, 0))
        document = described().replace(b"<major>1</major><minor>1</minor>", b"<major>2</major><minor>0</minor>")
        self.assertEqual(device.parse(document, LOCATION).spec_version, (2, 0))

    def test_Q055_not_a_description(self):
        page = b"<html><head><title>Router login</title></head></html>"
        error = self.assertRaises(DescriptionError, device.parse, page, LOCATION)
        self.assertIn("<html><head><title>Router login", str(error))
        error = self.assertRaises(DescriptionError, device.parse, b"<scpd><serviceStateTable/></scpd>", LOCATION)
        self.assertIn("no device description, but <scpd>", str(error))
        self.assertIn("'<scpd><serviceStateTable/>", str(error))

    def test_Q052_empty(self):
        self.assertRaises(DescriptionError, device.parse, b"", LOCATION)

    def test_cap(self):
        document = described() + b" " * limits.DESCRIPTION_OCTETS
        self.assertRaises(DescriptionError, device.parse, document, LOCATION)


class BoundTests(SynchronousTestCase):
    """Trees that are too much."""

    def test_B5_devices(self):
        description = device.parse(described(devices=f"<deviceList>{embedded() * 100}</deviceList>"), LOCATION)
        self.assertEqual(len(list(description.root.walk())), limits.TREE_DEVICES)
        self.assertEqual(len(description.problems), 1)

    def test_B5_depth(self):
        nested = ""
        for _ in range(12):
            nested = embedded(nested)
        description = device.parse(described(devices=nested), LOCATION)
        self.assertEqual(len(list(description.root.walk())), limits.TREE_DEPTH + 1)
        self.assertEqual(len(description.problems), 1)

    def test_B5_services(self):
        devices = embedded(f"<serviceList>{service() * 50}</serviceList>") * 2
        description = device.parse(described(service(), devices=devices), LOCATION)
        self.assertEqual(len(list(description.root.all_services())), limits.TREE_SERVICES)
        self.assertEqual(len(description.problems), 1)

    def test_B5_icons(self):
        icons = "<iconList>" + "<icon><url>/i</url></icon>" * 100 + "</iconList>"
        self.assertEqual(len(device.parse(described(before=icons), LOCATION).root.icons), limits.TREE_ICONS)

    def test_B5_texts(self):
        root = device.parse(described(before=f"<friendlyName>{'x' * 5000}</friendlyName>"), LOCATION).root
        self.assertEqual(len(root.friendly_name), limits.TREE_TEXT_CHARACTERS)

    def test_B5_problems(self):
        services = "".join(service(service_type=f"bad{number}") for number in range(200))
        self.assertEqual(len(device.parse(described(services), LOCATION).problems), limits.TREE_PROBLEMS)


GOOD = sorted(
    (MESSAGES / name).read_bytes()
    for name in (
        "description-igd1.xml",
        "description-igd2.xml",
        "note2004-wrt54g-description.xml",
        "miniupnpd-description-igd2.xml",
    )
)


class ArbitraryTests(SynchronousTestCase):
    """F42: a Description or a DescriptionError."""

    def only_description_errors(self, document):
        try:
            description = device.parse(document, LOCATION)
        except DescriptionError:
            return
        for found in description.root.walk():
            self.assertIsInstance(found, Device)
        for offered in description.root.all_services():
            self.assertIsInstance(offered, Service)
            self.assertGreaterEqual(offered.version, 0)
            self.assertNotEqual(offered.name, "")

    @given(st.binary(max_size=300))
    def test_F42_arbitrary_octets(self, document):
        self.only_description_errors(document)

    @settings(max_examples=400, deadline=None)
    @given(
        st.sampled_from(GOOD),
        st.lists(
            st.tuples(
                st.floats(0, 1),
                st.integers(0, 200),
                st.binary(max_size=6) | st.sampled_from([b"<device>", b"</device>", b"&", b":"]),
            ),
            max_size=4,
        ),
    )
    def test_F42_mutated(self, document, changes):
        for place, gone, come in changes:
            at = int(place * len(document))
            document = document[:at] + come + document[at + gone :]
        self.only_description_errors(document)

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(GOOD), st.data())
    def test_F42_elements_moved(self, document, data):
        """Whole elements dropped, doubled or emptied: the XML stays good, the tree does not."""
        pieces = document.split(b">")
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(pieces) - 1))
            pieces[at : at + 1] = data.draw(st.sampled_from([[], [pieces[at]] * 2, [pieces[at].partition(b"<")[2]]]))
        self.only_description_errors(b">".join(pieces))
