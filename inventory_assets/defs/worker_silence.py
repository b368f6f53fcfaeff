"""How long no worker has confirmed that it executes a run."""

import time
from collections.abc import Callable, Collection

RESPONSE_SECONDS = 3.0
"""How long the answers of all workers are collected."""


class WorkerSilence:
    """Measures, from answer to answer, for how long runs are executed by no worker that answers.

    A time in which nobody could be asked does not count: when the message broker is unreachable,
    the workers may be well.

    Args:
        now: The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: dict[str, float] = {}

    def note_answers(self, asked: Collection[str], confirmed: Collection[str]) -> None:
        """Note that the workers were asked for some runs, and which of them they execute."""
        at = self._now()
        silent = [run_id for run_id in asked if run_id not in confirmed]
        self._since = {run_id: self._since.get(run_id, at) for run_id in silent}

    def note_unreachable(self) -> None:
        """Note that the workers could not be asked."""
        self._since.clear()

    def seconds(self, run_id: str) -> float:
        """The seconds since the first of the answers in a row that did not confirm a run; or 0."""
        since = self._since.get(run_id)
        return 0.0 if since is None else self._now() - since
