"""Log records of this package, as lines of a command's standard error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def logged_to(stream: TextIO) -> Iterator[None]:
    """Write the log records of this package to a stream while the context lasts, a line each.

    Args:
        stream: The stream; on a terminal, a progress line is erased first.
    """
    log = logging.getLogger("inventory_assets")
    handler = logging.StreamHandler(stream)
    erase = "\r\x1b[K" if stream.isatty() else ""
    handler.setFormatter(logging.Formatter(f"{erase}inventory: %(message)s"))
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before
