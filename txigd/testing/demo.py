"""``python -m txigd.testing.demo``: the main job on a simulated gateway, step by step, each step checked.

Knows the public surface of txigd and the simulated gateway. Needs no root, no router and no network: only loopback
addresses and UDP multicast on them.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.task import react
from zope.interface import implementer

from txigd import ControlPoint, Gateway, IWANObserver, PortMapping, TxigdError, WANStatus
from txigd.igd.status import Learned
from txigd.limits import CONFIRM_SECONDS, EVENT_CALLBACK_SECONDS
from txigd.testing import SimulatedGateway

STEP_SECONDS = 15.0  # a step that takes longer has failed
REBOOT_SECONDS = 1.0
BOOT_SECONDS = 1.0  # a gateway that starts says byebye and alive first, which would be taken for a restart
NO_POLL = 86_400.0  # the cross-check is put off, and every read after an earlier event is over after this silence:
QUIET_SECONDS = CONFIRM_SECONDS + EVENT_CALLBACK_SECONDS + 0.5  # what is heard here was told by an event of its own
FIRST_ADDRESS, NEXT_ADDRESS = "11.22.33.44", "11.22.33.50"
PORTS = {"TCP": 8080, "UDP": 5000}
INTERRUPTED_STATUS = 130
T = TypeVar("T")


class StepFailed(Exception):
    """A step did not happen as it should."""


@implementer(IWANObserver)
class Demo:
    """One run.

    :param reactor: Twisted's reactor.
    :param say: takes each line of text.
    """

    def __init__(self, reactor: Any, say: Callable[[str], object] = print) -> None:
        self._reactor = reactor
        self._say = say
        self._steps = 0
        self._waiting: list[tuple[Callable[[WANStatus], bool], Deferred[tuple[WANStatus, WANStatus]]]] = []
        linux = sys.platform.startswith("linux")  # has all of 127.0.0.0/8: other programs are not in the way
        self._lan = _some_loopback() if linux else "127.0.0.1"
        self._wan = _some_loopback() if linux else "127.0.0.1"
        self._link = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), "lo")
        self._router = SimulatedGateway(
            reactor, address=self._lan, link=self._link, wan_address=self._wan, external_ip=FIRST_ADDRESS
        )
        self._control_point = ControlPoint(reactor, links=[self._link], gateway=self._lan, poll_seconds=NO_POLL)
        self._echoes: list[Any] = []

    async def run(self) -> int:
        """Show everything; 0 when all of it happened, 1 otherwise."""
        began = time.monotonic()
        self._say("txigd finds an Internet gateway, watches its WAN side and keeps port mappings true.")
        self._say("Here the gateway is a simulated one, on this machine: no router and no network is touched.\n")
        try:
            try:
                await self._show()
            finally:
                await self._tidy_up()
        except (StepFailed, TxigdError, OSError) as error:
            self._say(f"      FAILED: {error}")
            return 1
        self._say(f"\nAll {self._steps} steps happened, in {time.monotonic() - began:.1f} s. Next: docs/tutorial.md,")
        self._say("or 'make run' for the daemon on your own network.")
        return 0

    async def _show(self) -> None:
        await self._router.start()
        await self._pause(BOOT_SECONDS)
        self._control_point.start()
        gateway = await self._step("Searching for a gateway by SSDP multicast", self._find())
        await self._step("Asking for its external address", self._ask(gateway))
        gateway.wan.observe(self)
        await self._step("Wanting two port mappings, TCP 8080 and UDP 5000", self._map(gateway))
        await self._step("Sending bytes from outside through both", self._send())
        await self._pause(QUIET_SECONDS)
        await self._step("The WAN line drops", self._drop())
        await self._pause(QUIET_SECONDS)
        await self._step("The WAN line comes back", self._restore())
        await self._pause(QUIET_SECONDS)
        await self._step("The provider gives another address", self._change_address())
        await self._step("The router reboots and forgets its mappings", self._reboot(gateway))
        await self._step("Saying goodbye", self._leave())

    async def _step(self, title: str, work: Coroutine[Deferred[Any], Any, tuple[str, T]]) -> T:
        """Say what is done, do it within the time, say what came out and how long it took."""
        self._steps += 1
        self._say(f"  {self._steps}.  {title}")
        began = time.monotonic()
        deferred = Deferred.fromCoroutine(work)
        deferred.addTimeout(STEP_SECONDS, self._reactor)
        try:
            text, value = await deferred
        except defer.TimeoutError:
            raise StepFailed(f"nothing came of it in {STEP_SECONDS:g} s") from None
        self._say(f"      {text}  [{(time.monotonic() - began) * 1000:.0f} ms]")
        return value

    # -- the steps ---------------------------------------------------------------------------------------------------
    async def _find(self) -> tuple[str, Gateway]:
        gateway = await self._control_point.gateway(timeout=STEP_SECONDS)
        _check(gateway.udn == self._router.udn, f"another gateway answered: {gateway.location}")
        return f'found "{gateway.friendly_name}" at {gateway.location}', gateway

    async def _ask(self, gateway: Gateway) -> tuple[str, None]:
        address = await gateway.external_ip()
        _check(str(address) == FIRST_ADDRESS, f"it says {address}")
        return f"{address}, {gateway.wan.status.connection_status}", None

    async def _map(self, gateway: Gateway) -> tuple[str, None]:
        held = [
            gateway.mappings.hold(PortMapping(protocol, await self._echo(protocol), port, description="demo"))
            for protocol, port in PORTS.items()
        ]
        for one in held:
            await one.when_active()
        listed = {(entry.protocol, entry.external_port): entry for entry in await gateway.wan.connection.entries()}
        _check(set(listed) == set(PORTS.items()), f"its table lists {sorted(listed)}")
        lines = [
            f"{entry.protocol} {port} -> {entry.internal_client}:{entry.internal_port}"
            for (_, port), entry in sorted(listed.items())
        ]
        return "its table lists " + ", ".join(lines), None

    async def _send(self) -> tuple[str, None]:
        heard = [await self._through(protocol, b"hello") for protocol in PORTS]
        return f"echoed over TCP: {heard[0].decode()!r}, over UDP: {heard[1].decode()!r}", None

    async def _drop(self) -> tuple[str, None]:
        heard = self._hear(lambda new: not new.connected)
        self._router.drop_wan()
        return _told(await heard), None

    async def _restore(self) -> tuple[str, None]:
        heard = self._hear(lambda new: new.connected)
        self._router.restore_wan()
        return _told(await heard), None

    async def _change_address(self) -> tuple[str, None]:
        heard = self._hear(lambda new: str(new.external_ip) == NEXT_ADDRESS)
        self._router.change_address(NEXT_ADDRESS)
        old, new = await heard
        _check(str(old.external_ip) == FIRST_ADDRESS, f"the old address was told as {old.external_ip}")
        return _told((old, new)), None

    async def _reboot(self, gateway: Gateway) -> tuple[str, None]:
        began = time.monotonic()
        await self._router.reboot(seconds=REBOOT_SECONDS)
        _check(len(self._router.mappings) == 0, "the router kept its mappings")
        back = time.monotonic()
        while len(self._router.mappings) < len(PORTS):
            _check(time.monotonic() - began < STEP_SECONDS, "the mappings did not come back")
            await self._pause(0.02)
        seconds = time.monotonic() - back
        for protocol in PORTS:
            await self._through(protocol, b"again")
        return f"both mappings were back {seconds * 1000:.0f} ms after it, and carry bytes again", None

    async def _leave(self) -> tuple[str, None]:
        await self._control_point.stop()
        _check(len(self._router.mappings) == 0, f"{len(self._router.mappings)} mappings were left behind")
        _check(not self._router.subscribers, f"{len(self._router.subscribers)} subscriptions were left behind")
        return "mappings deleted, event subscriptions cancelled, nothing left on the router", None

    # -- what they need ----------------------------------------------------------------------------------------------
    def wan_changed(self, old: WANStatus, new: WANStatus) -> None:
        """What an application would react to."""
        for waiter in tuple(self._waiting):
            wanted, heard = waiter
            if waiter in self._waiting and wanted(new):
                self._waiting.remove(waiter)
                heard.callback((old, new))

    def _hear(self, wanted: Callable[[WANStatus], bool]) -> Deferred[tuple[WANStatus, WANStatus]]:
        heard: Deferred[tuple[WANStatus, WANStatus]] = Deferred(lambda _: self._waiting.remove(waiter))
        waiter = (wanted, heard)
        self._waiting.append(waiter)
        return heard

    async def _echo(self, protocol: str) -> int:
        """A server of this host that says everything back; its port."""
        if protocol == "TCP":
            factory = Factory.forProtocol(_Echo)
            factory.noisy = False
            port = self._reactor.listenTCP(0, factory, interface="127.0.0.1")
        else:
            port = self._reactor.listenUDP(0, _EchoDatagrams(), interface="127.0.0.1")
        self._echoes.append(port)
        return int(port.getHost().port)

    async def _through(self, protocol: str, data: bytes) -> bytes:
        """Send to the router's WAN side and give back what comes from there."""
        heard: Deferred[bytes] = Deferred()
        if protocol == "TCP":
            endpoint = TCP4ClientEndpoint(self._reactor, self._wan, PORTS[protocol], timeout=5)
            try:
                client = await connectProtocol(endpoint, _Client(heard))
            except ConnectError as error:
                raise StepFailed(f"TCP to the mapped port: {error}") from error
            client.transport.write(data)
            close = client.transport.abortConnection
        else:
            port = self._reactor.listenUDP(0, _ClientDatagrams(heard), interface="127.0.0.1")
            port.write(data, (self._wan, PORTS[protocol]))
            close = port.stopListening
        try:
            answer = await heard.addTimeout(5, self._reactor)
        except defer.TimeoutError:
            raise StepFailed(f"{protocol}: no bytes came back through the mapping") from None
        finally:
            close()
        _check(answer == data, f"{protocol}: {answer!r} came back for {data!r}")
        return answer

    async def _tidy_up(self) -> None:
        await self._control_point.stop()
        await self._router.stop()
        for port in self._echoes:
            await port.stopListening()

    def _pause(self, seconds: float) -> Deferred[None]:
        rest: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(seconds, rest.callback, None)
        return rest


