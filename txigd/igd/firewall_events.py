"""The events of an IPv6 firewall: subscribed to while there are pinholes, which are looked at when they tell a change.

Knows the pinholes and the firewall; values are compared, never believed: each pinhole asks for itself.
Sources: WANIPv6FirewallControl:1 (FirewallEnabled, InboundPinholeAllowed), quirks Q196, Q197.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from txigd import log
from txigd.errors import InvalidArgument, Stopped
from txigd.igd.firewall import Firewall
from txigd.igd.last_told import LastTold
from txigd.igd.pinholes import Pinholes
from txigd.interfaces import IMappingObserver
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.service_events import Event

_log = log.logger("txigd.firewall")


@implementer(IMappingObserver)
class FirewallEvents:
    """What a firewall tells by itself.

    :param pinholes: looked at anew after each change; more sets may :meth:`join`.
    :param firewall: the one that they are held in.
    """

    def __init__(self, pinholes: Pinholes, firewall: Firewall) -> None:
        self._sets: list[Pinholes] = []
        self._firewall = firewall
        self._wanted = False
        self._remote: RemoteService | None = None
        self._forget: Callable[[], None] = _nothing
        self._last = LastTold()
        self.join(pinholes)

    @property
    def eventing(self) -> dict[str, str]:
        """State of the subscription by the name of the service; empty while there is none."""
        return {} if self._remote is None else {self._remote.name: self._remote.eventing}

    def join(self, pinholes: Pinholes) -> None:
        """These are held there as well from now on."""
        self._sets.append(pinholes)
        pinholes.observe(self)
        self._follow()

    def leave(self, pinholes: Pinholes) -> None:
        """They are held there no more."""
        self._sets.remove(pinholes)
        pinholes.forget(self)
        self._follow()

    def begin(self) -> None:
        """The gateway was described, perhaps anew: hear it as soon as there is a pinhole."""
        self._wanted = True
        self._follow()

    def end(self) -> None:
        """Hear nothing until the next :meth:`begin`."""
        self._wanted = False
        self._follow()

    def mapping_changed(self, held: object, old: object, new: object) -> None:
        """A pinhole came or went, or the gateway showed its firewall meanwhile."""
        self._follow()

    # -- inside ------------------------------------------------------------------------------------------------------
    def _follow(self) -> None:
        held = self._wanted and any(not one.leaving for pinholes in self._sets for one in pinholes)
        remote = self._firewall.evented() if held else None
        if remote is self._remote:
            return
        forget, self._forget = self._forget, _nothing
        self._remote = None
        self._last.forget()
        forget()
        if remote is None:
            return
        try:
            self._forget = remote.observe_events(
                self._evented, on_missed=lambda reason: self._recheck(), on_state=self._told
            )
        except (Stopped, InvalidArgument):
            return  # the pinholes are looked at every minute
        self._remote = remote

    def _evented(self, event: Event) -> None:
        """The first event tells how it is, which each pinhole has asked for; any other one a change."""
        first = not self._last
        if self._last.take(event.values) and not first:
            self._recheck()

    def _recheck(self) -> None:
        for pinholes in self._sets:
            pinholes.recheck()

    def _told(self, state: str) -> None:
        _log.debug("events of the IPv6 firewall: {state}", state=state)


def _nothing() -> None:
    """There is nothing to end."""
