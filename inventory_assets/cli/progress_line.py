"""Show the progress of a command on a terminal, as one line that is redrawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from inventory_assets.scan.engine.progress import (
    EVERY_SECONDS,
    Progress,
    ProgressMeter,
    reported_every,
)

_FRAMES_PER_SECOND = 4
"""Rendering a frame takes about a millisecond of the thread that also decodes pages."""


@contextmanager
def show_progress(
    meter: ProgressMeter, stream: TextIO | None, every_seconds: float = EVERY_SECONDS
) -> Iterator[None]:
    """Show the progress while the context lasts, and erase it afterwards.

    Args:
        meter: Measures the progress.
        stream: Where to show it; nothing is written to a stream that is not a terminal.
        every_seconds: The interval at which the numbers are updated.
    """
    if stream is None or not stream.isatty():
        yield
        return
    # Imported only here, because it is slow to import.
    from rich.console import Console
    from rich.progress import Progress as ProgressDisplay
    from rich.progress import SpinnerColumn, TextColumn
    from rich.table import Column

    console = Console(file=stream, highlight=False)
    if not console.is_interactive:  # such as TERM=dumb, which cannot erase a line
        yield
        return
    display = ProgressDisplay(
        SpinnerColumn("line", table_column=Column(min_width=1)),
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="crop", ratio=1),
        ),
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=_FRAMES_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = display.add_task("", total=None)

    def show(progress: Progress) -> None:
        display.update(task, description=progress.line)
        display.start()  # only now, so that a short command writes nothing to the terminal

    try:
        with reported_every(meter, show, every_seconds):
            yield
    finally:
        display.stop()
