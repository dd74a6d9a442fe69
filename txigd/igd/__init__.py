"""What an Internet gateway means: WAN state and port mappings."""
