"""What a busy machine needs: a pause in which the reactor surely turns, and time to end."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater

from txigd.limits import FAREWELL_SECONDS

TURNS = 10
# A farewell has an end, whatever the gateway does; and a busy machine takes its time to end a process.
ENDED_SECONDS = FAREWELL_SECONDS + 10


async def rest(reactor: Any, seconds: float) -> None:
    """Let what is on its way over loopback arrive.

    One long timer may be due before the sockets are looked at; a stall eats one of these turns, not all of them.
    """
    for _ in range(TURNS):
        await deferLater(reactor, seconds / TURNS)
