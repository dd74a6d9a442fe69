"""UPnP Internet Gateway Device control point for Twisted."""
