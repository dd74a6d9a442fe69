"""A device description: the tree of devices and services of one root device. Pure.

Every URL that is kept is on the very host that the description came from (threats A7): the tree of a hostile or broken
device cannot make anyone connect elsewhere. Sources: UDA 1.0-2.0 section 2.3 (device description), threats A7, B10 and
section 6, quirks Q055, Q061-Q077, Q081, Q088, fault F26.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from txigd.errors import BadURL, DescriptionError
from txigd.limits import (
    DESCRIPTION_OCTETS,
    LOCATION_OCTETS,
    TREE_DEPTH,
    TREE_DEVICES,
    TREE_ICONS,
    TREE_PROBLEMS,
    TREE_SERVICES,
    TREE_TEXT_CHARACTERS,
    USN_OCTETS,
)
from txigd.upnp import url, xml
from txigd.upnp.url import DeviceURL
from txigd.upnp.xml import Element


@dataclass(frozen=True, slots=True)
class Icon:
    """A picture of the device; sizes in pixels, depth in bits, 0 where not told."""

    mimetype: str
    width: int
    height: int
    depth: int
    url: DeviceURL


@dataclass(frozen=True, slots=True)
class Service:
    """A service of one device.

    A URL is None where the device gives none that can be used: no ``event_url`` means no events (Q068). ``udn`` names
    the device it belongs to; ``path`` is the indexes of the devices from the root down, then that of the service, and
    tells apart what serviceId may not (Q074). ``directory`` is what relative URLs were resolved against: some devices
    mean the root (Q067).
    """

    service_type: str
    service_id: str
    control_url: DeviceURL | None
    event_url: DeviceURL | None
    scpd_url: DeviceURL | None
    udn: str = ""
    path: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    directory: str = "/"

    @property
    def name(self) -> str:
        """The name inside serviceType, such as ``WANIPConnection``."""
        return self.service_type.split(":")[3]

    @property
    def version(self) -> int:
        """The version inside serviceType; not to be trusted (Q071)."""
        return int(self.service_type.split(":")[4])

    @property
    def place(self) -> str:
        """``path`` as it is written: ``1.0.1``."""
        return ".".join(map(str, self.path))


@dataclass(frozen=True, slots=True)
class Device:
    """A device with its services and embedded devices. Texts are one line each; absent ones are empty.

    ``presentation_url`` is text to show, never to fetch (Q088).
    """

    device_type: str
    friendly_name: str = ""
    manufacturer: str = ""
    manufacturer_url: str = ""
    model_description: str = ""
    model_name: str = ""
    model_number: str = ""
    model_url: str = ""
    serial_number: str = ""
    udn: str = ""
    upc: str = ""
    presentation_url: str = ""
    icons: tuple[Icon, ...] = ()
    services: tuple[Service, ...] = ()
    devices: tuple[Device, ...] = ()

    def walk(self) -> Iterator[Device]:
        """This device and all embedded ones, in document order."""
        waiting = [self]
        while waiting:
            device = waiting.pop()
            yield device
            waiting.extend(reversed(device.devices))

    def all_services(self) -> Iterator[Service]:
        """The services of this device and of all embedded ones, in document order of the devices."""
        for device in self.walk():
            yield from device.services


@dataclass(frozen=True, slots=True)
class Description:
    """What was read from one LOCATION.

    ``spec_version`` is (major, minor), often a lie; ``config_id`` None where absent (UDA 1.0); ``base`` the URL that
    relative ones were resolved against: ``location``, or URLBase where that is on the same host (Q062).
    """

    root: Device
    location: DeviceURL
    spec_version: tuple[int, int] = (1, 0)
    config_id: int | None = None
    problems: tuple[str, ...] = ()
    base: DeviceURL | None = None


def labels(services: Iterable[Service]) -> dict[Service, str]:
    """A name for each of these that none of the others has (Q074, Q076).

    ``WANIPConnection:2``; where several are called so ``WANIPConnection:2 (1.0.1)``, by their places in the tree; and
    where several trees have one there, by the UDN and then by the id as well.
    """
    made = {one: f"{one.name}:{one.version}" for one in services}
    for written in _APART:
        often = Counter(made.values())
        made = {one: written(one) if often[label] > 1 else label for one, label in made.items()}
    return made


_APART: tuple[Callable[[Service], str], ...] = (
    lambda one: f"{one.name}:{one.version} ({one.place})",
    lambda one: f"{one.name}:{one.version} ({one.place} of {one.udn})",
    lambda one: f"{one.name}:{one.version} ({one.place} of {one.udn}, {one.service_id})",
)


def parse(document: bytes, location: DeviceURL, *, use_base: bool = True) -> Description:
    """Read a device description.

    What cannot be used is left out and named in ``problems``; so is what goes beyond the bounds.

    :param location: the URL that the document was fetched from, with the zone of a link-local IPv6 address.
    :param use_base: False ignores URLBase, for a device whose URLBase leads nowhere (Q062).
    :raises DescriptionError: for what is no device description; the text has its first characters (Q055).
    """
    element = xml.parse(document, cap=DESCRIPTION_OCTETS)
    found = [element] if element.name.lower() == "device" else _listed(element, "device", "deviceList")
    if not found:
        raise DescriptionError(f"no device description, but <{element.name[:40]}>; it begins {xml.excerpt(document)!r}")
    reader = _Reader(location)
    if use_base:
        reader.set_base(element.text_of("URLBase"))
    root = reader.device(found, path=())
    if not root.udn:
        # the tree needs a key; the same device is found at the same place again
        reader.problem("the root device has no UDN")
        root = replace(root, udn=str(location))
    version = element.find("specVersion") or Element("specVersion")
    config_id = element.attribute("configId")
    return Description(
        root=root,
        location=location,
        spec_version=(_number(version.text_of("major"), 1), _number(version.text_of("minor"), 0)),
        config_id=_number(config_id, 0) if _DIGITS.fullmatch(config_id) else None,
        problems=tuple(reader.problems),
        base=reader.base,
    )


_DIGITS = re.compile(r"[0-9]{1,10}")
# B10: what is echoed in SOAPACTION
_SERVICE_TYPE = re.compile(r"urn:[A-Za-z0-9.-]+:service:[A-Za-z0-9_.-]+:[0-9]{1,3}")
# a URL on another host, by name or address, but nothing that hides one: no user information, no backslash, no blank
_FOREIGN = re.compile(
    r"(?:http:)?//(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(/[^\\]*|\?[^\\]*)?", re.IGNORECASE
)


class _Reader:
    """One pass over one tree, counting what it keeps."""

    def __init__(self, location: DeviceURL) -> None:
        self.location = location
        self.base = location
        self.problems: list[str] = []
        self._devices = 0
        self._services = 0

    def problem(self, text: str) -> str:
        if len(self.problems) < TREE_PROBLEMS and text not in self.problems:
            self.problems.append(text)
        return text

    def set_base(self, text: str) -> None:
        """Q061, Q062, A7: URLBase counts where it is on the host that the description came from, at any port."""
        if not text:
            return
        try:
            base = url.parse(text)
            if base.host != url.without_zone(self.location.host):
                raise BadURL("it is on another host")
        except BadURL as error:
            self.problem(f"URLBase {text[:80]!r} is not used: {error}")
        else:
            self.base = replace(base, host=self.location.host)

    def device(self, elements: list[Element], path: tuple[int, ...]) -> Device:
        """The first of ``elements``; what stands beside it (a broken tree, Q075) becomes embedded."""
        element, beside = elements[0], elements[1:]
        self._devices += 1
        udn = _line(element.text_of("UDN"))[:USN_OCTETS]
        device = Device(
            device_type=_line(element.text_of("deviceType")),
            friendly_name=_line(element.text_of("friendlyName")),
            manufacturer=_line(element.text_of("manufacturer")),
            manufacturer_url=_line(element.text_of("manufacturerURL")),
            model_description=_line(element.text_of("modelDescription")),
            model_name=_line(element.text_of("modelName")),
            model_number=_line(element.text_of("modelNumber")),
            model_url=_line(element.text_of("modelURL")),
            serial_number=_line(element.text_of("serialNumber")),
            udn=udn,
            upc=_line(element.text_of("UPC")),
            presentation_url=_line(element.text_of("presentationURL")),
            icons=tuple(self._icons(element)),
            services=tuple(self._services_of(element, udn, path)),
        )
        embedded = _listed(element, "device", "deviceList") + beside
        if embedded and len(path) >= TREE_DEPTH:
            self.problem(f"devices embedded deeper than {TREE_DEPTH} are left out")
            embedded = []
        devices: list[Device] = []
        for child in embedded:
            if self._devices >= TREE_DEVICES:
                self.problem(f"only {TREE_DEVICES} devices are read")
                break
            devices.append(self.device([child], (*path, len(devices))))
        return replace(device, devices=tuple(devices))

    def _services_of(self, element: Element, udn: str, path: tuple[int, ...]) -> Iterator[Service]:
        for index, item in enumerate(_listed(element, "service", "serviceList")):
            if self._services >= TREE_SERVICES:
                self.problem(f"only {TREE_SERVICES} services are read")
                return
            service = self._service(item, udn, (*path, index))
            if service is not None:
                self._services += 1
                yield service

    def _service(self, element: Element, udn: str, path: tuple[int, ...]) -> Service | None:
        service_type = element.text_of("serviceType")
        if len(service_type) > USN_OCTETS or _SERVICE_TYPE.fullmatch(service_type) is None:
            self.problem(f"service left out: its type is {service_type[:80]!r}")
            return None
        problems: list[str] = []
        urls: dict[str, DeviceURL | None] = {}
        for name in ("controlURL", "eventSubURL", "SCPDURL"):
            text = element.text_of(name)
            try:
                urls[name], trouble = self.resolve(text) if text else (None, "")
            except BadURL as error:
                if name == "controlURL":
                    self.problem(f"service {service_type} left out: {name} {error}")
                    return None
                urls[name], trouble = None, str(error)
            if trouble:
                problems.append(self.problem(f"{service_type} {name}: {trouble}"))
        return Service(
            service_type=service_type,
            service_id=_line(element.text_of("serviceId")),
            control_url=urls["controlURL"],
            event_url=urls["eventSubURL"],
            scpd_url=urls["SCPDURL"],
            udn=udn,
            path=path,
            problems=tuple(problems),
            directory=url.directory(self.base),
        )

    def _icons(self, element: Element) -> Iterator[Icon]:
        for item in _listed(element, "icon", "iconList")[:TREE_ICONS]:
            try:
                address, _ = self.resolve(item.text_of("url"))
            except BadURL:
                continue
            sizes = [_number(item.text_of(name), 0) for name in ("width", "height", "depth")]
            yield Icon(_line(item.text_of("mimetype")), sizes[0], sizes[1], sizes[2], address)

    def resolve(self, text: str) -> tuple[DeviceURL, str]:
        """The URL on the gateway itself, and what was wrong with it.

        :raises BadURL: where not even the path can be used.
        """
        if len(text) > LOCATION_OCTETS:
            raise BadURL(f"URL of {len(text)} characters")
        try:
            return url.resolve(self.base, text), ""
        except BadURL:
            match = _FOREIGN.fullmatch(text)
            if match is None:
                raise
        # Q065: the path is right, the host is not; host and port are those that answered for the description
        target = match[1] or "/"
        here = url.resolve(self.location, target if target.startswith("/") else "/" + target)
        return here, f"{text!r} is not on this host, {here} is used"


def _listed(element: Element, item: str, holder: str) -> list[Element]:
    """Every ``item`` of the lists, also where lists are repeated, nested, or left out (Q075)."""
    found: list[Element] = []
    waiting = list(reversed(element.children))
    while waiting:
        child = waiting.pop()
        if child.name.lower() == item.lower():
            found.append(child)
        elif child.name.lower() == holder.lower():
            waiting.extend(reversed(child.children))
    return found


def _line(text: str) -> str:
    """A text on one line (Q077), at most as long as is shown."""
    return " ".join(text.split())[:TREE_TEXT_CHARACTERS]


def _number(text: str, default: int) -> int:
    return int(text) if _DIGITS.fullmatch(text) else default
