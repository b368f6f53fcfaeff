"""The progress of a command as one line of a terminal, written over again and again."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from inventory_assets.scan.engine.progress import (
    EVERY_SECONDS,
    Progress,
    ProgressMeter,
    reported_every,
)


@contextmanager
def show_progress(
    meter: ProgressMeter, stream: TextIO | None, every_seconds: float = EVERY_SECONDS
) -> Iterator[None]:
    """Show the progress while the context lasts, and erase it then; nothing but on a terminal."""
    if stream is None or not stream.isatty():
        yield
        return
    shown = 0

    def show(progress: Progress) -> None:
        nonlocal shown
        # A line that fills the terminal would be followed by a new one.
        line = progress.line[: shutil.get_terminal_size().columns - 1]
        stream.write(f"\r{line:<{shown}}")
        stream.flush()
        shown = len(line)

    try:
        with reported_every(meter, show, every_seconds):
            yield
    finally:
        if shown:
            stream.write(f"\r{'':<{shown}}\r")
            stream.flush()
