"""One router of the lab: its addresses, its miniupnpd configuration and its nftables rules. Text only; starts nothing.

The chains are the ones that miniupnpd 2.3 with nftables looks for by default: `miniupnpd`, `prerouting_miniupnpd` and
`postrouting_miniupnpd`, all in the table `inet filter`. Pinholes come into the first of them: nothing of IPv6 is
translated, and nothing from outside is forwarded without one.
"""

from __future__ import annotations

import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

RULES = """
flush ruleset
table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
        jump miniupnpd
    }
    chain miniupnpd { }
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        jump prerouting_miniupnpd
    }
    chain prerouting_miniupnpd { }
    chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        jump postrouting_miniupnpd
        meta nfproto ipv4 oifname "wan" masquerade
    }
    chain postrouting_miniupnpd { }
}
"""


@dataclass
class Router:
    """A router's facts. `port` 0 lets miniupnpd choose, so that a restart moves the control port as real ones do."""

    name: str
    lan_address: str
    wan_addresses: list[str]
    folder: Path
    igd1: bool = False
    port: int = 0
    notify_interval: int = 30
    lease_file: bool = False
    secure_mode: bool = True
    extra: tuple[str, ...] = ()
    began: int = 0
    process: subprocess.Popen[bytes] | None = None
    udn: str = field(init=False)

    def __post_init__(self) -> None:
        self.udn = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.lab.invalid"))

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def leases(self) -> Path:
        return self.folder / f"{self.name}.leases"

    def arguments(self) -> list[str]:
        """Write the configuration; returns the command line that stays in the foreground under its own process id."""
        lines = [
            "ext_ifname=wan",
            "listening_ip=lan",
            f"http_port={self.port}",
            f"uuid={self.udn}",
            f"friendly_name=Lab {self.name}",
            f"notify_interval={self.notify_interval}",
            f"secure_mode={'yes' if self.secure_mode else 'no'}",
            "enable_upnp=yes",
            "enable_natpmp=no",
            "min_lifetime=1",
            "max_lifetime=604800",
            "system_uptime=yes",
            "clean_ruleset_interval=0",
            *([f"lease_file={self.leases}"] if self.lease_file else []),
            "allow 0-65535 0.0.0.0/0 0-65535",
            *self.extra,
        ]
        config = self.folder / f"{self.name}.conf"
        config.write_text("\n".join(lines) + "\n", encoding="ascii")
        version = ["-1"] if self.igd1 else []
        return ["miniupnpd", "-d", *version, "-f", str(config), "-P", str(self.folder / f"{self.name}.pid")]

    def location(self) -> str | None:
        """The URL of the description, from the log of the running daemon; None while it is not up."""
        port = self._logged("HTTP listening on port ")
        return f"http://{self.lan_address}:{int(port)}/rootDesc.xml" if port else None

    def location6(self) -> str | None:
        """The same over IPv6, with the address that the daemon chose, as it announces it: without a zone."""
        port, host = (
            self._logged("HTTP listening on port "),
            self._logged("HTTP IPv6 address given to control points : "),
        )
        return f"http://{host.strip()}:{int(port)}/rootDesc.xml" if port and host else None

    def _logged(self, words: str) -> str:
        """What the running daemon wrote behind these words, in the last such line."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
        return next((line.partition(words)[2] for line in reversed(text.splitlines()) if words in line), "")
