"""UDA chapter 3: calling actions (SOAP)."""
