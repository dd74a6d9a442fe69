"""The ``txigd`` command."""
