"""A deadline for a whole network conversation, even with a server that sends slowly.

A read timeout begins again with each byte. So a server that sends one byte a second can hold a
client for ever, in the TLS handshake, the headers or the body. Here a timer shuts the sockets of
the conversation, which ends any read that waits on them. The API's client and the mailer use it.
"""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Deadline:
    """Shuts the sockets that it watches after ``seconds``, unless its block ends before.

    Attributes:
        has_passed: Whether the time was over before the block ended.
    """

    def __init__(self, seconds: float) -> None:
        self.has_passed = False
        self._end = time.monotonic() + seconds
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            # A socket's own timeout may end a read just before the timer fires.
            self.has_passed |= time.monotonic() >= self._end
            for watched in self._watched:
                watched.close()
            self._watched.clear()

    def watch(self, connected: socket.socket) -> socket.socket:
        """The same socket, which will be shut at the deadline.

        The deadline keeps a duplicate, because TLS detaches the descriptor of the first socket.

        Raises:
            TimeoutError: The deadline has passed already.
        """
        with self._lock:
            if self.has_passed:
                connected.close()
                raise TimeoutError
            self._watched.append(connected.dup())
        return connected

    def left_s(self) -> float:
        """The seconds until the deadline.

        Raises:
            TimeoutError: The deadline has passed.
        """
        seconds = self._end - time.monotonic()
        if self.has_passed or seconds <= 0:
            raise TimeoutError
        return seconds

    def _shut(self) -> None:
        with self._lock:
            self.has_passed = True
            for watched in self._watched:
                with suppress(OSError):
                    watched.shutdown(socket.SHUT_RDWR)


class DeadlineAdapter(HTTPAdapter):
    """Sends requests over connections that a :class:`Deadline` watches, without retries."""

    def __init__(self, deadline: Deadline) -> None:
        self._pools = {
            "http": _watched_pool(HTTPConnectionPool, deadline),
            "https": _watched_pool(HTTPSConnectionPool, deadline),
        }
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """The pool manager opens watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401
        """A proxy's pool manager, which opens watched connections too."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _watched_pool(pool: type[HTTPConnectionPool], deadline: Deadline) -> type[HTTPConnectionPool]:
    connection: Any = pool.ConnectionCls

    def _new_conn(self: object) -> socket.socket:
        return deadline.watch(connection._new_conn(self))

    watched = type(connection.__name__, (connection,), {"_new_conn": _new_conn})
    return type(pool.__name__, (pool,), {"ConnectionCls": watched})
