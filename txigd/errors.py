"""Every error that txigd raises: one family, each docstring the sentence that a user reads."""

from __future__ import annotations


class TxigdError(Exception):
    """Something in txigd failed."""

    def __str__(self) -> str:
        text = super().__str__()
        return text or (type(self).__doc__ or type(self).__name__).splitlines()[0]


class InvalidArgument(TxigdError):
    """The caller's own argument is not one that may be sent to a gateway."""


class BadURL(TxigdError):
    """The URL breaks the rules for a device's URL."""


class BadMessage(TxigdError):
    """The bytes received are not a message of the protocol.

    ``reason`` is a short word for the counter of dropped messages.
    """

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason


class DescriptionError(TxigdError):
    """The device or service description cannot be used."""


class AddressingError(TxigdError):
    """No usable link or local address."""


class ExchangeError(TxigdError):
    """The HTTP exchange with the device failed."""


class ConnectFailed(ExchangeError):
    """The device did not accept the connection."""


class ExchangeTimeout(ExchangeError):
    """The device did not answer in time.

    ``asked`` is whether the request had been sent by then, so that it may have been carried out.
    """

    def __init__(self, text: str = "", *, asked: bool = True) -> None:
        super().__init__(text)
        self.asked = asked


class ReplyTooLarge(ExchangeError):
    """The device sent more than the limit for this kind of reply."""


class ReplyRefused(ExchangeError):
    """The device's reply uses a feature that txigd refuses (redirect, content coding)."""


class BadReply(ExchangeError):
    """The device's reply is no HTTP reply, or not the one that was asked for."""


class HTTPStatusError(ExchangeError):
    """The device answered with an HTTP error status and no UPnP error.

    ``status`` is the HTTP status, ``excerpt`` the first printable characters of the body.
    """

    def __init__(self, status: int, excerpt: str = "") -> None:
        super().__init__(f"HTTP status {status}" + (f": {excerpt}" if excerpt else ""))
        self.status = status
        self.excerpt = excerpt


class ActionError(TxigdError):
    """The device refused the action with a UPnP error.

    ``code`` is the errorCode, ``name`` its standard name (or "vendor" or "unknown"), ``text`` what the device said.
    """

    def __init__(self, code: int, name: str, text: str, action: str = "") -> None:
        said = f" ({text})" if text and text.replace(" ", "").lower() != name.replace(" ", "").lower() else ""
        super().__init__(f"{action + ': ' if action else ''}error {code} {name}{said}")
        self.code = code
        self.name = name
        self.text = text
        self.action = action


class ActionNotOffered(TxigdError):
    """The service offers no such action."""


class NoService(TxigdError):
    """The device offers no such service."""


class SubscriptionError(TxigdError):
    """The device refused the subscription.

    ``status`` is the HTTP status, or 0 where the reply itself was unusable.
    """

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text or f"SUBSCRIBE answered with HTTP status {status}")
        self.status = status


class NotificationRefused(TxigdError):
    """The NOTIFY is not one that may be accepted.

    ``status`` is the HTTP status of the answer (UDA 4.2), ``reason`` a short word for the counter.
    """

    def __init__(self, status: int, reason: str, text: str = "") -> None:
        super().__init__(text or f"NOTIFY answered with HTTP status {status}: {reason}")
        self.status = status
        self.reason = reason


class NoGateway(TxigdError):
    """No gateway answered."""


class NotAGateway(TxigdError):
    """The device that answered is no Internet gateway."""


class NoConnection(TxigdError):
    """The gateway offers no WAN connection service."""


class NoFirewall(TxigdError):
    """The gateway cannot be asked for IPv6 pinholes."""


class MappingError(TxigdError):
    """The port mapping cannot be made."""


class MappingConflict(MappingError):
    """The external port is in use by another mapping that is not ours."""


class MappingRefused(MappingError):
    """The gateway refuses the port mapping."""


class MappingReleased(MappingError):
    """The port mapping was released before it became active."""


class JournalDamaged(TxigdError):
    """The octets are no journal that this version wrote."""


class AlreadyRunning(TxigdError):
    """Another txigd on this host uses the same state file."""


class WaitTimeout(TxigdError):
    """What was waited for did not happen in time."""


class Stopped(TxigdError):
    """The control point was stopped."""


class BadReport(TxigdError):
    """The file is no support report that this version of txigd can read."""
