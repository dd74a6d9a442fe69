"""What a user may try after a failure: the second half of each line on standard error. Pure; loads no Twisted."""

from __future__ import annotations

from txigd.errors import (
    ActionError,
    ActionNotOffered,
    AddressingError,
    ConnectFailed,
    DescriptionError,
    ExchangeError,
    ExchangeTimeout,
    MappingConflict,
    MappingError,
    NotAGateway,
    TxigdError,
)

MORE_TIME = "try --timeout 60"
DISCOVER = "'txigd discover' shows which gateways answer"
_DEVICE = "are address and port right, and is it switched on? 'txigd discover' shows the URLs of gateways"
_OTHER = "is this the URL of a device description? 'txigd discover' shows those of gateways"
_AFTER: tuple[tuple[type[TxigdError], str], ...] = (  # the first that fits
    (NotAGateway, DISCOVER),
    (MappingConflict, "EXTERNAL 'any' takes another port"),
    (MappingError, "'txigd status -v' shows what the gateway can, 'txigd list' what is mapped"),
)
_AFTER_DEVICE: tuple[tuple[type[TxigdError], str], ...] = (
    (ConnectFailed, _DEVICE),
    (ExchangeTimeout, MORE_TIME),
    (ExchangeError, _OTHER),
    (DescriptionError, _OTHER),
    (ActionError, "'txigd describe URL' shows what each action takes"),
)
_AFTER_CALL: tuple[tuple[type[TxigdError], str], ...] = (
    (ConnectFailed, "'txigd describe URL' shows where it says that it listens"),
    (ExchangeTimeout, MORE_TIME),
)


def after(error: TxigdError, *, url: str | None = None, described: bool = False) -> str:
    """The sentence and the next step, if there is one.

    :param url: of the device that was named, where a command talks to any device.
    :param described: whether its description was read: then the URL is right, and what failed came later.
    """
    text = str(error).rstrip(".")
    table = _AFTER if url is None else _AFTER_CALL if described else _AFTER_DEVICE
    cause = error.__cause__ if isinstance(error, ActionNotOffered) else error  # a description that was not to be had
    step = next((words for kind, words in table if isinstance(cause, kind)), "")
    if url is not None and isinstance(error, (ExchangeError, DescriptionError)):
        text = f"{url}: {text}"
    return f"{text}; {step}" if step else text


def after_no_gateway(named: str | None, *, network: bool = True, reason: BaseException | None = None) -> str:
    """What a user may try who got no gateway.

    :param named: what ``--gateway`` says.
    :param network: whether this host has a link that can be used.
    :param reason: why the named one was not reached, where that is known.
    """
    if not network:
        return "connect it; 'ip address' shows its links"
    if named is None:
        return "try --timeout 15, or --gateway with the router's address or URL"
    if "://" in named:
        return DISCOVER
    if isinstance(reason, AddressingError):
        return "name that link with --link, or the URL of its description with --gateway"
    return "is UPnP switched on there? If its description has a known URL, try --gateway URL"
