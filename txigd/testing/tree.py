"""The device tree of a simulated gateway: its documents and what it announces. Pure.

Everything is generated from the service templates; paths and file names are those of miniupnpd.
Sources: IGD:1 and IGD:2 device templates, UDA 1.0-1.1 sections 1.3 (targets), 2.2 and 2.3 (documents).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from txigd.testing.model import DESCRIPTION_PATH as DESCRIPTION_PATH
from txigd.testing.model import Model
from txigd.testing.template import SERVICE_PREFIX, TEMPLATES, ServiceTemplate
from txigd.upnp.description.service import Action, StateVariable
from txigd.upnp.discovery.message import ALL, ROOT_DEVICE
from txigd.upnp.xml import escape

DEVICE_PREFIX: Final = "urn:schemas-upnp-org:device:"
CONNECTIONS: Final = ("IP", "PPP", "both-with-PPP-live", "both-with-IP-live")
MEDIA: Final = ("DSL", "POTS", "Cable", "Ethernet")

# service name -> (last part of control and event path, file of its SCPD, serviceId)
_PATHS: Final = {
    "Layer3Forwarding": ("L3F", "L3F.xml", "L3Forwarding1"),
    "DeviceProtection": ("DP", "DP.xml", "DeviceProtection1"),
    "WANCommonInterfaceConfig": ("CmnIfCfg", "WANCfg.xml", "WANCommonIFC1"),
    "WANEthernetLinkConfig": ("EthLnkC", "WANEthLC.xml", "WANEthLinkC1"),
    "WANDSLLinkConfig": ("DSLLnkC", "WANDSLLC.xml", "WANDSLLinkC1"),
    "WANCableLinkConfig": ("CblLnkC", "WANCblLC.xml", "WANCableLinkC1"),
    "WANPOTSLinkConfig": ("POTSLnkC", "WANPOTLC.xml", "WANPOTSLinkC1"),
    "LANHostConfigManagement": ("LANHCfg", "LANHCfg.xml", "LANHostCfg1"),
    "WANIPConnection": ("IPConn", "WANIPCn.xml", "WANIPConn1"),
    "WANPPPConnection": ("PPPConn", "WANPPPCn.xml", "WANPPPConn1"),
    "WANIPv6FirewallControl": ("IP6FCtl", "WANIP6FC.xml", "WANIPv6Firewall1"),
}
_TYPED = re.compile(r"(urn:[^:]+:(?:device|service):[^:]+):([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class ServiceNode:
    """One service of the tree. Paths are absolute paths on the gateway, ``event_path`` empty if nothing is evented.

    ``wan`` counts the WAN devices; services of another than the first have ``#2`` and so on in their key.
    """

    template: ServiceTemplate
    service_id: str
    scpd_path: str
    control_path: str
    event_path: str
    wan: int = 1

    @property
    def name(self) -> str:
        """The bare name, for example ``"WANIPConnection"``."""
        return self.template.name

    @property
    def key(self) -> str:
        """What tells it apart on its gateway: the name, with a number behind it on further WAN devices."""
        return self.name if self.wan == 1 else f"{self.name}#{self.wan}"


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """One device of the tree."""

    device_type: str
    friendly_name: str
    udn: str
    services: tuple[ServiceNode, ...]
    devices: tuple[DeviceNode, ...] = ()

    def walk(self) -> Iterator[DeviceNode]:
        """This device and all below it, parents first."""
        yield self
        for device in self.devices:
            yield from device.walk()


def _service(name: str, version: int, prefix: str, model: Model, wan: int = 1) -> ServiceNode:
    template = TEMPLATES[f"{SERVICE_PREFIX}{name}:{version}"]
    short, scpd, service_id = _PATHS[name]
    if wan > 1:
        short, scpd, service_id = f"{short}{wan}", f"{wan}{scpd}", f"{service_id.rstrip('1')}{wan}"
    return ServiceNode(
        template,
        f"urn:upnp-org:serviceId:{service_id}",
        prefix + model.scpd.format(scpd),
        prefix + model.control.format(short),
        prefix + model.event.format(short) if template.evented else "",
        wan,
    )


def embedded_udn(udn: str, number: int) -> str:
    """The UDN of the n-th embedded device: the root's UUID plus n, or with a suffix if the root's is no UUID."""
    text = udn.removeprefix("uuid:")
    try:
        root = uuid.UUID(text)
    except ValueError:
        return f"{udn}-{number}"
    return f"uuid:{uuid.UUID(int=(root.int + number) % (1 << 128))}"


class Tree:
    """The tree of one gateway.

    :param version: 1 or 2, of InternetGatewayDevice.
    :param udn: ``uuid:...`` of the root device.
    :param connection: which connection services there are, one of :data:`CONNECTIONS`.
    :param prefix: put before every path but that of the description's own, for example ``"/3fa9"``.
    :param extra_services: whether the optional services of version 2 (firewall, protection, link) are there.
    :param wans: how many WAN devices there are, each with a connection of its own (Q076).
    :param announced_version: what SSDP says instead of ``version`` (Q072); 0 for the truth.
    :param medium: of the line, one of :data:`MEDIA`: there is the link service of it, in either version.
    :param lan_device: whether there is a LANDevice, with its LANHostConfigManagement.
    :param model: the facts of a make.
    """

    medium = ""

    def __init__(
        self,
        *,
        version: int,
        udn: str,
        friendly_name: str,
        connection: str = "IP",
        prefix: str = "",
        extra_services: bool = True,
        config_id: int = 1,
        wans: int = 1,
        announced_version: int = 0,
        medium: str = "",
        lan_device: bool = False,
        model: Model | None = None,
    ) -> None:
        self.version = version
        self.medium = medium
        self.prefix = prefix
        self.config_id = config_id
        self.model = model or Model()
        self._announced_version = announced_version or version
        extra = version >= 2 and extra_services
        top = [_service("Layer3Forwarding", 1, prefix, self.model)]
        if extra:
            top.append(_service("DeviceProtection", 1, prefix, self.model))
        devices = tuple(self._wan(number, udn, connection, extra=extra) for number in range(1, wans + 1))
        self.connection_device = devices[0].devices[0]
        beside = (self._lan(embedded_udn(udn, 2 * wans + 1)),) if lan_device else ()
        self.root = DeviceNode(
            f"{DEVICE_PREFIX}InternetGatewayDevice:{version}", friendly_name, udn, tuple(top), (*beside, *devices)
        )
        live = "WANPPPConnection" if connection in ("PPP", "both-with-PPP-live") else "WANIPConnection"
        self._index(live)

    def _wan(self, number: int, udn: str, connection: str, *, extra: bool) -> DeviceNode:
        def service(name: str, version: int = 1) -> ServiceNode:
            return _service(name, version, self.prefix, self.model, number)

        medium = self.medium or ("Ethernet" if extra else "")
        links = [service(f"WAN{medium}LinkConfig")] if medium else []
        if connection != "PPP":
            links.append(service("WANIPConnection", self.version))
        if connection != "IP":
            links.append(service("WANPPPConnection"))
        if extra and number == 1:
            links.append(service("WANIPv6FirewallControl"))
        inner = DeviceNode(
            f"{DEVICE_PREFIX}WANConnectionDevice:{self.version}",
            "WAN connection",
            embedded_udn(udn, 2 * number),
            tuple(links),
        )
        common = service("WANCommonInterfaceConfig")
        return DeviceNode(
            f"{DEVICE_PREFIX}WANDevice:{self.version}", "WAN", embedded_udn(udn, 2 * number - 1), (common,), (inner,)
        )

    def _lan(self, udn: str) -> DeviceNode:
        hosts = _service("LANHostConfigManagement", 1, self.prefix, self.model)
        return DeviceNode(f"{DEVICE_PREFIX}LANDevice:1", "LAN", udn, (hosts,))

    def _index(self, live: str) -> None:
        self.services: Mapping[str, ServiceNode] = {s.key: s for d in self.root.walk() for s in d.services}
        self.live_service = self.services[live]

    @property
    def description_path(self) -> str:
        """Where the description stands."""
        return self.prefix + self.model.description_path

    @property
    def default_connection(self) -> str:
        """DefaultConnectionService of Layer3Forwarding."""
        return f"{self.connection_container},{self.live_service.service_id}"

    @property
    def access_type(self) -> str:
        """WANAccessType of WANCommonInterfaceConfig."""
        return self.medium or ("DSL" if self.live_service.name == "WANPPPConnection" else "Ethernet")

    @property
    def connection_container(self) -> str:
        """The WANConnectionDevice as WANCommonInterfaceConfig and Layer3Forwarding name it."""
        return f"{self.connection_device.udn}:WANConnectionDevice:{self.version}"

    # -- discovery -------------------------------------------------------------------------------------------------

    def announcements(self) -> tuple[tuple[str, str], ...]:
        """Pairs of notification type and UDN: three for the root, two per embedded device, one per service type."""
        found = [(ROOT_DEVICE, self.root.udn)]
        for device in self.root.walk():
            found += [(device.udn, device.udn), (device.device_type, device.udn)]
        for device in self.root.walk():
            found += [(kind, device.udn) for kind in dict.fromkeys(s.template.service_type for s in device.services)]
        if self._announced_version < self.version:
            found = [(re.sub(r"^(urn:.*):2$", r"\1:1", kind), udn) for kind, udn in found]
        return tuple(found)

    def answers(self, target: str) -> tuple[tuple[str, str], ...]:
        """Pairs of ST and UDN owed to a search; a higher version answers for a lower one and names that one."""
        announced = self.announcements()
        if target == ALL:
            return announced
        wanted = _TYPED.fullmatch(target)
        if wanted is None:
            return tuple(pair for pair in announced if pair[0] == target)
        matches = ((_TYPED.fullmatch(kind), udn) for kind, udn in announced)
        return tuple(
            (target, udn) for have, udn in matches if have and have[1] == wanted[1] and int(have[2]) >= int(wanted[2])
        )

    # -- documents -------------------------------------------------------------------------------------------------

    def description(self, origin: str, *, urls: str = "path", url_base: bool = False, other_origin: str = "") -> bytes:
        """The device description.

        :param origin: ``http://ADDRESS:PORT`` of the gateway.
        :param other_origin: that of its second port; a captured document may name it.
        :param urls: ``"path"`` for absolute paths, ``"relative"`` without leading slash, ``"absolute"`` for whole URLs.
        :param url_base: whether to name the origin in URLBase, which only version 1.0 of the architecture allows.
        """
        minor = 1 if self.version >= 2 else 0
        config = f' configId="{self.config_id}"' if minor else ""
        return "".join(
            [
                f'<?xml version="1.0"?>\n<root xmlns="urn:schemas-upnp-org:device-1-0"{config}>',
                f"<specVersion><major>1</major><minor>{minor}</minor></specVersion>",
                f"<URLBase>{escape(origin)}/</URLBase>" if url_base else "",
                self._device(self.root, origin, urls),
                "</root>\n",
            ]
        ).encode()

    def _device(self, device: DeviceNode, origin: str, urls: str) -> str:
        def url(path: str) -> str:
            if not path or urls == "path":
                return path
            return escape(origin + path) if urls == "absolute" else path.removeprefix(f"{self.prefix}/")

        services = "".join(
            f"<service><serviceType>{s.template.service_type}</serviceType><serviceId>{s.service_id}</serviceId>"
            f"<SCPDURL>{url(s.scpd_path)}</SCPDURL><controlURL>{url(s.control_path)}</controlURL>"
            f"<eventSubURL>{url(s.event_path)}</eventSubURL></service>"
            for s in device.services
        )
        below = "".join(self._device(child, origin, urls) for child in device.devices)
        return (
            f"<device><deviceType>{device.device_type}</deviceType><friendlyName>{escape(device.friendly_name)}</friendlyName>"
            f"<manufacturer>{escape(self.model.manufacturer)}</manufacturer>"
            + (
                f"<manufacturerURL>{escape(url_text)}</manufacturerURL>"
                if (url_text := self.model.manufacturer_url)
                else ""
            )
            + f"<modelDescription>{escape(self.model.model_description)}</modelDescription>"
            f"<modelName>{escape(self.model.model_name)}</modelName>"
            f"<modelNumber>{escape(self.model.model_number or str(self.version))}</modelNumber>"
            f"<serialNumber>0</serialNumber><UDN>{escape(device.udn)}</UDN>"
            f"<serviceList>{services}</serviceList>"
            + (f"<deviceList>{below}</deviceList>" if below else "")
            + (f"<presentationURL>{url('/')}</presentationURL>" if device is self.root and urls != "relative" else "")
            + "</device>"
        )

    def scpd(self, service: ServiceNode, implemented: Collection[str] | None = None) -> bytes:
        """The service description, with all actions of the template or only those that are implemented."""
        template = service.template
        actions = [a for a in template.actions.values() if implemented is None or a.name in implemented]
        used = {argument.variable for a in actions for argument in (*a.inputs, *a.outputs)}
        variables = [v for v in template.variables.values() if implemented is None or v.evented or v.name in used]
        return (
            '<?xml version="1.0"?>\n<scpd xmlns="urn:schemas-upnp-org:service-1-0">'
            f"<specVersion><major>1</major><minor>{1 if self.version >= 2 else 0}</minor></specVersion>"
            f"<actionList>{''.join(map(_action, actions))}</actionList>"
            f"<serviceStateTable>{''.join(map(_variable, variables))}</serviceStateTable></scpd>\n"
        ).encode()


def _action(action: Action) -> str:
    arguments = "".join(
        f"<argument><name>{argument.name}</name><direction>{direction}</direction>"
        f"<relatedStateVariable>{argument.variable}</relatedStateVariable></argument>"
        for direction, items in (("in", action.inputs), ("out", action.outputs))
        for argument in items
    )
    inside = f"<argumentList>{arguments}</argumentList>" if arguments else ""
    return f"<action><name>{action.name}</name>{inside}</action>"


def _variable(variable: StateVariable) -> str:
    default = "" if variable.default is None else f"<defaultValue>{escape(variable.default)}</defaultValue>"
    allowed = "".join(f"<allowedValue>{escape(word)}</allowedValue>" for word in variable.allowed)
    bounds = f"<minimum>{variable.minimum or 0}</minimum><maximum>{variable.maximum}</maximum>"
    limits = f"<allowedValueRange>{bounds}</allowedValueRange>" if variable.maximum is not None else ""
    return (
        f'<stateVariable sendEvents="{"yes" if variable.evented else "no"}"><name>{variable.name}</name>'
        f"<dataType>{variable.data_type}</dataType>{default}"
        + (f"<allowedValueList>{allowed}</allowedValueList>" if allowed else "")
        + f"{limits}</stateVariable>"
    )
