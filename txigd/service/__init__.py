"""The daemon behind ``twistd igd``."""
