"""Embedded doubles of the outside systems, for a machine that has none of them."""
