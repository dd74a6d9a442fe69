"""The tree of a gateway of which the description was captured: the document is served octet for octet. Pure.

Services and announcements come from the document, read as a control point reads it; where the capture names addresses
and ports of its own, those of the simulated gateway stand instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from txigd.testing.model import Model
from txigd.testing.template import TEMPLATES
from txigd.testing.tree import DeviceNode, ServiceNode, Tree
from txigd.upnp import url
from txigd.upnp.description import device


class CapturedTree(Tree):
    """The tree of a captured description.

    :param model: its ``document`` is the description, its ``captured`` the origins that stand in it.
    """

    def __init__(self, model: Model, *, config_id: int = 1) -> None:
        self.model = model
        self.version = self._announced_version = 1
        self.prefix = ""
        self.config_id = config_id
        location = url.parse(model.captured[0] + model.description_path)
        self._read = device.parse(model.document, location)
        self.root = _node(self._read.root)
        holders = [
            d for d in self.root.walk() if any(s.name.startswith("WAN") and "Conn" in s.name for s in d.services)
        ]
        self.connection_device = holders[-1]
        names = [service.name for service in self.connection_device.services]
        self._index(model.live or names[0])

    def description(self, origin: str, *, urls: str = "path", url_base: bool = False, other_origin: str = "") -> bytes:
        """The document; ``urls`` and ``url_base`` are as they were captured."""
        document = self.model.document
        for before, after in zip(self.model.captured, (origin, other_origin), strict=False):
            document = document.replace(before.encode(), after.encode())
        return document


def _node(read: device.Device) -> DeviceNode:
    return DeviceNode(
        read.device_type,
        read.friendly_name,
        read.udn,
        tuple(_services(read.services)),
        tuple(_node(child) for child in read.devices),
    )


def _services(read: Collection[device.Service]) -> Iterator[ServiceNode]:
    for service in read:
        template = TEMPLATES[service.service_type]
        targets = [
            place.target if place else "" for place in (service.scpd_url, service.control_url, service.event_url)
        ]
        scpd, control, event = targets
        yield ServiceNode(template, service.service_id, scpd, control, event)
