"""txigd.upnp.description.service: what a service claims to offer."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd import limits
from txigd.errors import DescriptionError
from txigd.upnp.description import service
from txigd.upnp.description.service import Action, Argument, StateVariable

MESSAGES = Path(__file__).parent / "messages"
TABLES = json.loads((Path(service.__file__).parents[2] / "igd" / "igd.json").read_text(encoding="utf-8"))["services"]


def scpd(variables="<stateVariable><name>V</name></stateVariable>", actions="", more=""):
    return (
        f"<scpd xmlns='urn:schemas-upnp-org:service-1-0'><actionList>{actions}</actionList>"
        f"<serviceStateTable>{variables}</serviceStateTable>{more}</scpd>"
    ).encode()


def variable(content="", attributes=""):
    """The one variable of a description that has no other."""
    document = scpd(f"<stateVariable{attributes}><name>V</name>{content}</stateVariable>")
    return service.parse(document).variables["V"]


def argument(name="A", related="V", direction="in", more=""):
    return (
        f"<argument><name>{name}</name><direction>{direction}</direction>{more}"
        f"<relatedStateVariable>{related}</relatedStateVariable></argument>"
    )


def action(name="Act", arguments=""):
    return f"<action><name>{name}</name><argumentList>{arguments}</argumentList></action>"


class SampleTests(SynchronousTestCase):
    """The SCPDs among the wire samples."""

    def test_manifest(self):
        seen = 0
        for entry in json.loads((MESSAGES / "manifest.json").read_text(encoding="utf-8")):
            if "scpd" in entry["file"]:
                seen += 1
                description = service.parse((MESSAGES / entry["file"]).read_bytes())
                self.assertEqual(description.problems, ())
                if "evented" in entry["expect"]:
                    self.assertEqual(list(description.evented), entry["expect"]["evented"])
        self.assertGreater(seen, 12)

    def test_they_say_what_the_tables_say(self):
        seen = 0
        for service_type, table in TABLES.items():
            name, version = service_type.split(":")[3:]
            path = MESSAGES / f"scpd-{name}-{version}.xml"
            if not path.exists():
                continue
            seen += 1
            description = service.parse(path.read_bytes())
            self.assertEqual(list(description.actions), [entry["name"] for entry in table["actions"]], name)
            for entry in table["actions"]:
                found = description.actions[entry["name"]]
                for direction, arguments in (("in", found.inputs), ("out", found.outputs)):
                    self.assertEqual(
                        [(a.name, a.variable) for a in arguments],
                        [(a["name"], a["variable"]) for a in entry[direction]],
                    )
                    for one, told in zip(arguments, entry[direction], strict=True):
                        self.assertEqual(description.variables[one.variable].data_type, told["type"])
            for entry in table["variables"]:
                told = description.variables[entry["name"]]
                self.assertEqual((told.data_type, told.evented), (entry["type"], entry["evented"]), entry["name"])
                self.assertEqual(list(told.allowed), entry.get("allowed", []), entry["name"])
        self.assertGreater(seen, 10)

    def test_minimal_defaults(self):
        description = service.parse((MESSAGES / "scpd-minimal-defaults.xml").read_bytes())
        self.assertEqual(
            dict(description.actions),
            {"MagicOn": Action("MagicOn"), "GetLevel": Action("GetLevel", (), (Argument("Level", "Level"),))},
        )
        self.assertEqual(
            dict(description.variables),
            {
                "Level": StateVariable("Level", "ui1", True, False, "3", (), 0, 10, 1),
                "Alarm": StateVariable("Alarm", "string", False, True),
                "Odd": StateVariable("Odd", "string", False, False),
            },
        )

    def test_direction_after_the_variable(self):
        description = service.parse((MESSAGES / "intro-binarylight-scpd.xml").read_bytes())
        self.assertEqual(description.actions["SetTarget"], Action("SetTarget", (Argument("NewTargetValue", "Target"),)))

    def test_read_only(self):
        description = service.parse(scpd())
        with self.assertRaises(TypeError):
            description.actions["x"] = Action("x")  # type: ignore[index]


class VariableTests(SynchronousTestCase):
    """State variables."""

    def test_bare(self):
        self.assertEqual(variable(), StateVariable("V"))

    def test_Q085_send_events(self):
        for attributes, content, evented in (
            ("", "", True),
            (' sendEvents="no"', "", False),
            (' sendEvents="yes"', "", True),
            (' sendevents=" NO "', "", False),
            (' sendEvents="0"', "", False),
            (' sendEvents="perhaps"', "", True),
            ("", "<sendEvents>no</sendEvents>", False),
            ("", "<sendEventsAttribute>no</sendEventsAttribute>", False),
            (' sendEvents="yes"', "<sendEventsAttribute>no</sendEventsAttribute>", True),
        ):
            self.assertIs(variable(content, attributes).evented, evented, attributes + content)

    def test_Q086_blanks(self):
        document = scpd("<stateVariable><name>\n V </name><dataType> ui4\n</dataType></stateVariable>")
        self.assertEqual(service.parse(document).variables["V"].data_type, "ui4")

    def test_Q087_64_bits(self):
        self.assertEqual(variable("<dataType>ui8</dataType>").data_type, "ui8")

    def test_default_value(self):
        self.assertIsNone(variable().default)
        self.assertEqual(variable("<defaultValue/>").default, "")
        self.assertEqual(variable("<defaultValue> x </defaultValue>").default, "x")

    def test_range(self):
        bounds = "<allowedValueRange><minimum>-1</minimum><maximum>{}</maximum></allowedValueRange>"
        found = variable("<dataType>ui4</dataType>" + bounds.format("604800"))
        self.assertEqual((found.minimum, found.maximum, found.step), (-1, 604800, None))
        found = variable("<dataType>r8</dataType>" + bounds.format("1.5"))
        self.assertEqual((found.minimum, found.maximum), (-1, 1.5))
        for text in ("", "many"):
            self.assertIsNone(variable("<dataType>ui4</dataType>" + bounds.format(text)).maximum)

    def test_a_range_of_text_is_none(self):
        found = variable("<allowedValueRange><minimum>1</minimum><maximum>2</maximum></allowedValueRange>")
        self.assertEqual((found.minimum, found.maximum), (None, None))

    def test_allowed_values_of_text_only(self):
        words = (
            "<allowedValueList><allowedValue> TCP </allowedValue><allowedValue>UDP</allowedValue></allowedValueList>"
        )
        self.assertEqual(variable(words).allowed, ("TCP", "UDP"))
        self.assertEqual(variable("<dataType>ui2</dataType>" + words).allowed, ())


class ActionTests(SynchronousTestCase):
    """Actions and their arguments."""

    def actions(self, text, **more):
        self.description = service.parse(scpd(actions=text, **more))
        return dict(self.description.actions)

    def test_order_is_kept(self):
        found = self.actions(action("Act", argument("B") + argument("X", direction="out") + argument("A")))
        self.assertEqual([a.name for a in found["Act"].inputs], ["B", "A"])
        self.assertEqual([a.name for a in found["Act"].outputs], ["X"])

    def test_direction_is_lenient(self):
        found = self.actions(
            action(
                "Act",
                argument("A", direction=" OUT ")
                + argument("B", direction="", more="<retval/>")
                + argument("C", direction=""),
            )
        )
        self.assertEqual([a.name for a in found["Act"].outputs], ["A", "B"])
        self.assertEqual([a.name for a in found["Act"].inputs], ["C"])

    def test_variable_in_another_case_or_missing(self):
        found = self.actions(action("Act", argument("A", related=" v ") + argument("B", related="None")))
        self.assertEqual([a.variable for a in found["Act"].inputs], ["V", "None"])

    def test_twice(self):
        found = self.actions(action("Act", argument("A")) + action("Act"))
        self.assertEqual(len(found["Act"].inputs), 1)
        self.assertEqual(self.description.problems, ("action Act is there twice, the first counts",))

    def test_lists_that_are_repeated(self):
        more = f"<actionList>{action('Other')}</actionList>"
        self.assertEqual(list(self.actions(action("Act"), more=more)), ["Act", "Other"])

    def test_B10_names_that_cannot_be_sent(self):
        for name in ("", "A#B", 'A"', "A B", "1A", "\u00e9", "A" * (limits.NAME_OCTETS + 1)):
            self.assertEqual(list(self.actions(action(name) + action("Good"))), ["Good"], name)
            self.assertEqual(len(self.description.problems), 1)

    def test_an_action_with_a_bad_argument_is_left_out(self):
        # without that argument the call would be another one
        self.assertEqual(list(self.actions(action("Bad", argument("A B")) + action("Good"))), ["Good"])
        self.assertIn("Bad", self.description.problems[0])

    def test_elements_elsewhere_are_none(self):
        self.assertEqual(self.actions("", more=f"<X_vendor>{action('Act')}</X_vendor>{action('Act')}"), {})


class BoundTests(SynchronousTestCase):
    """Descriptions that are too much, or none."""

    def test_B5_actions(self):
        found = service.parse(scpd(actions="".join(action(f"A{n}") for n in range(limits.SCPD_ACTIONS + 1))))
        self.assertEqual((len(found.actions), len(found.problems)), (limits.SCPD_ACTIONS, 1))

    def test_B5_arguments(self):
        most = limits.SCPD_ARGUMENTS
        some = "".join(argument(f"A{n}") for n in range(most))
        found = service.parse(scpd(actions=action("Good", some) + action("Bad", some + argument())))
        self.assertEqual((list(found.actions), len(found.problems)), (["Good"], 1))

    def test_B5_variables(self):
        most = limits.SCPD_VARIABLES
        found = service.parse(
            scpd("".join(f"<stateVariable><name>V{n}</name></stateVariable>" for n in range(most + 1)))
        )
        self.assertEqual((len(found.variables), len(found.problems)), (most, 1))

    def test_B5_problems(self):
        found = service.parse(scpd(actions="".join(action(f"{n}") for n in range(100))))
        self.assertEqual(len(found.problems), limits.TREE_PROBLEMS)

    def test_Q082_no_state_table(self):
        for document in (b"", b"<scpd/>", b"<scpd><serviceStateTable/></scpd>", b"<html/>", b"<root><device/></root>"):
            self.assertRaises(DescriptionError, service.parse, document)
        error = self.assertRaises(DescriptionError, service.parse, b"<scpd><x/></scpd>")
        self.assertIn("'<scpd><x/></scpd>'", str(error))

    def test_Q081_names_in_any_case(self):
        document = b"<SCPD><SERVICESTATETABLE><STATEVARIABLE><NAME>V</NAME></STATEVARIABLE></SERVICESTATETABLE></SCPD>"
        self.assertEqual(list(service.parse(document).variables), ["V"])

    def test_cap(self):
        self.assertRaises(DescriptionError, service.parse, scpd() + b" " * limits.SCPD_OCTETS)


GOOD = sorted(path.read_bytes() for path in MESSAGES.glob("*scpd*.xml"))
PIECES = [b"<action>", b"</action>", b"<name>", b"<argument>", b"&", b"-1", b"<allowedValueRange>", b"<dataType>"]


class ArbitraryTests(SynchronousTestCase):
    """F42: a ServiceDescription or a DescriptionError."""

    def only_description_errors(self, document):
        try:
            description = service.parse(document)
        except DescriptionError:
            return
        self.assertTrue(description.variables)

    @given(st.binary(max_size=300))
    def test_F42_arbitrary_octets(self, document):
        self.only_description_errors(document)

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(GOOD),
        st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, 200), st.binary(max_size=6) | st.sampled_from(PIECES)), max_size=4
        ),
    )
    def test_F42_mutated(self, document, changes):
        for place, gone, come in changes:
            at = int(place * len(document))
            document = document[:at] + come + document[at + gone :]
        self.only_description_errors(document)

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(GOOD), st.data())
    def test_F42_texts_replaced(self, document, data):
        pieces = document.split(b">")
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(pieces) - 1))
            text, mark, tag = pieces[at].partition(b"<")
            word = data.draw(
                st.sampled_from([b"", b"-1", b"99999999999999999999999", b"x y", b"ui4", b"out", b"nan", text])
            )
            pieces[at] = word + mark + tag
        self.only_description_errors(b">".join(pieces))
