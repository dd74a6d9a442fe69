"""The rules of the house that tools can check. Reads the source; runs nothing of it."""
