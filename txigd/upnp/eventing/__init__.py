"""UDA chapter 4: hearing of changes (GENA)."""
