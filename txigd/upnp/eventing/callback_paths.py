"""The open callback paths: which token, whose, and who may call it. Pure.

One unguessable path per subscription (threats C1, C2): whoever does not know it is answered 404 and nothing is kept.
"""

from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from txigd.limits import TOKEN_OCTETS
from txigd.upnp.eventing.gena import Envelope
from txigd.upnp.url import DeviceURL, IPAddress, unmapped, without_zone

OnNotify = Callable[[Envelope, "Mapping[str, str] | None"], None]
Authority = tuple[IPAddress, int]


def plain(address: IPAddress) -> IPAddress:
    """An address in the form in which peers are compared."""
    return unmapped(without_zone(address))


class CallbackPath:
    """One path, open until :meth:`close`. ``url`` is what CALLBACK names."""

    def __init__(
        self,
        paths: CallbackPaths,
        authority: Authority,
        peers: Iterable[IPAddress],
        admits: Callable[[str], bool],
        on_notify: OnNotify,
        names: Iterable[str] = (),
    ) -> None:
        token = secrets.token_urlsafe(TOKEN_OCTETS)
        self.target = f"/{token}".encode("ascii")
        self.url = str(DeviceURL(*authority, f"/{token}"))
        self.peers = frozenset(plain(peer) for peer in peers)
        self.admits = admits
        self.on_notify = on_notify
        self.names = tuple(names)
        self._paths = paths

    def close(self) -> None:
        """Answer 404 from now on. May be called more than once."""
        self._paths.forget(self)


class CallbackPaths:
    """All open paths and the count of what came to them.

    :ivar counters: connections and requests by outcome; the words are those of this package, never of the network.
    """

    def __init__(self, advertised: Authority | None, lenient: bool) -> None:
        self.advertised = advertised
        self.lenient = lenient
        self.counters: Counter[str] = Counter()
        self._open: list[CallbackPath] = []

    def add(self, path: CallbackPath) -> None:
        """Open a path."""
        self._open.append(path)

    def forget(self, path: CallbackPath) -> None:
        """Close a path."""
        if path in self._open:
            self._open.remove(path)

    def clear(self) -> None:
        """Close all paths."""
        self._open.clear()

    def expects(self, peer: IPAddress) -> bool:
        """Whether any path is open for that peer."""
        return any(peer in path.peers for path in self._open)

    def find(self, target: str) -> CallbackPath | None:
        """The path of that name; every open one is compared, each in constant time."""
        wanted, found = target.encode("latin-1"), None
        for path in self._open:
            if hmac.compare_digest(path.target, wanted):
                found = path
        return found

    def is_own(self, hosts: list[str], own: Authority) -> bool:
        """Whether Host came once and is exactly the address and port that was called, or the advertised one (C3)."""
        if len(hosts) != 1:
            return False
        for address, port in (own, self.advertised or own):
            literal = f"[{address}]" if address.version == 6 else str(address)
            if hosts[0].lower() in ((f"{literal}:{port}", literal) if port == 80 else (f"{literal}:{port}",)):
                return True
        return False
