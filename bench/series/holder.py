"""A program that holds mappings by the library and tells what it sees, a line of JSON each; runs in the client host.

    python -m bench.series.holder [--lease 60] [--gateway URL] [--poll 30] [--sample 10] [--log FILE] tcp:8080:9090 ...

Times are CLOCK_MONOTONIC. Ends on SIGTERM after the farewell.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.logger import globalLogBeginner, textFileLogObserver
from zope.interface import implementer

from txigd import ControlPoint, PortMapping
from txigd.interfaces import IGatewayObserver, IMappingObserver, IWANObserver
from txigd.limits import LEASE_SECONDS, POLL_SECONDS

reactor: Any = installed


def tell(what: str, **facts: object) -> None:
    """One line on standard output."""
    print(json.dumps({"at": time.monotonic(), "what": what, **facts}, default=str), flush=True)


@implementer(IGatewayObserver, IMappingObserver, IWANObserver)
class Teller:
    """Tells of everything that changes."""

    def gateway_found(self, gateway: Any) -> None:
        gateway.wan.observe(self)
        tell("found", location=gateway.location, wan=str(gateway.wan.status), ip=gateway.wan.status.external_ip)

    def gateway_lost(self, gateway: Any) -> None:
        gateway.wan.forget(self)
        tell("lost", location=gateway.location)

    def wan_changed(self, old: Any, new: Any) -> None:
        tell("wan", connected=new.connected, ip=new.external_ip, learned=new.learned.value, text=str(new))

    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        tell("mapping", mapping=str(held.wanted), state=new.state.value, port=new.external_port, reason=new.reason)


def sample(every: float) -> None:
    """What of this process could grow."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    tell(
        "sample",
        rss=pages * resource.getpagesize(),
        fds=len(os.listdir("/proc/self/fd")) - 1,  # the listing's own
        calls=len(reactor.getDelayedCalls()),
        readers=len(reactor.getReaders()),
        objects=len(gc.get_objects()),
    )
    reactor.callLater(every, sample, every)


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lease", type=int, default=LEASE_SECONDS)
    parser.add_argument("--gateway")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS)
    parser.add_argument("--sample", type=float, default=0)
    parser.add_argument("--log")
    parser.add_argument("mapping", nargs="*")
    options = parser.parse_args()
    log = open(options.log or os.devnull, "a", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    globalLogBeginner.beginLoggingTo([textFileLogObserver(log)], redirectStandardIO=False)
    point = ControlPoint(reactor, gateway=options.gateway, poll_seconds=options.poll)
    teller = Teller()
    point.observe(teller)
    point.mappings.observe(teller)
    for text in options.mapping:
        point.mappings.hold(PortMapping.from_text(text, lease_seconds=options.lease))
    point.start()
    reactor.addSystemEventTrigger("before", "shutdown", point.stop)
    if options.sample:
        reactor.callLater(0, sample, options.sample)
    reactor.run()


if __name__ == "__main__":
    main()
