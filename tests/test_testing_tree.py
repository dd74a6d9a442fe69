"""The simulated gateway's tree: documents and announcements, read back by the control point's own parsers."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txigd.testing import control
from txigd.testing.tree import CONNECTIONS, Tree, embedded_udn
from txigd.upnp import url
from txigd.upnp.description import device, service

MESSAGES = Path(__file__).with_name("messages")
UDN = "uuid:5e0ca1e1-0001-4a11-9d00-02aa55c3d001"
ORIGIN = "http://192.0.2.1:5000"
LOCATION = url.parse(f"{ORIGIN}/rootDesc.xml")


def tree(**options) -> Tree:
    return Tree(**{"version": 1, "udn": UDN, "friendly_name": "Sample & Gateway", **options})


class AnnouncementTests(SynchronousTestCase):
    def test_the_ten_pairs_of_igd1(self) -> None:
        rows = (MESSAGES / "ssdp-all-answers-igd1.tsv").read_text().splitlines()[1:]
        wanted = [tuple(row.split("\t")) for row in rows]
        have = [(t, udn if t == udn else f"{udn}::{t}") for t, udn in tree().answers("ssdp:all")]
        self.assertEqual(sorted(have), sorted(wanted))
        self.assertEqual(tree().announcements(), tree().answers("ssdp:all"))

    def test_count_is_3_2d_k(self) -> None:
        for version in (1, 2):
            for connection in CONNECTIONS:
                made = tree(version=version, connection=connection)
                self.assertEqual(len(made.announcements()), 3 + 2 * 2 + len(made.services), (version, connection))

    def test_version_rule(self) -> None:
        new, old = tree(version=2), tree(version=1)
        for kind, name in (
            ("device", "InternetGatewayDevice"),
            ("device", "WANDevice"),
            ("service", "WANIPConnection"),
        ):
            one, two, three = (f"urn:schemas-upnp-org:{kind}:{name}:{version}" for version in (1, 2, 3))
            self.assertEqual([t for t, _ in new.answers(one)], [one], "a higher version answers and names the lower")
            self.assertEqual([t for t, _ in new.answers(two)], [two])
            self.assertEqual([t for t, _ in old.answers(one)], [one])
            self.assertEqual((old.answers(two), new.answers(three)), ((), ()))
            self.assertNotIn(one, [t for t, _ in new.announcements()], "only the highest version is advertised")

    def test_other_targets(self) -> None:
        made = tree()
        self.assertEqual(made.answers("upnp:rootdevice"), (("upnp:rootdevice", UDN),))
        self.assertEqual(made.answers(UDN), ((UDN, UDN),))
        self.assertEqual(made.answers(embedded_udn(UDN, 2)), ((embedded_udn(UDN, 2),) * 2,))
        for nobody in ("ssdp:rootdevice", "uuid:x", "", "urn:schemas-upnp-org:service:RenderingControl:1", "*"):
            self.assertEqual(made.answers(nobody), ())

    def test_udn_that_is_no_uuid(self) -> None:
        self.assertEqual(embedded_udn("uuid:upnp-Gateway-1_0-0090a2777777", 1), "uuid:upnp-Gateway-1_0-0090a2777777-1")


class DescriptionTests(SynchronousTestCase):
    def test_read_back(self) -> None:
        for version in (1, 2):
            for connection in CONNECTIONS:
                made = tree(version=version, connection=connection)
                read = device.parse(made.description(ORIGIN), LOCATION)
                self.assertEqual(read.problems, ())
                self.assertEqual(read.root.friendly_name, "Sample & Gateway")
                self.assertEqual([d.udn for d in read.root.walk()], [d.udn for d in made.root.walk()])
                self.assertEqual([d.device_type for d in read.root.walk()], [d.device_type for d in made.root.walk()])
                have = {s.name: (s.version, str(s.control_url), str(s.event_url)) for s in read.root.all_services()}
                wanted = {
                    name: (s.template.version, ORIGIN + s.control_path, ORIGIN + s.event_path)
                    for name, s in made.services.items()
                }
                self.assertEqual(have, wanted)

    def test_every_way_to_write_urls_leads_to_the_same(self) -> None:
        for prefix in ("", "/3fa9"):
            made = tree(prefix=prefix)
            location = url.parse(f"{ORIGIN}{prefix}/rootDesc.xml")
            found = set()
            for urls in ("path", "relative", "absolute"):
                for url_base in (False, True) if not prefix else (False,):
                    document = made.description(ORIGIN, urls=urls, url_base=url_base)
                    read = device.parse(document, location)
                    found.add(tuple(str(s.control_url) for s in read.root.all_services()))
                    self.assertEqual(b"<URLBase>" in document, url_base)
            self.assertEqual(len(found), 1, found)

    def test_which_connection_services(self) -> None:
        rows = {
            "IP": (["WANIPConnection"], "WANIPConnection"),
            "PPP": (["WANPPPConnection"], "WANPPPConnection"),
            "both-with-PPP-live": (["WANIPConnection", "WANPPPConnection"], "WANPPPConnection"),
            "both-with-IP-live": (["WANIPConnection", "WANPPPConnection"], "WANIPConnection"),
        }
        for connection, (names, live) in rows.items():
            made = tree(connection=connection)
            self.assertEqual([s.name for s in made.connection_device.services], names)
            self.assertEqual(made.live_service.name, live)
            self.assertTrue(made.default_connection.startswith(f"{embedded_udn(UDN, 2)}:WANConnectionDevice:1,"))


class ServiceDescriptionTests(SynchronousTestCase):
    def test_equal_to_the_templates(self) -> None:
        for version in (1, 2):
            made = tree(version=version, connection="both-with-IP-live")
            for node in made.services.values():
                sample = MESSAGES / f"scpd-{node.name}-{node.template.version}.xml"
                mine, wanted = service.parse(made.scpd(node)), service.parse(sample.read_bytes())
                self.assertEqual(mine.actions, wanted.actions, node.name)
                self.assertEqual(list(mine.variables), list(wanted.variables))
                for name, variable in wanted.variables.items():
                    have = mine.variables[name]
                    self.assertEqual((have.data_type, have.evented), (variable.data_type, variable.evented), name)

    def test_offers_what_is_implemented(self) -> None:
        made = tree(version=2, connection="both-with-IP-live")
        for node in made.services.values():
            offered = control.implemented(node.name)
            read = service.parse(made.scpd(node, offered))
            self.assertEqual(set(read.actions), set(node.template.actions) & offered)
            self.assertEqual(read.evented, node.template.evented)
            used = {a.variable for action in read.actions.values() for a in (*action.inputs, *action.outputs)}
            self.assertLessEqual(used, set(read.variables))
