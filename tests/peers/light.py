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
from txigd.upnp.control.action import Caller, ServiceProxy
from txigd.upnp.control_point import ControlPoint
from txigd.upnp.description.fetch import fetch_description, fetch_service
from txigd.upnp.eventing.subscriber import Subscriber
from txigd.upnp.remote_device import RemoteDevice

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
        self.values: dict[str, str] = {}
        self.initial: list[bool] = []
        self.waiting: list[tuple[str, str, Deferred[None]]] = []

    def __call__(self, values: dict[str, str], initial: bool) -> None:
        self.values.update(values)
        self.initial.append(initial)
        for name, value, waiter in tuple(self.waiting):
            if self.values.get(name) == value:
                self.waiting.remove((name, value, waiter))
                waiter.callback(None)

    async def until(self, reactor: Any, name: str, value: str) -> None:
        """Wait, at most ten seconds, for a variable to have this value."""
        if self.values.get(name) != value:
            waiter: Deferred[None] = Deferred()
            self.waiting.append((name, value, waiter))
            await waiter.addTimeout(10, reactor)


async def drive(reactor: Any) -> None:
    """The whole of it."""
    first = First()
    point = ControlPoint(reactor, targets=[TARGET])
    point.observe_devices(first)
    point.startService()
    device = await first.found.addTimeout(20, reactor)
    again = await fetch_description(point.exchange, device.location)
    services = {service.name: service for service in again.root.all_services()}
    said: dict[str, Any] = {"name": again.root.friendly_name, "type": again.root.device_type, "udn": again.root.udn}
    said["services"] = sorted(services)
    proxies, heard, subscribers = {}, {}, []
    caller = Caller(point.exchange, clock=reactor)
    for name, service in services.items():
        table = await fetch_service(point.exchange, service)
        assert table is not None
        proxies[name] = ServiceProxy(service, table, caller)
        heard[name] = Heard()
        subscribers.append(
            Subscriber(reactor, point.exchange, point.callbacks, service, heard[name], lambda state: None)
        )
        subscribers[-1].start()
    switch, dimmer = proxies["SwitchPower"], proxies["Dimming"]
    await heard["SwitchPower"].until(reactor, "Status", "0")

    await switch.call("SetTarget", newTargetValue=True)
    said["target"] = await switch.call("GetTarget")
    said["status"] = await switch.call("GetStatus")
    await heard["SwitchPower"].until(reactor, "Status", "1")
    await dimmer.call("SetLoadLevelTarget", NewLoadLevelTarget=40)
    said["level"] = await dimmer.call("GetLoadLevelStatus")
    await heard["Dimming"].until(reactor, "LoadLevelStatus", "40")
    await switch.call("SetTarget", newTargetValue=False)
    await heard["SwitchPower"].until(reactor, "Status", "0")

    for key, wrong in (("too_much", {"NewLoadLevelTarget": 101}), ("no_number", {"NewLoadLevelTarget": "much"})):
        try:
            await dimmer.call("SetLoadLevelTarget", **wrong)
        except InvalidArgument as error:
            said[key] = str(error)
    try:
        await switch.call("Explode")
    except ActionNotOffered as error:
        said["not_offered"] = str(error)
    said["states"] = [subscriber.state for subscriber in subscribers]
    said["first_is_initial"] = [one.initial[0] for one in heard.values()]
    said["capabilities"] = dict(switch.capabilities)
    for subscriber in subscribers:
        await subscriber.stop()
    await point.stopService()
    print(json.dumps(said))


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(drive(reactor)))
