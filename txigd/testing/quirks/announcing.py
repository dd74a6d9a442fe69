"""Habits of SSDP messages: header fields, locations, names, and when they are said (quirks Q016-Q042). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from txigd.testing.quirks.habit import END, Quirk, Scene, renamed, split, with_fields, with_value, without
from txigd.testing.quirks.searching import is_answer, of_device

LOCATION: Final = "LOCATION"
_BOOT: Final = re.compile(rb"(\r\n(?:NEXT)?BOOTID\.UPNP\.ORG: )[0-9]+")
_WPS: Final = b"urn:schemas-wifialliance-org:device:WFADevice:1"
_WPS_DESCRIPTION: Final = (
    b'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor>'
    b"</specVersion><device><deviceType>"
    + _WPS
    + b"</deviceType><friendlyName>WFADevice</friendlyName><UDN>uuid:wps-daemon"
    b"</UDN></device></root>"
)
_Batch = Callable[[list[bytes], Scene], list[bytes]]


def _each(change: Callable[[bytes], bytes]) -> _Batch:
    return lambda batch, scene: [change(datagram) for datagram in batch]


def is_alive(datagram: bytes) -> bool:
    """Whether a datagram of ours is an ssdp:alive."""
    return b"\r\nNTS: ssdp:alive\r\n" in datagram or b"ssdp:alive" in datagram.lower()


def _folded(datagram: bytes) -> bytes:
    return re.sub(rb"\r\nLOCATION:[ \t]*", b"\r\nLocation:\r\n", datagram)


def _any_case(datagram: bytes) -> bytes:
    turns = iter(range(10_000))

    def spelled(name: bytes) -> bytes:
        return (name.lower(), name.title(), name.upper())[next(turns) % 3]

    head, body = split(renamed(datagram, spelled))
    lines = head.split(b"\r\n")
    blanks = (b":", b":    ", b":\t")
    lines[1:] = [re.sub(rb":[ \t]*", blanks[n % 3], line, count=1) for n, line in enumerate(lines[1:])]
    return b"\r\n".join(lines) + END + body


def _odd_end(datagram: bytes) -> bytes:
    return datagram.rstrip(b"\r\n").replace(b"\r\n", b"\n") + b"\n\0\0"


def _doubled(datagram: bytes) -> bytes:
    head, _ = split(datagram)
    start, *lines = head.split(b"\r\n")
    return b"\r\n".join([start, b"LOCATION:", *lines, *lines]) + END


def _bad_places(batch: list[bytes], scene: Scene) -> list[bytes]:
    bad = (b"http://[::1]:1900/rootDesc.xml", b"http://169.254.7.7:5000/rootDesc.xml", b"http://0.0.0.0/rootDesc.xml")
    first = [with_value(d, LOCATION, lambda _, place=place: place) for d in batch[:1] for place in bad]  # type: ignore[misc]
    return first + batch


def _other_host(batch: list[bytes], scene: Scene) -> list[bytes]:
    there = b"//" + scene.external_ip.encode() + b":"
    return [with_value(d, LOCATION, lambda place: re.sub(rb"//[^/]*:", there, place, count=1)) for d in batch]


def _cut_short(batch: list[bytes], scene: Scene) -> list[bytes]:
    return [
        with_value(d, LOCATION, lambda place: place[:-3] if b"rootdevice" in d else place + b" \x80junk")  # noqa: B023
        for d in batch
    ]


def _usn(change: Callable[[bytes], bytes]) -> _Batch:
    return _each(lambda datagram: with_value(datagram, "USN", change))


def _directives(value: bytes) -> bytes:
    return b'no-cache="Ext", ' + value.replace(b"=", b" = ").replace(b"1800", b"40000")


def _farewell_before(batch: list[bytes], scene: Scene) -> list[bytes]:
    """Every set of announcements is led in by byebyes, as at a restart."""
    goodbyes = [
        without(with_value(d, "NTS", lambda _: b"ssdp:byebye"), LOCATION, "CACHE-CONTROL", "SERVER")
        for d in batch
        if is_alive(d)
    ]
    return goodbyes + batch


def _stranger_leaves(batch: list[bytes], scene: Scene) -> list[bytes]:
    return [
        *batch,
        *(
            with_value(without(d, LOCATION), "USN", lambda usn: b"uuid:somebody-else::" + usn.partition(b"::")[2])
            for d in (with_value(d, "NTS", lambda _: b"ssdp:byebye") for d in batch if is_alive(d))
        ),
    ]


def _two_places(batch: list[bytes], scene: Scene) -> list[bytes]:
    second = [with_value(d, LOCATION, lambda _: scene.origin.encode() + b"/igd2desc.xml") for d in batch]
    return [datagram for pair in zip(batch, second, strict=True) for datagram in pair]


def _varied(batch: list[bytes], scene: Scene) -> list[bytes]:
    changed = []
    for datagram in batch:
        number = scene.nth("datagram")
        varied = with_value(datagram, "SERVER", lambda v, n=number: v + b" build/%d" % n)  # type: ignore[misc]
        varied = with_value(varied, "HOST", lambda v, n=number: (v, b"239.255.255.250")[n % 2])  # type: ignore[misc]
        varied = with_value(varied, "DATE", lambda _, n=number: b"Thu, 01 Jan 1970 00:%02d:00 GMT" % (n % 60))  # type: ignore[misc]
        changed.append(with_fields(varied, b'OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=01', b"01-NLS: x%d" % number))
    return changed


def _boot_by_nls(datagram: bytes) -> bytes:
    found = re.search(rb"\r\nBOOTID\.UPNP\.ORG: ([0-9]+)", datagram)
    if found is None:
        return datagram
    plain = without(datagram, "BOOTID.UPNP.ORG", "CONFIGID.UPNP.ORG", "SEARCHPORT.UPNP.ORG")
    return with_fields(plain, b'OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=01', b"01-NLS: " + found[1])


def _two_daemons(batch: list[bytes], scene: Scene) -> list[bytes]:
    place = scene.origin.encode() + b"/WFADevice.xml"
    found = [datagram for datagram in batch if is_answer(datagram)]
    wps = [of_device(d, b"uuid:wps-daemon", place, kind) for d in found[:1] for kind in (b"upnp:rootdevice", _WPS)]
    return wps + batch


def _updates(batch: list[bytes], scene: Scene) -> list[bytes]:
    """Before each set of announcements the gateway takes another BOOTID, and says so."""
    before = scene.boot_id + scene.memory["updates"]
    if any(is_alive(datagram) for datagram in batch):
        scene.memory["updates"] += 1
    now = scene.boot_id + scene.memory["updates"]
    told = [
        with_fields(with_value(d, "NTS", lambda _: b"ssdp:update"), b"NEXTBOOTID.UPNP.ORG: %d" % now)
        for d in batch
        if is_alive(d)
    ]
    told = [with_value(without(d, "CACHE-CONTROL"), "BOOTID.UPNP.ORG", lambda _: b"%d" % before) for d in told]
    return told + [_BOOT.sub(rb"\g<1>%d" % now, datagram) for datagram in batch]


ANNOUNCING: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q016": Quirk("the value of LOCATION stands on the next line", sends=_each(_folded)),
        "Q017": Quirk("header names in any case, no blank or several behind the colon", sends=_each(_any_case)),
        "Q018": Quirk(
            "CACHE_CONTROL with an underscore", sends=_each(lambda d: renamed(d, lambda n: n.replace(b"-", b"_")))
        ),
        "Q019": Quirk("blanks at the end of the start line", sends=_each(lambda d: d.replace(b"\r\n", b"  \r\n", 1))),
        "Q020": Quirk("LF for CR LF, no blank line, NULs at the end", sends=_each(_odd_end)),
        "Q021": Quirk("every field twice, LOCATION empty before it comes", sends=_each(_doubled)),
        "Q022": Quirk(
            "a header line without a colon", sends=_each(lambda d: d.replace(b"\r\n", b"\r\nnonsense\r\n", 1))
        ),
        "Q023": Quirk(
            "ssdp:alive without a LOCATION",
            sends=lambda batch, scene: [without(d, LOCATION) if is_alive(d) else d for d in batch],
        ),
        "Q024": Quirk(
            "a loopback, a link-local and an empty address as LOCATION before the good one", sends=_bad_places
        ),
        "Q025": Quirk("LOCATION names the WAN address", sends=_other_host),
        "Q026": Quirk("LOCATION cut short for upnp:rootdevice, with garbage behind it otherwise", sends=_cut_short),
        "Q027": Quirk("a UDN that is no UUID", options={"udn": "uuid:UPnP_Thomson TG784n-1_CP1234SAMPLE"}),
        "Q028": Quirk(
            "USN without uuid:", sends=_usn(lambda usn: usn.replace(b"uuid:", b"")), slots=frozenset({"USN"})
        ),
        "Q028b": Quirk(
            "USN with UUID:", sends=_usn(lambda usn: usn.replace(b"uuid:", b"UUID:")), slots=frozenset({"USN"})
        ),
        "Q029": Quirk("USN cut short", sends=_usn(lambda usn: usn[:-1] if b"::" in usn else usn)),
        "Q030": Quirk(
            "max-age with blanks, among other directives, above 32767",
            sends=_each(lambda d: with_value(d, "CACHE-CONTROL", _directives)),
            slots=frozenset({"CACHE-CONTROL"}),
        ),
        "Q031": Quirk("max-age of 100 seconds", options={"max_age": 100}),
        "Q032": Quirk(
            "no CACHE-CONTROL at all",
            sends=_each(lambda d: without(d, "CACHE-CONTROL")),
            slots=frozenset({"CACHE-CONTROL"}),
        ),
        "Q033": Quirk(
            "BOOTID is not a number",
            sends=_each(lambda d: with_value(d, "BOOTID.UPNP.ORG", lambda _: b"since Monday")),
            slots=frozenset({"BOOTID"}),
        ),
        "Q034": Quirk("byebyes before every set of announcements", sends=_farewell_before),
        "Q035": Quirk("says byebye all the time although it stays", traits=frozenset({"byebye storm"})),
        "Q036": Quirk("another device says byebye behind each set of announcements", sends=_stranger_leaves),
        "Q037": Quirk(
            "goes without a byebye and comes back on another port",
            traits=frozenset({"silent departure", "random port"}),
        ),
        "Q038": Quirk("one device under two LOCATIONs", sends=_two_places, paths=("/igd2desc.xml",)),
        "Q039": Quirk("HOST, DATE, SERVER and 01-NLS differ between copies", sends=_varied),
        "Q040": Quirk("01-NLS and OPT for BOOTID", sends=_each(_boot_by_nls), slots=frozenset({"BOOTID"})),
        "Q041": Quirk(
            "a second daemon of the router answers first, with a description of WPS",
            sends=_two_daemons,
            documents={"/WFADevice.xml": _WPS_DESCRIPTION},
        ),
        "Q042": Quirk(
            "ssdp:update and another BOOTID at each set of announcements", sends=_updates, slots=frozenset({"BOOTID"})
        ),
    }
)
