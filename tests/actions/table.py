"""The table of docs/actions.md: every action, its method, and what the simulator and the real router answer.

python -m tests.actions.table          print it
python -m tests.actions.table --write  write docs/actions.md (needs the router lab)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.actions.calls import typed_names
from tests.lab.lab import CLIENT, Lab

PAGE = Path(__file__).parents[2] / "docs" / "actions.md"
Answers = dict[tuple[str, str], str]
HEAD = """# Every action

Every action of the IGD services, the typed method that calls it, and what came back when it was called with sample
arguments: by a simulated gateway (IGD:2, and IGD:1 with a PPP connection) and by the real miniupnpd of Debian 12, as
IGD:2 and as IGD:1 (`-1`). "-" means that the device does not offer the service; each method is also called against a
device of our own that offers all of them. `python -m tests.actions.table --write` writes this page from the lab.
"""

SIMULATED = """
import json, sys
from twisted.internet.task import react
from tests.actions.calls import every_action
from txigd.testing import SimulatedGateway

async def main(reactor):
    for version, connection in ((2, "IP"), (1, "PPP")):
        gateway = SimulatedGateway(reactor, version=version, connection=connection, ssdp=False, relay=False)
        await gateway.start()
        async for service, action, said in every_action(reactor, gateway.location):
            print(json.dumps([service, action.wire, said]), flush=True)
        await gateway.stop()

react(main)
"""


def _read(text: str) -> Answers:
    return {(service, action): said for service, action, said in map(json.loads, text.splitlines())}


def simulated() -> Answers:
    """What the simulator answers."""
    folder = PAGE.parents[1]  # trial works in a folder of its own
    done = subprocess.run(
        [sys.executable, "-c", SIMULATED], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return _read(done.stdout)


def real(lab: Lab) -> Answers:
    """What the router of a lab answers."""
    done = lab.run(CLIENT, [sys.executable, "-m", "tests.actions.calls", lab.location()], timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return _read(done.stdout)


def page() -> str:
    """The whole page."""
    with Lab() as lab:
        second = real(lab)
    with Lab(igd1=True) as lab:
        first = real(lab)
    return render(simulated(), second, first)


def render(ours: Answers, second: Answers, first: Answers) -> str:
    """The page from the answers."""
    lines = [HEAD]
    for service, actions in typed_names().items():
        lines += [
            f"\n## {service}\n",
            "| action | method | simulator | miniupnpd IGD:2 | miniupnpd IGD:1 |",
            "|---|---|---|---|---|",
        ]
        for wire, method in actions:
            cells = [_cell(answers.get((service, wire))) for answers in (ours, second, first)]
            lines.append(f"| {wire} | `{method}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(said: str | None) -> str:
    if said is None:
        return "-"
    return said if said == "ok" or said[:3].isdigit() else f"`{said.replace('|', chr(92) + '|').replace('`', chr(39))}`"


def main() -> int:
    """Print or write."""
    text = page()
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
