"""The publisher's side of eventing: subscriptions, their rules, and the delivery of events. Thin.

Knows services by key and values as text, not what they mean. One NOTIFY per subscription is in flight at a time, each
on a connection of its own; nothing is moderated and nothing is dropped but by an over-full queue.
Sources: UDA 1.0-2.0 section 4, the 2020 rule about CALLBACK.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import SubscriptionError
from txigd.limits import HTTP_CONNECT_SECONDS, SIMULATED_EVENTS, SIMULATED_NOTIFY_SECONDS, SIMULATED_SUBSCRIBERS
from txigd.testing.faults import GARBAGE, Faults
from txigd.testing.quirks import Played
from txigd.upnp.eventing import gena
from txigd.upnp.url import DeviceURL, IPAddress, with_zone

_log: Final = log.logger("txigd.testing")
RETRY_SECONDS: Final = (1.0, 2.0)  # then the event is given up; its SEQ shows the gap
LONGEST_SECONDS: Final = 86_400
SWAPPED_SECONDS: Final = 0.3  # how long an event waits for the one that is to leave before it (Q162)


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber of one service; ``expires`` is on the gateway's clock, ``delivered`` counts accepted events."""

    sid: str
    service: str
    callbacks: tuple[DeviceURL, ...]
    expires: float
    next_seq: int = 0
    delivered: int = 0
    waiting: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=SIMULATED_EVENTS))
    sending: defer.Deferred[None] | None = None
    held: tuple[int, bytes] | None = None