class _Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class _EchoDatagrams(DatagramProtocol):
    noisy = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        assert self.transport is not None
        self.transport.write(datagram, addr)


class _Client(Protocol):
    def __init__(self, heard: Deferred[bytes]) -> None:
        self._heard = heard

    def dataReceived(self, data: bytes) -> None:
        if not self._heard.called:
            self._heard.callback(data)


class _ClientDatagrams(DatagramProtocol):
    noisy = False

    def __init__(self, heard: Deferred[bytes]) -> None:
        self._heard = heard

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if not self._heard.called:
            self._heard.callback(datagram)


def _told(change: tuple[WANStatus, WANStatus]) -> str:
    """The change in words; it must have come as an event."""
    old, new = change
    _check(new.learned is Learned.EVENT, f"it was learned by {new.learned.value}, not by an event")
    if old.external_ip is not None and new.external_ip is not None:
        return f"event heard: {old.external_ip} -> {new.external_ip}"
    return f"event heard: {old.connection_status} -> {new.connection_status}"


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StepFailed(otherwise)


def _some_loopback() -> str:
    return f"127.{random.randint(64, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


def main() -> None:
    """Run it; exit status 0 when every step happened."""
    status = INTERRUPTED_STATUS

    async def run(reactor: Any) -> None:
        nonlocal status
        status = 1
        status = await Demo(reactor, lambda line: print(line, flush=True)).run()

    try:
        react(run, ())
    except SystemExit as end:
        sys.exit(end.code or status)


if __name__ == "__main__":
    main()
