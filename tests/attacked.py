"""txigd beside a simulated gateway on loopback, under attack: prints what became of it, a line of JSON.

    python -m tests.attacked names | notifies | limit | nothing-left

To be run in a network namespace of its own: it takes port 1900, and nobody else should hear what it says. The enemies
are processes of their own, so that their descriptors and their time are not ours.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import subprocess
import sys
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from txigd import ControlPoint, PortMapping, log
from txigd.igd import allowance, lease_term
from txigd.limits import RENEW_FLOOR_SECONDS
from txigd.testing import SimulatedGateway

reactor: Any = installed
LEASE = 8  # seconds; renewed every four: a stall of the machine is no lapse
SCALED = 0.01  # of the least time between two renewals, since an attack lasts for seconds only
NAMES = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
text = ("NOTIFY * HTTP/1.1\\r\\nHOST: 239.255.255.250:1900\\r\\nCACHE-CONTROL: max-age=1800\\r\\n"
    "LOCATION: http://127.0.0.%d:1/%d\\r\\nNT: urn:schemas-upnp-org:device:InternetGatewayDevice:1\\r\\n"
    "NTS: ssdp:alive\\r\\nUSN: uuid:%d::urn:schemas-upnp-org:device:InternetGatewayDevice:1\\r\\n\\r\\n")
for n in range(20000):
    s.sendto((text % (1 + n % 200, n, n)).encode(), ("239.255.255.250", 1900))
print("sent")
"""
NOTIFIES = """
import socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
text = ("NOTIFY /%d HTTP/1.1\\r\\nHOST: 127.0.0.1:%d\\r\\nNT: upnp:event\\r\\nNTS: upnp:propchange\\r\\n"
    "SID: uuid:%d\\r\\nSEQ: 0\\r\\nContent-Length: 0\\r\\n\\r\\n")
answered = 0
for n in range(count):
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as s:
            s.sendall((text % (n, port, n)).encode())
            answered += s.recv(100).startswith(b"HTTP/1.1 404")
    except OSError:
        pass
print(answered)
"""
IDLE = """
import socket, sys, time
port, count, seconds = map(int, sys.argv[1:])
time.sleep(seconds)
kept = []
for n in range(count):
    try:
        kept.append(socket.create_connection(("127.0.0.1", port), 1))
    except OSError:
        break
print(len(kept), flush=True)
time.sleep(100)
"""


def pause(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds, lambda: None)


def grown_to() -> int:
    """Resident octets of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Attacked:
    """The one that is attacked, and what is seen of it."""

    def __init__(self) -> None:
        self.router = SimulatedGateway(reactor, relay=False, notify_seconds=1.0)
        self.errors: list[str] = []
        self.lapses = 0
        self.enemies: list[subprocess.Popen[str]] = []
        observer: Any = self._logged
        globalLogPublisher.addObserver(observer)

    def _logged(self, event: Any) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            self.errors.append(f"{formatEvent(event)} {failure.getTraceback() if failure else ''}")

    async def start(self) -> None:
        for module in (allowance, lease_term):
            vars(module)["RENEW_FLOOR_SECONDS"] = RENEW_FLOOR_SECONDS * SCALED
        await self.router.start()
        self.point = ControlPoint(reactor, gateway=self.router.location, links=["lo"])
        self.point.start()
        gateway = await self.point.gateway(60)
        self.held = gateway.mappings.hold(PortMapping("TCP", 8080, lease_seconds=LEASE))
        await self.held.when_active(60)
        await pause(1)
        self.gateway = gateway
        gc.collect()
        self.size = grown_to()
        self.renewed = self.renewals()
        self.watch = reactor.callLater(0.1, self._look)

    def _look(self) -> None:
        self.watch = reactor.callLater(0.1, self._look)
        if self.router.mappings.find("TCP", 8080) is None:
            self.lapses += 1

    def renewals(self) -> int:
        return sum(seen.action == "AddPortMapping" for seen in self.router.requests)

    @property
    def port(self) -> int:
        """Where events are heard."""
        address: Any = next(iter(self.point.callbacks._ports.values())).getHost()
        return int(address.port)

    async def enemy(self, program: str, *words: object, wait: bool = True) -> str:
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [sys.executable, "-ISc", program, *map(str, words)], stdout=subprocess.PIPE, text=True
        )
        self.enemies.append(process)
        while wait and process.poll() is None:
            await pause(0.1)
        assert process.stdout is not None
        return process.stdout.read() if wait else ""

    async def tell(self, **facts: object) -> None:
        await pause(5)  # another renewal
        gc.collect()
        facts = {
            "state": self.held.status.state.value,
            "lapses": self.lapses,
            "renewals": self.renewals() - self.renewed,
            "grown": grown_to() - self.size,
            "errors": self.errors,
            **facts,
        }
        self.watch.cancel()
        for enemy in self.enemies:
            enemy.kill()
        await self.point.stop()
        await self.router.stop()
        print(json.dumps(facts), flush=True)


async def names(attacked: Attacked) -> None:
    await attacked.enemy(NAMES)
    discovery: Any = attacked.point.discovery
    heard = sum(discovery.counters.values())
    await attacked.tell(sightings=len(discovery.presence.sightings), heard=heard)


async def notifies(attacked: Attacked) -> None:
    site = attacked.point.callbacks._site
    await attacked.enemy(IDLE, attacked.port, 300, 0, wait=False)
    answered = int(await attacked.enemy(NOTIFIES, attacked.port, 1000))
    most = len(site.channels)
    attacked.enemies[0].kill()  # they keep the places of this address; without them it is answered
    await pause(0.5)
    answered += int(await attacked.enemy(NOTIFIES, attacked.port, 1000))
    refused = attacked.point.callbacks.counters["path"]
    await attacked.tell(answered=answered, refused=refused, connections=most)


async def limit(attacked: Attacked) -> None:
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(64, used + 16), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for _ in range(4):
        await attacked.enemy(IDLE, attacked.port, 200, 0, wait=False)
    await pause(6)
    await attacked.tell()


async def nothing_left(attacked: Attacked) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    await attacked.enemy(IDLE, attacked.port, 40, 1, wait=False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 4, hard))
    taken = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    turns = 0
    turn = reactor.runUntilCurrent

    def counted() -> None:
        nonlocal turns
        turns += 1
        turn()

    reactor.runUntilCurrent = counted
    await pause(6)
    reactor.runUntilCurrent = turn
    states = [attacked.held.status.state.value]
    for descriptor in taken:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    attacked.enemies[0].kill()
    await attacked.held.when_active(60)
    counters = attacked.point.callbacks.counters
    before = counters["accepted"]
    for last in range(99, 120):
        attacked.router.change_address(f"11.22.33.{last}")
        await pause(1)
        if counters["accepted"] > before:
            break
    await attacked.tell(turns=turns, event=counters["accepted"] > before, states=states)


async def main(word: str) -> None:
    attacked = Attacked()
    await attacked.start()
    attacks = {"names": names, "notifies": notifies, "limit": limit, "nothing-left": nothing_left}
    await attacks[word](attacked)


def over(result: Any) -> None:
    if result is not None:
        sys.stderr.write(result.getTraceback())
    reactor.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    log.set_level("warn")
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main(sys.argv[1])).addBoth(over))
    reactor.run()
