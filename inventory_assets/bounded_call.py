"""Calls that are left behind if they take too long."""

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class TookTooLong(Exception):
    """A call did not end in time."""


def call_within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call, for which at most some seconds are waited.

    Another thread makes the call, and is left behind if it takes longer; the process can end
    without it.

    Raises:
        TookTooLong: It did not end in time.
        Exception: Any exception of the call.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            errors.append(error)

    thread = Thread(target=run, name="bounded call", daemon=True)
    thread.start()
    thread.join(seconds)
    for error in errors:
        raise error
    for result in results:
        return result
    raise TookTooLong(f"the call did not end within {seconds:g} s")
