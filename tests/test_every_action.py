"""Every action of every IGD service, through its typed method: as igd.json has it, over a real socket, in the docs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.actions.calls import every_action, sample, shown, typed_names
from tests.actions.device import SERVICES, EveryService, action_of, as_text, told
from tests.actions.simulated import DEMANDED, SHAPES, run
from txigd.igd.services import service_classes

PAGE = Path(__file__).parents[1] / "docs" / "actions.md"
PYTHON = {"string": str, "boolean": bool, "ui1": int, "ui2": int, "ui4": int, "bin.base64": bytes}
ACTIONS = [(kind, entry) for kind, service in SERVICES.items() for entry in service["actions"]]


def folded(name: str) -> str:
    """A name of the standard or of Python, so that the two can be compared: ``NewNATEnabled``, ``nat_enabled``."""
    return re.sub(r"^New(?=[A-Z])", "", name).replace("_", "").lower()


def short(service_type: str) -> str:
    return service_type.partition(":service:")[2]


def kind_of(said: str) -> int:
    """The error code of an answer, 0 for none."""
    found = re.match(r"([0-9]{3}) \D", said)
    return int(found[1]) if found else 0


class TableTests(SynchronousTestCase):
    """What the typed methods promise, against the entries of igd.json."""

    def test_services_and_actions(self) -> None:
        self.assertGreaterEqual(len(ACTIONS), 140)
        self.assertEqual(list(service_classes()), list(SERVICES))
        for kind, made in service_classes().items():
            names = [entry["name"] for entry in SERVICES[kind]["actions"]]
            self.assertEqual([action.wire for action in made.actions.values()], names, kind)
            self.assertEqual(made.standard.required, {e["name"] for e in SERVICES[kind]["actions"] if e["required"]})
            self.assertEqual(
                {n: list(c) for n, c in made.standard.action_errors.items()},
                {e["name"]: e["errors"] for e in SERVICES[kind]["actions"]},
            )

    def test_names_order_types_and_direction_of_arguments(self) -> None:
        for kind, entry in ACTIONS:
            made = service_classes()[kind]
            (action,) = [one for one in made.actions.values() if one.wire == entry["name"]]
            variables = {one["name"]: one for one in SERVICES[kind]["variables"]}
            for have, wanted in ((action.inputs, entry["in"]), (action.outputs, entry["out"])):
                where = f"{kind} {action.wire}"
                self.assertEqual(
                    [(one.wire, one.data_type, one.variable.name) for one in have],
                    [(one["name"], one["type"], one["variable"]) for one in wanted],
                    where,
                )
                self.assertEqual([folded(one.name) for one in have], [folded(one["name"]) for one in wanted], where)
                for one in have:
                    said = variables[one.variable.name]
                    self.assertEqual(list(one.variable.allowed), said.get("allowed", []), where)
                    limits = (one.variable.minimum, one.variable.maximum)
                    self.assertEqual(limits, tuple(said.get("range", {}).get(end) for end in ("minimum", "maximum")))
            parameters = list(inspect.signature(getattr(made, action.name)).parameters.values())[1:-1]
            self.assertEqual(
                [(folded(one.name), one.annotation) for one in parameters],
                [(folded(one["name"]), PYTHON[one["type"]]) for one in entry["in"]],
                entry["name"],
            )


class WireTests(TestCase):
    async def test_what_is_sent_and_what_is_read(self) -> None:
        """A device that knows igd.json only gets every action whole, and what it tells arrives in its types."""
        device = EveryService(reactor)
        device.open()
        self.addCleanup(device.close)
        answers = {}
        async for service, action, said in every_action(reactor, f"{device.origin}/desc.xml"):
            answers[service, action.wire] = said
        self.assertEqual(set(answers), {(short(kind), entry["name"]) for kind, entry in ACTIONS})
        for kind, entry in ACTIONS:
            given = [arguments for service, wire, arguments in device.calls if (service, wire) == (kind, entry["name"])]
            variables = {one["name"]: one for one in SERVICES[kind]["variables"]}
            expected = []
            for one in entry["in"]:
                variable = variables[one["variable"]]
                least = variable.get("range", {}).get("minimum")
                value = sample(entry["name"], one["name"], one["type"], variable.get("allowed", ()), least)
                expected.append((one["name"], as_text(self.known(kind).get(one["name"], value))))
            names = [name for name, _ in expected]
            self.assertIn(expected, given, entry["name"])
            self.assertEqual([[name for name, _ in one] for one in given], [names] * len(given), entry["name"])
            self.assertEqual(answers[short(kind), entry["name"]], self.promised(kind, entry["name"]))

    def known(self, kind: str) -> dict[str, Any]:
        """The arguments that a user fills in from what this device told, or from an address of the host."""
        known: dict[str, Any] = {"NewInternalClient": "127.0.0.1", "InternalClient": "127.0.0.1"}
        known |= {
            "DeviceUDN": "uuid:every-action",
            "ServiceId": f"urn:upnp-org:serviceId:S{list(SERVICES).index(kind)}",
        }
        for wire, argument in (
            ("GetDefaultConnectionService", "NewDefaultConnectionService"),
            ("AddPinhole", "UniqueID"),
        ):
            if wire in [entry["name"] for entry in SERVICES[kind]["actions"]]:
                known[argument] = told(action_of(kind, wire)["out"][0], 0)
        return known

    def promised(self, kind: str, wire: str) -> str:
        """What the method must give for what the device tells."""
        made = service_classes()[kind]
        action = next(one for one in made.actions.values() if one.wire == wire)
        values: list[Any] = [told(one, place) for place, one in enumerate(action_of(kind, wire)["out"])]
        if not values:
            return "ok"
        return shown(values[0] if len(values) == 1 else action.result(*values) if action.result else None)


class SimulatedTests(TestCase):
    """On the simulated gateway every action works, unless the standard itself demands an error."""

    async def test_every_action(self) -> None:
        answered: set[tuple[str, str]] = set()
        for shape in SHAPES:
            answers, before, after = await run(reactor, shape)
            self.assertEqual(after, before, f"{shape}: all that was set is as before")
            for service, wire, said in answers:
                self.assertEqual(kind_of(said), DEMANDED.get((service, wire), 0), f"{shape} {service} {wire}: {said}")
                self.assertNotRegex(said, r"^[A-Z][A-Za-z]+: ", f"{service} {wire}")
                answered.add((service, wire))
        self.assertEqual(answered, {(short(kind), entry["name"]) for kind, entry in ACTIONS})


class PageTests(SynchronousTestCase):
    """docs/actions.md says so."""

    def rows(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        service = ""
        for line in PAGE.read_text(encoding="utf-8").splitlines():
            service = line[3:].strip() if line.startswith("## ") else service
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if len(cells) == 5 and cells[1].startswith("`"):
                found[service, cells[0]] = cells[1:]
        return found

    def test_a_row_for_every_action_in_the_order_of_the_standard(self) -> None:
        rows = self.rows()
        self.assertEqual(list(rows), [(short(kind), entry["name"]) for kind, entry in ACTIONS])
        methods = {(s, wire): f"`{method}`" for s, named in typed_names().items() for wire, method in named}
        self.assertEqual({key: cells[0] for key, cells in rows.items()}, methods)

    def test_the_simulator_answers_all_and_errs_where_it_must(self) -> None:
        for key, cells in self.rows().items():
            self.assertNotIn(cells[1], ("", "-"), key)
            self.assertEqual(kind_of(cells[1].strip("`")), DEMANDED.get(key, 0), key)
