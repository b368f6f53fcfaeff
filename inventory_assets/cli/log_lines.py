"""Write the log records of this package to a command's standard error, one line each."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from inventory_assets.errors import printable


@contextmanager
def logged_to(stream: TextIO) -> Iterator[None]:
    """Write the log records of this package to a stream while the context lasts, a line each.

    Args:
        stream: The stream; on a terminal, a progress line is erased first.
    """
    log = logging.getLogger("inventory_assets")
    handler = logging.StreamHandler(stream)
    erase = "\r\x1b[K" if stream.isatty() else ""
    handler.setFormatter(_LineFormatter(f"{erase}inventory: %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _LineFormatter(logging.Formatter):
    """Escapes characters that are not printable, because keys may hold control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message)
        return super().formatMessage(record)
