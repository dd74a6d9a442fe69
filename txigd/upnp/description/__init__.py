"""UDA chapter 2: what a device and its services are."""
