"""``txigd subscribe``: prints events, and says when they stop coming: that a device is dead no event tells."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timezone
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from txigd.cli.device_commands import chosen, jsonable, location, type_of, word
from txigd.cli.device_tree import clean
from txigd.cli.next_steps import MORE_TIME
from txigd.cli.report import Report
from txigd.cli.session import interrupted
from txigd.errors import ExchangeTimeout, NoService
from txigd.igd.tables import known_table
from txigd.interfaces import IDeviceObserver
from txigd.limits import DEVICE_GRACE_SECONDS, EVENTS_VERIFY_SECONDS
from txigd.upnp import addressing
from txigd.upnp.control_point import ControlPoint
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.service_events import Event

_SILENT = frozenset({"failed", "refused", "stopped"})
_KIND = re.compile(r"^[A-Z][A-Za-z]+: ")  # of the error, which is for the log


async def subscribe(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Print events until interrupted; 1 as soon as there are none to come."""
    where = location(options.url)
    links = addressing.links_to(where.host)
    point = ControlPoint(reactor, links=links, targets=(), tables=known_table, callback_port=options.callback_port)
    async with point:
        device = await point.device(where, seconds=options.timeout)
        chosen(device, options.service, report)
        vigil = _Vigil(reactor, point, options, report)
        point.observe_devices(vigil)
        vigil.watch(device)
        point.follow(device)
        began = reactor.seconds()
        waiting = Deferred.fromCoroutine(interrupted(reactor, options.seconds))
        vigil.over.addCallback(lambda _: waiting.cancel())
        try:
            await waiting
        finally:
            vigil.stop()
        if options.seconds is not None and reactor.seconds() - began >= options.seconds:
            vigil.time_is_up()
    return 1 if vigil.over.called else 0


@implementer(IDeviceObserver)
class _Vigil:
    """Keeps the events of one service coming, whatever becomes of its device.

    :ivar over: fires when there will be no more; that is said by then.
    """

    def __init__(self, clock: Any, point: ControlPoint, options: argparse.Namespace, report: Report) -> None:
        self.over: Deferred[None] = Deferred()
        self._clock = clock
        self._point = point
        self._options = options
        self._report = report
        self._device: RemoteDevice | None = None
        self._service: RemoteService | None = None
        self._had_events = False
        self._missing = False
        self._fresh = False
        self._ended = False
        self._reason = ""
        self._late = False
        self._calls: dict[str, IDelayedCall] = {}

    def watch(self, device: RemoteDevice) -> None:
        """Print the events of this device from now on.

        :raises NoService: where it has no such service.
        """
        service = device.service(self._options.service)
        self._device, self._service = device, service
        service.observe_events(self._print, on_missed=self._missed, on_state=self._state, seconds=self._options.timeout)
        self._state(service.eventing)
        self._verify_later()

    def stop(self) -> None:
        """Look no more, and say nothing."""
        self._ended = True
        for call in self._calls.values():
            if call.active():
                call.cancel()
        self._calls.clear()

    def time_is_up(self) -> None:
        """All the time that the user gave is over: was there anything to hear?"""
        if not self._had_events and not self.over.called:
            name = self._options.service if self._service is None else self._service.name
            self._say(
                f"no events of {name}: it was not subscribed to in {self._options.seconds:g} s; try a longer --for"
            )
            self.over.callback(None)

    # -- is it there? --------------------------------------------------------------------------------------------------
    def _verify_later(self) -> None:
        self._again("verify", EVENTS_VERIFY_SECONDS, self._verify)

    def _verify(self) -> None:
        if self._service is not None:
            self._service.verify_events()
        self._verify_later()

    def _again(self, name: str, seconds: float, function: Any) -> None:
        former = self._calls.get(name)
        if former is not None and former.active():
            former.cancel()
        self._calls[name] = self._clock.callLater(seconds, function)

    def _state(self, state: str) -> None:
        if self._ended or not self._point.running:  # it is we who go
            return
        if state in _SILENT:
            self._silent(state)
        elif state == "subscribing" and self._had_events:
            self._fresh = True
            self._wait()
        elif state in ("subscribed", "multicast"):
            self._there()

    def _silent(self, state: str) -> None:
        why = self._why()
        if not self._had_events and self._service is not None:
            step = MORE_TIME if self._late else "'txigd describe' shows what there is"
            self._end(f"no events of {self._service.name} ({state}): {why}; {step}")
        elif not self._missing:
            self._missing = True
            self._say(f"{self._options.url}: {why}; waiting {DEVICE_GRACE_SECONDS:g} s for it to come back")
            self._wait()
            if self._device is not None:
                self._point.suspect(self._device)

    def _wait(self) -> None:
        if "grace" not in self._calls:
            self._again("grace", DEVICE_GRACE_SECONDS, self._give_up)

    def _there(self) -> None:
        grace = self._calls.pop("grace", None)
        if grace is not None and grace.active():
            grace.cancel()
        if self._fresh:
            self._say("it restarted or had forgotten us: subscribed again; what happened meanwhile may be lost")
        elif self._missing:
            self._say("it answers again")
        self._had_events, self._missing, self._fresh = True, False, False

    def _give_up(self) -> None:
        self._end(
            f"{self._options.url} did not come back in {DEVICE_GRACE_SECONDS:g} s ({self._why()}), so no more events "
            "come; when 'txigd describe' shows that it answers, subscribe again"
        )

    def _why(self) -> str:
        problems = self._service.problems[-1:] if self._service is not None else ()
        self._late = "".join(problems).startswith(f"{ExchangeTimeout.__name__}: ")
        self._reason = _KIND.sub("", "".join(problems)).rstrip(".") or self._reason or "it is gone"
        return self._reason

    def _end(self, text: str) -> None:
        if not self._ended:
            self._say(text)
            self.stop()
            self.over.callback(None)

    def _say(self, text: str) -> None:
        self._report.failed(text)

    # -- what the control point tells ----------------------------------------------------------------------------------
    def device_appeared(self, device: RemoteDevice) -> None:
        """It came back as another object, maybe at another place."""
        if self._ended or self._device is None or device is self._device or device.udn != self._device.udn:
            return
        try:
            self.watch(device)
        except NoService as error:
            self._end(f"the device came back and has changed: {error}")

    def device_changed(self, device: RemoteDevice) -> None:
        """Its services are subscribed afresh, which their states tell."""

    def device_gone(self, device: RemoteDevice) -> None:
        """Its service says so as well."""

    # -- events --------------------------------------------------------------------------------------------------------
    def _missed(self, reason: str) -> None:
        if not self._missing:
            self._say(f"events may be lost: {reason}")

    def _print(self, event: Event) -> None:
        now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
        assert self._service is not None
        types = {name: type_of(self._service, name) for name in event.values}
        mark = " [all]" if event.initial else f" [{event.level}]" if event.level else ""
        self._report.value(
            {
                "at": now,
                "initial": event.initial,
                **({"level": event.level} if event.level else {}),
                "values": {name: jsonable(value, types[name]) for name, value in event.values.items()},
            },
            "\n".join(clean(f"{now}  {name}={word(value, types[name])}{mark}") for name, value in event.values.items()),
        )