class Publisher:
    """All subscriptions of one gateway.

    :param clock: tells the time and makes the timers.
    :param addresses: those of the gateway, one of a family; NOTIFYs come from the one of the callback's family.
    :param granted_seconds: what every subscription is granted; None for what was asked.
    :param played: the habits of this gateway.
    :param multicast: sends an event to the multicast groups as well: the service and the values (Q184).
    """

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        faults: Faults,
        *,
        addresses: Collection[IPAddress],
        granted_seconds: int | None = None,
        played: Played | None = None,
        multicast: Callable[[str, Mapping[str, str]], None] = lambda service, values: None,
    ) -> None:
        self._played = played or Played()
        self._traits = self._played.traits
        self._reactor = reactor
        self._clock = clock
        self._faults = faults
        self._addresses = {address.version: address for address in addresses}
        self._multicast = multicast
        self._granted_seconds = granted_seconds
        self._subscriptions: dict[str, Subscription] = {}
        self._sent: dict[str, dict[str, str]] = {}
        self._open: set[_NotifyFactory] = set()

    @property
    def subscribers(self) -> tuple[Subscription, ...]:
        """The live subscriptions."""
        self._prune()
        return tuple(self._subscriptions.values())

    @property
    def busy(self) -> bool:
        """Whether a NOTIFY waits for its answer."""
        return bool(self._open)

    def subscribe(self, service: str, headers: gena.Headers, sender: IPAddress) -> tuple[Subscription, int, bool]:
        """A SUBSCRIBE request.

        :return: the subscription, the seconds granted, and whether it is new and so owed an initial event
            (:meth:`greet`, after the answer).
        :raises SubscriptionError: 400, 412 or 503, to be answered.
        """
        self._prune()
        request = gena.read_subscribe(headers, sender=sender)
        asked = self._granted_seconds or request.seconds
        seconds = max(1, min(asked, LONGEST_SECONDS))
        if request.sid:
            found = self._find(request.sid, service)
            found.expires = self._clock.seconds() + seconds
            return self._renewed(found), seconds, "renewal is a subscription" in self._traits
        if len(self._subscriptions) >= SIMULATED_SUBSCRIBERS:
            raise SubscriptionError(503)
        made = Subscription(self._sid(), service, request.callbacks, self._clock.seconds() + seconds)
        self._subscriptions[made.sid] = made
        return made, seconds, True

    def _sid(self) -> str:
        return uuid.uuid4().hex if "plain SID" in self._traits else f"uuid:{uuid.uuid4()}"

    def _renewed(self, found: Subscription) -> Subscription:
        """The same, the same under another SID (Q166), or one more (Q169)."""
        if "renewal is a subscription" in self._traits:
            found = Subscription(self._sid(), found.service, found.callbacks, found.expires)
        elif "new SID on renewal" in self._traits:
            del self._subscriptions[found.sid]
            found.sid = self._sid()
        self._subscriptions[found.sid] = found
        return found

    def unsubscribe(self, service: str, headers: gena.Headers) -> None:
        """An UNSUBSCRIBE request. :raises SubscriptionError: 400 or 412."""
        self._prune()
        self._drop(self._find(gena.read_unsubscribe(headers), service))

    def greet(self, subscription: Subscription, values: Mapping[str, str]) -> None:
        """Send the initial event with all evented variables."""
        if "no initial event" not in self._traits:
            self._queue(subscription, values)

    def publish(self, service: str, values: Mapping[str, str], *, silent: bool = False) -> None:
        """Tell the subscribers which of these values are new; none, and nothing is sent.

        The first time, and when ``silent``, nobody is told.
        """
        before = self._sent.get(service, {})
        changed = {name: value for name, value in values.items() if before.get(name) != value}
        self._sent[service] = dict(values)
        if not changed or not before or silent:
            return
        self._multicast(service, changed)
        for subscription in self.subscribers:
            if subscription.service == service:
                self._queue(subscription, changed)

    def forget(self) -> defer.Deferred[None]:
        """Lose all subscriptions without a word, as in a reboot; fires when no connection is open."""
        for subscription in tuple(self._subscriptions.values()):
            self._drop(subscription)
        self._sent.clear()
        return defer.DeferredList([factory.done for factory in self._open]).addCallback(lambda _: None)

    def _find(self, sid: str, service: str) -> Subscription:
        found = self._subscriptions.get(sid)
        if found is None or found.service != service:
            raise SubscriptionError(412, "unknown SID")
        return found

    def _prune(self) -> None:
        now = self._clock.seconds()
        for subscription in tuple(self._subscriptions.values()):
            if subscription.expires <= now:
                self._drop(subscription)

    def _drop(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription.sid, None)
        subscription.waiting.clear()
        if subscription.sending is not None:
            subscription.sending.cancel()

    # -- delivery --------------------------------------------------------------------------------------------------

    def _queue(self, subscription: Subscription, values: Mapping[str, str]) -> None:
        if "one at a time" in self._traits and subscription.sending is not None:
            return
        seq = subscription.next_seq
        subscription.next_seq = gena.following(seq)
        if "gaps" in self._traits and seq % 2:
            return
        fault = self._faults.take("NOTIFY")
        if fault == "skip":
            return
        body = gena.propertyset(values)
        if fault is not None and fault != "twice":
            body = fault if isinstance(fault, bytes) else GARBAGE
        if "out of order" in self._traits and seq:
            self._swap(subscription, seq, body)
            return
        subscription.waiting.extend([(seq, body)] * (2 if fault == "twice" else 1))
        self._go_on(subscription)

    def _swap(self, subscription: Subscription, seq: int, body: bytes) -> None:
        """Let this event wait for the next one, or leave before the one that waits (Q162)."""

        def alone() -> None:
            held, subscription.held = subscription.held, None
            if held is not None and subscription.sid in self._subscriptions:
                subscription.waiting.append(held)
                self._go_on(subscription)

        if subscription.held is None:
            subscription.held = seq, body
            self._clock.callLater(SWAPPED_SECONDS, alone)
        else:
            subscription.waiting.append((seq, body))
            alone()

    def _go_on(self, subscription: Subscription) -> None:
        if subscription.sending is None and subscription.waiting:
            subscription.sending = defer.ensureDeferred(self._deliver(subscription))
            subscription.sending.addErrback(self._gave_up)

    def _gave_up(self, failure: Failure) -> None:
        if not isinstance(failure.value, defer.CancelledError):
            _log.failure("an event could not be sent", failure)

    async def _deliver(self, subscription: Subscription) -> None:
        try:
            while subscription.waiting and subscription.sid in self._subscriptions:
                seq, body = subscription.waiting.popleft()
                status = await self._send(subscription, seq, body)
                failed = not 200 <= status < 300 and "drops who failed" in self._traits
                if status == 412 or failed:
                    self._subscriptions.pop(subscription.sid, None)
                    subscription.waiting.clear()
                elif 200 <= status < 300:
                    subscription.delivered += 1
        finally:
            subscription.sending = None

    async def _send(self, subscription: Subscription, seq: int, body: bytes) -> int:
        """Send one event: every CALLBACK in its order, all again after a pause. 0 where nobody answered."""
        pauses = () if "drops who failed" in self._traits else RETRY_SECONDS
        for pause in (*pauses, None):
            for callback in subscription.callbacks:
                status = await self._post(callback, gena.notify_headers(subscription.sid, seq), body)
                if status:
                    return status
            if pause is not None:
                await _sleep(self._clock, pause)
        return 0

    def _post(self, url: DeviceURL, headers: list[tuple[str, str]], body: bytes) -> defer.Deferred[int]:
        fields = [("HOST", url.authority), *headers, ("CONTENT-LENGTH", str(len(body))), ("CONNECTION", "close")]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        message = f"NOTIFY {url.target} HTTP/1.1\r\n{head}\r\n".encode() + body
        factory = _NotifyFactory(self._played.notify(message))
        address = self._addresses[url.host.version]  # a subscriber's callback is of the family that it came by
        connector = self._reactor.connectTCP(
            str(with_zone(url.host, getattr(address, "scope_id", None) or "")),
            url.port,
            factory,
            timeout=HTTP_CONNECT_SECONDS,
            bindAddress=(str(address), 0),
        )
        deadline = self._clock.callLater(SIMULATED_NOTIFY_SECONDS, connector.disconnect)

        def abandon(_: object) -> None:
            factory.abandoned = True
            connector.disconnect()

        outcome: defer.Deferred[int] = defer.Deferred(abandon)
        self._open.add(factory)

        def finished(status: int) -> int:
            self._open.discard(factory)
            if deadline.active():
                deadline.cancel()
            if not outcome.called and not factory.abandoned:  # else it would be sent again after a pause
                outcome.callback(status)
            return status

        factory.done.addCallback(finished)
        return outcome


