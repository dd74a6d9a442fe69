"""XML of devices: one hardened parser, one escape. The only place that knows lxml; otherwise pure.

A document comes from a hostile or broken device, so the guards stand in a fixed order around a parser that is already
strict: octets, trimming, encoding, document type, parse, document type again, shape. A document that fails gets one
repair of its text and one more strict parse. ``recover=True`` is never used: it changes URLs without a word (X24).

Sources: UDA 1.0-2.0 section 2; threats B5-B8, B13 and X01-X31; quirks Q055, Q077-Q081, Q098, Q105, Q114, Q176.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from txigd.errors import DescriptionError
from txigd.limits import (
    XML_ATTRIBUTES,
    XML_DEPTH,
    XML_ELEMENTS,
    XML_EXCERPT_CHARACTERS,
    XML_NAMES,
    XML_NAMES_CHARACTERS,
    XML_REPAIR_OCTETS,
    XML_TEXT_OCTETS,
)


@dataclass(frozen=True, slots=True)
class Element:
    """One element, detached from the parser.

    ``name`` is the local name, ``namespace`` the URI or ``""``, ``text`` the stripped text before the first child
    (Q077), ``attributes`` pairs of local name and value in document order.
    """

    name: str
    namespace: str = ""
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[Element, ...] = ()

    def find(self, name: str, *, any_case: bool = True) -> Element | None:
        """The first child of that local name; the exact spelling wins over another case (Q081, Q176)."""
        other = None
        for child in self.children:
            if child.name == name:
                return child
            if other is None and any_case and child.name.lower() == name.lower():
                other = child
        return other

    def find_all(self, name: str, *, any_case: bool = True) -> tuple[Element, ...]:
        """All children of that local name, in document order."""
        folded = name.lower()
        return tuple(c for c in self.children if c.name == name or (any_case and c.name.lower() == folded))

    def text_of(self, name: str, default: str = "", *, any_case: bool = True) -> str:
        """The text of the first child of that local name; ``default`` where there is none."""
        child = self.find(name, any_case=any_case)
        return default if child is None else child.text

    def attribute(self, name: str, default: str = "") -> str:
        """The stripped value of an attribute by local name, any case."""
        folded = name.lower()
        return next((value.strip() for key, value in self.attributes if key.lower() == folded), default)

    def iter(self) -> Iterator[Element]:
        """This element and all below it, in document order, without recursion."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))


