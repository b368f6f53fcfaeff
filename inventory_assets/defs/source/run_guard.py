"""Whether a run may still publish.

A process may go on although its run has ended for Dagster: its machine was cut off from the
network, run monitoring ended the run, and a retry of it works elsewhere. When the machine is back,
what this process publishes would come after, and replace, what the retry has published.
"""

import time
from functools import lru_cache
from threading import Lock
from typing import Any, Protocol

import dagster as dg

from inventory_assets.inventory.errors import RunEnded, StoreError

ANSWER_LIFETIME_SECONDS = 1.0
"""How long an answer holds: a query takes milliseconds of CPU time, and a shard has several
records. No run that repeats another one can have begun within a second."""


class RunContext(Protocol):
    """What the contexts of an asset's and of an op's step have in common."""

    @property
    def instance(self) -> dg.DagsterInstance: ...

    @property
    def run(self) -> dg.DagsterRun: ...

    @property
    def resources(self) -> Any: ...


class RunGuard:
    """Asks Dagster's storage whether a run has ended; threads may share it.

    Between the answer and the write that follows, the run may end. Then compare-and-swap decides:
    of two runs that listed the same shard, the first to publish wins, and the other gets an error.

    Args:
        instance: Dagster's instance.
        run_id: The run of this process.
    """

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self._instance = instance
        self._run_id = run_id
        self._lock = Lock()
        self._unfinished_at = float("-inf")

    def require_unfinished(self) -> None:
        """Check that the run has not ended.

        Raises:
            RunEnded: It has.
            StoreError: Dagster's storage does not answer.
        """
        with self._lock:
            asked_at = time.monotonic()
            if asked_at - self._unfinished_at < ANSWER_LIFETIME_SECONDS:
                return
            try:
                run = self._instance.get_run_by_id(self._run_id)
            except Exception as error:  # of whichever database
                raise StoreError(
                    "nothing was published, as Dagster's storage does not say whether the run "
                    f"{self._run_id} may still publish: {error}"
                ) from error
            if run is not None and run.is_finished:
                raise RunEnded(
                    f"Dagster ended the run {self._run_id} ({run.status.value}) while this process "
                    "was cut off or late; nothing more is published, as another run may have "
                    "replaced it"
                )
            self._unfinished_at = asked_at


@lru_cache(maxsize=1)
def run_guard(instance: dg.DagsterInstance, run_id: str) -> RunGuard:
    """The guard of a run, which all of its writes share."""
    return RunGuard(instance, run_id)
