"""The daemon behind ``twistd igd``. Loaded lazily: every ``twistd`` start imports the plugin, not this."""

from txigd.service.daemon import makeService
from txigd.service.options import Options

__all__ = ["Options", "makeService"]
