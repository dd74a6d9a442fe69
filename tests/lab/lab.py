"""The lab: a client, a neighbour, an internet host and one or more routers, with verbs for what happens to them.

Everything blocks: it is for tests and for people, never for a reactor. Addresses exist inside the namespaces only.

    client    192.168.77.2 ─┐                              ┌─ internet 11.22.33.1
    neighbour 192.168.77.3 ─┤ LAN  192.168.77.1 router ... ┤ WAN
                            └────  (11.22.33.44, NAT) ─────┘

With `ipv6=True` the same hosts have 2001:db8:77::N on the LAN and 2001:db8:33::N on the WAN as well, routed, not
translated; the router lets nothing in that no pinhole allows.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar

from .namespaces import LabError, Namespaces, end, mode
from .programs import ASK, ECHO, SEARCH
from .router import RULES, Router

T = TypeVar("T")

CLIENT, NEIGHBOUR, INTERNET, SWITCH = "client", "neighbour", "internet", "switch"
CLIENT_ADDRESS, NEIGHBOUR_ADDRESS = "192.168.77.2", "192.168.77.3"
INTERNET_ADDRESS = "11.22.33.1"
# Public-looking, since miniupnpd refuses every mapping while its outer address is private; never seen outside.
ROUTER_LAN, ROUTER_WAN = "192.168.77.{}", "11.22.33.{}"
CLIENT_ADDRESS6, NEIGHBOUR_ADDRESS6, INTERNET_ADDRESS6 = "2001:db8:77::2", "2001:db8:77::3", "2001:db8:33::1"
ROUTER_LAN6, ROUTER_WAN6 = "2001:db8:77::{}", "2001:db8:33::{}"
ROUTER_LINK_LOCAL = "fe80::{}"  # what hosts have as their default route: router advertisements name no other

HOST_UP = """
ip netns add {host}
ip netns exec {host} sh -euc '
    echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad  # else link-local addresses are tentative for two seconds
    echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries
    echo {forward} > /proc/sys/net/ipv4/ip_forward
' || test ! -e /proc/sys/net/ipv6
ip -n {host} link set lo up
"""
LINK_UP = """
ip -n {host} link add {link} type veth peer name {host}-{short} netns switch
ip -n switch link set {host}-{short} master {link} up
ip -n {host} link set {link} up
"""
# mcast_snooping off: without a querier on the LAN a snooping bridge forgets memberships after some minutes.
SWITCH_UP = """
ip netns add switch
for bridge in lan wan; do
    ip -n switch link add $bridge type bridge mcast_snooping 0
    ip -n switch link set $bridge up
done
"""
NO_SSDP = """
table inet no_ssdp {
    chain input { type filter hook input priority 0; udp dport 1900 drop; udp sport 1900 drop; }
}
"""


def until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    """Ask again and again until the condition gives something true. Raises LabError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


