"""The events of one service, shared by all who observe it: subscribed for the first, unsubscribed after the last.

Knows the device's subscriptions, the multicast listener and a clock; values are typed by the service's table.
Sources: UDA 1.0-2.0 section 4, UDA 1.1 section 4.3 (multicast eventing), quirks Q176, Q182-Q184.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import InvalidArgument, Stopped
from txigd.limits import HTTP_TOTAL_SECONDS, OBSERVERS, SCPD_VARIABLES
from txigd.upnp.description import datatypes
from txigd.upnp.description.service import StateVariable
from txigd.upnp.eventing.multicast_event import MulticastEvent
from txigd.upnp.eventing.subscriber import Subscriber

if TYPE_CHECKING:
    from txigd.upnp.remote_service import RemoteService

_log = log.logger("txigd.events")


@dataclass(frozen=True, slots=True)
class Event:
    """What a service told.

    ``values`` by variable name, each in the type of its description, or the text where it is none of that type or the
    variable is not known. ``initial`` says that these are all evented variables as they stand, not changes. ``level``
    is that of a multicast event, ``upnp:/info`` for example, and empty for any other.
    """

    values: Mapping[str, Any]
    initial: bool = False
    level: str = ""


@dataclass(eq=False, slots=True)
class _Observer:
    """Hears everything, or the values of one variable."""

    callback: Callable[[Any], object]
    variable: str | None = None
    on_missed: Callable[[str], object] = lambda reason: None
    on_state: Callable[[str], object] = lambda state: None


class ServiceEvents:
    """The observers of one service and the one subscription that serves them.

    :ivar state: ``idle`` while nobody observes, ``described`` while the service's description is awaited, ``multicast``
        where that alone is heard, else as :attr:`txigd.upnp.eventing.subscriber.Subscriber.state`.
    """

    def __init__(self, service: RemoteService) -> None:
        self._service = service
        self._clock = service.device.clock
        self._observers: dict[_Observer, None] = {}
        self._new: list[_Observer] = []
        self._turn: IDelayedCall | None = None
        self._last: dict[str, str] = {}
        self._opening: Deferred[None] | None = None
        self._subscriber: Subscriber | None = None
        self._unhear: Callable[[], None] = _nothing
        self._heard_at: object = None
        self._doubted = False
        self._lost = False
        self._seconds = HTTP_TOTAL_SECONDS
        self.state = "idle"

    # -- for everybody -------------------------------------------------------------------------------------------------
    def observe(
        self,
        callback: Callable[[Any], object],
        *,
        variable: str | None = None,
        on_missed: Callable[[str], object] = lambda reason: None,
        on_state: Callable[[str], object] = lambda state: None,
        seconds: float = HTTP_TOTAL_SECONDS,
    ) -> Callable[[], None]:
        """Call ``callback`` for each event, or with each value of one variable, until the returned function is called.

        :param on_missed: called with a reason when events were lost: what counts must be read by action.
        :param on_state: called with each new :attr:`state`.
        :param seconds: budget of each request; that of the first observer counts.
        :raises Stopped: where the device or the service is gone.
        :raises InvalidArgument: for too many observers.
        """
        if self._lost:
            raise Stopped(f"{self._service.name}: the device is gone")
        if len(self._observers) >= OBSERVERS:
            raise InvalidArgument(f"more than {OBSERVERS} observers")
        observer = _Observer(callback, None if variable is None else variable.lower(), on_missed, on_state)
        self._observers[observer] = None
        if len(self._observers) == 1:
            self._seconds = seconds
            self._begin()
        elif self._last:  # the first event was told before: who comes late hears it all the same
            self._new.append(observer)
            if self._turn is None:
                self._turn = self._clock.callLater(0, self._catch_up)

        def forget() -> None:
            if observer in self._observers:
                del self._observers[observer]
                if not self._observers:
                    self._end()

        return forget

    @property
    def problems(self) -> tuple[str, ...]:
        """What is worth telling about the subscription, each once."""
        return () if self._subscriber is None else self._subscriber.problems

    # -- for the service -----------------------------------------------------------------------------------------------
    def doubt(self) -> None:
        """The device was described again: what was subscribed to may be void; :meth:`restart` looks after it."""
        self._doubted = True

    def restart(self) -> None:
        """Subscribe afresh what is in doubt (Q182, Q183)."""
        doubted, self._doubted = self._doubted, False
        if not doubted or not self._observers:
            return
        if self._subscriber is None or self._place() != self._heard_at:
            self._end()
            if self._observers and self.state == "idle":
                self._begin()
        elif self._opening is None:
            self._run(self._reopen(self._subscriber))

    def rebind(self) -> None:
        """Our own address changed (F14)."""
        if self._subscriber is not None:
            self._subscriber.rebind()

    def reboot(self) -> None:
        """Time passed in which nothing was heard (F18): the device is given back what it may still hold."""
        if self._subscriber is not None:
            self._subscriber.rebind()

    def verify(self) -> None:
        """Does the device still know the subscription? :attr:`state` tells what came of the question."""
        if self._subscriber is not None:
            self._subscriber.verify()

    def stop(self) -> Deferred[None]:
        """Hear nothing more, for good; fires within two seconds, when the device knows."""
        self._lost = True
        return self._end()

    # -- beginning and end ---------------------------------------------------------------------------------------------
    def _place(self) -> object:
        return self._service.service.event_url, self._service.device.host

    def _begin(self) -> None:
        self._doubted = False
        self._heard_at = self._place()
        self._show("described")
        # those who were told may have left, begun again, or stopped it all
        if self._observers and self._opening is None and not self._lost:
            self._run(self._open())

    def _run(self, opening: Coroutine[Deferred[Any], Any, None]) -> None:
        def done(result: object) -> None:
            self._opening = None
            if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
                _log.failure("the events of {service} cannot be had", failure=result, service=self._service.name)
                self._show("failed")

        self._opening = Deferred.fromCoroutine(opening)
        self._opening.addBoth(done)

    async def _open(self) -> None:
        """The spelling of variables, and whether any is multicast, stand in the description.

        The standard's table will do, but where nothing can be subscribed to: then only the service's own tells of
        multicast.
        """
        nowhere = self._service.service.event_url is None
        await (self._service.description if nowhere else self._service.known)(seconds=self._seconds)
        variables = self._variables
        if any(variable.multicast for variable in variables.values()):
            self._unhear = self._service.device.hear_multicast(self._service.service, self._multicast)
            if not self._wants_unicast():
                self._show("multicast")
                return
        self._subscriber = subscriber = self._service.device.subscriber(
            self._service.service,
            self._delivered,
            self._show,
            self._missed,
            variables=variables,
            seconds=self._seconds,
        )
        subscriber.start()
        self._show(subscriber.state)

    async def _reopen(self, subscriber: Subscriber) -> None:
        await self._service.known(seconds=self._seconds)
        subscriber.reboot()

    def _wants_unicast(self) -> bool:
        return any(variable.evented for variable in self._variables.values())

    def _end(self) -> Deferred[None]:
        if self._opening is not None:
            self._opening.cancel()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._new.clear()
        self._last.clear()
        self._unhear()
        self._unhear = _nothing
        subscriber, self._subscriber = self._subscriber, None
        self._show("stopped" if self._lost and self._observers else "idle")
        return succeed(None) if subscriber is None else subscriber.stop()

    def _show(self, state: str) -> None:
        if state == self.state or (state == "stopped" and not self._lost):
            return
        self.state = state
        for observer in tuple(self._observers):
            _call(observer.on_state, state)

    # -- events --------------------------------------------------------------------------------------------------------
    @property
    def _variables(self) -> Mapping[str, StateVariable]:
        table = self._service.table
        return MappingProxyType({}) if table is None else table.variables

    def _delivered(self, values: Mapping[str, str], initial: bool) -> None:
        self._tell(values, initial, "")

    def _multicast(self, event: MulticastEvent) -> None:
        """What the subscription brings as well is told once."""
        spelling = {name.lower(): name for name in self._variables}
        values = {spelling.get(name.lower(), name): text for name, text in event.values.items()}
        if self.state == "subscribed":
            doubled = {name for name, variable in self._variables.items() if variable.evented}
            values = {name: text for name, text in values.items() if name not in doubled}
        if values:
            self._tell(values, False, event.level)

    def _tell(self, values: Mapping[str, str], initial: bool, level: str) -> None:
        """One who observes a variable hears each event of it, but no repetition by a new subscription."""
        same = {name for name, text in values.items() if initial and self._last.get(name) == text}
        self._last.update(values)
        while len(self._last) > SCPD_VARIABLES:
            del self._last[next(iter(self._last))]
        event = Event(MappingProxyType(self._typed(values)), initial, level)
        for observer in tuple(self._observers):
            if observer in self._observers and observer not in self._new:
                self._hand(observer, event, same)

    def _catch_up(self) -> None:
        self._turn = None
        new, self._new = self._new, []
        event = Event(MappingProxyType(self._typed(self._last)), initial=True)
        for observer in new:
            if observer in self._observers:
                self._hand(observer, event)

    def _typed(self, values: Mapping[str, str]) -> dict[str, Any]:
        variables = self._variables
        return {
            name: datatypes.decode(variables[name].data_type, text) if name in variables else text
            for name, text in values.items()
        }

    def _hand(self, observer: _Observer, event: Event, same: Iterable[str] = ()) -> None:
        if observer.variable is None:
            _call(observer.callback, event)
            return
        for name, value in event.values.items():
            if name.lower() == observer.variable and name not in same:
                _call(observer.callback, value)

    def _missed(self, reason: str) -> None:
        for observer in tuple(self._observers):
            _call(observer.on_missed, reason)


def _call(callback: Callable[[Any], object], argument: object) -> None:
    """An application's error is logged, and the others still hear (F60)."""
    try:
        callback(argument)
    except Exception:
        _log.failure("an observer of events raised")


def _nothing() -> None:
    """There is nothing to end."""
