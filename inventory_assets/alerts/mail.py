"""Messages by e-mail, over SMTP."""

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Literal

from inventory_assets.alerts.delivery import SOCKET_SECONDS, NotDelivered
from inventory_assets.alerts.situation import Message

Security = Literal["starttls", "tls", "none"]

_PERMANENT = 500
"""The first code that says that a command fails whenever it is repeated (RFC 5321, 4.2.1)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """Addresses, and the server that sends to them.

    Attributes:
        host: The SMTP server.
        port: Its port.
        sender: The address of the sender.
        to: The addresses of the receivers.
        security: How the connection is encrypted.
        user: The user; "" to send without a login.
        password: The password.
    """

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    security: Security = "starttls"
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    name = "email"

    @property
    def receivers(self) -> tuple[str, ...]:
        """See `Notifier`; each address is one, so that it gets what it lacks, and nothing twice."""
        return tuple(map(self._receiver, self.to))

    def _receiver(self, address: str) -> str:
        return f"{self.name}:{address}"

    def send(self, message: Message, receivers: Sequence[str]) -> None:
        """See `Notifier`."""
        to = tuple(each for each in self.to if self._receiver(each) in receivers)
        server: _Sending | None = None
        try:
            with closing(self._connected()) as server:
                refused = server.send_message(email_of(message, self.sender, to), self.sender, to)
                # The server has accepted the mail: what it says to QUIT must not send it again.
                with suppress(OSError, smtplib.SMTPException):
                    server.quit()
        except smtplib.SMTPResponseException as error:
            # The words of a server may repeat what it was sent.
            raise NotDelivered(f"{self.name}: {self.host} answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise self._refused(error.recipients) from None
        except (OSError, smtplib.SMTPException) as error:
            words = getattr(error, "strerror", None) or type(error).__name__
            raise NotDelivered(
                f"{self.name}: {self.host}: {words}",
                may_have_arrived=server is not None and server.has_sent,
            ) from None
        if refused:
            raise self._refused(refused)

    def _refused(self, refused: Mapping[str, tuple[int, bytes]]) -> NotDelivered:
        named = ", ".join(f"{address} ({code})" for address, (code, _) in refused.items())
        for_good = [each for each, (code, _) in refused.items() if code >= _PERMANENT]
        return NotDelivered(
            f"{self.name}: {self.host} refused {named}",
            [*map(self._receiver, refused)],
            [*map(self._receiver, for_good)],
        )

    def _connected(self) -> "_Sending":
        context = ssl.create_default_context()
        if self.security == "tls":
            server: _Sending = _SendingOverTls(
                self.host, self.port, timeout=SOCKET_SECONDS, context=context
            )
        else:
            server = _Sending(self.host, self.port, timeout=SOCKET_SECONDS)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server


class _Sending(smtplib.SMTP):
    """A connection that knows whether it has begun to send a mail, which may then arrive."""

    has_sent = False

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.has_sent = True
        return super().data(msg)


class _SendingOverTls(_Sending, smtplib.SMTP_SSL):
    """The same over TLS."""


def email_of(message: Message, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The e-mail of a message, as plain text."""
    mail = EmailMessage()
    mail["Subject"] = f"[inventory] {message.title}"
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Date"], mail["Message-ID"] = formatdate(usegmt=True), make_msgid(domain="inventory")
    mail["Auto-Submitted"] = "auto-generated"
    lines = [message.text, *([message.url] if message.url else [])]
    mail.set_content("\n\n".join(lines) + "\n")
    return mail
