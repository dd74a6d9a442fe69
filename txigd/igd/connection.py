"""One WAN connection service of a gateway: its state and its port-mapping table, by action."""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.internet.defer import Deferred

from txigd.errors import (
    ActionError,
    ActionNotOffered,
    ConnectFailed,
    ExchangeError,
    ExchangeTimeout,
    HTTPStatusError,
    InvalidArgument,
    TxigdError,
)
from txigd.igd.lease_facts import Added, Deleted, Denied, Fact, Failed, Found, Missing, Reserved
from txigd.igd.mapping import TAG_PREFIX, PortMapping, PortMappingEntry
from txigd.igd.own_range import own_range
from txigd.igd.port_table import NO_ENTRY, PortTable, entry_of
from txigd.igd.read_back import REFUSED, SILENCE, ReadBack
from txigd.igd.status import Learned, Reading
from txigd.upnp.control.action import INVALID_ARGS, ServiceProxy

_NONE_TO_DELETE = NO_ENTRY | {402}  # Q135
_UPTIMES = 2**31  # more is a negative number in disguise (Q150)


class Connection:
    """A WANIPConnection or WANPPPConnection, any version.

    :param proxy: calls the actions of that service.
    :param local_address: this host's address towards the gateway: the internal client of its mappings.
    :param udn: names the gateway in the journal, and which of its connections this is.
    :ivar line_up: whether the line was up and had an address when it was read last; None where nobody knows.
    :ivar hidden: whether it was up, and no address was told: miniupnpd tells none that is private (F27).
    """

    def __init__(
        self,
        proxy: ServiceProxy,
        local_address: ipaddress.IPv4Address | ipaddress.IPv6Address,
        *,
        udn: str = "",
    ) -> None:
        self.proxy = proxy
        self.local_address = local_address
        self.udn = udn
        self.line_up: bool | None = None
        self.hidden = False
        self._read_back = ReadBack(proxy)
        self._odd: tuple[str | None, str | None] | None = None  # answers that disagree, and not for a moment only

    @property
    def name(self) -> str:
        """Service name and version, for example ``WANIPConnection:2``."""
        return f"{self.proxy.service.name}:{self.proxy.service.version}"

    @property
    def reserves(self) -> bool:
        """Whether it offers AddAnyPortMapping, as far as is known."""
        service = self.proxy.service
        offered = service.name == "WANIPConnection" and service.version >= 2
        return offered and self.proxy.capabilities.get("AddAnyPortMapping") != "refused"

    # -- state -----------------------------------------------------------------------------------------------------
    def read(self, *, is_default: bool = False) -> Deferred[Reading]:
        """Read status and external address.

        The line may fall or come up between the two answers: where they disagree, they are asked for once more. A
        refused action leaves its part of the reading None; the other part still counts (Q151).

        :return: errbacks with an :class:`txigd.errors.ExchangeError` when the gateway is silent, gave no usable answer
            to either action, or none to one that it answered before.
        """
        return Deferred.fromCoroutine(self._read(is_default))

    async def _read(self, is_default: bool) -> Reading:
        info = await self._try("GetStatusInfo")
        address = await self._try("GetExternalIPAddress")
        if isinstance(info, ExchangeError) and isinstance(address, ExchangeError):
            raise address
        reading = self._reading(info, address, is_default)
        if reading.disagrees and self._odd != (reading.connection_status, reading.external_ip):
            info = await self._again("GetStatusInfo", info)
            reading = self._reading(info, address, is_default)
            if reading.disagrees:
                reading = self._reading(info, await self._again("GetExternalIPAddress", address), is_default)
        self._odd = (reading.connection_status, reading.external_ip) if reading.disagrees else None
        status = reading.status(Learned.READ)
        self.line_up = status.usable if reading.answered else None
        self.hidden = (
            bool(reading.connection_status)
            and status.connected
            and reading.external_ip is not None
            and not reading.external_ip.strip()
        )
        return reading

    def _reading(
        self, info: dict[str, Any] | TxigdError, address: dict[str, Any] | TxigdError, is_default: bool
    ) -> Reading:
        told = info if isinstance(info, dict) else {}
        uptime = told.get("NewUptime")
        external = address.get("NewExternalIPAddress", "") if isinstance(address, dict) else None
        return Reading(
            service=self.name,
            connection_status=str(told["NewConnectionStatus"]) if told.get("NewConnectionStatus") is not None else None,
            external_ip=None if external is None else str(external),
            uptime_seconds=uptime if isinstance(uptime, int) and 0 <= uptime < _UPTIMES else None,
            last_error=str(told.get("NewLastConnectionError") or ""),
            is_default=is_default,
        )

    async def _again(self, action: str, before: dict[str, Any] | TxigdError) -> dict[str, Any] | TxigdError:
        told = await self._try(action)
        return before if isinstance(told, TxigdError) else told

    async def _try(self, action: str) -> dict[str, Any] | TxigdError:
        """Silence ends the reading, and so does nonsense from an action that works: neither is a word on the state."""
        try:
            return await self.proxy.call(action)
        except (ConnectFailed, ExchangeTimeout):
            raise
        except ExchangeError as error:
            if self.proxy.capabilities.get(action) == "works":
                raise
            return error
        except (ActionError, ActionNotOffered) as error:
            return error

    # -- the table ---------------------------------------------------------------------------------------------------
    async def read_entry(self, wanted: PortMapping, port: int, *, due: float | None = None) -> Fact:
        """Read the entry at an external port, by whatever action the gateway offers: Found, Missing, Unreadable where
        it offers none, or Failed.

        :param due: by when it should be done; what is due first goes first.
        """
        return await self.look(wanted.protocol, port, _remote(wanted), due=due)

    async def look(self, protocol: str, port: int, remote_host: str = "", *, due: float | None = None) -> Fact:
        """The same for any entry."""
        return await self._read_back.read(protocol, port, remote_host, due)

    async def add_entry(
        self,
        wanted: PortMapping,
        port: int,
        *,
        client: ipaddress.IPv4Address | ipaddress.IPv6Address,
        description: str,
        lease_seconds: int,
        due: float | None = None,
    ) -> Fact:
        """Send AddPortMapping: Added, Denied or Failed (also where the gateway is only unavailable, 503)."""
        arguments = _wish(wanted, port, client, description, lease_seconds)
        told = await self._change("AddPortMapping", arguments, due)
        return Added() if isinstance(told, dict) else told

    async def reserve_entry(
        self,
        wanted: PortMapping,
        port: int,
        *,
        client: ipaddress.IPv4Address | ipaddress.IPv6Address,
        description: str,
        lease_seconds: int,
    ) -> Fact:
        """Send AddAnyPortMapping: Reserved, Denied or Failed, as :meth:`add_entry`."""
        arguments = _wish(wanted, port, client, description, lease_seconds)
        told = await self._change("AddAnyPortMapping", arguments)
        if not isinstance(told, dict):
            return told
        reserved = told.get("NewReservedPort")
        if isinstance(reserved, int) and 1 <= reserved <= 65535:
            return Reserved(reserved)
        return Failed(f"AddAnyPortMapping answered with {reserved!r} for a port")  # B9

    async def _change(
        self, action: str, arguments: dict[str, Any], due: float | None = None
    ) -> dict[str, Any] | Denied | Failed:
        try:
            return await self.proxy.call(action, due=due, **arguments)
        except ActionError as error:
            return await self._denied(action, arguments, error)
        except (HTTPStatusError, ActionNotOffered, InvalidArgument) as error:
            busy = isinstance(error, HTTPStatusError) and error.status == 503
            return Failed(str(error)) if busy else Denied(0, str(error))
        except ExchangeError as error:
            return Failed(str(error))
        finally:
            self._read_back.wrote()

    async def _denied(self, action: str, arguments: dict[str, Any], error: ActionError) -> Denied:
        """What the refusal means; what it means by Invalid Args may stand in the gateway's own description."""
        text = error.text or error.name
        if error.code != INVALID_ARGS:
            return Denied(error.code, text)
        own = await self.proxy.own_description()
        ports = own_range(own, action, "NewExternalPort")
        if ports is not None and arguments["NewExternalPort"] not in ports:
            return Denied(error.code, f"{text}: it describes external ports {ports}", bad_port=True)
        leases, asked = own_range(own, action, "NewLeaseDuration"), arguments["NewLeaseDuration"]
        return Denied(error.code, text, other_lease=None if leases is None or asked in leases else leases.lease(asked))

    async def seek_entry(
        self, wanted: PortMapping, *, client: ipaddress.IPv4Address | ipaddress.IPv6Address, description: str
    ) -> Fact:
        """Look in the whole table for our entry of a mapping, at whatever port: Found, Missing, Unreadable, Failed.

        :param description: the tag that it was given; gateways may cut it.
        """
        table = PortTable(self.proxy)
        whole = wanted.protocol, 0, ""
        try:
            entries = await table.read()
        except SILENCE as error:
            return Failed(str(error))
        except REFUSED as error:
            return self._read_back.unread(whole, error)
        for entry in entries:
            leads = entry.protocol == wanted.protocol and entry.leads_to(client, wanted.internal_port)
            shown = entry.description.strip()
            if leads and entry.external_port and shown.startswith(TAG_PREFIX) and description.startswith(shown):
                return Found(entry)
        if table.broke_off is not None and not table.complete:
            return self._read_back.unread(whole, table.broke_off)
        self._read_back.was_read(whole)
        return Missing()

    async def delete_entry(self, wanted: PortMapping, port: int, *, due: float | None = None) -> Fact:
        """Send DeletePortMapping: Deleted, also where there is none; Denied where it is not ours to delete, 606 (Q135);
        or Failed."""
        try:
            await self._delete(wanted.protocol, port, _remote(wanted), due)
        except ActionError as error:
            if error.code == 606:
                return Denied(error.code, error.text or error.name)
            return Deleted(gone=error.code in _NONE_TO_DELETE)
        except (ActionNotOffered, InvalidArgument):
            return Deleted(gone=False)
        except ExchangeError as error:
            return Failed(str(error))
        return Deleted()

    def entry(self, protocol: str, port: int, remote_host: str = "") -> Deferred[PortMappingEntry]:
        """GetSpecificPortMappingEntry.

        :return: errbacks with :class:`txigd.errors.ActionError` 714 where there is none.
        """
        return Deferred.fromCoroutine(self._one(protocol, port, remote_host))

    async def _one(self, protocol: str, port: int, remote_host: str, due: float | None = None) -> PortMappingEntry:
        told = await self.proxy.call(
            "GetSpecificPortMappingEntry",
            due=due,
            NewRemoteHost=remote_host,
            NewExternalPort=port,
            NewProtocol=protocol,
        )
        return entry_of({**told, "NewProtocol": protocol, "NewExternalPort": port, "NewRemoteHost": remote_host})

    def entries(self) -> Deferred[list[PortMappingEntry]]:
        """The whole table: walked by index, and completed by the list action where that is safe (Q138).

        The walk ends at the first refusal, at a repeated entry or at a cap, whichever a gateway offers (Q137). Where
        it does not reach the end of the table, the list is asked for range by range.

        :return: errbacks with an :class:`txigd.errors.ExchangeError` when the gateway fell silent, so that half a
            table is never taken for a whole one; with :class:`txigd.errors.ActionError` when it refused the first
            index with something else than "no such entry", and offers no list.
        """
        return self.table().addCallback(lambda told: told[0])

    def table(self) -> Deferred[tuple[list[PortMappingEntry], bool]]:
        """The same as :meth:`entries`, and whether it is surely the whole table."""
        return Deferred.fromCoroutine(self._table())

    async def _table(self) -> tuple[list[PortMappingEntry], bool]:
        table = PortTable(self.proxy)
        return await table.read(), table.complete

    def delete(self, protocol: str, port: int, remote_host: str = "") -> Deferred[None]:
        """DeletePortMapping.

        :return: errbacks with :class:`txigd.errors.ActionError`: 714 where there is none, 606 where it belongs to
            somebody else.
        """
        return self._delete(protocol, port, remote_host).addCallback(lambda _: None)

    def _delete(self, protocol: str, port: int, remote_host: str, due: float | None = None) -> Deferred[dict[str, Any]]:
        def over(result: Any) -> Any:
            self._read_back.wrote()
            return result

        deleted = self.proxy.call(
            "DeletePortMapping",
            due=due,
            NewRemoteHost=remote_host,
            NewExternalPort=port,
            NewProtocol=protocol,
        )
        return deleted.addBoth(over)


def _wish(
    wanted: PortMapping,
    port: int,
    client: ipaddress.IPv4Address | ipaddress.IPv6Address,
    description: str,
    lease_seconds: int,
) -> dict[str, Any]:
    """The arguments of AddPortMapping and AddAnyPortMapping."""
    return {
        "NewRemoteHost": _remote(wanted),
        "NewExternalPort": port,
        "NewProtocol": wanted.protocol,
        "NewInternalPort": wanted.internal_port,
        "NewInternalClient": str(client),
        "NewEnabled": True,
        "NewPortMappingDescription": description,
        "NewLeaseDuration": lease_seconds,
    }


def _remote(wanted: PortMapping) -> str:
    return str(wanted.remote_host) if wanted.remote_host else ""
