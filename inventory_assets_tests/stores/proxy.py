"""A proxy on 127.0.0.1 that sends responses twice, late, truncated, misdirected, or never."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

from inventory_assets_tests.fakes.served import Served


class Mishap(StrEnum):
    """What happens to a response."""

    DUPLICATED = "sent twice at once"
    DUPLICATED_LATE = "sent again before the next answer on the connection"
    DROPPED = "the connection is closed instead"
    CUT_OFF = "the connection is closed in the middle"
    SWAPPED = "exchanged with that of another connection"
    DELAYED = "sent after a while"


EVERYTHING: Mapping[Mishap, float] = {
    Mishap.DUPLICATED: 0.03,
    Mishap.DUPLICATED_LATE: 0.03,
    Mishap.DROPPED: 0.03,
    Mishap.CUT_OFF: 0.03,
    Mishap.SWAPPED: 0.15,
    Mishap.DELAYED: 0.1,
}
"""How likely each is, where all of them happen."""

_SWAP_SECONDS = 0.05
"""How long an answer waits for another one that it can be exchanged with."""

_DELAY_SECONDS = 0.03

_PASSED_ON = ("server", "content-type", "retry-after")


@dataclass(slots=True)
class _Offered:
    """A response that waits to be exchanged with another one."""

    mine: bytes
    theirs: bytes | None = None
    taken: threading.Event = field(default_factory=threading.Event)


class MixingProxy(Served):
    """Stands before a server; used as a context, in which it runs.

    Args:
        origin: The server's URL.
        chances: How likely each mishap befalls an answer.
        seed: Decides which it is.

    Attributes:
        url: Where it listens.
        mishaps: How many of each there were.
    """

    def __init__(self, origin: str, chances: Mapping[Mishap, float], seed: int) -> None:
        self.mishaps: Counter[Mishap] = Counter()
        self._origin = urlsplit(origin).netloc
        self._likely = dict(chances)
        self._chances = Random(seed)  # noqa: S311 - a repeatable test
        self._lock = threading.Lock()
        self._offered: _Offered | None = None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self.upstream = http.client.HTTPConnection(proxy._origin, timeout=60)
                self.owed = b""

            def do_GET(self) -> None:
                proxy._serve(self)

            def finish(self) -> None:
                self.upstream.close()
                super().finish()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests need no log."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """Does nothing: a client that closes the connection is expected."""

        self._handler = Handler
        server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        super().__init__(server)

    def _serve(self, handler: "BaseHTTPRequestHandler") -> None:
        answer = self._fetched(handler)
        mishap = self._mishap()
        if mishap is Mishap.DELAYED:
            time.sleep(_DELAY_SECONDS)
        elif mishap is Mishap.SWAPPED:
            answer = self._swapped(answer)
        owed, handler.owed = handler.owed, b""  # type: ignore[attr-defined]
        if owed:
            # The client reads this one now, and the true one with its next request.
            self.mishaps[Mishap.DUPLICATED_LATE] += 1
            handler.wfile.write(owed)
            time.sleep(_DELAY_SECONDS / 10)
        if mishap is Mishap.DUPLICATED_LATE:
            handler.owed = answer  # type: ignore[attr-defined]
        if mishap in (Mishap.DROPPED, Mishap.CUT_OFF):
            handler.close_connection = True
            answer = answer[: len(answer) // 2] if mishap is Mishap.CUT_OFF else b""
        handler.wfile.write(answer)
        if mishap is Mishap.DUPLICATED:
            handler.wfile.write(answer)

    def _fetched(self, handler: "BaseHTTPRequestHandler") -> bytes:
        """The server's response, as bytes."""
        upstream: http.client.HTTPConnection = handler.upstream  # type: ignore[attr-defined]
        upstream.putrequest("GET", handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders()
        response = upstream.getresponse()
        body = response.read()
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        lines += [
            f"{name}: {value}"
            for name, value in response.getheaders()
            if name.lower() in _PASSED_ON or name.lower().startswith("x-amz-")
        ]
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def _mishap(self) -> Mishap | None:
        with self._lock:
            drawn = self._chances.random()
            for mishap, chance in self._likely.items():
                drawn -= chance
                if drawn < 0:
                    if mishap not in (Mishap.SWAPPED, Mishap.DUPLICATED_LATE):
                        self.mishaps[mishap] += 1
                    return mishap
        return None

    def _swapped(self, answer: bytes) -> bytes:
        """The response of another connection to exchange with; this one if there is none."""
        with self._lock:
            other, self._offered = self._offered, None
            if other is None:
                mine = self._offered = _Offered(answer)
            else:
                self.mishaps[Mishap.SWAPPED] += 2
                other.theirs = answer
                other.taken.set()
                return other.mine
        mine.taken.wait(_SWAP_SECONDS)
        with self._lock:
            if mine.theirs is not None:
                return mine.theirs
            if self._offered is mine:
                self._offered = None
        return answer
