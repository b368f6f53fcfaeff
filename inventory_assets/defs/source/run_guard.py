"""Whether a run may still publish.

A process may go on although its run has ended for Dagster: its machine was cut off from the
network, run monitoring ended the run, and a retry of it works elsewhere. When the machine is back,
what this process publishes would come after, and replace, what the retry has published.
"""

from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import dagster as dg

from inventory_assets.inventory.errors import RunEnded, StoreError


class RunContext(Protocol):
    """What the contexts of an asset's and of an op's step have in common."""

    @property
    def instance(self) -> dg.DagsterInstance: ...

    @property
    def run(self) -> dg.DagsterRun: ...

    @property
    def resources(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class RunGuard:
    """Asks Dagster's storage whether a run has ended.

    Between the answer and the write that follows, the run may end. Then compare-and-swap decides:
    of two runs that listed the same shard, the first to publish wins, and the other gets an error.

    Attributes:
        instance: Dagster's instance.
        run_id: The run of this process.
    """

    instance: dg.DagsterInstance
    run_id: str
    _lock: Lock = field(default_factory=Lock)

    def require_unfinished(self) -> None:
        """Check that the run has not ended.

        Raises:
            RunEnded: It has.
            StoreError: Dagster's storage does not answer.
        """
        try:
            with self._lock:
                run = self.instance.get_run_by_id(self.run_id)
        except Exception as error:  # of whichever database
            raise StoreError(
                f"nothing was published, as Dagster's storage does not say whether the run "
                f"{self.run_id} may still publish: {error}"
            ) from error
        if run is not None and run.is_finished:
            raise RunEnded(
                f"Dagster ended the run {self.run_id} ({run.status.value}) while this process was "
                "cut off or late; nothing more is published, as another run may have replaced it"
            )
