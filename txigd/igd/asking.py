"""A question to a service that may not know the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from txigd.errors import ActionError, ActionNotOffered, BadReply, HTTPStatusError
from txigd.upnp.control.action import ServiceProxy

T = TypeVar("T")


async def ask(proxy: ServiceProxy, action: str, call: Callable[[], Deferred[T]]) -> T | None:
    """What ``call`` answers, or None where the gateway has no answer to it (Q151, Q153).

    An action that was refused as not there (401, 602) is not asked for again.

    :param action: wire name of what ``call`` calls.
    :raises ExchangeError: where the gateway itself does not answer.
    """
    if proxy.capabilities.get(action) == "refused":
        return None
    try:
        return await call()
    except (ActionError, ActionNotOffered, HTTPStatusError, BadReply):
        return None
