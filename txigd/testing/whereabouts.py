"""Where a simulated gateway is reached during one uptime: its addresses, its ports and the URLs on them. Pure."""

from __future__ import annotations

from txigd.upnp.url import IPAddress, without_zone


class Whereabouts:
    """The places of one web server; what is in a URL has no zone.

    :param addresses: one, or one of each family.
    :param port: the same at each of them; 0 until it is open.
    :param other_port: a second one at the first address; None for no such.
    """

    def __init__(self, addresses: tuple[IPAddress, ...], port: int, other_port: int | None) -> None:
        self.addresses = addresses
        self.port = port
        self.other_port = other_port

    @property
    def authorities(self) -> tuple[str, ...]:
        """What a HOST may say: ``ADDRESS:PORT``, an IPv6 address in brackets."""
        return (*self._authorities(), _authority(self.addresses[0], self.other_port or 0))

    @property
    def origin(self) -> str:
        """``http://ADDRESS:PORT``, by the first address."""
        return f"http://{_authority(self.addresses[0], self.port)}"

    @property
    def other_origin(self) -> str:
        """The same with the second port; empty without one."""
        return "" if self.other_port is None else f"http://{_authority(self.addresses[0], self.other_port)}"

    def origin_of(self, host: str) -> str:
        """The origin that a HOST names; the first one where it names none."""
        named = host.strip().lower()
        return f"http://{named}" if named in self._authorities() else self.origin

    def locations(self, path: str) -> tuple[str, ...]:
        """The URLs of a path, one for each address."""
        return tuple(f"http://{authority}{path}" for authority in self._authorities())

    def _authorities(self) -> tuple[str, ...]:
        return tuple(_authority(address, self.port) for address in self.addresses)


def _authority(address: IPAddress, port: int) -> str:
    host = without_zone(address)
    return f"{host}:{port}" if host.version == 4 else f"[{host}]:{port}"
