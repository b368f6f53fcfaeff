"""Small servers on 127.0.0.1: a proxy, and servers that break the rules of HTTP."""

import select
import socket
import socketserver
import ssl
import time

from inventory_assets_tests.fakes.served import Served
from inventory_assets_tests.s3.transport.requests import BODY

PASSWORD = "pass%2Fword"


def http_response(body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def request_head(stream: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := stream.recv(1)):
        head += byte
    return head


class OneAnswer(Served):
    """A server that sends one response per connection and closes it.

    Attributes:
        port: Where it listens.
        heads: The heads of the requests that it received.
    """

    def __init__(self, family: int, host: str, answer: bytes) -> None:
        heads = self.heads = list[bytes]()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                heads.append(request_head(self.request))
                self.request.sendall(answer)

        class Server(QuietServer):
            address_family = family

        server = Server((host, 0), Handler)
        self.port: int = server.server_address[1]
        super().__init__(server)


class QuietServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: tests close connections early on purpose."""


class ConnectProxy(Served):
    """An HTTP proxy that only tunnels, to ports of this machine whatever host is requested.

    Attributes:
        url: Where it listens.
        heads: The heads of the CONNECT requests that it received.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, error_response: bytes | None = None
    ) -> None:
        self.heads: list[str] = []
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                client = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                head = request_head(client).decode()
                proxy.heads.append(head)
                if error_response:
                    client.sendall(error_response)
                    return
                port = int(head.split()[1].rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port)) as onward:
                    client.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
                    _relay(client, onward)

        server = QuietServer(("127.0.0.1", 0), Handler)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://user:{PASSWORD}@localhost:{server.server_address[1]}"
        super().__init__(server)


def _relay(client: socket.socket, onward: socket.socket) -> None:
    while True:
        waiting = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = [client] if waiting else select.select([client, onward], [], [])[0]
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            (onward if source is client else client).sendall(data)


def with_password(url: str) -> str:
    return url.replace("://", f"://user:{PASSWORD}@")


class Talkative(Served):
    """A server that sends unsolicited bytes after each response.

    Attributes:
        url: Its URL.
        connections: The number of connections made.
    """

    def __init__(self, behind: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        talkative = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                talkative.connections += 1
                client = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                while request_head(client):
                    client.sendall(http_response(BODY))
                    time.sleep(0.02)  # the bytes must not arrive together with the response
                    client.sendall(behind)

        server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"{'https' if tls else 'http'}://localhost:{server.server_address[1]}"
        super().__init__(server)


def chunked(*pieces: bytes, is_ended: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    rendered = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + rendered + (b"0\r\n\r\n" if is_ended else b"")
