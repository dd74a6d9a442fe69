"""Every action on the real miniupnpd: it answers what docs/actions.md says, and describes what igd.json has."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from tests.actions.device import SERVICES
from tests.actions.table import PAGE, real, simulated

from .case import LabCase
from .lab import CLIENT

FETCH = "import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=5).read())"
SCPD = "{urn:schemas-upnp-org:service-1-0}"
DEVICE = "{urn:schemas-upnp-org:device-1-0}"


def _said(column: int) -> dict[tuple[str, str], str]:
    """Outcome (ok, value or error code) by service and action, as the page has it."""
    told: dict[tuple[str, str], str] = {}
    service = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            service = line[3:].strip()
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if service and len(cells) == 5 and cells[1].startswith("`") and cells[column] != "-":
            told[service, cells[0]] = _kind(cells[column].strip("`"))
    return told


def _kind(said: str) -> str:
    """Values differ from run to run (addresses, times); whether it worked, and the error code, do not."""
    return said[:3] if said[:3].isdigit() and said[3:4] == " " else "value"


class DescribedCase(LabCase):
    """The service descriptions of the router, read by the standard library alone."""

    def fetched(self, path: str) -> ElementTree.Element:
        url = self.lab.location().rpartition("/")[0] + path
        return ElementTree.fromstring(self.lab.run(CLIENT, [sys.executable, "-ISc", FETCH, url]).stdout)

    def described(self) -> Iterator[tuple[str, str, dict[str, list[tuple[str | None, str]]]]]:
        """Service type, action, and by direction the names and types of its arguments in order."""
        for service in self.fetched("/rootDesc.xml").iter(f"{DEVICE}service"):
            scpd = self.fetched(service.findtext(f"{DEVICE}SCPDURL") or "")
            types = {
                one.findtext(f"{SCPD}name"): one.findtext(f"{SCPD}dataType") or ""
                for one in scpd.iter(f"{SCPD}stateVariable")
            }
            for action in scpd.iter(f"{SCPD}action"):
                arguments: dict[str, list[tuple[str | None, str]]] = {"in": [], "out": []}
                for one in action.iter(f"{SCPD}argument"):
                    kind = types[one.findtext(f"{SCPD}relatedStateVariable")]
                    arguments[one.findtext(f"{SCPD}direction") or ""].append((one.findtext(f"{SCPD}name"), kind))
                yield service.findtext(f"{DEVICE}serviceType") or "", action.findtext(f"{SCPD}name") or "", arguments

    def compare(self, *, least: int) -> dict[str, Any]:
        """Actions that it describes otherwise than the tables of the standard; it must describe so many at least."""
        others = {}
        described = list(self.described())
        self.assertGreaterEqual(len(described), least)
        for service_type, name, arguments in described:
            (entry,) = [one for one in SERVICES[service_type]["actions"] if one["name"] == name]
            for way, have in arguments.items():
                if have != [(one["name"], one["type"]) for one in entry[way]]:
                    others[f"{name} {way}"] = have
        return others


class ActionTests(DescribedCase):
    lab_config = {"ipv6": True}

    def test_its_descriptions_and_the_tables_of_the_standard_say_the_same(self) -> None:
        # a slip of its description (Q084): what it sends is NewReservedPort
        slip = {"AddAnyPortMapping out": [("NewExternalPort", "ui2")]}
        self.assertEqual(self.compare(least=30), slip)

    def test_IGD2(self) -> None:
        answers = real(self.lab)
        self.assertGreaterEqual(len(answers), 40)
        self.assertEqual({key: _kind(said) for key, said in answers.items()}, _said(3))

    def test_simulated(self) -> None:
        """The first answer of each action; tests.test_every_action looks at all of them."""
        self.assertEqual({key: _kind(said) for key, said in simulated().items()}, _said(2))


class FirstVersionTests(DescribedCase):
    lab_config = {"ipv6": True, "igd1": True}

    def test_its_descriptions_and_the_tables_of_the_standard_say_the_same(self) -> None:
        self.assertEqual(self.compare(least=18), {})

    def test_IGD1(self) -> None:
        self.assertEqual({key: _kind(said) for key, said in real(self.lab).items()}, _said(4))
