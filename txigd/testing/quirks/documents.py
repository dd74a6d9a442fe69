"""Habits of descriptions and service descriptions: what stands in them, and how (quirks Q061-Q088). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from txigd.testing.faults import Fault
from txigd.testing.quirks.habit import Asked, Quirk, Scene

_BASE: Final = frozenset({"URLBase"})
_CONTROL: Final = frozenset({"control URLs"})
_START: Final = frozenset({"first octets"})
_CONTROL_URL: Final = re.compile(rb"(<controlURL>)([^<]*)(</controlURL>)")
_LOST: Final = "GetNATRSIPStatus"  # works although the service description lacks it
_INVENTED: Final = b"<action><name>X_GetWeather</name></action>"
_Document = Callable[[bytes, Scene], bytes]


def _octets(change: Callable[[bytes], bytes]) -> _Document:
    return lambda document, scene: change(document)


def _urls(change: Callable[[bytes, Scene], bytes]) -> _Document:
    return lambda document, scene: _CONTROL_URL.sub(lambda m: m[1] + change(m[2], scene) + m[3], document)


def _with_base(base: Callable[[Scene], bytes]) -> _Document:
    def change(document: bytes, scene: Scene) -> bytes:
        plain = re.sub(rb"<URLBase>[^<]*</URLBase>", b"", document)
        return plain.replace(b"</specVersion>", b"</specVersion><URLBase>" + base(scene) + b"</URLBase>", 1)

    return change


def path_of(url: bytes) -> bytes:
    """The path of a URL in a description, whole or not."""
    return re.sub(rb"^http://[^/]*", b"", url)


def _double_slash(url: bytes, scene: Scene) -> bytes:
    return scene.origin.encode() + b"/" + path_of(url)


def _renamed_path(asked: Asked, scene: Scene) -> Fault | None:
    """The service is there with single slashes only."""
    return HTTPStatus.NOT_FOUND if "//" in asked.path else None


def _with_query(url: bytes, scene: Scene) -> bytes:
    return path_of(url) + b"?" + path_of(url).rpartition(b"/")[2]


def _query_wanted(asked: Asked, scene: Scene) -> Fault | None:
    return HTTPStatus.NOT_FOUND if asked.method == "POST" and "?" not in asked.path else None


def _events_at_control(document: bytes, scene: Scene) -> bytes:
    pattern = rb"<controlURL>([^<]*)</controlURL><eventSubURL>[^<]*</eventSubURL>"
    return re.sub(pattern, rb"<controlURL>\1</controlURL><eventSubURL>\1</eventSubURL>", document)


def _same_ids(document: bytes) -> bytes:
    return re.sub(
        rb"<serviceId>[^<]*</serviceId>", b"<serviceId>urn:upnp-org:serviceId:Layer3Forwarding:11</serviceId>", document
    )


def _broken_lists(document: bytes) -> bytes:
    """The innermost device stands in no list, the one above in two."""
    opened, rest = document.split(b"<deviceList>", 1)
    inner = re.sub(rb"</?deviceList>", b"", rest.rpartition(b"</deviceList>")[0])
    return (
        opened
        + b"<deviceList><deviceList>"
        + inner
        + b"</deviceList></deviceList>"
        + rest.rpartition(b"</deviceList>")[2]
    )


def _airy(document: bytes) -> bytes:
    return re.sub(rb">([^<>\s][^<>]*)</", rb">\n\t \1 \r\n</", document)


def _latin(document: bytes) -> bytes:
    return document.replace(b"<friendlyName>", b"<friendlyName>Box f\xfcr ", 1)


def _unescaped(document: bytes) -> bytes:
    return document.replace(b"<manufacturer>", b"<manufacturer>Smith & Sons \x02", 1)


def _no_namespace(document: bytes) -> bytes:
    bare = re.sub(rb' xmlns="[^"]*"', b' xmlns="urn:schemas-upnp-org:device-1-0 "', document, count=1)
    return bare.replace(b"<manufacturer>", b"<avm:level>9</avm:level><manufacturer>", 1)


def _is_scpd(asked: Asked) -> bool:
    return asked.method == "GET" and asked.path.endswith(".xml") and "esc" not in asked.path


def _no_scpd(asked: Asked, scene: Scene) -> Fault | None:
    if not _is_scpd(asked) or scene.location.endswith(asked.path):
        return None
    return HTTPStatus.NOT_FOUND if len(asked.path) % 2 else "empty"


def _hint_only(document: bytes) -> bytes:
    lost = re.sub(rb"<action><name>" + _LOST.encode() + rb"</name>.*?</action>", b"", document, flags=re.S)
    return lost.replace(b"</actionList>", _INVENTED + b"</actionList>", 1)


def _send_events_inside(document: bytes) -> bytes:
    """For some variables an element, for the others nothing at all."""
    document = re.sub(
        rb'<stateVariable sendEvents="yes">', b"<stateVariable><sendEvents>yes</sendEvents>", document, count=1
    )
    return re.sub(rb' sendEvents="[a-z]*"', b"", document)


def _blank_names(document: bytes) -> bytes:
    return re.sub(rb"<(name|relatedStateVariable)>([^<]*)</", rb"<\1> \2\n</", document)


def _wide_integers(document: bytes) -> bytes:
    return document.replace(b"<dataType>ui4</dataType>", b"<dataType>ui8</dataType>").replace(
        b"<dataType>i4</dataType>", b"<dataType>i8</dataType>"
    )


def _vendor_type(word: str, value: str, scene: Scene) -> str:
    return "IP_Bridged_By_Vendor" if word == "ConnectionType" else value


DOCUMENTS: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q061": Quirk("no URLBase", options={"url_base": False}, slots=_BASE),
        "Q062": Quirk(
            "URLBase on a port where nothing listens",
            description=_with_base(lambda scene: scene.origin.rpartition(":")[0].encode() + b":9/"),
            slots=_BASE,
        ),
        "Q062b": Quirk("URLBase is empty", description=_with_base(lambda scene: b""), slots=_BASE),
        "Q062c": Quirk(
            "URLBase names the WAN address",
            description=_with_base(lambda scene: b"http://" + scene.external_ip.encode() + b":5000/"),
            slots=_BASE,
        ),
        "Q063": Quirk(
            "control URLs are on another port than the description",
            description=_urls(lambda url, scene: scene.other_origin.encode() + path_of(url)),
            traits=frozenset({"other port"}),
            slots=_CONTROL,
        ),
        "Q064": Quirk(
            "control URLs with a double slash that the server itself does not know",
            description=_urls(_double_slash),
            asked=_renamed_path,
            slots=_CONTROL,
        ),
        "Q065": Quirk(
            "absolute control URLs with a wrong host",
            description=_urls(lambda url, scene: b"http://192.168.1.254:80" + path_of(url)),
            slots=_CONTROL,
        ),
        "Q066": Quirk(
            "control URLs with a query, and 404 without",
            description=_urls(_with_query),
            asked=_query_wanted,
            slots=_CONTROL,
        ),
        "Q067": Quirk(
            "a description at a deep path whose relative control URLs are meant from the root",
            description=_urls(lambda url, scene: path_of(url).lstrip(b"/")),
            options={"description_path": "/dyndev/uuid:000625d8-095f/desc.xml"},
            slots=_CONTROL,
        ),
        "Q068": Quirk(
            "eventSubURL equals controlURL",
            description=_events_at_control,
            traits=frozenset({"events at control"}),
            slots=frozenset({"event URLs"}),
        ),
        "Q068b": Quirk(
            "eventSubURL is empty",
            description=_octets(lambda d: re.sub(rb"<eventSubURL>[^<]*<", b"<eventSubURL><", d)),
            slots=frozenset({"event URLs"}),
        ),
        "Q069": Quirk("other paths after each boot", traits=frozenset({"random paths"})),
        "Q070": Quirk("another port after each boot", traits=frozenset({"random port"})),
        "Q071": Quirk(
            "a WANPPPConnection:2, of which no specification knows",
            options={"connection": "PPP"},
            traits=frozenset({"speaks any version"}),
            description=_octets(lambda d: d.replace(b"service:WANPPPConnection:1", b"service:WANPPPConnection:2")),
        ),
        "Q072": Quirk("SSDP speaks of version 1, the description of 2", options={"announced_version": 1, "version": 2}),
        "Q073": Quirk("both connection services, PPP live", options={"connection": "both-with-PPP-live"}),
        "Q074": Quirk("one serviceId for all services", description=_octets(_same_ids)),
        "Q075": Quirk("device lists nested and left out", description=_octets(_broken_lists)),
        "Q076": Quirk("two WAN devices with a connection each", options={"wans": 2}),
        "Q077": Quirk("line ends and blanks inside elements", description=_octets(_airy), scpd=_octets(_airy)),
        "Q078": Quirk(
            "a byte order mark and NULs before the document, junk behind it",
            description=_octets(lambda d: b"\xef\xbb\xbf\0\0" + d + b"\0\0junk"),
            scpd=_octets(lambda d: b"\0\r\n" + d + b"\0"),
            slots=_START,
        ),
        "Q079": Quirk("Latin-1 text without an encoding declaration", description=_octets(_latin)),
        "Q080": Quirk("an unescaped & and a control character", description=_octets(_unescaped)),
        "Q081": Quirk("a wrong namespace and an undeclared prefix", description=_octets(_no_namespace)),
        "Q082": Quirk("service descriptions are empty or 404", asked=_no_scpd, slots=frozenset({"SCPD"})),
        "Q083": Quirk(
            "service descriptions list an action that answers 401 and lack one that works", scpd=_octets(_hint_only)
        ),
        "Q084": Quirk(
            "AddAnyPortMapping's out-argument is NewExternalPort in the service description",
            scpd=_octets(lambda d: d.replace(b"<name>NewReservedPort</name>", b"<name>NewExternalPort</name>")),
        ),
        "Q085": Quirk("sendEvents as an element, or absent", scpd=_octets(_send_events_inside)),
        "Q086": Quirk(
            "blanks round names of state variables, and a ConnectionType that is not in its list",
            scpd=_octets(_blank_names),
            word=_vendor_type,
        ),
        "Q087": Quirk("ui8 where the standard has ui4", scpd=_octets(_wide_integers)),
        "Q088": Quirk(
            "presentationURL by host name",
            description=_octets(
                lambda d: re.sub(rb"<presentationURL>[^<]*<", b"<presentationURL>http://www.routerlogin.net/<", d)
            ),
        ),
    }
)
