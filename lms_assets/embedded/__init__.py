"""What a laptop has instead of the outside systems."""