def escape(text: str) -> str:
    """Text for the inside of an element: ``&``, ``<`` and ``>`` only, as small parsers know no more (Q098)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def parse(document: bytes, *, cap: int, root: str | None = None) -> Element:
    """Read one document of a device.

    :param document: the octets as received.
    :param cap: octets at most.
    :param root: local name, in any case, that the root element must have.
    :raises DescriptionError: for whatever cannot be read; the text ends with the first printable characters (Q055).
    """
    if len(document) > cap:
        raise DescriptionError(f"XML of {len(document)} octets, at most {cap} are read")
    try:
        text = _decode(document)
        try:
            element = _read(text)
        except _NotWellFormed:
            if len(document) > XML_REPAIR_OCTETS:
                raise
            element = _read(_repair(text))
        if root is not None and element.name.lower() != root.lower():
            raise DescriptionError(f"root element {element.name[:40]!r} instead of {root!r}")
    except DescriptionError as error:
        raise DescriptionError(f"{error}; it begins {excerpt(document)!r}") from error
    return element


class _NotWellFormed(DescriptionError):
    """The one failure that a repair may mend; never leaves this file."""


def excerpt(document: bytes) -> str:
    """The first printable ASCII characters of a document, for an error text (Q055)."""
    head = document[: 16 * XML_EXCERPT_CHARACTERS].decode("ascii", "ignore")
    printable = "".join(c if c.isprintable() else " " for c in head)
    return " ".join(printable.split())[:XML_EXCERPT_CHARACTERS]


# -- octets to text ----------------------------------------------------------------------------------------------------

# What a declaration may name (X09-X14): four encodings under the names that occur. Never a name from the wire to lxml.
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-16": "utf-16",
    "utf-16le": "utf-16",
    "utf-16be": "utf-16",
    "iso-8859-1": "iso-8859-1",
    "iso8859-1": "iso-8859-1",
    "latin-1": "iso-8859-1",
    "latin1": "iso-8859-1",
    "us-ascii": "us-ascii",
    "ascii": "us-ascii",
}
_WIDE = (  # first octets, octets to skip, codec; without a mark only if there is a declaration (XML 1.0 section 4.3.3)
    (b"\xff\xfe", 2, "utf-16-le"),
    (b"\xfe\xff", 2, "utf-16-be"),
    (b"<\0?\0", 0, "utf-16-le"),
    (b"\0<\0?", 0, "utf-16-be"),
)
_DECLARED = re.compile(r"""<\?xml\s[^<>]*?\sencoding\s*=\s*["']([^"'<>]*)["']""")
_DECLARATION_CHARACTERS = 256


def _decode(document: bytes) -> str:
    """The text between the first ``<`` and the last ``>``: mark, then declaration, then UTF-8, then Latin-1 (Q079)."""
    for mark, skip, codec in _WIDE:
        if document.startswith(mark):
            body = document[skip:]
            try:
                text = body[: len(body) // 2 * 2].decode(codec)
            except UnicodeDecodeError:
                raise DescriptionError(f"no text in {codec}") from None
            return _trim(text)
    # Q078, Q114: the junk on both sides is cut as octets, so that it cannot decide the encoding
    body = document[max(document.find(b"<"), 0) : document.rfind(b">") + 1]
    declared = _declared(body[:_DECLARATION_CHARACTERS].decode("iso-8859-1"))
    # UTF-16 cannot be meant where the declaration itself was readable in single octets
    first = () if declared in ("", "utf-16") else (declared,)
    for codec in (*first, "utf-8", "iso-8859-1"):
        try:
            return _trim(body.decode(codec))
        except UnicodeDecodeError:
            continue
    raise AssertionError("Latin-1 reads everything")  # pragma: no cover


def _declared(text: str) -> str:
    """The codec that the declaration names, ``""`` without one."""
    match = _DECLARED.search(text, 0, _DECLARATION_CHARACTERS)
    if match is None or not match[1].strip():
        return ""
    try:
        return _ENCODINGS[match[1].strip().lower()]
    except KeyError:
        raise DescriptionError(f"encoding {match[1][:40]!r} is not read") from None


def _trim(text: str) -> str:
    trimmed = text[max(text.find("<"), 0) : text.rfind(">") + 1]
    if not trimmed:
        raise DescriptionError("no XML")
    return trimmed


# -- text to elements --------------------------------------------------------------------------------------------------

# Before the root element stand declaration, instructions, comments; each turn of the loop eats one, so it is linear.
_PROLOGUE = re.compile(r"(?:[^<]+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)


def _read(text: str) -> Element:
    """One strict parse."""
    begin = text[_prologue_end(text) :][:16].lower()
    if begin.startswith(("<html", "<!doctype html")):
        raise DescriptionError("an HTML page, no description")
    if begin.startswith("<!"):
        # before the parse: 9,000 ATTLIST declarations cost 302 ms (X07); entities pass in spite of the options (X03)
        raise DescriptionError("a declaration before the root element is refused")
    _check_names(text)
    # new for each document: costs 3 us, and shares no state between devices
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
        encoding="utf-8",
    )
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except (etree.LxmlError, ValueError) as error:
        raise _NotWellFormed(f"not well-formed XML: {str(error).partition(' (<string>')[0][:100]}") from error
    information: Any = root.getroottree().docinfo  # the stubs lack .doctype
    if information.doctype or information.internalDTD is not None:
        raise DescriptionError("a document type declaration is refused")
    return _build(root)


# Three fast looks at what the parser would keep: element and instruction names, what stands before a quoted value,
# what xmlns names. More may match than the parser sees (text, comments), never less: it stops at the first fault.
_ELEMENT_NAME = re.compile(r"<([^\s/<>!][^\s/<>]*)")
_VALUE = re.compile(r"""=\s*["']""")
_NAMESPACE_NAME = re.compile(r"""xmlns(?::[^\s=<>/"']+)?\s*=\s*["']([^"'<>]*)""")


def _check_names(text: str) -> None:
    """Refuse a flood of different names before lxml keeps them for the life of the process (L22, B13)."""
    names = set(_ELEMENT_NAME.findall(text))
    names.update(_NAMESPACE_NAME.findall(text))
    for before in _VALUE.split(text)[:-1]:
        names.update(before.rsplit(None, 1)[-1:])
    if len(names) > XML_NAMES or sum(map(len, names)) > XML_NAMES_CHARACTERS:
        raise DescriptionError(f"XML of {len(names)} different names")


