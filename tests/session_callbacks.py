"""The callback port of a whole session: deaf on an address that was released, until a path is opened there again."""

from __future__ import annotations

from typing import Any

from tests.memory_lan import MemoryCallbacks, MemoryPath
from txigd.upnp.url import IPAddress

_FIRST_PORT = 45123


class SessionCallbacks(MemoryCallbacks):
    """As the real one does, it listens at another port each time.

    :ivar ports: the port of each address that is listened on.
    :ivar opened: how many paths there ever were.
    """

    def __init__(self, reactor: Any, **given: Any) -> None:
        super().__init__(reactor, **given)
        self.ports: dict[str, int] = {}
        self.opened = 0
        self._next_port = _FIRST_PORT

    def listen(self, address: IPAddress) -> int:
        """The port of that address, from now on if not before."""
        if str(address) not in self.ports:
            self.ports[str(address)] = self._next_port
            self._next_port += 1
        return self.ports[str(address)]

    def open(self, address: IPAddress, **options: Any) -> MemoryPath:
        port = self.listen(address)
        self.opened += 1
        path = MemoryPath(self, f"http://{address}:{port}/{self.opened}", options)
        self.paths.append(path)
        return path

    def release(self, address: IPAddress) -> None:
        super().release(address)
        self.ports.pop(str(address), None)

    def hears(self, url: str) -> bool:
        """Whether anybody listens there."""
        return any(url.startswith(f"http://{address}:{port}/") for address, port in self.ports.items())
