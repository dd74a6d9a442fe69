"""UPnP Internet Gateway Device control point for Twisted.

Importing this installs no reactor; the heavy parts are loaded when a name is first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing, which takes longer to load than all that is needed here
if TYPE_CHECKING:
    from typing import Any

    from txigd.errors import (
        ActionError as ActionError,
    )
    from txigd.errors import (
        ExchangeError as ExchangeError,
    )
    from txigd.errors import (
        InvalidArgument as InvalidArgument,
    )
    from txigd.errors import (
        MappingError as MappingError,
    )
    from txigd.errors import (
        NoGateway as NoGateway,
    )
    from txigd.errors import (
        TxigdError as TxigdError,
    )
    from txigd.igd.control_point import ControlPoint as ControlPoint
    from txigd.igd.gateway import Gateway as Gateway
    from txigd.igd.lease_facts import MappingState as MappingState
    from txigd.igd.lease_facts import MappingStatus as MappingStatus
    from txigd.igd.mapping import PortMapping as PortMapping
    from txigd.igd.mapping import PortMappingEntry as PortMappingEntry
    from txigd.igd.status import AddressClass as AddressClass
    from txigd.igd.status import WANStatus as WANStatus
    from txigd.interfaces import IGatewayObserver as IGatewayObserver
    from txigd.interfaces import IMappingObserver as IMappingObserver
    from txigd.interfaces import IWANObserver as IWANObserver

_HOME = {
    "ActionError": "errors",
    "AddressClass": "igd.status",
    "ControlPoint": "igd.control_point",
    "ExchangeError": "errors",
    "Gateway": "igd.gateway",
    "IGatewayObserver": "interfaces",
    "IMappingObserver": "interfaces",
    "IWANObserver": "interfaces",
    "InvalidArgument": "errors",
    "MappingError": "errors",
    "MappingState": "igd.lease_facts",
    "MappingStatus": "igd.lease_facts",
    "NoGateway": "errors",
    "PortMapping": "igd.mapping",
    "PortMappingEntry": "igd.mapping",
    "TxigdError": "errors",
    "WANStatus": "igd.status",
}
__all__ = sorted(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
