"""What a subscription is told (facts) and what it asks to be done (commands). Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from txigd.upnp.eventing.gena import Grant
from txigd.upnp.eventing.sequence import Deliver, ReadState

SUBSCRIPTION_LOST: Final = "the subscription was lost"  # a reason to read: the device forgot us, it may have restarted

# -- facts -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Subscribe, and stay subscribed."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The SUBSCRIBE or renewal of this epoch was accepted."""

    epoch: int
    grant: Grant


@dataclass(frozen=True, slots=True)
class Refused:
    """The SUBSCRIBE or renewal of this epoch was answered with an HTTP error, or accepted unusably (status 0)."""

    epoch: int
    status: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer. ``reached`` is false where no connection came about, so the device never saw the request."""

    epoch: int
    reached: bool


@dataclass(frozen=True, slots=True)
class Notified:
    """A NOTIFY was answered 200 on the path of this epoch; the values are None where they could not be read."""

    epoch: int
    sid: str
    seq: int | None
    values: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The device restarted, or was away: its subscriptions are void (Q182, Q183)."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Our own address changed (F14), or we slept (F18): the subscription is of no use; the device may still hold it."""


@dataclass(frozen=True, slots=True)
class Doubted:
    """Somebody wants to know whether the device is there and still knows the subscription."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The end."""


Fact = Start | Granted | Refused | Failed | Notified | Tick | Rebooted | Moved | Doubted | Stop

# -- commands ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Open a callback path for this epoch, then send SUBSCRIBE."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Send the renewal."""

    epoch: int
    sid: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Send UNSUBSCRIBE; whatever is answered, it is done (Q181)."""

    sid: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Cancel the SUBSCRIBE or renewal in flight; its answer is no fact."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the callback path of this epoch."""

    epoch: int


Command = Subscribe | Renew | Unsubscribe | Abandon | Close | Deliver | ReadState
Commands = tuple[Command, ...]
