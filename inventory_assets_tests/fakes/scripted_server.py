"""An HTTP server on 127.0.0.1 with scripted responses, including protocol violations."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from inventory_assets_tests.fakes.served import Served

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted response.

    Attributes:
        status: The HTTP status.
        body: The body.
        headers: Headers besides Content-Length.
        sent: Bytes of the body that are sent before the connection is closed; None for all.
        delay: Seconds to wait first.
        reset: Reset the connection instead of answering.
        raw: Bytes sent instead of any HTTP.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None
    delay: float = 0.0
    reset: bool = False
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""


def error_document(code: str, message: str = "scripted") -> bytes:
    """An S3 error document."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


class ScriptedServer(Served):
    """Answers each request with the next of `answers`; the last of them answers all the rest.

    Attributes:
        url: Where it listens.
        seen: The requests, as they arrived.
        most_at_once: The most requests that were being answered at one moment.
    """

    def __init__(self, answers: Iterable[Answer], tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.most_at_once = 0
        self._at_once = 0
        self._answers = list(answers)
        self._lock = threading.Lock()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                scripted._answer(self)

            def do_POST(self) -> None:
                scripted._answer(self)

            def do_HEAD(self) -> None:
                scripted._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests need no log."""

        server = _QuietServer(("127.0.0.1", 0), Handler)
        if tls:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        super().__init__(server)

    def script(self, *answers: Answer) -> None:
        """Begin a new script."""
        with self._lock:
            self.seen.clear()
            self.most_at_once = 0
            self._answers = list(answers)

    def reply(self, seen: Seen) -> Answer:  # noqa: ARG002 - a script does not listen
        """The response to a request."""
        with self._lock:
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        seen = Seen(handler.path, headers, handler.command, body)
        with self._lock:
            self.seen.append(seen)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = self.reply(seen)
            time.sleep(answer.delay)
            _send(handler, answer)
        finally:
            with self._lock:
                self._at_once -= 1


class _QuietServer(ThreadingHTTPServer):
    # A client that gave up is no news; a handler that sleeps must not hold up the end of a test.
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that the client closed early is what the test wanted."""


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    if answer.reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        handler.connection.close()
        handler.close_connection = True
        return
    if answer.raw is not None:
        handler.wfile.write(answer.raw)
        handler.close_connection = True
        return
    handler.send_response_only(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    handler.wfile.write(answer.body[: answer.sent])
    if answer.sent is not None:
        handler.close_connection = True
