"""Every action of the standard on the simulated gateway, in as many shapes of it as that takes.

    python -m tests.actions.simulated

prints the same lines as :mod:`tests.actions.calls`, for all shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from twisted.internet.task import react

from tests.actions.calls import every_action
from txigd.igd.tables import NEEDS_TLS
from txigd.testing import SimulatedGateway

# Each has the one link service that fits its medium, so it takes one for each medium.
SHAPES: tuple[Mapping[str, Any], ...] = (
    {"version": 2, "lan_device": True, "address6": "::1"},
    {"version": 1, "medium": "Cable"},
    {"version": 1, "medium": "DSL", "connection": "PPP"},
    {"version": 1, "medium": "POTS", "connection": "PPP"},
)
# The errors that the standard demands of a gateway in order, asked by plain HTTP.
DEMANDED: Mapping[tuple[str, str], int] = {
    **{("DeviceProtection:1", action): 606 for action in NEEDS_TLS},
    ("DeviceProtection:1", "SendSetupMessage"): 704,  # what we send is no message of an introduction
}


class Run(NamedTuple):
    """What came of one shape: the answers, and the state before and after them."""

    answers: list[tuple[str, str, str]]
    before: Mapping[str, object]
    after: Mapping[str, object]


async def run(reactor: Any, shape: Mapping[str, Any]) -> Run:
    """Call every action of a gateway of this shape."""
    gateway = SimulatedGateway(reactor, ssdp=False, relay=False, **shape)
    await gateway.start()
    try:
        before = state_of(gateway)
        answers = []
        async for service, action, said in every_action(reactor, gateway.location, gateway.location6):
            answers.append((service, action.wire, said))
            if action.wire == "AddPinhole":
                gateway.pinhole_traffic(int(said), 3)  # else nobody can tell whether it works (709)
        return Run(answers, before, state_of(gateway))
    finally:
        await gateway.stop()


def state_of(gateway: SimulatedGateway) -> dict[str, object]:
    """All that can be set."""
    state, line = gateway.state, gateway.state.line
    return {
        "line": (line.status, line.connection_type, line.enabled_for_internet),
        "times": (line.auto_disconnect, line.idle_disconnect, line.warn_delay),
        "default": state.default_connection,
        "user": state.user_name,
        "mappings": list(state.table),
        "pinholes": list(state.pinholes),
        "settings": {key: dict(state.settings.of(key)) for key in state.tree.services},
    }


async def main(reactor: Any) -> None:
    """Print the lines."""
    for shape in SHAPES:
        for line in (await run(reactor, shape)).answers:
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    react(main, [])
