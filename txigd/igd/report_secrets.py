"""Where private values stand in what a gateway sends: a finder for each kind, octets in, spans out. Pure.

Some values show by their form (addresses, MACs, UUIDs), others only by what stands beside them (the text of
``serialNumber``, a cookie). Masking them is the matter of :mod:`txigd.igd.report_mask`.

Sources: UDA 1.0-2.0 sections 1 to 4 for where names stand, IGD:1 and IGD:2 for the arguments that hold them, quirks
Q027-Q029 for UDNs that are no UUIDs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from txigd.igd import report_addresses as addresses
from txigd.igd.tables import standards

Span = tuple[int, int]

_I: Final = re.IGNORECASE
UUID: Final = re.compile(rb"(?<![0-9a-f])([0-9a-f]{8}(?:-[0-9a-f]{4}){3})-([0-9a-f]{12})(?![0-9a-f])", _I)
_HEX: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{12,}(?![0-9a-f])", _I)
# Names of elements, keys and arguments whose text is nobody's business. They are matched at their end: a switch such as
# SSIDBroadcastEnabled is none of them.
_SERIAL_NAME: Final = (
    rb"(?:serial(?:[ _-]?(?:number|no|num|nr))?"
    rb"|(?:(?<![a-z0-9])|(?-i:(?<=[a-z])(?=S))|(?:device|router|modem|gateway|cpe|product|unit|board|ont))"
    rb"s(?:/n|n(?:umber|um|o)?)|upc)"
)
_SECRET_NAME: Final = (
    rb"(?:e?ssid|bssid|(?<!by)pass(?:word|wd|phrase|code)?|pwd|psk|secret|token"
    rb"|(?:(?:pre-?shared|wlan|wifi|network|security|wpa2?|wep|private)[ _-]?)?key|(?:wps[ _-]?)?pin(?:[ _-]?code)?"
    rb"|(?:ppp(?:oe)?[ _-]?)?(?:user(?:[ _-]?(?:name|id))?|account(?:[ _-]?name)?|login(?:[ _-]?name)?)|credentials?"
    rb"|host-?names?|domain-?name|e-?mail|phone(?:number)?|imei|imsi|iccid|msisdn|mac-?address|hw-?address"
    rb"|portmapping-?description|owner|contact|(?:device|computer|client)name|deviceid"
    rb"|(?:wifi|wlan|network|sys)[ _-]?name|subscriber|tel-?no)"
)
# and what is behind them: SSID_5G, WEPKey0, ssid_name, Serial_No.
_SUFFIX: Final = rb"(?:[_.-]?(?:name|value|text|string)|[ _.-]?(?:guest|[0-9.]{1,3}g(?:hz)?|[0-9]{1,3})){0,3}[.]?"
_ANY_NAME: Final = rb"(?:" + _SERIAL_NAME + rb"|" + _SECRET_NAME + rb")" + _SUFFIX


def _element(names: bytes) -> tuple[re.Pattern[bytes], ...]:
    """Elements of these names, and escaped ones; they end where the next markup of their own kind begins."""
    name, attributes = rb"(?:[\w.-]{1,64}:)?[\w.-]{0,64}?" + names, rb"(?:\s[^<>]{0,200}?)?"
    aside = rb"(?:<!(?:\[CDATA\[(?:[^\]]|\](?!\]>)){0,4096}(?:\]\]>)?|--(?:[^-]|-(?!->)){0,256}-->)[^<]{0,4096}){0,8}"
    return (
        re.compile(rb"<" + name + attributes + rb"(?<!/)>([^<]{0,4096}" + aside + rb")", _I),
        re.compile(rb"&lt;" + name + attributes + rb"&gt;((?:(?!&lt;)[^<]){1,4096})", _I),
    )


_ELEMENT: Final = _element(_ANY_NAME)
# of these, what is no address: the name of a computer
_CLIENT: Final = _element(rb"(?:internal-?client|remote-?host)")
_ASIDE: Final = re.compile(rb"<!\[CDATA\[|\]\]>|<!--.*?-->", re.DOTALL)
# A value in quotes, which may be escaped ones, runs to the same ones, whatever is in it.
_QUOTED: Final = (
    rb"(?P<quote>\\{0,3}[\"'])(?P<quoted>(?:(?!(?P=quote))(?:\\.|[^\\\r\n])){1,512})(?=(?P=quote))|[\"']?(?P<bare>%s)"
)
# Sought in small letters, which is three times as fast. The value may hold the next name, and is only looked at.
_PAIR: Final = re.compile(
    _SECRET_NAME
    + _SUFFIX
    + rb"(?:(\\{0,3}[\"'][ \t]*:|=)|[\"']?[ \t]*[:=])[ \t]*"
    + rb"(?=%s)" % (_QUOTED % rb"(?:[^\"'<>&\r\n,;]|(?<=[a-z0-9])'(?=[a-z0-9])){1,128}")
)
# A serial number is one word, or several of capital letters and digits.
_WORDS: Final = rb"[^\s\"'<>&,;#]{1,128}(?-i:(?:[ ][0-9A-Z-]{1,32}(?![^\s\"'<>&,;#])){0,8})"
_SERIAL_PAIR: Final = re.compile(
    _SERIAL_NAME + _SUFFIX + rb"[ ]?#?\\{0,3}[\"']?[ \t]{0,8}[:=][ \t]{0,8}(?:%s)" % (_QUOTED % _WORDS), _I
)
# A sentence tells one as well: "Serial No. AB12", "(S/N AB12)". There it has a digit.
_SERIAL_TEXT: Final = re.compile(
    rb"(?<![a-z0-9])(?:serial[ _-]?(?:number|no|num|nr)|s/n|sn)(?:\.[ \t]{0,8}|[ \t]{0,8}#[ \t]{0,8}|[ \t]{1,8})"
    rb"(?=[a-z/_-]{0,63}[0-9])([a-z0-9][a-z0-9/_-]{3,63})",
    _I,
)
# What a page of HTML has between a name and its value, and no description of a service.
_MARKUP: Final = rb"</?(?:td|th|b|strong|i|em|span|font|label|div|dt|dd|br|small|tt|code)(?:\s[^<>]{0,200})?/?>"
_LABEL: Final = re.compile(
    _ANY_NAME + rb"[\s:#]{0,8}" + _MARKUP + rb"(?:[\s:=\xff]|&nbsp;|" + _MARKUP + rb"){0,32}([^<\s][^<]{0,255})", _I
)
# <SSID val="..."/> and <input name="ssid" value="...">, in either order
_TAG: Final = re.compile(rb"<[a-z][^<]{1,1024}", _I)
_PRIVATE_TAG: Final = re.compile(
    rb"(?:\A<(?:[\w.-]{1,64}:)?|\s(?:name|id|key|param|property|variable)\s{0,8}=\s{0,8}[\"']?)[\w.:-]{0,64}?%s(?=[\s/>\"'])"
    % _ANY_NAME,
    _I,
)
_ATTRIBUTE: Final = re.compile(
    rb"[\s\"'](?:val(?:ue)?|content|data|text|default)\s{0,8}=\s{0,8}(?:%s)" % (_QUOTED % rb"[^\s\"'<>]{1,256}"), _I
)
_SERIAL: Final = re.compile(rb"<serialNumber>\s{0,64}(?:<!\[CDATA\[\s{0,64})?([^<\]]{3,128}?)\s{0,64}[<\]]")
_MODEL_NUMBER: Final = re.compile(rb"<modelNumber>([^<]{3,256})")
_FIELD: Final = re.compile(
    rb"^(?:(?:proxy-)?authorization|cookie|set-cookie|www-authenticate|sid)[ \t]*:[ \t]*(?:uuid:)?([^\r\n]+)",
    _I | re.MULTILINE,
)
_UDN: Final = re.compile(rb"(?:uuid:|<UDN>\s*)([^\s<>\"',;:&]{1,128})", _I)
_UDN_PART: Final = re.compile(rb"[0-9a-z]{6,}", _I)
_QUERY: Final = re.compile(rb"[?&](?:amp;)?([\w.-]{1,32})=([^&\s<>\"'#;]{1,256})")
_QUERY_NAME: Final = re.compile(
    rb"key|tok|auth|sid|sess|pass|pwd|user|nonce|sign|login|account|serial|pin$|^sn$|id$", _I
)
_PATH_TOKEN: Final = re.compile(rb"(?<=/)([\w-]{16,})(?=[/?#.\s<>\"'&]|$)")
_USER: Final = re.compile(rb"://([^/@\s<>\"]{1,128})@")
_MAIL: Final = re.compile(rb"([\w.+-]{1,64}@(?:[\w-]{1,64}\.){1,8}[a-z]{2,24})(?![\w-])", _I)
_HOST_LABEL: Final = rb"(?:[a-z0-9_\x80-\xff-]|%[89a-f][0-9a-f]){1,63}"
_NAME: Final = (
    rb"(" + _HOST_LABEL + rb"(?:\." + _HOST_LABEL + rb"){0,31})(?![a-z0-9_\x80-\xff-]|%[89a-f]|\.[a-z0-9_-]|@)"
)
# in a URL, also an escaped one and behind a user's name; in HOST
_HOST: Final = re.compile(
    rb"(?:(?::|%3a)(?:/|\\/|%2f){2}(?:[^/@\s<>\"]{1,128}@)?|(?:^|(?<=\n))host[ \t]{0,8}:[ \t]{0,8})" + _NAME, _I
)
# Without a scheme it may be the path of a control URL (BEFSR41: //WANIPConnection): only what is no path for certain.
_BARE_HOST: Final = re.compile(
    rb"(?<![:/\\\w.-])//((?:[a-z0-9_-]{1,63}\.){1,8}[a-z]{2,24})(?=[/:?#\s\"'<>,)]|$)"
    rb"|(?:(?:href|src|action)[ \t]?=[ \t]?[\"']?|<presentationURL>\s{0,64})//([a-z0-9_-]{1,63})(?=[/:\s\"'<>])",
    _I,
)
_NAME_ALONE: Final = re.compile(rb"(?:>|&gt;)\s{0,64}((?:[a-z0-9_-]{1,63}\.){1,8}[a-z]{2,24})\.?\s{0,64}(?=<|&lt;)", _I)
_LINK: Final = re.compile(rb"(?<![a-z0-9])enx([0-9a-f]{12})(?![0-9a-z])", _I)  # a network card named after its MAC
_PRIVATE_NAME: Final = re.compile(
    rb"(?<![a-z0-9.-])((?:[a-z0-9_-]{1,63}\.){1,8}(?:local|lan|home|localdomain|home\.arpa|internal|intranet|corp|box"
    rb"|myfritz\.net|ddns\.net|dyndns\.(?:org|info)|no-ip\.(?:org|com|biz)|duckdns\.org|dynv6\.net|synology\.me))"
    rb"(?![a-z0-9-])",
    _I,
)
_STANDARD_HOST: Final = re.compile(
    rb"(?:.*\.)?(?:w3\.org|xmlsoap\.org|upnp\.org|openconnectivity\.org|schemas-upnp-org|ipv6-literal\.net)", _I
)
_FILE: Final = re.compile(rb".*\.(?:xml|html?|cgi|asp|php|jsp?|css|png|jpe?g|gif|ico|txt|bin)", _I)
# A maker's web site is no secret, and says much about the software.
_MAKER: Final = re.compile(rb"<(?:[\w.-]{1,64}:)?(?:manufacturer|model)[a-z]{0,32}>[^<]*", _I)
_NOTHING: Final = frozenset(
    (b"none", b"null", b"n/a", b"unknown", b"(null)", b"default", b"not available", b"true", b"false")
) | {b"enabled", b"disabled", b"yes", b"no", b"on", b"off"}


@cache
def vocabulary() -> bytes:
    """Words of the protocols, in lower case: a "serial number" that is one of them is masked where it stands only."""
    words = [
        "http/1.1 200 ok upnp/1.0 content-length content-type content-language cache-control",
        "text/xml connection transfer-encoding utf-8 uuid:device urn:schemas-upnp-org:service:device:1 upnp:rootdevice",
        "max-age=1800 serviceid charset connected disconnected unconfigured ip_routed error_none internet",
        "localhost friendlyname manufacturer modelname modelnumber presentationurl controlurl eventsuburl scpdurl",
        "gateway router device servicelist devicelist http://schemas.xmlsoap.org/soap/envelope/ encodingstyle=http://schemas.xmlsoap.org/soap/encoding/",
    ]
    for entry in standards():
        actions = entry.description.actions.values()
        words += [entry.service_type, *entry.description.actions, *entry.description.variables]
        words += [argument.name for action in actions for argument in (*action.inputs, *action.outputs)]
    return "\n".join(words).lower().encode()


def is_something(value: bytes) -> bool:
    """Whether a value tells anything: more than one octet, more than one letter, no word for nothing."""
    value = value.strip().lower()
    return len(set(value)) > 1 and value not in _NOTHING


def told(octets: bytes) -> Iterator[Span]:
    """Values that are private because of what stands beside them."""
    for pattern in (_SERIAL_TEXT, _LABEL, _FIELD, _USER, _MAIL, _LINK, _PRIVATE_NAME):
        for found in pattern.finditer(octets):
            if is_something(found[1]):
                yield _stripped(octets, *found.span(1))
    yield from _pairs(octets)
    yield from _attributes(octets)
    yield from _texts(octets, _ELEMENT)
    for start, end in _texts(octets, _CLIENT):
        if not addresses.is_address(octets[start:end]):
            yield start, end
    for found in _QUERY.finditer(octets):
        if _QUERY_NAME.search(found[1]) or (len(found[2]) >= 8 and _digits(found[2])):
            yield found.span(2)
    for found in _PATH_TOKEN.finditer(octets):
        if _digits(found[1]) >= 4 and not found[1].isdigit() and found[1].lower() not in vocabulary():
            yield found.span(1)
    yield from _model_numbers(octets)
    yield from _hosts(octets)


def _pairs(octets: bytes) -> Iterator[Span]:
    """Values of keys. Without quotes, and with a colon, the end of a longer word is no key: GetPassword: works."""
    for found in _SERIAL_PAIR.finditer(octets):
        yield from _value(octets, found)
    for found in _PAIR.finditer(octets.lower()):
        is_key = found[1] is not None or not octets[max(0, found.start() - 1) : found.start()].isalnum()
        if is_key:
            yield from _value(octets, found)


def _attributes(octets: bytes) -> Iterator[Span]:
    """Values of elements, and of attributes, that are named by the element or by another attribute."""
    for tag in _TAG.finditer(octets):
        if _PRIVATE_TAG.search(tag[0]):
            for found in _ATTRIBUTE.finditer(octets, *tag.span()):
                yield from _value(octets, found)


def _value(octets: bytes, found: re.Match[bytes]) -> Iterator[Span]:
    """What stands in quotes or without them."""
    group = "bare" if found["bare"] is not None else "quoted"
    if is_something(found[group]):
        yield _stripped(octets, *found.span(group))


def _texts(octets: bytes, patterns: tuple[re.Pattern[bytes], ...]) -> Iterator[Span]:
    """What elements say, without comments and the brackets of CDATA."""
    for pattern in patterns:
        for found in pattern.finditer(octets):
            start, end = found.span(1)
            for aside in _ASIDE.finditer(octets, start, end):
                if is_something(octets[start : aside.start()]):
                    yield _stripped(octets, start, aside.start())
                start = aside.end()
            if is_something(octets[start:end]):
                yield _stripped(octets, start, end)


def _model_numbers(octets: bytes) -> Iterator[Span]:
    """The serial number of the same description, however short, inside its modelNumber."""
    serials = {found[1].lower() for found in _SERIAL.finditer(octets) if is_something(found[1])}
    for found in _MODEL_NUMBER.finditer(octets) if serials else ():
        for serial in serials:
            start = found[1].lower().find(serial)
            if start >= 0:
                yield found.start(1) + start, found.start(1) + start + len(serial)


def _hosts(octets: bytes) -> Iterator[Span]:
    makers = [found.span() for found in _MAKER.finditer(octets)]
    for pattern in (_HOST, _BARE_HOST, _NAME_ALONE):
        for found in pattern.finditer(octets):
            name = found[found.lastindex or 0]
            plain = addresses.is_address(name) or _STANDARD_HOST.fullmatch(name) or name.lower() == b"localhost"
            inside = any(start <= found.start() < end for start, end in makers)
            if not (plain or inside or (pattern is not _HOST and _FILE.fullmatch(name))):
                yield found.span(found.lastindex or 0)


def id_parts(octets: bytes) -> Iterator[Span]:
    """The parts of a UDN of the maker's own form that may be a serial number (Q027-Q029)."""
    for found in _UDN.finditer(octets):
        for part in _UDN_PART.finditer(found[1]):
            if _digits(part[0]) and is_something(part[0]) and part[0].lower() not in vocabulary():
                yield found.start(1) + part.start(), found.start(1) + part.end()


def long_hex(octets: bytes) -> Iterator[Span]:
    """Runs of hexadecimal digits, as long as a MAC at least; decimal numbers of that length are counters."""
    for found in _HEX.finditer(octets):
        if _digits(found[0]) < len(found[0]):
            yield found.span()


def _stripped(octets: bytes, start: int, end: int) -> Span:
    value = octets[start:end]
    return start + len(value) - len(value.lstrip()), end - len(value) + len(value.rstrip())


def _digits(value: bytes) -> int:
    return sum(48 <= octet < 58 for octet in value)
