"""Fetches descriptions over one HTTP exchange each and has them parsed. Knows the exchange, no sockets.

Patience is the caller's: one call is one try. Sources: UDA 1.0-2.0 section 2.1, quirks Q052-Q064, Q082, faults F25
and F26.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred

from txigd import log
from txigd.errors import DescriptionError, ExchangeError, HTTPStatusError
from txigd.interfaces import IExchange
from txigd.limits import DESCRIPTION_OCTETS, HTTP_CONNECT_SECONDS, HTTP_TOTAL_SECONDS, SCPD_OCTETS
from txigd.upnp import url, xml
from txigd.upnp.description import device, service
from txigd.upnp.description.device import Description, Service
from txigd.upnp.description.service import ServiceDescription
from txigd.upnp.url import DeviceURL

_log = log.logger("txigd.description")


def fetch_description(
    exchange: IExchange, location: DeviceURL, *, seconds: float = HTTP_TOTAL_SECONDS
) -> Deferred[Description]:
    """Fetch and read the description of a root device.

    Where URLBase names another port than LOCATION, one service description is asked for there, for at most
    ``HTTP_CONNECT_SECONDS`` more; if that fails, relative URLs are resolved against LOCATION (Q062).

    :param seconds: budget from connect to the last octet; a freshly booted gateway may need 30 (Q056).
    :return: errbacks with :class:`~txigd.errors.ExchangeError`, among them :class:`~txigd.errors.HTTPStatusError` for
        any status but 200, or with :class:`~txigd.errors.DescriptionError`. Cancelling closes the connection.
    """
    return Deferred.fromCoroutine(_description(exchange, location, seconds))


def fetch_service(
    exchange: IExchange, described: Service, *, seconds: float = HTTP_TOTAL_SECONDS
) -> Deferred[ServiceDescription | None]:
    """Fetch and read the description of one service.

    :return: fires with None where the device has none that can be read (F25, Q082): the standard's table serves then.
        Never fails but by being cancelled, which closes the connection.
    """
    return Deferred.fromCoroutine(_service(exchange, described, seconds))


def read_service(
    exchange: IExchange, described: Service, *, seconds: float = HTTP_TOTAL_SECONDS
) -> Deferred[ServiceDescription]:
    """As :func:`fetch_service`, for who wants to know what was wrong.

    :return: errbacks with :class:`~txigd.errors.ExchangeError` or :class:`~txigd.errors.DescriptionError`.
    """
    return Deferred.fromCoroutine(_read(exchange, described, seconds))


async def _description(exchange: IExchange, location: DeviceURL, seconds: float) -> Description:
    body = await _get(exchange, location, DESCRIPTION_OCTETS, seconds)
    description = device.parse(body, location)
    if description.base == location:
        return description
    plain = device.parse(body, location, use_base=False)
    pairs = zip(description.root.all_services(), plain.root.all_services(), strict=False)
    doubtful = next((one.scpd_url for one, other in pairs if one.scpd_url and one.scpd_url != other.scpd_url), None)
    if doubtful is None or doubtful.port == location.port:
        return description
    try:
        await _get(exchange, doubtful, SCPD_OCTETS, HTTP_CONNECT_SECONDS)
    except ExchangeError as error:
        problem = f"URLBase {description.base} leads nowhere: {error}"
        return replace(plain, problems=(*plain.problems, problem))
    return description


async def _service(exchange: IExchange, described: Service, seconds: float) -> ServiceDescription | None:
    try:
        return await _read(exchange, described, seconds)
    except (ExchangeError, DescriptionError):
        return None


async def _read(exchange: IExchange, described: Service, seconds: float) -> ServiceDescription:
    if described.scpd_url is None:
        raise DescriptionError("the device names no URL for it")
    try:
        return service.parse(await _get_somewhere(exchange, described.scpd_url, described.directory, seconds))
    except (ExchangeError, DescriptionError) as error:
        _log.info(
            "{service_type!r} has no description that can be read: {why!r}",
            service_type=described.service_type,
            why=str(error),
        )
        raise


async def _get_somewhere(exchange: IExchange, address: DeviceURL, directory: str, seconds: float) -> bytes:
    """The service description at its URL, else where 404 leads (Q064, Q067)."""
    for other in url.detours(address, directory):
        try:
            return await _get(exchange, address, SCPD_OCTETS, seconds)
        except HTTPStatusError as error:
            if error.status != 404:
                raise
            address = other
    return await _get(exchange, address, SCPD_OCTETS, seconds)


async def _get(exchange: IExchange, location: DeviceURL, cap: int, seconds: float) -> bytes:
    # nothing but HOST and what the exchange adds: Accept-Language and the like have only ever done harm (Q057, Q059)
    reply = await exchange.request("GET", location, body_cap=cap, seconds=seconds)
    if reply.status != 200:
        raise HTTPStatusError(reply.status, xml.excerpt(reply.body))
    return bytes(reply.body)
