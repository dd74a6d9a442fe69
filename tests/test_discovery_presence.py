"""The table of sightings: what counts as a change, how long things stay, what a flood can do."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.limits import (
    BYEBYE_PROBE_SECONDS,
    EXPIRY_GRACE_SECONDS,
    LATE_ANSWER_SECONDS,
    MAX_AGE_CEILING,
    MAX_AGE_FLOOR,
    REBOOTS_AT_ONCE,
    SIGHTINGS,
    SIGHTINGS_PER_SOURCE,
    USNS_PER_SIGHTING,
)
from txigd.upnp import url
from txigd.upnp.discovery import message
from txigd.upnp.discovery.message import Kind, Message
from txigd.upnp.discovery.presence import Presence
from txigd.upnp.discovery.sighting import Appeared, Change, Doubted, Evicted, Rebooted, Sighting, Updated
from txigd.upnp.url import DeviceURL

SAMPLES = Path(__file__).parent / "messages"
GATEWAY = ipaddress.ip_address("192.0.2.1")
ROOT = "upnp:rootdevice"
IGD = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
WAN = "urn:schemas-upnp-org:service:WANIPConnection:1"
MEDIA = "urn:schemas-upnp-org:device:MediaServer:1"


def place(path: str = "/d.xml", *, host: str = "192.0.2.1", port: int = 80) -> DeviceURL:
    return DeviceURL(ipaddress.ip_address(host), port, path)


def alive(
    udn: str = "uuid:root",
    target: str = IGD,
    *,
    kind: Kind = Kind.ALIVE,
    max_age: int = 1800,
    boot_id: int | None = None,
    config_id: int | None = None,
    next_boot_id: int | None = None,
    server: str = "",
) -> Message:
    return Message(kind, target, f"{udn}::{target}", udn, "x", max_age, boot_id, next_boot_id, config_id, server=server)


def byebye(udn: str = "uuid:root") -> Message:
    return Message(Kind.BYEBYE, ROOT, f"{udn}::{ROOT}", udn)


class Table:
    """A presence table with a clock of its own."""

    def __init__(self, presence: Presence | None = None) -> None:
        self.presence = presence or Presence()
        self.now = 1000.0

    def hear(self, heard: Message, location: DeviceURL | None = None, *, after: float = 0.0) -> list[Change]:
        self.now += after
        if heard.kind is not Kind.BYEBYE and location is None:
            location = place()
        source = location.host if location else GATEWAY
        return self.presence.learn(heard, location=location, source=source, link="lan0", now=self.now)

    def hear_sample(self, name: str) -> list[Change]:
        heard = message.parse((SAMPLES / f"{name}.http").read_bytes())
        location = url.check_location(heard.location, sender=GATEWAY) if heard.location else None
        return self.hear(heard, location)

    def wait(self, seconds: float) -> list[Change]:
        self.now += seconds
        return self.presence.expire(self.now)

    @property
    def only(self) -> Sighting:
        (sighting,) = self.presence.sightings
        return sighting


class LearnTests(SynchronousTestCase):
    """One device and its messages."""

    def setUp(self) -> None:
        self.table = Table()

    def test_first_message_is_an_appearance(self) -> None:
        changes = self.table.hear(alive(boot_id=7, config_id=8, server="s"))
        expected = Sighting(
            place(),
            GATEWAY,
            "lan0",
            frozenset({"uuid:root"}),
            frozenset({IGD}),
            7,
            8,
            None,
            "s",
            self.table.now + 1800,
        )
        self.assertEqual(changes, [Appeared(expected)])
        self.assertEqual(self.table.presence.sightings, (expected,))

    def test_answers_count_like_alives(self) -> None:
        self.assertEqual(len(self.table.hear(alive(kind=Kind.ANSWER))), 1)
        self.assertEqual(self.table.hear(alive()), [])

    def test_further_messages_add_udns_and_types(self) -> None:
        self.table.hear(alive())
        self.assertEqual(self.table.hear(alive("uuid:embedded", WAN)), [])
        self.assertEqual(self.table.hear(Message(Kind.ALIVE, "uuid:lan", "uuid:lan", "uuid:lan")), [])
        self.assertEqual(self.table.only.udns, {"uuid:root", "uuid:embedded", "uuid:lan"})
        self.assertEqual(self.table.only.targets, {IGD, WAN})

    def test_garbled_target_still_counts_by_its_usn(self) -> None:
        heard = message.parse((SAMPLES / "intro-response-doubled-st.http").read_bytes())
        presence = Presence(lambda target: target == "urn:schemas-upnp-org:service:ContentDirectory:1")
        self.assertEqual(len(Table(presence).hear(heard)), 1)

    def test_search_and_missing_location_are_ignored(self) -> None:
        search = Message(Kind.SEARCH, ROOT)
        learn = self.table.presence.learn
        self.assertEqual(learn(search, location=place(), source=GATEWAY, link="lan0", now=0.0), [])
        self.assertEqual(learn(alive(), location=None, source=GATEWAY, link="lan0", now=0.0), [])
        self.assertEqual(self.table.hear(alive(kind=Kind.UPDATE)), [])
        self.assertEqual(self.table.presence.sightings, ())

    def test_boot_id_higher_or_lower_is_a_reboot(self) -> None:
        self.table.hear(alive(boot_id=5))
        for boot_id in (6, 3):
            before = self.table.only
            changes = self.table.hear(alive(boot_id=boot_id), after=BYEBYE_PROBE_SECONDS)
            self.assertEqual(changes, [Rebooted(self.table.only, before)])
            self.assertEqual(self.table.only.boot_id, boot_id)

    def test_boot_id_that_comes_or_goes_is_no_reboot(self) -> None:
        self.table.hear(alive())
        self.assertEqual(self.table.hear(alive(boot_id=5)), [])
        self.assertEqual(self.table.hear(alive()), [])
        self.assertEqual(self.table.only.boot_id, 5)

    def test_config_id(self) -> None:
        self.table.hear(alive(config_id=1))
        self.assertEqual(self.table.hear(alive()), [])
        self.assertEqual(self.table.hear(alive(config_id=2)), [Updated(self.table.only)])
        self.assertEqual(self.table.only.config_id, 2)

    def test_reboot_with_new_config_is_told_once(self) -> None:
        self.table.hear(alive(boot_id=1, config_id=1))
        (change,) = self.table.hear(alive(boot_id=2, config_id=2))
        assert isinstance(change, Rebooted)
        self.assertEqual((change.previous.config_id, change.sighting.config_id), (1, 2))

    def test_samples_of_a_reboot(self) -> None:
        (appeared,) = self.table.hear_sample("ssdp-notify-alive-uda11")
        self.assertEqual(self.table.hear_sample("ssdp-response-igd2-uda11"), [])
        (change,) = self.table.hear_sample("ssdp-notify-alive-uda11-rebooted")
        assert isinstance(change, Rebooted)
        self.assertEqual(change.sighting.location, place("/q8w2/rootDesc.xml", port=49153))
        self.assertEqual(change.previous.location, appeared.sighting.location)


class QuirkTests(SynchronousTestCase):
    """What real devices do with their announcements."""

    def setUp(self) -> None:
        self.table = Table()

    def test_Q026_cut_location_does_not_displace_the_good_one(self) -> None:
        self.table.hear(alive(), place("/rootDesc.xml"))
        self.table.hear(alive(), place("/rootDe"))
        self.table.presence.forget(place("/rootDe"))
        self.assertEqual(self.table.only.location, place("/rootDesc.xml"))

    def test_Q031_short_max_age_does_not_flap(self) -> None:
        self.table.hear(alive(max_age=1))
        self.assertEqual(self.table.wait(MAX_AGE_FLOOR + EXPIRY_GRACE_SECONDS - 0.1), [])
        self.assertEqual(self.table.hear(alive(max_age=1)), [])
        self.assertEqual(self.table.wait(MAX_AGE_FLOOR), [])
        self.assertEqual(self.table.wait(EXPIRY_GRACE_SECONDS), [Doubted(self.table.only, "expired")])
        self.table.presence.confirm(place(), self.table.now)
        self.assertEqual(self.table.wait(MAX_AGE_FLOOR), [])

    def test_Q034_byebye_before_or_after_alive(self) -> None:
        self.assertEqual(self.table.hear(byebye()), [])
        self.assertEqual(len(self.table.hear(alive(boot_id=1), after=0.1)), 1)
        self.assertEqual(self.table.hear(byebye()), [Doubted(self.table.only, "byebye")])
        self.assertEqual(self.table.hear(alive(boot_id=1), after=1), [])
        self.assertEqual(self.table.wait(BYEBYE_PROBE_SECONDS), [])

    def test_Q034_doubt_that_is_confirmed(self) -> None:
        self.table.hear(alive(boot_id=1))
        self.table.hear(byebye())
        self.table.presence.confirm(place(), self.table.now + 1)
        self.assertEqual(self.table.only.expires, self.table.now + 1801)
        self.assertEqual(self.table.hear(alive(boot_id=1), after=2), [])

    def test_Q034_byebye_and_alive_of_a_device_without_boot_id_is_a_restart(self) -> None:
        self.table.hear(alive())
        before = self.table.only
        self.assertEqual(self.table.hear(byebye()), [Doubted(before, "byebye")])
        self.assertEqual(self.table.hear(alive(), after=1), [Rebooted(self.table.only, before)])
        self.assertEqual(self.table.hear(alive(), after=1), [])
        self.assertEqual(self.table.wait(BYEBYE_PROBE_SECONDS), [])

    def test_Q034_byebye_long_ago_makes_no_restart(self) -> None:
        self.table.hear(alive())
        self.table.hear(byebye())
        self.table.presence.confirm(place(), self.table.now)
        self.assertEqual(self.table.hear(alive(), after=BYEBYE_PROBE_SECONDS), [])

    def test_Q035_byebye_storm(self) -> None:
        self.table.hear(alive(boot_id=1))
        told = []
        for _ in range(1000):
            told += self.table.hear(byebye(), after=0.1)
            told += self.table.hear(alive(boot_id=1))
        self.assertIn(len(told), (3, 4))
        self.assertEqual({type(change) for change in told}, {Doubted})

    def test_Q036_byebye_of_another_device(self) -> None:
        self.table.hear(alive())
        before = self.table.only
        self.assertEqual(self.table.hear(byebye("uuid:other")), [])
        self.assertEqual(self.table.hear(byebye("uuid:roo")), [])
        self.assertEqual(self.table.only, before)

    def test_byebye_of_an_embedded_device(self) -> None:
        self.table.hear(alive())
        self.table.hear(alive("uuid:embedded", WAN))
        self.assertEqual(self.table.hear(byebye("uuid:embedded")), [Doubted(self.table.only, "byebye")])

    def test_Q037_new_location_of_a_known_udn(self) -> None:
        for boot_ids in ((None, None), (1, 2), (None, 1), (1, None)):
            table = Table()
            table.hear(alive(boot_id=boot_ids[0]), place(port=5000))
            before = table.only
            changes = table.hear(alive("uuid:root", WAN, boot_id=boot_ids[1]), place(port=5001))
            self.assertEqual(changes, [Rebooted(table.presence.sightings[-1], before)], boot_ids)
            self.assertEqual(table.presence.sightings[-1].location.port, 5001)

    def test_Q037_another_host_with_the_udn_takes_nothing_over(self) -> None:
        self.table.hear(alive())
        (change,) = self.table.hear(alive(), place(host="192.0.2.66"))
        self.assertEqual(type(change), Appeared)
        self.assertEqual(len(self.table.presence.sightings), 2)

    def test_Q038_two_locations_of_one_device_do_not_flap(self) -> None:
        self.table.hear(alive(), place("/rootDesc.xml"))
        self.assertEqual(len(self.table.hear(alive(), place("/IGDV1/rootDesc.xml"))), 1)
        for path in ("/rootDesc.xml", "/IGDV1/rootDesc.xml", "/rootDesc.xml"):
            self.assertEqual(self.table.hear(alive(), place(path), after=60), [])

    def test_Q037_previous_is_the_pinned_or_the_latest_heard(self) -> None:
        for pinned, previous in ((1, 1), (None, 2)):
            table = Table()
            for port in (1, 2, 3):
                if port == pinned:
                    table.presence.pin(place(port=port))
                changes = table.hear(alive(), place(port=port), after=BYEBYE_PROBE_SECONDS)
            assert isinstance(changes[0], Rebooted)
            self.assertEqual(changes[0].previous.location.port, previous)

    def test_Q038_same_boot_id_at_another_location_is_no_reboot(self) -> None:
        self.table.hear(alive(boot_id=1), place("/rootDesc.xml"))
        first = self.table.only
        changes = self.table.hear(alive(boot_id=1), place("/IGDV1/rootDesc.xml"))
        self.assertEqual(changes, [Appeared(self.table.presence.sightings[-1]), Doubted(first, "moved")])

    def test_Q038_both_address_families(self) -> None:
        v6 = DeviceURL(ipaddress.ip_address("fe80::1%lan0"), 80, "/d.xml")
        other_link = DeviceURL(ipaddress.ip_address("fe80::1%lan1"), 80, "/d.xml")
        for location in (place(), v6, other_link):
            (change,) = self.table.hear(alive(boot_id=1), location)
            self.assertEqual(type(change), Appeared)
        told = self.table.hear(byebye())
        self.assertEqual([type(change) for change in told], [Doubted] * 3)

    def test_Q038_embedded_udn_first(self) -> None:
        self.table.hear(alive("uuid:embedded", WAN))
        self.assertEqual(self.table.hear(alive("uuid:root", IGD)), [])
        self.assertEqual(self.table.only.udns, {"uuid:embedded", "uuid:root"})

    def test_Q039_other_differences_are_no_change(self) -> None:
        text = (SAMPLES / "miniupnpd-search-response.http").read_bytes()
        self.table.hear_sample("miniupnpd-search-response")
        for old, new in (
            (b"SERVER: Linux", b"SERVER: Other"),
            (b"01-NLS: 1609459200", b"01-NLS: 5"),
            (b"EXT:\r\n", b"EXT:\r\nDATE: Fri, 01 Jan 2021 00:00:00 GMT\r\nHOST: other\r\n"),
            (b"01-NLS: 1609459200\r\n", b""),
        ):
            self.assertIn(old, text)
            heard = message.parse(text.replace(old, new))
            self.assertEqual(self.table.hear(heard, self.table.only.location), [], old)
        self.assertEqual(self.table.only.server, "Linux/6.1 UPnP/1.1 MiniUPnPd/2.3.7")

    def test_Q040_01_nls_as_boot_hint(self) -> None:
        text = (SAMPLES / "miniupnpd-search-response.http").read_bytes().replace(b"BOOTID.UPNP.ORG", b"X")
        self.table.hear(message.parse(text))
        (change,) = self.table.hear(message.parse(text.replace(b"NLS: 1609459200", b"NLS: 1609459999")))
        self.assertEqual(type(change), Rebooted)

    def test_Q041_two_daemons_in_one_router(self) -> None:
        self.table.hear(alive("uuid:wps", ROOT), place("/WFADevice.xml", port=1990))
        (change,) = self.table.hear(alive("uuid:igd", ROOT), place(port=5000))
        self.assertEqual(type(change), Appeared)
        self.assertEqual(len(self.table.presence.sightings), 2)

    def test_Q042_update_is_no_reboot(self) -> None:
        self.table.hear_sample("ssdp-notify-alive-uda11")
        for _ in range(3):  # copies of one update
            self.assertEqual(self.table.hear_sample("ssdp-notify-update"), [])
        self.assertEqual(self.table.only.boot_id, 1609459300)
        heard = alive(boot_id=1609459300)
        self.assertEqual(self.table.hear(heard, self.table.only.location), [])
        old = alive(boot_id=1609459200)
        self.assertEqual(self.table.hear(old, self.table.only.location), [], "it left before the update")
        self.assertEqual(self.table.only.boot_id, 1609459300)
        (change,) = self.table.hear(old, self.table.only.location, after=LATE_ANSWER_SECONDS)
        self.assertEqual(type(change), Rebooted)

    def test_Q042_update_after_a_missed_reboot(self) -> None:
        self.table.hear(alive(boot_id=1))
        (change,) = self.table.hear(alive(kind=Kind.UPDATE, boot_id=5, next_boot_id=6))
        self.assertEqual(type(change), Rebooted)
        self.assertEqual(self.table.only.boot_id, 6)

    def test_update_renews(self) -> None:
        self.table.hear(alive(max_age=200, boot_id=1))
        self.table.hear(alive(kind=Kind.UPDATE, boot_id=1, next_boot_id=2), after=150)
        self.assertEqual(self.table.only.expires, self.table.now + 200)


class ExpiryTests(SynchronousTestCase):
    """Silence."""

    def setUp(self) -> None:
        self.table = Table()

    def test_next_expiry(self) -> None:
        self.assertIsNone(self.table.presence.next_expiry())
        self.table.hear(alive(max_age=500))
        self.table.hear(alive("uuid:2", max_age=300), place(host="192.0.2.2"))
        due = self.table.presence.next_expiry()
        self.assertEqual(due, self.table.now + 300 + EXPIRY_GRACE_SECONDS)
        assert due is not None
        self.assertEqual(self.table.presence.expire(due - 0.001), [])
        (change,) = self.table.presence.expire(due)
        self.assertEqual(change.sighting.udns, {"uuid:2"})

    def test_expired_and_forgotten(self) -> None:
        self.table.hear(alive())
        self.table.wait(1800 + EXPIRY_GRACE_SECONDS)
        forgotten = self.table.presence.forget(place())
        assert forgotten is not None
        self.assertEqual(forgotten.location, place())
        self.assertIsNone(self.table.presence.forget(place()))
        self.assertIsNone(self.table.presence.next_expiry())
        self.assertEqual(type(self.table.hear(alive())[0]), Appeared)

    def test_doubt_without_a_verdict_is_told_again(self) -> None:
        self.table.hear(alive())
        self.assertEqual(len(self.table.wait(1800 + EXPIRY_GRACE_SECONDS)), 1)
        self.assertEqual(self.table.presence.next_expiry(), self.table.now + BYEBYE_PROBE_SECONDS)
        self.assertEqual(self.table.wait(BYEBYE_PROBE_SECONDS - 1), [])
        self.assertEqual(len(self.table.wait(1)), 1)

    def test_no_message_shortens_what_another_promised(self) -> None:
        self.table.hear(alive(max_age=1800))
        self.table.hear(alive(max_age=120))
        self.assertEqual(self.table.only.expires, self.table.now + 1800)

    def test_reboot_starts_anew(self) -> None:
        self.table.hear(alive(max_age=86400, boot_id=1))
        self.table.hear(alive(max_age=300, boot_id=2))
        self.assertEqual(self.table.only.expires, self.table.now + 300)

    def test_A2_max_age_is_clamped(self) -> None:
        for said, seconds in ((0, MAX_AGE_FLOOR), (10**12, MAX_AGE_CEILING)):
            table = Table()
            table.hear(alive(max_age=said))
            self.assertEqual(table.only.expires, table.now + seconds)


class ThreatTests(SynchronousTestCase):
    """Floods and forgeries."""

    def fill(self, table: Table) -> None:
        for number in range(SIGHTINGS):
            table.hear(alive(f"uuid:{number}"), place(host=f"192.0.2.{number + 1}"))

    def test_A3_bound_in_all(self) -> None:
        table = Table()
        self.fill(table)
        table.presence.pin(place(host="192.0.2.1"))
        changes = table.hear(alive("uuid:new"), place(host="192.0.2.200"))
        self.assertEqual([type(change) for change in changes], [Evicted, Appeared])
        self.assertEqual(changes[0].sighting.location.host, ipaddress.ip_address("192.0.2.2"))
        self.assertEqual(len(table.presence.sightings), SIGHTINGS)

    def test_A3_the_longest_silent_goes(self) -> None:
        table = Table()
        self.fill(table)
        table.hear(alive("uuid:0"), place(host="192.0.2.1"))
        changes = table.hear(alive("uuid:new"), place(host="192.0.2.200"))
        self.assertEqual(changes[0].sighting.udns, {"uuid:1"})

    def test_A3_bound_per_source(self) -> None:
        table = Table()
        table.hear(alive("uuid:other"), place(host="192.0.2.2"))
        for number in range(SIGHTINGS_PER_SOURCE + 1):
            changes = table.hear(alive(f"uuid:{number}"), place(port=1000 + number))
        self.assertEqual([type(change) for change in changes], [Evicted, Appeared])
        self.assertEqual(changes[0].sighting.udns, {"uuid:0"})
        self.assertEqual(len(table.presence.sightings), SIGHTINGS_PER_SOURCE + 1)

    def test_A3_forgetting_makes_room(self) -> None:
        table = Table()
        for number in range(20):
            changes = table.hear(alive(f"uuid:{number}"), place(port=1000 + number))
            self.assertEqual([type(change) for change in changes], [Appeared])
            table.presence.forget(place(port=1000 + number))

    def test_A3_pinned_ones_stay(self) -> None:
        table = Table()
        for number in range(SIGHTINGS_PER_SOURCE):
            table.presence.pin(place(port=1000 + number))
            table.hear(alive(f"uuid:{number}"), place(port=1000 + number))
        self.assertEqual(table.hear(alive("uuid:new"), place(port=2000)), [])
        table.presence.unpin(place(port=1001))
        changes = table.hear(alive("uuid:new"), place(port=2000))
        self.assertEqual([type(change) for change in changes], [Evicted, Appeared])
        self.assertEqual(changes[0].sighting.location.port, 1001)

    def test_A3_pinned_newcomer_is_let_in(self) -> None:
        table = Table()
        for number in range(SIGHTINGS_PER_SOURCE + 1):
            table.presence.pin(place(port=1000 + number))
            changes = table.hear(alive(f"uuid:{number}"), place(port=1000 + number))
            self.assertEqual([type(change) for change in changes], [Appeared])

    def test_A3_flood_leaves_the_pinned_gateway(self) -> None:
        table = Table()
        table.hear(alive(boot_id=1))
        table.presence.pin(place())
        for number in range(20_000):
            host = str(ipaddress.ip_address(0xC6336400 + number % 256))
            table.hear(alive(f"uuid:{number}"), place(f"/{number}", host=host))
            self.assertLessEqual(len(table.presence.sightings), SIGHTINGS)
        self.assertIn(place(), [sighting.location for sighting in table.presence.sightings])
        self.assertEqual(table.hear(alive(boot_id=1)), [])
        self.assertEqual(sum(table.presence._per_source.values()), SIGHTINGS)
        self.assertLessEqual(len(table.presence._per_source), SIGHTINGS)

    def test_A3_names_of_one_sighting_are_bounded(self) -> None:
        table = Table()
        for number in range(1000):
            table.hear(alive(f"uuid:{number}", f"urn:x:device:{number}:1"))
        self.assertLessEqual(len(table.only.udns), USNS_PER_SIGHTING)
        self.assertLessEqual(len(table.only.targets), USNS_PER_SIGHTING + 1)

    def test_A3_only_wanted_targets(self) -> None:
        table = Table(Presence(lambda target: "InternetGatewayDevice" in target))
        self.assertEqual(table.hear(alive("uuid:media", MEDIA)), [])
        self.assertEqual(table.hear(Message(Kind.ALIVE, "uuid:x", "uuid:x", "uuid:x")), [])
        self.assertEqual(len(table.hear(alive("uuid:root", IGD))), 1)
        self.assertEqual(table.hear(alive("uuid:embedded", MEDIA)), [])
        self.assertEqual(table.only.udns, {"uuid:root", "uuid:embedded"})

    def test_A3_everything_is_wanted_by_default(self) -> None:
        self.assertEqual(len(Table().hear(Message(Kind.ANSWER, "uuid:x", "uuid:x", "uuid:x"))), 1)

    def test_A3_root_device_may_be_one_but_goes_first(self) -> None:
        table = Table(Presence(lambda target: "InternetGatewayDevice" in target))
        table.hear(alive("uuid:0", IGD), place(port=1000))
        table.hear(alive("uuid:1", ROOT), place(port=1001))
        table.hear(alive("uuid:2", ROOT), place(port=1002))
        table.hear(alive("uuid:1", IGD), place(port=1001))
        table.hear(alive("uuid:2", ROOT), place(port=1002))
        table.hear(alive("uuid:3", IGD), place(port=1003))
        changes = table.hear(alive("uuid:4", IGD), place(port=1004))
        self.assertEqual(changes[0].sighting.udns, {"uuid:2"})

    def test_A5_spoofed_byebyes(self) -> None:
        table = Table()
        table.hear(alive(boot_id=1))
        before = table.only
        told: list[Change] = []
        for _ in range(10_000):
            told += table.hear(byebye(), after=0.006)
        self.assertEqual(told, [Doubted(before, "byebye")] * 2)
        self.assertEqual(table.only, before)

    def test_A5_byebye_that_came_too_soon_is_told_later(self) -> None:
        table = Table()
        table.hear(alive(boot_id=1))
        table.hear(byebye())
        table.hear(alive(boot_id=1), after=1)
        self.assertEqual(table.hear(byebye(), after=1), [])
        self.assertEqual(table.presence.next_expiry(), 1000.0 + BYEBYE_PROBE_SECONDS)
        self.assertEqual(table.wait(BYEBYE_PROBE_SECONDS - 3), [])
        self.assertEqual(table.wait(1), [Doubted(table.only, "byebye")])
        self.assertEqual(table.wait(BYEBYE_PROBE_SECONDS), [])

    def test_A5_alive_ends_a_doubt_that_waits(self) -> None:
        table = Table()
        table.hear(alive(boot_id=1))
        table.hear(byebye())
        self.assertEqual(table.hear(byebye(), after=1), [])
        self.assertEqual(table.hear(alive(boot_id=1), after=1), [])
        self.assertEqual(table.wait(BYEBYE_PROBE_SECONDS), [])

    def test_A5_boot_id_storm(self) -> None:
        table = Table()
        table.hear(alive(boot_id=0))
        told: list[Change] = []
        for number in range(1, 10_001):
            told += table.hear(alive(boot_id=number), after=0.006)
        self.assertEqual([type(change) for change in told], [Rebooted] * (REBOOTS_AT_ONCE + 1))

    def test_A5_boot_id_storm_of_a_day(self) -> None:
        """However it is spread over time: a few at once, and then one for each BYEBYE_PROBE_SECONDS."""
        for pause in (0.5, 20, 31, 200):
            table = Table()
            table.hear(alive(boot_id=0))
            told: list[float] = []
            while table.now < 1000 + 86_400:
                number = (table.only.boot_id or 0) + 1
                told += [table.now for _ in table.hear(alive(boot_id=number), after=pause)]
            for first, later in zip(told, told[REBOOTS_AT_ONCE:], strict=False):
                self.assertGreaterEqual(later - first, BYEBYE_PROBE_SECONDS)
            self.assertLessEqual(len(told), REBOOTS_AT_ONCE + 86_400 / BYEBYE_PROBE_SECONDS + 1)

    def test_A5_config_id_storm(self) -> None:
        table = Table()
        table.hear(alive(config_id=0))
        told: list[Change] = []
        for number in range(1, 10_001):
            told += table.hear(alive(config_id=number), after=0.006)
        self.assertEqual([type(change) for change in told], [Updated] * 2)

    def restarted_often(self, table: Table) -> Sighting:
        """As often as may be told at once; where it is after the last."""
        table.hear(alive(boot_id=100))
        for number in range(REBOOTS_AT_ONCE):
            self.assertEqual([type(told) for told in table.hear(alive(boot_id=101 + number))], [Rebooted], number)
        return table.only

    def test_F01_restarts_in_a_row_are_told_at_once(self) -> None:
        """A router that is set up anew, or whose supply is loose, restarts several times within half a minute."""
        for new_port in (False, True):
            table = Table()
            table.hear(alive(boot_id=1), place(port=1))
            table.presence.pin(place(port=1))
            for number in range(REBOOTS_AT_ONCE):
                where = place(port=2 + number if new_port else 1)
                told = table.hear(alive(boot_id=2 + number), where, after=3)
                self.assertEqual([type(change) for change in told], [Rebooted], number)
                if new_port:
                    table.presence.pin(where)
                    table.presence.forget(place(port=1 + number))

    def test_A5_one_reboot_too_many_is_told_when_its_time_comes(self) -> None:
        table = Table()
        last = self.restarted_often(table)
        self.assertEqual(table.hear(alive(boot_id=4), after=5), [])
        self.assertEqual(table.hear(alive(boot_id=3), after=5), [])
        self.assertEqual(table.presence.next_expiry(), 1000.0 + BYEBYE_PROBE_SECONDS)
        (late,) = table.wait(BYEBYE_PROBE_SECONDS - 10)
        self.assertEqual(late, Rebooted(table.only, last))
        self.assertEqual(table.only.boot_id, 3)

    def test_A5_a_reboot_held_back_is_told_once_our_own_call_finds_nobody(self) -> None:
        for new_port in (False, True):
            table = Table()
            last = self.restarted_often(table)
            self.assertEqual(table.hear(alive(boot_id=4), place(port=81 if new_port else 80), after=5), [])
            self.assertEqual(table.presence.unreachable(place(port=99), table.now), [])
            (told,) = table.presence.unreachable(place(), table.now)
            self.assertEqual(told, Rebooted(table.presence.sightings[-1], last))
            self.assertEqual(table.presence.unreachable(place(), table.now), [], "told once")

    def test_A5_calls_that_find_nobody_leave_no_debt_without_end(self) -> None:
        """Somebody who tells of restarts and refuses connections costs a fetch for each call of ours, no silence."""
        table = Table()
        self.restarted_often(table)
        for number in range(1000):
            self.assertEqual(table.hear(alive(boot_id=number)), [])
            self.assertEqual(len(table.presence.unreachable(place(), table.now)), 1)
        self.assertEqual(table.hear(alive(boot_id=5000)), [])
        self.assertEqual(len(table.wait(2 * BYEBYE_PROBE_SECONDS)), 1)

    def test_A5_doubt_does_not_delay_a_reboot(self) -> None:
        table = Table()
        table.hear(alive(boot_id=1))
        table.hear(byebye())
        self.assertEqual([type(change) for change in table.hear(alive(boot_id=2), after=1)], [Rebooted])

    def test_A5_storm_of_new_locations_for_one_udn(self) -> None:
        for pinned in (True, False):
            table = Table()
            table.hear(alive())
            if pinned:
                table.presence.pin(place())
            told: list[Change] = []
            for number in range(2000):
                told += table.hear(alive(), place(f"/{number}"), after=0.01)
            reboots = [change for change in told if isinstance(change, Rebooted)]
            self.assertEqual(len(reboots), REBOOTS_AT_ONCE, pinned)
            self.assertEqual(place() in [sighting.location for sighting in table.presence.sightings], pinned)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([Kind.ALIVE, Kind.BYEBYE, Kind.UPDATE, Kind.ANSWER, Kind.SEARCH, "expire", "confirm"]),
                st.integers(0, 6),
                st.integers(0, 9),
                st.sampled_from([IGD, ROOT, MEDIA]),
                st.sampled_from([None, 1, 2]),
                st.floats(0, 200),
            ),
            max_size=60,
        )
    )
    def test_A5_any_order(self, steps: list[tuple[Kind | str, int, int, str, int | None, float]]) -> None:
        """Whatever comes: bounds hold, hints are spaced, and the table never says that it is overdue after expire()."""
        table = Table(Presence(lambda target: target == IGD))
        last: dict[tuple[type, DeviceURL], list[float]] = {}
        for what, host, port, target, number, after in steps:
            location = place(host=f"192.0.2.{host + 1}", port=80 + port)
            table.now += after
            if isinstance(what, Kind):
                heard = alive(f"uuid:{host}", target, kind=what, boot_id=number, config_id=number, next_boot_id=number)
                changes = table.hear(heard, location)
            elif what == "expire":
                changes = table.wait(0)
                due = table.presence.next_expiry()
                self.assertTrue(due is None or due > table.now)
            else:
                changes = []
                table.presence.confirm(location, table.now)
            for change in changes:
                key = (type(change), change.sighting.location)
                if isinstance(change, Evicted):
                    for kind in (Rebooted, Updated, Doubted):
                        last.pop((kind, change.sighting.location), None)
                elif not isinstance(change, Appeared):
                    before = last.setdefault(key, [])
                    most = REBOOTS_AT_ONCE if isinstance(change, Rebooted) else 1
                    self.assertTrue(len(before) < most or table.now >= before[-most] + BYEBYE_PROBE_SECONDS)
                    before.append(table.now)
            self.assertLessEqual(len(table.presence.sightings), SIGHTINGS)
            sources = [sighting.source for sighting in table.presence.sightings]
            self.assertTrue(all(sources.count(source) <= SIGHTINGS_PER_SOURCE for source in sources))
