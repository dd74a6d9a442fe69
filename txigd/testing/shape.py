"""What the documents of a simulated gateway tell of it, and its device tree for each boot. Pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from random import Random

from txigd.errors import InvalidArgument
from txigd.testing.captured import CapturedTree
from txigd.testing.model import Model
from txigd.testing.tree import CONNECTIONS, MEDIA, Tree


@dataclass
class Shape:
    """The facts of one gateway; most fields are those of :class:`txigd.testing.SimulatedGateway`.

    ``udn`` is a fresh one if empty; ``random_paths`` is whether every boot has a prefix of its own before all paths.

    :raises InvalidArgument: for a version, connection or medium that there is not.
    """

    version: int = 2
    connection: str = "IP"
    wans: int = 1
    announced_version: int = 0
    extra_services: bool = True
    medium: str = ""
    lan_device: bool = False
    friendly_name: str = ""
    udn: str = ""
    model: Model = field(default_factory=Model)
    description_path: str = ""
    random_paths: bool = False

    def __post_init__(self) -> None:
        if self.version not in (1, 2):
            raise InvalidArgument(f"version {self.version!r}: there is InternetGatewayDevice 1 and 2")
        if self.connection not in CONNECTIONS:
            raise InvalidArgument(f"connection {self.connection!r}: use one of {', '.join(CONNECTIONS)}")
        if self.medium and self.medium not in MEDIA:
            raise InvalidArgument(f"medium {self.medium!r}: use one of {', '.join(MEDIA)}")
        self.udn = self.udn or f"uuid:{uuid.uuid4()}"
        if self.description_path:
            self.model = replace(self.model, description_path=self.description_path)

    def tree(self, *, version: int = 0, prefix: str = "") -> Tree:
        """The device tree, of a captured description or generated.

        :param version: another than the gateway's own, for clients that take no other.
        :param prefix: of all paths.
        """
        if self.model.document:
            return CapturedTree(self.model)
        return Tree(
            version=version or self.version,
            connection=self.connection,
            wans=self.wans,
            announced_version=self.announced_version,
            extra_services=self.extra_services,
            medium=self.medium,
            lan_device=self.lan_device,
            friendly_name=self.friendly_name,
            udn=self.udn,
            model=self.model,
            prefix=prefix,
        )

    def next_tree(self, random: Random, before: Tree | None = None, *, new_paths: bool = False) -> Tree:
        """The tree of another boot: with the paths of the one before, unless they are to be others."""
        if new_paths or self.random_paths:
            return self.tree(prefix=f"/{random.getrandbits(32):08x}")
        return self.tree(prefix=before.prefix if before else "")
