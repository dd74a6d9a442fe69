"""What a make of gateway says of itself, and where its documents and services stand. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SERVER: Final = "Linux/6.1 UPnP/1.1 txigd/1.0"
DESCRIPTION_PATH: Final = "/rootDesc.xml"


@dataclass(frozen=True, slots=True)
class Model:
    """The facts of one make.

    :ivar model_number: empty for the version of InternetGatewayDevice.
    :ivar server: the SERVER header, in SSDP and HTTP.
    :ivar description_path: where the description stands.
    :ivar control: path of control URLs, ``{}`` for the short name of the service; ``event`` and ``scpd`` likewise.
    :ivar document: a captured description, served octet for octet but for what ``captured`` names.
    :ivar captured: the origins (``http://ADDRESS:PORT``) in the capture: of the description, then of control if that
        was on another port. The gateway puts its own in their place.
    :ivar live: the connection service that is in use, of a captured description with two.
    """

    manufacturer: str = "txigd"
    manufacturer_url: str = ""
    model_name: str = "Simulated gateway"
    model_description: str = "simulated Internet gateway"
    model_number: str = ""
    server: str = SERVER
    description_path: str = DESCRIPTION_PATH
    control: str = "/ctl/{}"
    event: str = "/evt/{}"
    scpd: str = "/{}"
    document: bytes = b""
    captured: tuple[str, ...] = ()
    live: str = ""