def _prologue_end(text: str) -> int:
    match = _PROLOGUE.match(text)
    return 0 if match is None else match.end()


def _build(root: etree._Element) -> Element:
    """Walk once, without recursion, and keep plain objects."""
    finished: list[list[Element]] = [[]]
    count = 0
    known: dict[str, tuple[str, str]] = {}
    for event, node in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            count += 1
            if count > XML_ELEMENTS:
                raise DescriptionError(f"XML of more than {XML_ELEMENTS} elements")
            if len(finished) > XML_DEPTH:
                raise DescriptionError(f"XML deeper than {XML_DEPTH}")
            if len(node.attrib) > XML_ATTRIBUTES:  # asked before the items: they cost 1.6 s for 27,000 (X20)
                raise DescriptionError(f"an element of more than {XML_ATTRIBUTES} attributes")
            finished.append([])
            continue
        children = tuple(finished.pop())
        text = node.text or ""
        if len(text) * 4 > XML_TEXT_OCTETS and len(text.encode("utf-8")) > XML_TEXT_OCTETS:
            raise DescriptionError(f"text of more than {XML_TEXT_OCTETS} octets")
        tag: Any = node.tag
        if tag not in known:
            known[tag] = _split(tag)
        namespace, name = known[tag]
        attributes = tuple((_split(key)[1], value) for key, value in node.items()) if node.attrib else ()
        finished[-1].append(Element(name, namespace, text.strip(), attributes, children))
    return finished[0][0]


def _split(tag: str) -> tuple[str, str]:
    namespace, _, name = tag.rpartition("}")
    return namespace[1:], name


# -- repair ------------------------------------------------------------------------------------------------------------

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# an end of text closes what is open, or 7,000 unclosed starts cost 1.5 s
_LITERAL = re.compile(r"(<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z))", re.DOTALL)
_AMPERSAND = re.compile(r"&(?:(?:amp|lt|gt|quot|apos);|#(?P<ten>[0-9]{1,7});|#x(?P<hex>[0-9A-Fa-f]{1,6});)?")
_NAMESPACE = re.compile(r"""(\sxmlns(?::([^\s=<>/"']+))?\s*=\s*)(["'])([^"'<>]*)\3""")
_PREFIX = re.compile(r"</?([A-Za-z_][\w.-]*):|\s([A-Za-z_][\w.-]*):[\w.-]+\s*=")
_ROOT_TAG = re.compile(r"<([^\s/<>]+)([^<>]*)")
_NO_NAMESPACE = "urn:undeclared"


def _repair(text: str) -> str:
    """Mend the faults that real gateways make (X25): control characters, bare ampersands, namespaces.

    Nothing is guessed about elements: a document that is cut or badly nested stays broken.
    """
    text = _ILLEGAL.sub("", text)
    pieces = _LITERAL.split(text)
    pieces[::2] = [_AMPERSAND.sub(_mend_ampersand, piece) for piece in pieces[::2]]
    text = _NAMESPACE.sub(_mend_namespace, "".join(pieces))
    match = _ROOT_TAG.match(text, _prologue_end(text))
    if match is None:
        return text
    here = {found[2] for found in _NAMESPACE.finditer(match[0])}
    used = {one or other for one, other in _PREFIX.findall(text)}
    # a second declaration further down wins there, so all that the root lacks can be declared
    missing = sorted(used - here - {"xml", "xmlns"})
    if len(missing) > XML_ATTRIBUTES:
        return text
    declared = "".join(f' xmlns:{prefix}="{_NO_NAMESPACE}"' for prefix in missing)
    return text[: match.end(1)] + declared + text[match.end(1) :]


def _mend_ampersand(match: re.Match[str]) -> str:
    number = int(match["ten"]) if match["ten"] else int(match["hex"], 16) if match["hex"] else None
    legal = number is None or (number <= 0x10FFFF and not _ILLEGAL.match(chr(number)))
    return match[0] if match[0] != "&" and legal else "&amp;" + match[0][1:]


def _mend_namespace(match: re.Match[str]) -> str:
    head, prefix, quote, value = match.groups()
    value = "".join(value.split())  # Q105: ".../envelope/ "
    return f"{head}{quote}{value or (_NO_NAMESPACE if prefix else '')}{quote}"
