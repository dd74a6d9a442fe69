"""Masks for what a support report must not tell: of the same length, and the same for the same value. Pure.

First everything is shown to :meth:`Mask.learn`, so that a serial number that one document names is masked in all
others; then :meth:`Mask.apply` masks. A mask has the form of what it stands for: digits stay digits, a public address
stays public, addresses of one network stay in one network. Nothing of the value can be computed from its mask: masks
are counted, not hashed, since all MACs and IPv4 addresses of the world are soon tried.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from txigd.igd import report_addresses as addresses
from txigd.igd import report_hardware as hardware
from txigd.igd import report_secrets as secrets
from txigd.igd.report_plain import Plain, Span
from txigd.limits import REPORT_SECRETS

ADDRESSES: Final = "public addresses"
HARDWARE: Final = "hardware addresses"
IDENTIFIERS: Final = "UUIDs"
TEXTS: Final = "serial numbers, names, tokens"
KINDS: Final = (ADDRESSES, HARDWARE, IDENTIFIERS, TEXTS)

View = tuple[Plain, list[Span]]  # and where in it values stand that their place tells
_JOINTS: Final = re.compile(rb"[ ._-]")  # a serial number is written with or without them
_MAC: Final = re.compile(rb"[0-9a-f]{12}", re.IGNORECASE)
_LETTERS: Final = b"xyzabcdefghijklmnopqrstuvw"
# by their number of digits: what the first and the other numbers of a masked IPv4 address may be
_FIRST: Final = {1: range(5, 10), 2: range(11, 100), 3: range(193, 198)}
_OTHERS: Final = {1: range(1, 10), 2: range(10, 100), 3: range(100, 256)}
_FIRST_HEXTET: Final = 0x2A00


class Mask:
    """Masks octets consistently; one for each report.

    :param known: texts that are private wherever they stand, such as the name of this host.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._seen: dict[bytes, Sequence[View]] = {}
        self._literals: dict[bytes, None] = {}
        self._search: re.Pattern[bytes] | None = None
        self._addresses: set[addresses.Quad] = set()
        self._quads: dict[addresses.Quad, addresses.Quad] = {}
        self._hextets: dict[tuple[int, ...], int] = {}
        self._hextets_used: Counter[tuple[int, ...]] = Counter()
        self._wide: set[int] = set()
        self._hex: dict[bytes, bytes] = {}
        self._heads: dict[bytes, bytes] = {}
        self._texts: dict[bytes, int] = {}
        self._forms: Counter[bytes] = Counter()
        for text in known:
            self._remember(text.strip().encode("utf-8", "replace"))

    @property
    def counts(self) -> dict[str, int]:
        """How many different values were masked so far, by kind."""
        numbers = (len(self._quads) + len(self._wide), len(self._hex), len(self._heads), len(self._texts))
        return dict(zip(KINDS, numbers, strict=True))

    def learn(self, octets: bytes) -> None:
        """Look for values that are to be masked wherever they occur."""
        views = self._views(octets)
        text = views[-1][0].octets
        for view, told in views:
            for start, end in told:
                self._remember(view.octets[start:end])
        for start, end in hardware.spans(text):
            self._remember(hardware.digits(text[start:end]))
        for start, end in addresses.telling_v6(text):
            self._remember_v6(ipaddress.IPv6Address(text[start:end].decode("ascii")))
        for found in secrets.UUID.finditer(text):
            self._remember(found[2])
        for (start, end), is_certain in addresses.public_quads(text):
            if is_certain:
                self._remember_quad(addresses.quad(text[start:end]))
        for start, end in addresses.turned_quads(text):
            self._remember_quad(addresses.quad(addresses.forward(text[start:end])))

    def _remember_v6(self, address: ipaddress.IPv6Address) -> None:
        for form in (hardware.of_interface(address) or b"", *addresses.with_dashes(address)):
            self._remember(form)

    def _remember_quad(self, numbers: addresses.Quad) -> None:
        if numbers not in self._addresses:
            self._addresses.add(numbers)
            for form in addresses.together(numbers):
                self._remember(form)

    def _remember(self, value: bytes) -> None:
        """Only what can be told from the words of the protocols is looked for elsewhere than where it stood."""
        value = Plain(value).octets.lower()
        for form in (value, _JOINTS.sub(b"", value)):
            has_digit = re.search(rb"[0-9]", form) is not None
            if len(form) < (6 if has_digit else 8) or form in self._literals or form in secrets.vocabulary():
                continue
            if secrets.is_something(form) and len(self._literals) < REPORT_SECRETS:
                self._literals[form] = None
                self._search = None

    def apply(self, octets: bytes) -> bytes:
        """The octets with masks, of the very same length."""
        out, free = bytearray(octets), bytearray(b"f" * len(octets))
        for view, spans, masked in self._finders(self._views(octets)):
            for first, last in spans:
                start, end = view.spelled(first, last)
                # what an earlier finder took stays; of the rest each piece is masked by itself
                for piece in re.finditer(b"f+", bytes(free[start:end])):
                    a, b = start + piece.start(), start + piece.end()
                    if (a, b) == (start, end):
                        out[a:b] = view.written(first, last, masked(view.octets[first:last]))
                    else:
                        out[a:b] = self._text(octets[a:b])
                free[start:end] = bytes(end - start)
        return bytes(out)

    def _finders(self, views: Sequence[View]) -> Iterator[tuple[Plain, Iterable[Span], Callable[[bytes], bytes]]]:
        """The most certain first: what they find is masked in a form of its own, wherever it stands.

        What has a form is looked for in the plain text; what is told by its place also as it is spelled, since an
        escaped bracket does not end it there.
        """
        plain = views[-1][0]
        text, known = plain.octets, self._known()
        for spans, masked in (
            ([found.span() for found in secrets.UUID.finditer(text)], self._uuid),
            (addresses.turned_v6(text), self._turned_v6),
            (addresses.dashed_v6(text), self._dashed_v6),
            (self._hardware_spans(text), self._hardware),
            (addresses.telling_v6(text), self._v6),
            (addresses.turned_quads(text), self._turned_quad),
            (self._quad_spans(text), self._quad),
            (self._loose_quads(text), self._turned_quad),
            ([found.span() for found in known.finditer(text.lower())] if known else (), self._text),
            (secrets.long_hex(text), self._hardware),
        ):
            yield plain, spans, masked
        for view, told in views:
            yield view, told, self._text

    def _views(self, octets: bytes) -> Sequence[View]:
        """A text as it is spelled, and last, if that is another one, as it reads; kept, since all comes twice."""
        if octets not in self._seen:
            plain = Plain(octets)
            views = [plain] if plain.is_spelled else [Plain(octets, resolve=False), plain]
            self._seen[octets] = [(view, _told(view.octets)) for view in views]
        return self._seen[octets]

    def _hardware_spans(self, text: bytes) -> Iterator[Span]:
        yield from hardware.spans(text)
        for start, end in hardware.digit_spans(text):
            if hardware.digits(text[start:end]) in self._literals:
                yield start, end

    def _quad_spans(self, text: bytes) -> Iterator[Span]:
        for (start, end), is_certain in addresses.public_quads(text):
            if is_certain or addresses.quad(text[start:end]) in self._addresses:
                yield start, end

    def _loose_quads(self, text: bytes) -> Iterator[Span]:
        for start, end in addresses.loose_quads(text):
            if addresses.quad(text[start:end])[::-1] in self._addresses:
                yield start, end

    def _known(self) -> re.Pattern[bytes] | None:
        """For a text of small letters: that is several times as fast as to ignore the difference."""
        if self._search is None and self._literals:
            longest_first = sorted(self._literals, key=lambda value: (-len(value), value))
            self._search = re.compile(b"|".join(map(_anywhere, longest_first)))
        return self._search

    # -- masks -----------------------------------------------------------------------------------------------------

    def _text(self, piece: bytes) -> bytes:
        """Letters for letters, digits for digits, the rest as it is: what a parser trips over stays."""
        if _MAC.fullmatch(piece):
            return self._hardware(piece)
        # an ampersand alone is markup gone wrong, and stays
        view = Plain(piece)
        plain = view.octets
        form = bytes(map(_class, plain))
        key = plain.lower()
        if key not in self._texts:
            self._forms[form] += 1
            if _shaped(plain, form, self._forms[form]).lower() == key:
                self._forms[form] += 1
            self._texts[key] = self._forms[form]
        return view.written(0, len(plain), _shaped(plain, form, self._texts[key]))

    def _hardware(self, piece: bytes) -> bytes:
        """02:00:00:00:00:01 and so on, with the separators that were there; the same for all spellings."""
        digits = hardware.digits(piece)
        if len(set(digits)) == 1:
            return piece
        if digits not in self._hex:
            self._hex[digits] = b"02" + str(len(self._hex) + 1).encode().zfill(len(digits) - 2)[2 - len(digits) :]
        return hardware.spelled(piece, self._hex[digits])

    def _uuid(self, piece: bytes) -> bytes:
        """The last group is often the MAC, and is masked like it."""
        head, node = piece[:23].lower(), piece[24:]
        if len(set(head + node)) == 2:  # zeros
            return piece
        masked = self._heads.setdefault(head, b"%08d-0000-4000-8000" % (len(self._heads) + 1))
        return masked + b"-" + self._hardware(node)

    def _quad(self, piece: bytes) -> bytes:
        """Each number stays as long as it was, the address a public one."""
        numbers = addresses.quad(piece)
        if numbers not in self._quads:
            self._quads[numbers] = self._free_quad(numbers)
        return addresses.respelled(piece, self._quads[numbers])

    def _turned_quad(self, piece: bytes) -> bytes:
        forward = addresses.turned(self._quad(addresses.forward(piece)))
        return forward[len(forward) - len(piece) :]

    def _free_quad(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        lengths = [len(str(number)) for number in numbers]
        choices = [_FIRST[lengths[0]], *(_OTHERS[length] for length in lengths[1:])]
        taken = {*self._quads.values(), *self._addresses, numbers}
        candidate = numbers
        for count in range(1, 4 * len(taken) + 64):
            left = count
            picked: list[int] = []
            for choice in reversed(choices):
                left, place = divmod(left, len(choice))
                picked.insert(0, choice[place])
            candidate = tuple(picked)
            if candidate not in taken and addresses.is_public(candidate):
                break
        return candidate

    def _v6(self, piece: bytes) -> bytes:
        """Group by group, so that addresses of one network are in one network still.

        An IPv4 address at the end has the mask that it has alone.
        """
        head, _, tail = piece.rpartition(b":")
        if b"." in tail:
            numbers = addresses.quad(tail)
            groups = self._v6(head + b":%x%02x:%x%02x" % numbers).rsplit(b":", 2)[0]
            return groups + b":" + (self._quad(tail) if addresses.is_public(numbers) else tail)
        address = ipaddress.IPv6Address(piece.decode("ascii"))
        self._wide.add(int(address))
        old = [int.from_bytes(address.packed[place : place + 2], "big") for place in range(0, 16, 2)]
        kept = addresses.kept_groups(address)
        new = [self._hextet(tuple(old[: place + 1])) if place >= kept else old[place] for place in range(8)]
        left, double, right = piece.partition(b"::")
        heads, tails = left.split(b":"), right.split(b":")
        before = [_group(text, new[place]) for place, text in enumerate(heads)]
        after = [_group(text, new[8 - len(tails) + place]) for place, text in enumerate(tails)]
        return b":".join(before) + double + b":".join(after)

    def _dashed_v6(self, piece: bytes) -> bytes:
        return self._v6(piece.replace(b"-", b":")).replace(b":", b"-")

    def _turned_v6(self, piece: bytes) -> bytes:
        return addresses.to_nibbles(self._v6(addresses.from_nibbles(piece)), len(piece))

    def _hextet(self, path: tuple[int, ...]) -> int:
        """The mask of the last group of a path from the first: counted, with as many digits."""
        value = path[-1]
        if value and path not in self._hextets:
            length = len(f"{value:x}")
            lowest, room = 16 ** (length - 1), 15 * 16 ** (length - 1)
            if len(path) == 1 and length == 4:
                lowest, room = _FIRST_HEXTET, 256
            used = (*path[:-1], -length)
            for _ in range(2):
                self._hextets_used[used] += 1
                self._hextets[path] = lowest + self._hextets_used[used] % room
                if self._hextets[path] != value:
                    break
        return self._hextets.get(path, 0)


def _told(octets: bytes) -> list[Span]:
    return [*secrets.told(octets), *secrets.id_parts(octets)]


def _group(text: bytes, value: int) -> bytes:
    digits = text.lstrip(b"0")
    return text[: len(text) - len(digits)] + b"%x" % value if digits else text


def _class(octet: int) -> int:
    """``9`` for a digit, ``A`` and ``a`` for letters and whatever is not ASCII, the octet itself otherwise."""
    if 48 <= octet < 58:
        return 57
    if 65 <= octet < 91:
        return 65
    return 97 if 97 <= octet < 123 or octet >= 128 else octet


def _shaped(plain: bytes, form: bytes, count: int) -> bytes:
    """The ``count``-th text of a form, told by its last digits and letters."""
    out = bytearray(plain)
    for place in range(len(plain) - 1, -1, -1):
        kind = form[place]
        if kind == 57:
            count, digit = divmod(count, 10)
            out[place] = 48 + digit
        elif kind in (65, 97):
            count, letter = divmod(count, 26)
            out[place] = _LETTERS[letter] - (32 if kind == 65 else 0)
    return bytes(out)


def _anywhere(value: bytes) -> bytes:
    """A pattern for a value inside other text: a number is not looked for in longer ones, nor a word in words.

    What stands before is looked at behind the first octet, since many patterns that begin with one are soon sought.
    """
    edge = rb"[0-9]" if value.isdigit() else rb"[0-9a-z]" if not re.search(rb"[0-9]", value) else b""
    first, rest = re.escape(value[:1]), re.escape(value[1:])
    return rb"%s(?<!%s%s)%s(?!%s)" % (first, edge, first, rest, edge) if edge else first + rest
