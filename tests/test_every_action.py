"""Every action of every IGD service, through its typed method, over a real socket."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.actions.calls import arguments, every_action, sample, shown, typed_names
from tests.actions.device import US, EveryService
from txigd.igd.services import service_classes
from txigd.upnp.description import datatypes


class EveryActionTests(TestCase):
    async def test_every_action_is_sent_whole_and_answered_typed(self) -> None:
        device = EveryService(reactor)
        device.open()
        self.addCleanup(device.close)
        answers = {}
        async for service, action, said in every_action(reactor, f"{device.origin}/desc.xml"):
            answers[service, action.wire] = said
        promised = {(service, wire) for service, actions in typed_names().items() for wire, _ in actions}
        self.assertEqual(set(answers), promised)
        self.assertGreaterEqual(len(promised), 140)
        self.assertEqual(len(device.calls), len(promised))
        for service_type, wire, given in device.calls:
            made = service_classes()[service_type]
            action = next(one for one in made.actions.values() if one.wire == wire)
            client = given.get("NewInternalClient", "127.0.0.1")
            values = arguments(action, client)
            expected = {one.wire: datatypes.encode(one.data_type, values[one.name]) for one in action.inputs}
            self.assertEqual(given, expected, wire)
            self.assertEqual(list(given), [one.wire for one in action.inputs], wire)
            outs: list[Any] = [sample(one.variable, US) for one in action.outputs]
            promised_answer = "ok" if not outs else shown(outs[0] if action.result is None else action.result(*outs))
            self.assertEqual(answers[f"{made.standard.name}:{made.standard.version}", wire], promised_answer)
