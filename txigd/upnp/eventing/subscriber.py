"""Keeps one service's events coming: feeds the subscription machine, and does what it says.

Knows the clock, the HTTP exchange and the callback port; decides nothing. Sources: UDA 1.0-2.0 section 4, and what
:mod:`txigd.upnp.eventing.subscription` names; faults F04-F14, F51.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import AddressingError, ConnectFailed, Stopped, SubscriptionError
from txigd.interfaces import IExchange
from txigd.limits import EVENT_CALLBACK_SECONDS, HTTP_TOTAL_SECONDS, SOAP_OCTETS, SUBSCRIBE_SECONDS, UNSUBSCRIBE_SECONDS
from txigd.upnp import addressing
from txigd.upnp.description.device import Service
from txigd.upnp.eventing import subscription
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.eventing.callback_paths import CallbackPath
from txigd.upnp.eventing.gena import (
    Envelope,
    read_grant,
    renew_headers,
    subscribe_headers,
    unsubscribe_headers,
)
from txigd.upnp.eventing.pace import NEVER, Pace
from txigd.upnp.eventing.sequence import Deliver, ReadState
from txigd.upnp.eventing.subscription_facts import (
    Abandon,
    Close,
    Command,
    Doubted,
    Fact,
    Failed,
    Granted,
    Moved,
    Notified,
    Rebooted,
    Refused,
    Renew,
    Start,
    Stop,
    Subscribe,
    Tick,
    Unsubscribe,
)
from txigd.upnp.eventing.subscription_memory import Memory, next_due
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import IPAddress
from txigd.waiting import Waiting

_log = log.logger("txigd.eventing")


class Subscriber:
    """The events of one service.

    :param on_values: called with the values (text, by variable name) and whether they are all the evented ones; in a
        later reactor turn than the NOTIFY, at most once a second in the long run (F13).
    :param on_state: called when :attr:`state` changes.
    :param on_read: called with a reason when events were lost or did not come, so the state must be read by action
        (F04, F07, Q158); at most once a second.
    :param variables: the names that the service description gives, for their spelling (Q176).
    :param peers: further addresses from which the device may call (Q192).
    :param seconds: budget of each SUBSCRIBE.
    :param address_towards: our own address on the way to a host, see :func:`txigd.upnp.addressing.address_towards`.
    :param chance: a random number in [0, 1), for the renewal's jitter.
    :ivar counters: what was sent and what went wrong, by name.
    :ivar problems: what is worth telling the user, each once.
    """

    def __init__(
        self,
        clock: IReactorTime,
        exchange: IExchange,
        callback_server: CallbackServer,
        service: Service,
        on_values: Callable[[dict[str, str], bool], object],
        on_state: Callable[[str], object],
        *,
        on_read: Callable[[str], object] = lambda reason: None,
        variables: Iterable[str] = (),
        peers: Iterable[IPAddress] = (),
        seconds: float = HTTP_TOTAL_SECONDS,
        address_towards: Callable[[IPAddress], IPAddress] = addressing.address_towards,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.problems: tuple[str, ...] = ()
        self._clock = clock
        self._exchange = exchange
        self._server = callback_server
        self._service = service
        self._on_values = on_values
        self._on_state = on_state
        self._on_read = on_read
        self._variables = tuple(variables)
        self._peers = tuple(peers)
        self._seconds = seconds
        self._address_towards = address_towards
        self._chance = chance
        self._memory = Memory()
        self._shown = self._memory.state
        self._paths: dict[int, CallbackPath] = {}
        self._in_flight: Deferred[Any] | None = None
        self._farewells: set[Deferred[Any]] = set()
        self._waiting: Waiting[None] = Waiting()
        self._due: IDelayedCall | None = None
        self._pace = Pace()
        self._read_reason = ""
        self._read_next = -NEVER
        self._handing: IDelayedCall | None = None

    # -- for the owner -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``subscribing``, ``subscribed``, ``refused``, ``failed`` or ``stopped``."""
        return self._shown

    def start(self) -> None:
        """Subscribe, and stay subscribed until :meth:`stop`. A service without events is refused at once (F06)."""
        self._tell(Start())

    def reboot(self) -> None:
        """The device restarted or we were asleep: subscribe afresh, the old subscription is void (Q182, Q183)."""
        self._tell(Rebooted())

    def rebind(self) -> None:
        """Our own address changed: subscribe afresh from the new one (F14)."""
        self._tell(Moved())

    def verify(self) -> None:
        """Renew now: the answer tells whether the device is there and still knows the subscription."""
        self._tell(Doubted())

    def stop(self) -> Deferred[None]:
        """Cancel the subscription.

        :return: a new Deferred that fires within two seconds, and never fails (F51).
        """
        self._tell(Stop())
        for call in (self._due, self._handing):
            if call is not None and call.active():
                call.cancel()
        self._pace.clear()
        self._read_reason = ""
        if not self._farewells:
            return succeed(None)
        return self._waiting.add()

    # -- the machine ---------------------------------------------------------------------------------------------------

    def _tell(self, fact: Fact) -> None:
        if self._service.event_url is None:
            self._problem("the service has no event URL")
            self._show("stopped" if isinstance(fact, Stop) else "refused")
            return
        self._memory, commands = subscription.step(self._memory, fact, self._clock.seconds(), self._chance())
        for command in commands:
            self._DOINGS[type(command)](self, command)
        self._show(self._memory.state)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._due is not None and self._due.active():
            self._due.cancel()
        due = next_due(self._memory)
        if due < NEVER:
            self._due = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._tell, Tick())

    def _show(self, state: str) -> None:
        if state != self._shown:
            self._shown = state
            self._call(self._on_state, state)

    def _call(self, callback: Callable[..., object], *arguments: object) -> None:
        """An application's error is logged, and changes nothing here (F60)."""
        try:
            callback(*arguments)
        except Exception:
            _log.failure("an event callback failed")

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems = (*self.problems[-7:], text)
            name = self._service.service_id
            _log.warn("events of {service!r} at {url!r}: {text}", service=name, url=self._url, text=text)

    # -- requests ------------------------------------------------------------------------------------------------------

    @property
    def _url(self) -> str:
        return str(self._service.event_url)

    def _subscribe(self, command: Subscribe) -> None:
        url, epoch = self._service.event_url, command.epoch
        assert url is not None
        try:
            path = self._server.open(
                self._address_towards(url.host),
                peers=(url.host, *self._peers),
                admits=lambda sid: self._memory.admits(epoch, sid),
                on_notify=lambda envelope, values: self._notified(epoch, envelope, values),
                names=self._variables,
            )
        except (AddressingError, Stopped) as error:
            self._fail_later(epoch, ConnectFailed(str(error)))
            return
        self._paths[epoch] = path
        self._send(epoch, subscribe_headers(path.url, SUBSCRIBE_SECONDS), "")

    def _fail_later(self, epoch: int, error: ConnectFailed) -> None:
        """A request that could not even be sent fails like one that found no connection."""
        call = self._clock.callLater(0, lambda: attempt.errback(error))
        attempt: Deferred[None] = Deferred(lambda _: call.cancel())
        attempt.addErrback(self._answered, epoch)
        self._in_flight = attempt

    def _renew(self, command: Renew) -> None:
        self._send(command.epoch, renew_headers(command.sid, SUBSCRIBE_SECONDS), command.sid)

    def _send(self, epoch: int, headers: list[tuple[str, str]], renewing: str) -> None:
        self.counters["renew" if renewing else "subscribe"] += 1
        answer: Deferred[Reply] = self._exchange.request(
            "SUBSCRIBE", self._service.event_url, headers, body_cap=SOAP_OCTETS, seconds=self._seconds
        )
        self._in_flight = answer
        answer.addCallback(lambda reply: Granted(epoch, read_grant(reply, renewing=renewing)))
        answer.addCallbacks(self._settled, self._answered, errbackArgs=(epoch,))

    def _settled(self, fact: Fact) -> None:
        self._in_flight = None
        self._tell(fact)

    def _answered(self, failure: Failure, epoch: int) -> None:
        """A refusal or a failure becomes a fact, unless the machine itself gave the request up."""
        error = failure.value
        if isinstance(error, CancelledError) and self._in_flight is None:
            return
        if isinstance(error, SubscriptionError):
            self.counters["refused"] += 1
            self._problem(str(error))
            self._settled(Refused(epoch, error.status))
            return
        self.counters["failed"] += 1
        self._problem(f"{type(error).__name__}: {error}")
        self._settled(Failed(epoch, reached=not isinstance(error, ConnectFailed)))

    def _unsubscribe(self, command: Unsubscribe) -> None:
        """Say farewell within two seconds; whatever is answered, it is done (Q181)."""
        self.counters["unsubscribe"] += 1
        headers = unsubscribe_headers(command.sid)
        answer: Deferred[Any] = self._exchange.request(
            "UNSUBSCRIBE", self._service.event_url, headers, body_cap=SOAP_OCTETS, seconds=UNSUBSCRIBE_SECONDS
        )
        self._farewells.add(answer)
        answer.addTimeout(UNSUBSCRIBE_SECONDS, self._clock)

        def over(_: object) -> None:
            self._farewells.discard(answer)
            if not self._farewells:
                self._waiting.fire(None)

        answer.addBoth(over)

    def _abandon(self, command: Abandon) -> None:
        answer, self._in_flight = self._in_flight, None
        if answer is not None:
            answer.cancel()

    def _close(self, command: Close) -> None:
        path = self._paths.pop(command.epoch, None)
        if path is not None:
            path.close()

    # -- events --------------------------------------------------------------------------------------------------------

    def _notified(self, epoch: int, envelope: Envelope, values: Mapping[str, str] | None) -> None:
        self.counters["notify"] += 1
        self._tell(Notified(epoch, envelope.sid, envelope.seq, values))

    def _deliver(self, command: Deliver) -> None:
        self._pace.add(command.values, command.initial)
        self._hand_over_later()

    def _read(self, command: ReadState) -> None:
        self.counters["read"] += 1
        if command.reason == "no initial event":
            self._problem("subscribed, but no event came: is the callback port reachable from the device? (Q173)")
        self._read_reason = self._read_reason or command.reason
        self._hand_over_later()

    def _hand_over_later(self) -> None:
        due = min(self._pace.due(), self._read_next if self._read_reason else NEVER)
        if self._memory.phase == "stopped" or due == NEVER:
            return
        if self._handing is not None and self._handing.active():
            if self._handing.getTime() <= due:
                return
            self._handing.cancel()
        self._handing = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._hand_over)

    def _hand_over(self) -> None:
        now = self._clock.seconds()
        batch = self._pace.take(now)
        if batch is not None:
            self._call(self._on_values, *batch)
        if self._read_reason and now >= self._read_next:
            reason, self._read_reason, self._read_next = self._read_reason, "", now + EVENT_CALLBACK_SECONDS
            self._call(self._on_read, reason)
        self._hand_over_later()

    _DOINGS: dict[type[Command], Callable[[Subscriber, Any], None]] = {
        Subscribe: _subscribe,
        Renew: _renew,
        Unsubscribe: _unsubscribe,
        Abandon: _abandon,
        Close: _close,
        Deliver: _deliver,
        ReadState: _read,
    }