def _sleep(clock: Any, seconds: float) -> defer.Deferred[None]:
    waiting: defer.Deferred[None] = defer.Deferred(lambda _: call.cancel())
    call = clock.callLater(seconds, waiting.callback, None)
    return waiting


class _NotifyFactory(ClientFactory):
    """One NOTIFY; ``done`` fires with the status once the connection is gone, 0 where there was none."""

    noisy = False

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.status = 0
        self.abandoned = False
        self.done: defer.Deferred[int] = defer.Deferred()

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Notify(self)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._finish()

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self._finish()

    def _finish(self) -> None:
        if not self.done.called:
            self.done.callback(self.status)


class _Notify(Protocol):
    """Writes the message and reads the status line of the answer."""

    _LINE_OCTETS: Final = 1024

    def __init__(self, factory: _NotifyFactory) -> None:
        self._mine = factory
        self._heard = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._mine.message)
        if b"\r\ncontent-length:" not in self._mine.message.lower():  # then its end is where we stop (Q178)
            self.transport.loseWriteConnection()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self._heard = (self._heard + data)[: self._LINE_OCTETS]
        line, end, _ = self._heard.partition(b"\n")
        if end or len(self._heard) >= self._LINE_OCTETS:
            parts = line.split(None, 2)
            if len(parts) >= 2 and parts[0].startswith(b"HTTP/") and parts[1].isdigit():
                self._mine.status = int(parts[1][:3])
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._heard = b""
