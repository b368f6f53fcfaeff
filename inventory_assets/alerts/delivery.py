"""Deliver messages within a bound of time, whatever a receiver does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inventory_assets.alerts.situation import Message
from inventory_assets.bounded_call import TookTooLong, call_within
from inventory_assets.errors import InventoryError

SEND_SECONDS = 8.0
"""How long a delivery may take, from the name's resolution to the answer."""

SOCKET_SECONDS = 5.0
"""How long a single operation on a socket may take."""


class NotDelivered(InventoryError):
    """A message was not accepted; it is sent again. The text holds no URL and no secret.

    Args:
        text: What happened.
        refused: The receivers that it was refused for, while it was accepted for the others; none
            if nobody has it.
        refused_for_good: Those of them that are refused as often as they are tried.
        may_have_arrived: Whether it was sent, and its receiver did not answer.
    """

    def __init__(
        self,
        text: str,
        refused: Sequence[str] = (),
        refused_for_good: Sequence[str] = (),
        *,
        may_have_arrived: bool = False,
    ) -> None:
        super().__init__(text)
        self.refused = tuple(refused)
        self.refused_for_good = tuple(refused_for_good)
        self.may_have_arrived = may_have_arrived


class Notifier(Protocol):
    """Sends messages to one place, for one receiver or several."""

    @property
    def name(self) -> str:
        """The name of the place in logs, which is no secret."""

    @property
    def receivers(self) -> tuple[str, ...]:
        """The names of its receivers, which nobody else has; they are no secrets."""

    def send(self, message: Message, receivers: Sequence[str]) -> None:
        """Send a message to some of its receivers.

        Raises:
            NotDelivered: It was not accepted, or not for all of them.
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

    @property
    def receivers(self) -> tuple[str, ...]:
        """See `Notifier`."""
        return (self.name,)

    def send(self, _message: Message, _receivers: Sequence[str]) -> None:
        """See `Notifier`."""
        raise NotDelivered(f"{self.name}: {self.why}")


def deliver(
    notifier: Notifier,
    message: Message,
    receivers: Sequence[str] | None = None,
    seconds: float = SEND_SECONDS,
) -> None:
    """Send a message within some seconds, to all receivers of a notifier, or to some.

    Time-outs of sockets do not bound the resolution of a name, nor a receiver that trickles. So
    the call itself is bounded.

    Raises:
        NotDelivered: It was not accepted in time.
    """
    to = notifier.receivers if receivers is None else receivers
    try:
        error = call_within(seconds, lambda: _failure_of(notifier, message, to))
    except TookTooLong:
        raise NotDelivered(
            f"{notifier.name} did not answer within {seconds:g} s", may_have_arrived=True
        ) from None
    if error is not None:
        raise error


def _failure_of(
    notifier: Notifier, message: Message, receivers: Sequence[str]
) -> NotDelivered | None:
    """Send a message, and return the error if it was not accepted."""
    try:
        notifier.send(message, receivers)
    except NotDelivered as error:
        return error
    except Exception as error:  # noqa: BLE001 - its text may hold the address, which is secret
        return NotDelivered(f"{notifier.name} failed with {type(error).__name__}")
    return None
