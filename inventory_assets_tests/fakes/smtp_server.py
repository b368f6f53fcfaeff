"""An SMTP server on 127.0.0.1 that keeps the mails it is sent (RFC 5321, RFC 4954 for PLAIN)."""

import base64
import socket
import socketserver
import ssl
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from inventory_assets_tests.fakes.served import Served


@dataclass(frozen=True, slots=True)
class Received:
    """One mail as it arrived.

    Attributes:
        sender: The address of MAIL FROM.
        to: The addresses of RCPT TO.
        mail: The mail itself.
        login: The user and password, if there was a login.
        was_encrypted: Whether it came over TLS.
    """

    sender: str
    to: tuple[str, ...]
    mail: EmailMessage
    login: tuple[str, str] | None
    was_encrypted: bool


class SmtpServer(Served):
    """Accepts every mail, unless told otherwise.

    Attributes:
        port: Where it listens.
        received: The mails.
        asked: The addresses of all RCPT commands.
        refuses: Answers to commands, by their first word, instead of accepting them.
        refused: Answers for receivers, by their address, instead of accepting them.

    Args:
        tls: Offers STARTTLS with this context.
        refuses: See above.
        refused: See above.
        silent_after_data: Whether it keeps a mail and closes the connection without an answer.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        refuses: dict[str, str] | None = None,
        refused: dict[str, str] | None = None,
        *,
        silent_after_data: bool = False,
    ) -> None:
        self.received: list[Received] = []
        self.asked: list[str] = []
        self.refuses = refuses or {}
        self.refused = refused or {}
        self.silent_after_data = silent_after_data
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _Session(self, fake, tls).serve()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that gave up is no news."""

        server = Server(("127.0.0.1", 0), Handler)
        self.port: int = server.server_address[1]
        super().__init__(server)


class _Session:
    def __init__(
        self,
        handler: socketserver.StreamRequestHandler,
        fake: SmtpServer,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._fake, self._tls = fake, tls
        self._connection = handler.connection
        self._file = handler.connection.makefile("rwb")
        self._login: tuple[str, str] | None = None
        self._is_encrypted = False
        self._sender, self._to = "", list[str]()

    def _say(self, text: str) -> None:
        self._file.write(f"{text}\r\n".encode())
        self._file.flush()

    def serve(self) -> None:
        self._say("220 fake")
        while line := self._file.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if verb in self._fake.refuses:
                self._say(self._fake.refuses[verb])
                continue
            accept = {
                "EHLO": self._ehlo,
                "STARTTLS": self._starttls,
                "AUTH": self._auth,
                "MAIL": self._mail,
                "RCPT": self._rcpt,
                "DATA": self._data,
            }.get(verb)
            if accept:
                accept(rest)
            else:
                self._say("221 bye" if verb == "QUIT" else "250 ok")

    def _ehlo(self, _rest: str) -> None:
        can_encrypt = self._tls and not self._is_encrypted
        for offer in ("fake", "AUTH PLAIN", *(["STARTTLS"] if can_encrypt else [])):
            self._say(f"250-{offer}")
        self._say("250 SIZE 1000000")

    def _starttls(self, _rest: str) -> None:
        assert self._tls is not None
        self._say("220 go on")
        self._connection = self._tls.wrap_socket(self._connection, server_side=True)
        self._file = self._connection.makefile("rwb")
        self._is_encrypted = True

    def _auth(self, rest: str) -> None:
        _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
        self._login = user, password
        self._say("235 welcome")

    def _mail(self, rest: str) -> None:
        self._sender, self._to = _address(rest), []
        self._say("250 ok")

    def _rcpt(self, rest: str) -> None:
        address = _address(rest)
        self._fake.asked.append(address)
        if address in self._fake.refused:
            self._say(self._fake.refused[address])
            return
        self._to.append(address)
        self._say("250 ok")

    def _data(self, _rest: str) -> None:
        self._say("354 go on")
        self._receive()
        if self._fake.silent_after_data:
            self._connection.shutdown(socket.SHUT_RDWR)
            return
        self._say("250 ok")

    def _receive(self) -> None:
        lines = []
        while (line := self._file.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self._fake.received.append(
            Received(self._sender, tuple(self._to), mail, self._login, self._is_encrypted)
        )


def _address(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]
