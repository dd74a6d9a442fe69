"""UDA chapter 1: who is there (SSDP)."""
