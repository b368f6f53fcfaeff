"""Serves HTTPS before the load source: `tls_terminator.py PORT CERTIFICATE KEY`; prints its port.

It is a separate process, so that the server's cost of TLS is not counted for the load source. It
ends when its standard input does.
"""

import contextlib
import os
import select
import socket
import ssl
import sys
import threading

HOST = "127.0.0.1"
BUFFER_BYTES = 2**18


def forward(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Carry one connection's bytes to the load source and back."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((HOST, port)) as plain,
        context.wrap_socket(client, server_side=True) as secure,
    ):
        for one in (plain, secure):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # One thread for both ways: an ssl.SSLSocket must not be read and written at once.
        while True:
            ready = [secure] if secure.pending() else select.select([secure, plain], [], [])[0]
            if secure in ready:
                data = secure.recv(BUFFER_BYTES)
                plain.sendall(data)
                if not data:
                    return
            if plain in ready:
                data = plain.recv(BUFFER_BYTES)
                secure.sendall(data)
                if not data:
                    return


def end_with_input() -> None:
    """Leave when standard input closes, whatever the other threads do."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Accept for ever."""
    port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    threading.Thread(target=end_with_input, daemon=True).start()
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=forward, args=(client, context, port), daemon=True).start()


if __name__ == "__main__":
    main()
