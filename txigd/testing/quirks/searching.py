"""Habits of the answer to a search: which searches are heard, and what comes back (quirks Q001-Q015). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from txigd.testing.quirks.habit import Quirk, Scene, with_value

_ST: Final = re.compile(rb"\r\nST[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_HOST: Final = re.compile(rb"\r\nHOST[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CROWD: Final = 50
_TOGETHER_MS: Final = 250  # searches of both families within this time confuse the gateway of Q008
_RENDERER: Final = b"urn:schemas-upnp-org:device:MediaRenderer:1"


def target(search: bytes) -> bytes:
    """What a search looks for."""
    found = _ST.search(search)
    return found[1].strip() if found else b""


def is_answer(datagram: bytes) -> bool:
    """Whether a datagram of ours answers a search."""
    return datagram.startswith(b"HTTP/")


def of_device(datagram: bytes, udn: bytes, location: bytes, kind: bytes = _RENDERER) -> bytes:
    """The answer as another device would give it."""
    other = with_value(with_value(datagram, "LOCATION", lambda _: location), "ST", lambda _: kind)
    return with_value(other, "USN", lambda _: udn + b"::" + kind)


def _second_only(search: bytes, unicast: bool, scene: Scene) -> bool:
    return scene.nth("search " + target(search).decode("latin-1")) > 1


def _for(*wanted: bytes) -> Callable[[bytes, bool, Scene], bool]:
    return lambda search, unicast, scene: target(search) in wanted


def _version_1(search: bytes, unicast: bool, scene: Scene) -> bool:
    return not target(search).endswith(b":2")


def _unquoted(search: bytes, unicast: bool, scene: Scene) -> bool:
    return re.search(rb"\r\nMAN[ \t]*:[ \t]*ssdp:discover\r\n", search, re.I) is not None


def _of_windows_xp(search: bytes, unicast: bool, scene: Scene) -> bool:
    names = [line.partition(b":")[0] for line in search.split(b"\r\n")[1:5]]
    return [name for name in names if name not in (b"MX", b"")] == [b"Host", b"ST", b"Man"]


def _exact(search: bytes, unicast: bool, scene: Scene) -> bool:
    names = re.findall(rb"\r\n([^:\r\n]+):", search)
    upper = all(name == name.upper() for name in names)
    return upper and b'\r\nMAN: "ssdp:discover"\r\n' in search and search.endswith(b"\r\n\r\n")


def _family(search: bytes) -> str:
    """The family that a search came over, by its HOST."""
    found = _HOST.search(search)
    return "v6" if found and found[1].startswith(b"[") else "v4"


def _noted(search: bytes, unicast: bool, scene: Scene) -> bool:
    scene.memory[f"last over {_family(search)}"] = round(scene.now() * 1000)
    return True


def _mixed_up(batch: list[bytes], scene: Scene) -> list[bytes]:
    """While searches of both families are under way at once, answers end in the middle of their LOCATION."""
    v4, v6 = (scene.memory.get(f"last over {family}") for family in ("v4", "v6"))
    if v4 is None or v6 is None or abs(v4 - v6) > _TOGETHER_MS:
        return batch
    return [re.sub(rb"(\r\nLOCATION: http://).*", rb"\1", d, flags=re.S) if is_answer(d) else d for d in batch]


def _crowd(batch: list[bytes], scene: Scene) -> list[bytes]:
    """Fifty media devices of one house answer as well, before the gateway."""
    if not batch or not is_answer(batch[0]):
        return batch
    place = scene.origin.encode() + b"/nothing-%d.xml"
    return [*(of_device(batch[0], b"uuid:media-%d" % n, place % (n % 3)) for n in range(_CROWD)), *batch]


def _garbage(batch: list[bytes], scene: Scene) -> list[bytes]:
    junk = (b"", b"\0" * 40, b"\xff\xfe\x80 HTTP/1.1 200\r\n\r\n", bytes(range(256)), b"HTTP/1.1 200 OK\r\n\r\n")
    return [octets for datagram in batch for octets in (*junk, datagram)]


def _camera(batch: list[bytes], scene: Scene) -> list[bytes]:
    """A camera answers every search in the terms of the search, and nothing listens at its LOCATION."""
    host = scene.origin.rpartition(":")[0].encode()
    found = [datagram for datagram in batch if is_answer(datagram)]
    dead = [with_value(d, "LOCATION", lambda _: host + b":9/camera.xml") for d in found[:1]]
    return [with_value(d, "USN", lambda usn: b"uuid:camera::" + usn.partition(b"::")[2]) for d in dead] + batch


SEARCHING: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q001": Quirk("the first search for each target is lost", hears=_second_only),
        "Q002": Quirk(
            "answers searches for upnp:rootdevice alone", hears=_for(b"upnp:rootdevice"), slots=frozenset({"targets"})
        ),
        "Q002b": Quirk(
            "answers searches for WANIPConnection:1 alone",
            hears=_for(b"urn:schemas-upnp-org:service:WANIPConnection:1"),
            slots=frozenset({"targets"}),
        ),
        "Q003": Quirk("answers no search for a version 2, and those for a version 1 as such", hears=_version_1),
        "Q004": Quirk("answers only where MAN is not quoted", hears=_unquoted, slots=frozenset({"form of a search"})),
        "Q004b": Quirk(
            "answers only the spelling and order of Windows XP",
            hears=_of_windows_xp,
            slots=frozenset({"form of a search"}),
        ),
        "Q005": Quirk(
            "answers only upper-case names, a quoted MAN and a blank line at the end",
            hears=_exact,
            slots=frozenset({"form of a search"}),
        ),
        "Q006": Quirk(
            "hears no multicast and announces nothing; a unicast search is answered",
            traits=frozenset({"no multicast"}),
        ),
        "Q008": Quirk(
            "answers are broken where searches over IPv4 and IPv6 come at the same time (at addresses of both)",
            hears=_noted,
            sends=_mixed_up,
        ),
        "Q009": Quirk(
            "answers searches from another port than the one they came to",
            traits=frozenset({"answers from another port"}),
        ),
        "Q010": Quirk("fifty media devices answer each search first", sends=_crowd),
        "Q011": Quirk("malformed and binary datagrams come before each good one", sends=_garbage),
        "Q012": Quirk("a camera with a dead LOCATION answers whatever is searched for", sends=_camera),
        "Q013": Quirk(
            "at an IPv6 address only the site-local group is heard and spoken to",
            traits=frozenset({"site-local group only"}),
        ),
    }
)
