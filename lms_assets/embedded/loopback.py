"""This machine's own address, and whether a port of it is free."""

import socket

HOST = "127.0.0.1"


def is_taken(port: int) -> bool:
    """Whether some program listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
