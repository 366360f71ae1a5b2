"""The clients of the outside systems; no other room opens a connection."""
