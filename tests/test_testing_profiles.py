"""The ready gateways after models: each found, read, mapped and heard by a control point; captures served whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.quirk_case import PUBLIC, QuirkCase
from tests.raw_client import ask, request
from txigd.errors import InvalidArgument
from txigd.igd.lease_facts import MappingState
from txigd.testing import SimulatedGateway
from txigd.testing.profiles import PROFILES

MESSAGES = Path(__file__).with_name("messages")
BODIES = {
    "befsr41": (MESSAGES / "note2004-befsr41-description-completed.xml").read_bytes(),
    "wrt54g": (MESSAGES / "note2004-wrt54g-description-response.http").read_bytes().partition(b"\r\n\r\n")[2],
    "huawei-3com": (MESSAGES / "intro-huawei-description-completed.http").read_bytes().partition(b"\r\n\r\n")[2],
}
LEASES = {"mikrotik-like": 0, "netgear-like": 0}
BY_POLL = {"thomson-like"}


class ProfileTests(QuirkCase):
    async def met(self, name: str) -> None:
        await self.find(profile=name)
        self.assertEqual(str(await self.router.external_ip()), PUBLIC)
        held = await self.hold()
        self.assertEqual(held.status.lease_seconds, LEASES.get(name, 3600))
        await self.change(by="poll" if name in BY_POLL else "event")
        await held.release()
        self.assertEqual(len(self.device.mappings), 0)

    async def test_Q002_Q063_Q064_befsr41(self) -> None:
        await self.met("befsr41")
        (service,) = self.router.services
        self.assertEqual(service.control_url.target if service.control_url else "", "//WANIPConnection")
        self.assertNotEqual(service.control_url.port if service.control_url else 0, self.device.port)
        self.assertEqual(self.router.udn, "uuid:upnp-InternetGatewayDevice-1_0-0090a2777777")

    async def test_Q043_Q068_Q143_wrt54g(self) -> None:
        await self.met("wrt54g")
        self.assertEqual(self.router.wan.status.service, "WANPPPConnection:1")
        self.assertEqual(self.router.model, "Linksys Inc. WRT54G v2.02.2")

    async def test_Q132_wrt54g_nobody_is_overwritten(self) -> None:
        await self.find(profile="wrt54g")
        foreign = self.device.add_foreign_mapping("TCP", 8080)
        await self.hold(state=MappingState.CONFLICT)
        self.assertEqual(list(self.device.mappings), [foreign])

    async def test_Q045_huawei_3com(self) -> None:
        await self.met("huawei-3com")
        self.assertEqual(self.router.friendly_name, "Huawei-3Com IGD")

    async def test_Q038_Q068_Q099_Q112_fritzbox_like(self) -> None:
        await self.met("fritzbox-like")

    async def test_Q112_Q117_Q149_mikrotik_like(self) -> None:
        await self.met("mikrotik-like")

    async def test_Q075_Q148_sagemcom_like(self) -> None:
        await self.met("sagemcom-like")
        self.assertFalse(self.router.wan.status.connected)

    async def test_Q069_Q070_Q161_miniupnpd_like(self) -> None:
        await self.met("miniupnpd-like")

    async def test_miniupnpd_like_drops_are_found_by_a_poll(self) -> None:
        await self.find(profile="miniupnpd-like")
        await self.settled()
        self.device.drop_wan()
        status = await self.router.wan.when(lambda status: not status.connected, 60)
        self.assertEqual(status.learned.value, "poll")

    async def test_Q068_Q122_livebox_like(self) -> None:
        await self.met("livebox-like")

    async def test_Q088_Q116_Q117_Q170_netgear_like(self) -> None:
        await self.met("netgear-like")

    async def test_Q076_Q105_er605_like(self) -> None:
        await self.met("er605-like")
        self.assertEqual(len(self.router.wan.connections), 2)
        second = await self.router.wan.connections[1].read()
        self.assertEqual((second.connection_status, second.external_ip), ("Connected", "11.22.33.45"))

    async def test_Q031_Q114_Q151_archer_like(self) -> None:
        await self.met("archer-like")

    async def test_Q027_Q170_thomson_like(self) -> None:
        await self.met("thomson-like")

    async def test_a_quirk_more(self) -> None:
        await self.find("Q117", profile="wrt54g")
        held = await self.hold()
        self.assertEqual(held.status.lease_seconds, 0)


class CaptureTests(QuirkCase):
    async def test_the_description_octet_for_octet(self) -> None:
        for name, body in BODIES.items():
            device = self.play(profile=name)
            await device.start()
            path = device.location.partition(f":{device.port}")[2]
            answer = await ask(device.port, request("GET", path, device.port))
            served = answer.body
            for captured, ours in zip(PROFILES[name].options["model"].captured, self.origins(device), strict=False):
                served = served.replace(ours.encode(), captured.encode())
            self.assertEqual(served, body, name)
            await device.stop()

    def origins(self, device: SimulatedGateway) -> list[str]:
        boot: Any = device._boot
        return [boot.where.origin, boot.where.other_origin]


class NameTests(SynchronousTestCase):
    def test_every_profile_can_be_made(self) -> None:
        for name, says in SimulatedGateway.profiles().items():
            SimulatedGateway.profile(Clock(), name, ssdp=False, relay=False)
            self.assertTrue(says, name)

    def test_every_profile_is_met_above(self) -> None:
        met = {name.partition("_")[2].rstrip("_") for name in dir(ProfileTests) if name.startswith("test_")}
        for name in PROFILES:
            self.assertTrue([test for test in met if test.endswith(name.replace("-", "_"))], name)

    def test_no_such_profile(self) -> None:
        with self.assertRaises(InvalidArgument) as caught:
            SimulatedGateway.profile(Clock(), "wrt45g")
        self.assertIn("wrt54g", str(caught.exception))
