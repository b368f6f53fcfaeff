"""Servers of the standard library that serve from a thread while a context lasts."""

import socketserver
import threading
from types import TracebackType
from typing import Self


class Served:
    """Serves from a thread while its context lasts; the base of the fakes that are servers.

    Args:
        server: A server that is bound already, so that a fake can name its URL before it serves.
    """

    def __init__(self, server: socketserver.BaseServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
