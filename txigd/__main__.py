"""``python -m txigd``: the same as the ``txigd`` command."""

from txigd.cli.main import script

script()
