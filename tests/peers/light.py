"""``python -m tests.peers.light``: finds a light, switches and dims it, hears its events; prints JSON lines.

Runs on the client, with the parts of txigd that know nothing of gateways.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react
from zope.interface import implementer

from txigd.errors import ActionNotOffered, InvalidArgument
from txigd.interfaces import IDeviceObserver
from txigd.upnp.control_point import ControlPoint
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.service_events import Event

TARGET = "urn:schemas-upnp-org:service:SwitchPower:1"


@implementer(IDeviceObserver)
class First:
    """Waits for the first device."""

    def __init__(self) -> None:
        self.found: Deferred[RemoteDevice] = Deferred()

    def device_appeared(self, device: RemoteDevice) -> None:
        if not self.found.called:
            self.found.callback(device)

    def device_changed(self, device: RemoteDevice) -> None:
        """Nothing to do."""

    def device_gone(self, device: RemoteDevice) -> None:
        """Nothing to do."""


class Heard:
    """The events of one service."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.initial: list[bool] = []
        self.waiting: list[tuple[str, object, Deferred[None]]] = []

    def __call__(self, event: Event) -> None:
        self.values.update(event.values)
        self.initial.append(event.initial)
        for name, value, waiter in tuple(self.waiting):
            if self.values.get(name) == value:
                self.waiting.remove((name, value, waiter))
                waiter.callback(None)

    async def until(self, reactor: Any, name: str, value: object) -> None:
        """Wait, at most a minute, for a variable to have this value."""
        if self.values.get(name) != value:
            waiter: Deferred[None] = Deferred()
            self.waiting.append((name, value, waiter))
            await waiter.addTimeout(60, reactor)


async def drive(reactor: Any) -> None:
    """The whole of it."""
    first = First()
    point = ControlPoint(reactor, targets=[TARGET])
    point.observe_devices(first)
    point.startService()
    device = await first.found.addTimeout(60, reactor)
    root = device.description.root
    said: dict[str, Any] = {"name": root.friendly_name, "type": root.device_type, "udn": root.udn}
    said["services"] = sorted(service.service.name for service in device.services)
    switch, dimmer = device.service("SwitchPower"), device.service("Dimming:1")
    heard = {switch: Heard(), dimmer: Heard()}
    one_variable: list[object] = []
    forget = [switch.observe("Status", one_variable.append)]
    forget += [service.observe_events(hearing) for service, hearing in heard.items()]
    await heard[switch].until(reactor, "Status", False)

    await switch.call("SetTarget", newTargetValue=True)
    said["target"] = await switch.call("GetTarget")
    said["status"] = await switch.call("GetStatus")
    await heard[switch].until(reactor, "Status", True)
    await dimmer.call("SetLoadLevelTarget", NewLoadLevelTarget=40)
    said["level"] = await dimmer.call("GetLoadLevelStatus")
    await heard[dimmer].until(reactor, "LoadLevelStatus", 40)
    await switch.call("SetTarget", newTargetValue=False)
    await heard[switch].until(reactor, "Status", False)
    said["one_variable"] = one_variable

    for key, wrong in (("too_much", {"NewLoadLevelTarget": 101}), ("no_number", {"NewLoadLevelTarget": "much"})):
        try:
            await dimmer.call("SetLoadLevelTarget", **wrong)
        except InvalidArgument as error:
            said[key] = str(error)
    try:
        await switch.call("Explode")
    except ActionNotOffered as error:
        said["not_offered"] = str(error)
    said["actions"] = sorted(map(str, switch.actions.values()))
    said["states"] = [service.eventing for service in heard]
    said["first_is_initial"] = [one.initial[0] for one in heard.values()]
    said["capabilities"] = dict(switch.capabilities)
    for end in forget:
        end()
    said["afterwards"] = [service.eventing for service in heard]
    await point.stopService()
    print(json.dumps(said))


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(drive(reactor)))
