"""A simulated gateway from boot to boot: it starts, reboots, stops, and makes every change of its state true. Thin.

Knows how it meets its network, its state and its faults as they were made for it; not what may happen to it.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet import defer
from twisted.internet.task import deferLater

from txigd.limits import SIMULATED_REQUESTS
from txigd.testing.boot import Boot
from txigd.testing.faults import Faults
from txigd.testing.line import CONNECTED
from txigd.testing.publisher import Subscription
from txigd.testing.relay import Relay
from txigd.testing.seen import Seen
from txigd.testing.setup import Setup
from txigd.testing.state import State
from txigd.testing.table import MappingTable

_BOOT_IDS: Final = 1 << 31


class Life(Service):
    """What :class:`txigd.testing.SimulatedGateway` is as a service, and where it is found.

    :param clock: tells the time and makes the timers.
    :param http_port: of the first boot; 0 for any.
    :param relay: carries traffic; None where none is carried.
    :ivar silent_events: subscriptions are accepted, the initial event comes, and never another.
    """

    def __init__(
        self,
        reactor: Any,
        setup: Setup,
        state: State,
        faults: Faults,
        *,
        clock: Any,
        random: Random,
        http_port: int,
        relay: Relay | None,
        silent_events: bool,
    ) -> None:
        self.udn = state.tree.root.udn
        self.version = setup.shape.version
        self.friendly_name = state.tree.root.friendly_name
        self.silent_events = silent_events
        self._reactor = reactor
        self._setup = setup
        self._state = state
        self._faults = faults
        self._clock = clock
        self._random = random
        self._relay = relay
        self._requests: deque[Seen] = deque(maxlen=SIMULATED_REQUESTS)
        self._next_port = http_port
        self._next_boot_id = int(clock.seconds()) % _BOOT_IDS or 1
        self._boot: Boot | None = None
        self._last: Boot | None = None
        self._lock = defer.DeferredLock()
        self._timer: Any = None

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it lives; empty before the start if it is to be taken from the link."""
        return str(self._last.where.addresses[0]) if self._last else self._setup.address

    @property
    def port(self) -> int:
        """The port of the web server, the latest one after a stop; 0 before the first start."""
        return self._last.where.port if self._last else 0

    @property
    def location(self) -> str:
        """The URL of the description, the latest one after a stop; empty before the first start."""
        return self._last.locations[0] if self._last else ""

    @property
    def location6(self) -> str:
        """The same at ``address6``; empty where it does not live there, or before the first start."""
        return self._last.locations[-1] if self._last and self._setup.address6 else ""

    @property
    def boot_id(self) -> int:
        """BOOTID.UPNP.ORG."""
        return self._last.boot_id if self._last else self._next_boot_id

    @property
    def mappings(self) -> MappingTable:
        """The live table: iterate it, take its ``len()``, or ``find("TCP", 8080)``."""
        return self._state.table

    @property
    def requests(self) -> deque[Seen]:
        """The latest requests, oldest first."""
        return self._requests

    @property
    def subscribers(self) -> tuple[Subscription, ...]:
        """The live subscriptions."""
        return self._boot.publisher.subscribers if self._boot else ()

    @property
    def state(self) -> State:
        """Everything else it knows of itself; call :meth:`update` after a change."""
        return self._state

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work, as sentences: sockets and ports that could not be opened."""
        found = self._boot.problems if self._boot else []
        if self._relay is not None:
            found += [f"{key[2]} port {key[1]}: {text}" for key, text in self._relay.problems.items()]
        return tuple(found)

    # -- life --------------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Listen and announce. :raises CannotListenError: if ``http_port`` is taken."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._open()
        except BaseException:
            self.running = False
            raise

    def start(self) -> defer.Deferred[None]:
        """Start unless running; fires when it can be reached."""
        if not self.running:
            self.startService()
        return defer.succeed(None)

    def stopService(self) -> defer.Deferred[None]:
        """Say byebye and close everything; fires when no socket and no timer is left."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._lock.run(lambda: defer.ensureDeferred(self._close(silent=False)))

    def stop(self) -> defer.Deferred[None]:
        """Stop if running."""
        return self.stopService() if self.running else defer.succeed(None)

    def reboot(
        self, *, new_port: bool = False, keep_mappings: bool = False, seconds: float = 0.0
    ) -> defer.Deferred[None]:
        """Go without a word and come back with a new BOOTID, empty of subscriptions and mappings.

        :param new_port: come back on another port and with other paths (F03).
        :param keep_mappings: as with miniupnpd's lease file.
        :param seconds: how long it is gone.
        """
        return self._lock.run(lambda: defer.ensureDeferred(self._reboot(new_port, keep_mappings, seconds)))

    async def _reboot(self, new_port: bool, keep_mappings: bool, seconds: float) -> None:
        if not self.running:
            return
        await self._close(silent=True)
        if seconds:
            await deferLater(self._clock, seconds)
        if not self.running:  # stopped meanwhile
            return
        if new_port or "random port" in self._setup.played.traits:
            self._next_port = 0
        self._state.tree = self._setup.shape.next_tree(self._random, self._state.tree, new_paths=new_port)
        self._state.reboot(keep_mappings=keep_mappings)
        self._state.line.cut("ERROR_NONE")
        self._open()

    def _open(self) -> None:
        boot = Boot(
            self._reactor,
            self._clock,
            self._setup,
            self._state,
            self._faults,
            self._requests,
            boot_id=self._next_boot_id,
            port=self._next_port,
            changed=self.update,
            random=self._random,
        )
        boot.open()
        self._boot = self._last = boot
        self._next_port = boot.where.port
        self._next_boot_id = boot.boot_id % (_BOOT_IDS - 1) + 1
        if self._state.line.carrier and self._state.line.status != CONNECTED:
            self._state.line.connect(self._clock.seconds())
        self.update()

    async def _close(self, *, silent: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        boot, self._boot = self._boot, None
        if boot is not None:
            await boot.close(silent=silent or "silent departure" in self._setup.played.traits)
        if self._relay is not None:
            await self._relay.stop()

    # -- changes -----------------------------------------------------------------------------------------------------

    def update(self, *, silent: bool = False) -> None:
        """Make a changed state true: relay, events, timers. ``silent``: nobody is told."""
        now = self._clock.seconds()
        self._state.advance(now)
        silent = silent or self._state.table.vanished
        if self._relay is not None and self._boot is not None:
            self._relay.follow(self._state.active_entries())
        if self._boot is not None:
            for name in self._state.tree.services:
                values = self._state.evented(name)
                self._boot.publisher.publish(name, values, silent=silent or self.silent_events)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._state.next_change()
        if due is not None and self._boot is not None:
            self._timer = self._clock.callLater(max(0.0, due - now), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.update()
