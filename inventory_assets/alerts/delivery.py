"""Deliver messages within a bound of time, whatever a receiver does."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Protocol

from inventory_assets.alerts.situation import Message
from inventory_assets.errors import InventoryError

SEND_SECONDS = 8.0
"""How long a delivery may take, from the name's resolution to the answer."""

SOCKET_SECONDS = 5.0
"""How long a single operation on a socket may take."""


class NotDelivered(InventoryError):
    """A message was not accepted; it is sent again. The text holds no address and no secret."""


class Notifier(Protocol):
    """Sends messages to one place."""

    @property
    def name(self) -> str:
        """The name of the place in logs, which is no secret."""

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            NotDelivered: It was not accepted.
        """


@dataclass(frozen=True, slots=True)
class Unusable:
    """A notifier that cannot send, and says why.

    Attributes:
        name: Its name.
        why: What is missing.
    """

    name: str
    why: str

    def send(self, _message: Message) -> None:
        """See `Notifier`."""
        raise NotDelivered(f"{self.name}: {self.why}")


def deliver(notifier: Notifier, message: Message, seconds: float = SEND_SECONDS) -> None:
    """Send a message within some seconds.

    Time-outs of sockets do not bound the resolution of a name, nor a receiver that trickles. So
    another thread sends, and is left behind if it takes too long; the process can end without it.

    Raises:
        NotDelivered: It was not accepted in time.
    """
    result: list[BaseException | None] = []
    thread = Thread(target=_send, args=(notifier, message, result.append), daemon=True)
    thread.start()
    thread.join(seconds)
    if not result:
        raise NotDelivered(f"{notifier.name} did not answer within {seconds:g} s")
    [error] = result
    if error is not None:
        raise error


def _send(
    notifier: Notifier, message: Message, report: Callable[[BaseException | None], None]
) -> None:
    try:
        notifier.send(message)
    except NotDelivered as error:
        report(error)
    except Exception as error:  # noqa: BLE001 - its text may hold the address, which is secret
        report(NotDelivered(f"{notifier.name} failed with {type(error).__name__}"))
    else:
        report(None)
