"""UPnP Device Architecture: any device. One folder per chapter."""
