"""HTTP(S) connections whose answer has one deadline for all of it: headers and body, however slowly they drip in."""

from __future__ import annotations

import http.client
import io
import socket
from time import monotonic as clock
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _Remaining(io.RawIOBase):
    """A socket's stream that gives each read only what is left of the time that the socket gave the first one."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        timeout = sock.gettimeout()
        self._until = None if timeout is None else clock() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            left = self._until - clock()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp = io.BufferedReader(_Remaining(sock, self.fp.detach()))


class _Connection(HTTPSConnection):
    response_class = _Response


class DeadlinePool(HTTPSConnectionPool):
    """A pool whose read time-out bounds the whole answer; the library's own begins anew with every byte."""

    ConnectionCls = _Connection


class _PlainConnection(HTTPConnection):
    response_class = _Response


class PlainDeadlinePool(HTTPConnectionPool):
    """The same without TLS."""

    ConnectionCls = _PlainConnection
