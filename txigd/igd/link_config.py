"""The link of a WANConnectionDevice by its medium: DSL, cable, Ethernet or telephone line. Thin.

Knows the services WANDSLLinkConfig, WANCableLinkConfig, WANEthernetLinkConfig and WANPOTSLinkConfig through their
proxies. Each value type has a field for every out-argument of the Get actions of its service.
Sources: the four service templates of IGD:1, quirk Q151.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred

from txigd.errors import ActionNotOffered, ConnectFailed, ExchangeError, ExchangeTimeout
from txigd.igd.asking import ask
from txigd.igd.services import typed
from txigd.upnp.control.action import ServiceProxy


@dataclass(frozen=True, slots=True)
class DSLLink:
    """WANDSLLinkConfig:1; None for what is not told.

    ``link_type`` is EoA, IPoA, CIP, PPPoA, PPPoE or Unconfigured; ``link_status`` Up, Down, Initializing or
    Unavailable; ``destination_address`` for example ``PVC: 8/35``; ``atm_encapsulation`` LLC or VCMUX.
    """

    link_type: str | None = None
    link_status: str | None = None
    auto_config: bool | None = None
    modulation_type: str | None = None
    destination_address: str | None = None
    atm_encapsulation: str | None = None
    fcs_preserved: bool | None = None


@dataclass(frozen=True, slots=True)
class CableLink:
    """WANCableLinkConfig:1; None for what is not told.

    ``cable_link_config_state`` goes from notReady to operational; frequencies and levels are numbers without a unit in
    the standard (Hz and dBmV in most modems).
    """

    cable_link_config_state: str | None = None
    link_type: str | None = None
    downstream_frequency: int | None = None
    downstream_modulation: str | None = None
    upstream_frequency: int | None = None
    upstream_modulation: str | None = None
    upstream_channel_id: int | None = None
    upstream_power_level: int | None = None
    bpi_encryption_enabled: bool | None = None
    config_file: str | None = None
    tftp_server: str | None = None


@dataclass(frozen=True, slots=True)
class EthernetLink:
    """WANEthernetLinkConfig:1: ``ethernet_link_status`` is Up, Down or Unavailable, None where not told."""

    ethernet_link_status: str | None = None


@dataclass(frozen=True, slots=True)
class POTSLink:
    """WANPOTSLinkConfig:1, a modem on a telephone line; None for what is not told. Delays are seconds."""

    isp_phone_number: str | None = None
    isp_info: str | None = None
    link_type: str | None = None
    number_of_retries: int | None = None
    delay_between_retries: int | None = None
    fclass: str | None = None
    data_modulation_supported: str | None = None
    data_protocol: str | None = None
    data_compression: str | None = None
    plus_vtr_command_supported: bool | None = None


LinkConfig = DSLLink | CableLink | EthernetLink | POTSLink
LINK_CONFIGS: Final[Mapping[str, type[LinkConfig]]] = MappingProxyType(
    {
        "WANDSLLinkConfig": DSLLink,
        "WANCableLinkConfig": CableLink,
        "WANEthernetLinkConfig": EthernetLink,
        "WANPOTSLinkConfig": POTSLink,
    }
)


def read_link_config(proxy: ServiceProxy) -> Deferred[LinkConfig]:
    """Ask for all that the link configuration service of a medium tells.

    What the gateway refuses is None and not asked for again. Once it falls silent nothing more is asked: the rest is
    None. Errbacks with :class:`txigd.errors.ActionNotOffered` for another service, with
    :class:`txigd.errors.ExchangeError` when the gateway does not answer at all.
    """
    return ensureDeferred(_read(proxy))


async def _read(proxy: ServiceProxy) -> LinkConfig:
    service = typed(proxy)
    made = LINK_CONFIGS.get(service.standard.name)
    if made is None:
        raise ActionNotOffered(f"{service.standard.name} is no link configuration")
    told: dict[str, Any] = {}
    answered = False
    for name, action in service.actions.items():
        if action.inputs or not action.outputs:
            continue
        try:
            answer = await ask(proxy, action.wire, getattr(service, name))
        except ExchangeError as error:
            if not answered:
                raise
            if isinstance(error, (ConnectFailed, ExchangeTimeout)):
                break
            continue
        answered = True
        if answer is not None:
            values = answer if action.result is not None else (answer,)
            told |= {output.name: value for output, value in zip(action.outputs, values, strict=True)}
    return made(**{field.name: told.get(field.name) for field in fields(made)})
