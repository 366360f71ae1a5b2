"""The outside systems; nothing else opens a connection."""