class Lab:
    """The hosts and what can be done to them. Use as a context manager, or start() and stop()."""

    def __init__(self, *, ipv6: bool = False, ipv4: bool = True, **config: object) -> None:
        """`config` goes to the first router: see `start_router`.

        `ipv6` gives every host global IPv6 addresses; without `ipv4` the client has no IPv4, as on an IPv6-only LAN.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="txigd-lab-"))
        self.net = Namespaces(self.folder)
        self.routers: dict[str, Router] = {}
        self.ipv6 = ipv6
        self.ipv4 = ipv4
        self._config = config

    @staticmethod
    def why_not() -> str | None:
        """Why there can be no lab on this machine; None when there can."""
        return mode()[1]

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- the ground

    def start(self) -> None:
        """Bring up the hosts and the first router. Raises LabError."""
        try:
            self.net.start()
            lines = [SWITCH_UP]
            for host, address, address6 in (
                (CLIENT, CLIENT_ADDRESS, CLIENT_ADDRESS6),
                (NEIGHBOUR, NEIGHBOUR_ADDRESS, NEIGHBOUR_ADDRESS6),
            ):
                lines += [HOST_UP.format(host=host, forward=0), LINK_UP.format(host=host, link="lan", short="l")]
                if self.ipv4 or host != CLIENT:
                    lines += [
                        f"ip -n {host} addr add {address}/24 dev lan",
                        f"ip -n {host} route add default via 192.168.77.1",
                    ]
                if self.ipv6:
                    lines += [
                        f"ip -n {host} addr add {address6}/64 dev lan nodad",
                        f"ip -n {host} -6 route add default via {ROUTER_LINK_LOCAL.format(1)} dev lan",
                    ]
            lines += [HOST_UP.format(host=INTERNET, forward=0), LINK_UP.format(host=INTERNET, link="wan", short="w")]
            # An on-link default route: the internet host finds a router at whatever address it takes.
            lines += [f"ip -n {INTERNET} addr add {INTERNET_ADDRESS}/24 dev wan"]
            lines += [f"ip -n {INTERNET} route add default dev wan"]
            if self.ipv6:
                lines += [f"ip -n {INTERNET} addr add {INTERNET_ADDRESS6}/64 dev wan nodad"]
                lines += [f"ip -n {INTERNET} -6 route add default via {ROUTER_WAN6.format(44)}"]
            self.net.script("\n".join(lines))
            self.add_router("router", **self._config)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that was started and remove the scratch folder."""
        self.net.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(
        self, host: str, argv: Sequence[str], timeout: float = 20, **more: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a host to its end, in the scratch folder, with this checkout on PYTHONPATH."""
        return self.net.run(host, argv, timeout, **more)  # type: ignore[arg-type]

    def spawn(
        self,
        host: str,
        argv: Sequence[str],
        *,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        env: Mapping[str, str] = {},
    ) -> subprocess.Popen[bytes]:
        """Start a program in a host; its standard error goes where its standard output goes. Ended by stop()."""
        return self.net.spawn(host, argv, stdout=stdout, env=env)

    def nft(self, host: str, rules: str) -> None:
        """Load nftables rules in a host."""
        done = self.run(host, ["nft", "-f", "-"], stdin=rules)
        if done.returncode != 0:
            raise LabError(f"nft refused: {done.stderr.strip()}")

    # -- routers

    def add_router(self, name: str, **config: object) -> Router:
        """One more router on the LAN, with a WAN link and an address of its own, started. The client's route stays."""
        number = len(self.routers)
        router = Router(
            name, ROUTER_LAN.format(1 if not number else 10 + number), [ROUTER_WAN.format(44 + number)], self.folder
        )
        lines = [HOST_UP.format(host=name, forward=1)]
        lines += [LINK_UP.format(host=name, link=link, short=link[0]) for link in ("lan", "wan")]
        lines += [
            f"ip -n {name} addr add {router.lan_address}/24 dev lan",
            f"ip -n {name} addr add {router.wan_addresses[0]}/24 dev wan",
            f"ip -n {name} route add default dev wan",
        ]
        if self.ipv6:
            place = 1 if not number else 10 + number
            lines += [
                f"ip netns exec {name} sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'",
                f"ip -n {name} -6 addr flush dev lan scope link",
                f"ip -n {name} addr add {ROUTER_LINK_LOCAL.format(place)}/64 dev lan nodad",
                f"ip -n {name} addr add {ROUTER_LAN6.format(place)}/64 dev lan nodad",
                f"ip -n {name} addr add {ROUTER_WAN6.format(44 + number)}/64 dev wan nodad",
                f"ip -n {name} -6 route add default via {INTERNET_ADDRESS6}",
            ]
        self.net.script("\n".join(lines))
        self.routers[name] = router
        self.start_router(name, **config)
        return router

    def start_router(self, name: str = "router", **config: object) -> Router:
        """Start miniupnpd with fresh firewall rules; returns when it listens.

        `config`: igd1 (bool), port (0: any), notify_interval (seconds), lease_file (bool: keeps mappings over a
        restart), secure_mode (bool), extra (more lines of its configuration). They stay for later restarts.
        """
        router = self.routers[name]
        for key, value in config.items():
            if key not in {"igd1", "port", "notify_interval", "lease_file", "secure_mode", "extra"}:
                raise LabError(f"a router has no setting {key!r}")
            setattr(router, key, value)
        self.nft(name, RULES)
        router.log_file.unlink(missing_ok=True)
        router.began = int(time.time())
        with router.log_file.open("wb") as log:
            router.process = process = self.spawn(name, router.arguments(), stdout=log)

        def ready() -> str | None:
            if process.poll() is not None:
                raise LabError(f"miniupnpd ended: {router.log_file.read_text(errors='replace')[-800:]}")
            # The log line comes a moment before the socket for searches.
            tables = [Path(f"/proc/{process.pid}/net/{name}") for name in (("udp", "udp6") if self.ipv6 else ("udp",))]
            return router.location() if all(b":076C " in table.read_bytes() for table in tables) else None

        until(ready, 60, f"miniupnpd of {name} listens")
        return router

    def location(self, name: str = "router") -> str:
        """The URL of a running router's description."""
        location = self.routers[name].location()
        if location is None:
            raise LabError(f"{name} is not running")
        return location

    def location6(self, name: str = "router") -> str:
        """The URL of a running router's description over IPv6, as the router announces it."""
        location = self.routers[name].location6()
        if location is None:
            raise LabError(f"{name} is not running, or knows no IPv6")
        return location

    def kill_router(self, name: str = "router") -> None:
        """As if the plug was pulled: no byebye, no event; its NAT rules vanish with it."""
        router = self.routers[name]
        if router.process is not None:
            end(router.process)
            router.process = None
        router.log_file.unlink(missing_ok=True)
        self.nft(name, RULES)

    def stop_router(self, name: str = "router") -> None:
        """An orderly end: byebyes are sent."""
        router = self.routers[name]
        if router.process is not None:
            router.process.terminate()
            router.process.wait(60)
        self.kill_router(name)

    def restart_router(self, name: str = "router", **config: object) -> Router:
        """Killed and started again, its table empty unless it keeps a lease file; its BOOTID is another one."""
        self.kill_router(name)
        # BOOTID is the start time in whole seconds: a real router cannot start twice in one second.
        began = self.routers[name].began
        until(lambda: int(time.time()) > began, 60, "the next second")
        return self.start_router(name, **config)

    def router_rules(self, name: str = "router") -> str:
        """The router's nftables ruleset as text."""
        return self.run(name, ["nft", "list", "ruleset"]).stdout

    # -- the WAN

    def drop_wan(self, name: str = "router") -> None:
        """The WAN link goes down."""
        self.net.script(f"ip -n {name} link set wan down")

    def restore_wan(self, name: str = "router") -> None:
        """The WAN link comes up again; the kernel has forgotten the route by then."""
        self.net.script(f"ip -n {name} link set wan up\nip -n {name} route replace default dev wan")

    def change_address(
        self, new: str, keep_old: bool = False, *, name: str = "router", old_first: bool = False
    ) -> None:
        """The router gets another WAN address: added before the old one goes, unless `old_first`."""
        router = self.routers[name]
        add = [f"ip -n {name} addr add {new}/24 dev wan"]
        remove = (
            []
            if keep_old
            else [f"ip -n {name} addr del {old}/24 dev wan" for old in router.wan_addresses if old != new]
        )
        lines = [*remove, *add] if old_first else [*add, *remove]
        self.net.script("\n".join([*lines, f"ip -n {name} route replace default dev wan"]))
        router.wan_addresses = [*(router.wan_addresses if keep_old else []), new]

    # -- the LAN

    def block_ssdp(self, host: str = CLIENT) -> None:
        """Nothing of SSDP reaches the host; its own searches leave without an error."""
        self.nft(host, NO_SSDP)

    def unblock_ssdp(self, host: str = CLIENT) -> None:
        self.nft(host, "delete table inet no_ssdp")

    def upnpc(self, *arguments: str, host: str = CLIENT, name: str = "router", timeout: float = 20) -> str:
        """What Debian's upnpc prints, told the router's URL. Raises LabError when it fails."""
        done = self.run(host, ["upnpc", "-u", self.location(name), *arguments], timeout)
        if done.returncode != 0:
            raise LabError(f"upnpc {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def add_foreign_mapping(
        self, external_port: int, protocol: str = "TCP", *, internal_port: int = 0, lease: int = 0, name: str = "router"
    ) -> None:
        """The neighbour takes an external port for itself."""
        port = str(internal_port or external_port)
        said = self.upnpc(
            "-a", NEIGHBOUR_ADDRESS, port, str(external_port), protocol, str(lease), host=NEIGHBOUR, name=name
        )
        if "is redirected to" not in said:
            raise LabError(f"the neighbour got no mapping: {said}")

    def search(
        self, target: str = "upnp:rootdevice", *, host: str = CLIENT, expect: int = 0, seconds: float = 3
    ) -> set[str]:
        """The LOCATIONs that answer one M-SEARCH on the LAN; returns early once `expect` have come.

        miniupnpd answers after 0.05 s. Without an expectation half a second is waited.
        """
        argv = [sys.executable, "-ISc", SEARCH, target, str(seconds if expect else 0.5), str(expect)]
        done = self.run(host, argv)
        if done.returncode != 0:
            raise LabError(f"search: {done.stderr}")
        return set(done.stdout.split())

    # -- bytes

    def echo(self, host: str, protocol: str, port: int) -> subprocess.Popen[bytes]:
        """A server in a host that answers b"echo:" and what it was sent; listening when this returns."""
        process = self.net.spawn(host, [sys.executable, "-ISc", ECHO, protocol, str(port)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        first = process.stdout.readline()
        if first.strip() != b"ready":
            raise LabError(f"no echo on {host} {protocol} {port}: {first!r}{process.stdout.read()!r}")
        return process

    def ask(
        self,
        protocol: str,
        address: str,
        port: int,
        payload: bytes = b"hello",
        *,
        host: str = INTERNET,
        seconds: float = 3,
    ) -> bytes | None:
        """Send bytes from a host; the answer, or None when none came in `seconds`."""
        text = base64.b64encode(payload).decode()
        argv = [sys.executable, "-ISc", ASK, protocol, address, str(port), str(seconds), text]
        done = self.run(host, argv, seconds + 10)
        return base64.b64decode(done.stdout) if done.returncode == 0 else None
