"""One service of a device as an application uses it: its actions, its events, what is known of either.

Knows the device that it belongs to; calls go through :mod:`txigd.upnp.control.action`, events through
:mod:`txigd.upnp.service_events`. Sources: UDA 1.0-2.0 sections 2.5, 3 and 4, quirks Q082-Q084, Q151, Q176.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from txigd.errors import ActionNotOffered, ExchangeTimeout
from txigd.limits import HTTP_TOTAL_SECONDS
from txigd.upnp.control.action import Capability, ServiceProxy
from txigd.upnp.control.arguments import collected, seconds_of
from txigd.upnp.description.device import Service
from txigd.upnp.description.fetch import read_service
from txigd.upnp.description.service import ServiceDescription, StateVariable
from txigd.upnp.description.signature import Signature, signatures
from txigd.upnp.service_events import Event, ServiceEvents
from txigd.waiting import Waiting

if TYPE_CHECKING:
    from txigd.upnp.remote_device import RemoteDevice


class RemoteService:
    """One service of a device; it stays the same object however often the device restarts or moves.

    ::

        service = device.service("SwitchPower")
        await service.call("SetTarget", newTargetValue=True)
        forget = service.observe("Status", print)

    Its description (SCPD) is fetched when it is first needed, and once for each description of the device. Where it is
    missing or broken, and for what it leaves out, the table of the standard serves, if there is one.

    What an application calls here is held against the types, ranges and lists of that description. What txigd sends by
    itself is not: descriptions are hints (Q083, Q086), so the standard's actions keep the standard's types, and the
    device may answer for itself.

    :ivar device: the device that it was described by.
    :ivar service: its entry in the device description: type, id, URLs.
    :ivar unreadable: why its description could not be read when it was last asked for; None where it could.
    :ivar proxy: calls its actions by the table of the standard, by its description only where there is none, and
        without waiting for that.
    """

    def __init__(self, device: RemoteDevice, service: Service) -> None:
        self.device = device
        self.service = service
        self._table = device.tables(service.service_type, None)
        self.proxy = ServiceProxy(service, self._table, device.caller, own=self._own_description)
        self._own: ServiceDescription | None = None
        self.unreadable: BaseException | None = None
        self._fetching: Deferred[Any] | None = None
        self._fetched = False
        self._waiting: Waiting[ServiceDescription | None] = Waiting(self._one_left)
        self._events = ServiceEvents(self)

    def __repr__(self) -> str:
        return f"<RemoteService {self.service.service_type} of {self.device.udn}>"

    # -- what it is ----------------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        """Name and version: ``SwitchPower:1``."""
        return f"{self.service.name}:{self.service.version}"

    @property
    def table(self) -> ServiceDescription | None:
        """Actions and variables as they are known now; None where nothing is."""
        return self._table or self.proxy.table

    @property
    def described(self) -> bool | None:
        """Whether the service's own description could be read; None before it was asked for."""
        return self._own is not None if self._fetched else None

    @property
    def actions(self) -> Mapping[str, Signature]:
        """The actions by name, with the types of their arguments, as they are known now; see :meth:`description`."""
        return signatures(self.table)

    @property
    def variables(self) -> Mapping[str, StateVariable]:
        """The state variables by name, as they are known now."""
        return MappingProxyType({}) if self.table is None else self.table.variables

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        """What is known of each action: it works, it is refused (401 or 602), or it was not tried yet (Q151)."""
        return self.proxy.capabilities

    @property
    def eventing(self) -> str:
        """How its events come, see :attr:`txigd.upnp.service_events.ServiceEvents.state`."""
        return self._events.state

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with its descriptions and its subscription, a sentence for each."""
        own = () if self._own is None else self._own.problems
        return (*self.service.problems, *own, *self._events.problems)

    # -- description ---------------------------------------------------------------------------------------------------
    def description(self, *, seconds: float = HTTP_TOTAL_SECONDS) -> Deferred[ServiceDescription | None]:
        """Actions and variables, its own description read.

        :param seconds: how long to wait for it; what comes later is not read where nobody else waits for it.
        :return: a fresh Deferred, cancellable; fires with None where the service has no description that can be read
            and is of no standard that is known: :attr:`unreadable` says why. Never fails otherwise.
        """
        if self._fetched and (self._own is not None or self.table is not None):
            return succeed(self.table)
        found = self._waiting.add()
        if self._fetching is None:
            patience = max(seconds, HTTP_TOTAL_SECONDS)
            self._fetching = fetching = read_service(self.device.exchange, self.service, seconds=patience)
            fetching.addBoth(self._read)
        if seconds < HTTP_TOTAL_SECONDS:
            found.addTimeout(max(0.0, seconds), self.device.clock, onTimeoutCancel=self._late)
        return found

    def known(self, *, seconds: float = HTTP_TOTAL_SECONDS) -> Deferred[ServiceDescription | None]:
        """As :meth:`description`, without asking the device where the standard's table is known."""
        if self.table is None:
            return self.description(seconds=seconds)
        return succeed(self.table)

    def _late(self, result: object, seconds: float) -> ServiceDescription | None:
        """One waits no longer. Nobody else's time is over, and the next one asks again."""
        if not self._fetched:
            self.unreadable = ExchangeTimeout("no whole reply in time")
        return self.table

    def _one_left(self) -> None:
        fetching = self._fetching
        if not self._waiting and fetching is not None:
            self._fetching = None
            fetching.cancel()

    def _read(self, result: ServiceDescription | Failure) -> None:
        if isinstance(result, Failure) and result.check(CancelledError):  # nobody waits any more
            return
        self._fetching = None
        own, self.unreadable = (None, result.value) if isinstance(result, Failure) else (result, None)
        self._own, self._fetched = own, True
        standard = self.device.tables(self.service.service_type, None)
        self._table = table = self.device.tables(self.service.service_type, own)
        working = table if standard is None else standard.with_more(own)
        if working is not None:
            self.proxy.describe(working)
        self._waiting.fire(table)

    def _own_description(self) -> Deferred[ServiceDescription | None]:
        return self.description().addCallback(lambda _: self._own)

    # -- control -------------------------------------------------------------------------------------------------------
    def call(
        self,
        action: str,
        arguments: Mapping[str, object] | None = None,
        /,
        *,
        seconds: float = HTTP_TOTAL_SECONDS,
        **named: object,
    ) -> Deferred[dict[str, Any]]:
        """Invoke an action, in-arguments checked before anything is sent.

        :param action: its name, in any case.
        :param arguments: in-arguments by name in any case, as Python values of their types, see
            :mod:`txigd.upnp.description.datatypes`. They may be given by keyword as well, in ``named``, but for one
            that is called ``seconds``: ``call("Wait", {"seconds": 3})``.
        :param seconds: budget of the call, from its turn: one call at a time goes to a device. As much again goes into
            reading the description, where that was not done before.
        :return: a cancellable Deferred of the out-arguments by name. It fails with
            :class:`~txigd.errors.InvalidArgument` (names, type, range or list; ``seconds`` too), with
            :class:`~txigd.errors.ActionNotOffered`, with :class:`~txigd.errors.ActionError` for what the device
            refuses, or with an :class:`~txigd.errors.ExchangeError`.
        """
        return Deferred.fromCoroutine(self._call(action, seconds, arguments, named))

    async def _call(
        self, action: str, seconds: float, arguments: Mapping[str, object] | None, named: Mapping[str, object]
    ) -> dict[str, Any]:
        seconds = seconds_of("seconds", seconds)
        if await self.description(seconds=seconds) is None:
            raise self.unknown() from self.unreadable
        return await self.proxy.call_by(self.table, action, collected(arguments, named, action), seconds=seconds)

    def unknown(self) -> ActionNotOffered:
        """The error of one who calls an action where nothing is known of any."""
        why = "" if self.unreadable is None else f" ({str(self.unreadable).rstrip('.')})"
        return ActionNotOffered(f"{self.name} has no description that can be read{why}, so its actions are not known")

    def query(self, variable: str, *, seconds: float = HTTP_TOTAL_SECONDS) -> Deferred[Any]:
        """Ask for one state variable (QueryStateVariable, deprecated since 2003; few devices answer).

        :return: a cancellable Deferred of its value; fails with :class:`~txigd.errors.ActionError` 404 for a variable
            that cannot be asked for, 401 where there is no such question, or an
            :class:`~txigd.errors.ExchangeError`.
        """
        return Deferred.fromCoroutine(self._query(variable, seconds))

    async def _query(self, variable: str, seconds: float) -> Any:
        seconds = seconds_of("seconds", seconds)
        await self.description(seconds=seconds)
        spelled = next((name for name in self.variables if name.lower() == variable.lower()), variable)
        return await self.proxy.query(spelled, seconds=seconds, table=self.table)

    # -- events --------------------------------------------------------------------------------------------------------
    def observe(
        self, variable: str, callback: Callable[[Any], object], *, on_missed: Callable[[str], object] | None = None
    ) -> Callable[[], None]:
        """Call ``callback(value)`` with the value of an evented variable now and each time that it is told.

        All observers of a service share one subscription, which begins with the first and ends after the last. A
        variable that is sent by multicast is heard without one (UDA 1.1 section 4.3); of a service of the standard only
        where nothing can be subscribed to, or where :meth:`description` was read before.

        :param variable: its name in any case; one that the description does not list is told as text.
        :param callback: called in a later reactor turn; one that raises is logged, the others still hear.
        :param on_missed: called with a reason where events were lost or do not come: what counts must be read.
        :return: a function that ends this.
        :raises Stopped: where the device is gone. Observe anew when it is back.
        :raises InvalidArgument: for too many observers.
        """
        return self._events.observe(callback, variable=variable, on_missed=on_missed or _unheard)

    def observe_events(
        self,
        callback: Callable[[Event], object],
        *,
        on_missed: Callable[[str], object] | None = None,
        on_state: Callable[[str], object] | None = None,
        seconds: float = HTTP_TOTAL_SECONDS,
    ) -> Callable[[], None]:
        """As :meth:`observe`, but for all variables: ``callback`` gets each :class:`Event` whole.

        :param on_state: called when :attr:`eventing` changes.
        :param seconds: budget of each request for events, and of reading the description; of the first observer.
        """
        return self._events.observe(
            callback,
            on_missed=on_missed or _unheard,
            on_state=on_state or _unheard,
            seconds=seconds_of("seconds", seconds),
        )

    def verify_events(self) -> None:
        """Ask the device whether it still knows the subscription, by renewing it now.

        :attr:`eventing`, and ``on_state``, tell what came of it: ``failed`` where it does not answer, ``subscribing``
        and then ``subscribed`` where it had forgotten. Without a subscription nothing is asked.
        """
        self._events.verify()

    # -- for the device ------------------------------------------------------------------------------------------------
    def described_again(self, service: Service) -> None:
        """The device restarted or moved: nothing that was learned holds, observers stay."""
        self.service = service
        self._fetched, self._own, self.unreadable = False, None, None
        fetching, self._fetching = self._fetching, None
        self._table = self.device.tables(service.service_type, None)
        self.proxy.renew(service, self._table, self.device.caller)
        if fetching is not None:
            fetching.cancel()
            if self._waiting:
                self._fetching = again = read_service(self.device.exchange, service)
                again.addBoth(self._read)
        self._events.doubt()

    def resubscribe(self) -> None:
        """Events of the device as it is described now."""
        self._events.restart()

    def rebind(self) -> None:
        """Our own address changed: events have to come there (F14)."""
        self._events.rebind()

    def reboot(self) -> None:
        """This host slept: the subscription may be void (F18)."""
        self._events.reboot()

    def stop(self) -> Deferred[None]:
        """The device is gone: no more events. Fires within two seconds."""
        return self._events.stop()


def _unheard(word: str) -> None:
    """Nobody wants to know."""
