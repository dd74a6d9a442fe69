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
from tests.actions.simulated import DEMANDED
from tests.lab.lab import CLIENT, Lab

PAGE = Path(__file__).parents[2] / "docs" / "actions.md"
Answers = dict[tuple[str, str], str]
WHY = {
    606: "not authorized: it needs TLS and a certificate",
    704: "the message is none of an introduction, which only a device that wants to be introduced could send",
}
HEAD = """# Every action

Every action of the IGD services, the typed method that calls it, and what came back when it was called as a user would:
what was set and added is read, listed and deleted, then the line goes down and up. Three devices were asked: the
simulated gateway, the real miniupnpd of Debian 12 as IGD:2, and the same as IGD:1 (`-1`). Pinholes were asked for over
IPv6, by the host that they lead to.

The **simulator** answers every action. It takes four shapes of it, since a gateway has the one link service that fits
its medium: IGD:2 with a LANDevice on Ethernet; IGD:1 on cable, with WANIPConnection:1; and IGD:1 with
WANPPPConnection:1, on DSL and on a telephone line. An action of several shapes is shown as the first of them answered.
The only errors are those that the standard demands of any gateway that is asked by plain HTTP:

@DEMANDED@

**miniupnpd** has part of the services: "-" means that it does not offer the service at all in that version, 401 that it
offers the service without the action. Its other errors: 606 and 731, it lets nobody end or change its connection; 501,
it keeps no time for outbound traffic; 709, it never counts what comes through a pinhole. To the message of an
introduction it answers with an empty one.

Names, order, types and direction of all arguments are compared with the tables of the standard (`igd.json`) in
`tests/test_every_action.py`, also as they are sent, and with the service descriptions of miniupnpd in
`tests/lab/test_actions.py`. `python -m tests.actions.table --write` writes this page from the lab.
"""


def _read(text: str) -> Answers:
    """The lines of a run; of an action that comes several times the first."""
    answers: Answers = {}
    for service, action, said in map(json.loads, text.splitlines()):
        answers.setdefault((service, action), said)
    return answers


def simulated() -> Answers:
    """What the simulator answers."""
    folder = PAGE.parents[1]  # trial works in a folder of its own
    done = subprocess.run(
        [sys.executable, "-m", "tests.actions.simulated"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return _read(done.stdout)


def real(lab: Lab) -> Answers:
    """What the router of a lab with IPv6 answers."""
    argv = [sys.executable, "-m", "tests.actions.calls", lab.location(), lab.location6()]
    done = lab.run(CLIENT, argv, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return _read(done.stdout)


def page() -> str:
    """The whole page."""
    with Lab(ipv6=True) as lab:
        second = real(lab)
    with Lab(ipv6=True, igd1=True) as lab:
        first = real(lab)
    return render(simulated(), second, first)


def render(ours: Answers, second: Answers, first: Answers) -> str:
    """The page from the answers."""
    lines = [HEAD.replace("@DEMANDED@", _demanded())]
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


def _demanded() -> str:
    """Which actions a gateway must refuse, by code and service."""
    by_code: dict[tuple[int, str], list[str]] = {}
    for (service, action), code in sorted(DEMANDED.items()):
        by_code.setdefault((code, service), []).append(action)
    return "\n".join(
        f"- {code} ({WHY[code]}): {', '.join(actions)} of {service}" for (code, service), actions in by_code.items()
    )


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
