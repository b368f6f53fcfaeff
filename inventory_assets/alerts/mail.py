"""Messages by e-mail, over SMTP."""

import smtplib
import ssl
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal

from inventory_assets.alerts.delivery import SOCKET_SECONDS, NotDelivered
from inventory_assets.alerts.situation import Message

Security = Literal["starttls", "tls", "none"]


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

    def send(self, message: Message) -> None:
        """See `Notifier`."""
        try:
            with closing(self._connected()) as server:
                server.send_message(email_of(message, self.sender, self.to))
                # The server has accepted the mail: what it says to QUIT must not send it again.
                with suppress(OSError, smtplib.SMTPException):
                    server.quit()
        except smtplib.SMTPResponseException as error:
            # The words of a server may repeat what it was sent.
            raise NotDelivered(f"{self.name}: {self.host} answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused:
            raise NotDelivered(f"{self.name}: {self.host} refused the receivers") from None
        except (OSError, smtplib.SMTPException) as error:
            words = getattr(error, "strerror", None) or type(error).__name__
            raise NotDelivered(f"{self.name}: {self.host}: {words}") from None

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=SOCKET_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=SOCKET_SECONDS)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server


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
