"""Runs on several machines: dagster-celery's run launcher, which also sees that a worker is lost.

`dagster_celery.launcher.CeleryRunLauncher` asks Celery's result backend about a run. The backend
says STARTED for ever if the machine of the worker lost its power or its network, and it says
nothing of a run whose entry has expired or was lost, whereupon Dagster fails a run that is well.
This launcher asks the workers instead. If none of them confirms for a while that it executes a run,
Dagster's run monitoring ends the run, and run retries start it again on another machine.

Dagster has no public API for the health checks of run launchers, so this module imports private
modules of Dagster, as `run_launcher.py` does. It needs the extra `celery`.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from dagster import DagsterRun, DagsterRunStatus, Field, Int, RunsFilter
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from inventory_assets.defs.worker_silence import RESPONSE_SECONDS, WorkerSilence

_ANSWER_LIFETIME_SECONDS = 3.0
"""Run monitoring asks for one run after the other; they share an answer."""

_ENDED_STATES = ("FAILURE", "REVOKED")
"""States of tasks that ended without their run reporting it, as its process was killed."""


class MonitoredCeleryRunLauncher(CeleryRunLauncher):  # type: ignore[misc]
    """Launches runs as Celery tasks, and reports runs that no worker executes.

    Args:
        worker_silence_seconds: For how long no worker may confirm that it executes a run.
        options: Those of `CeleryRunLauncher`.
    """

    def __init__(self, worker_silence_seconds: int, **options: Any) -> None:
        super().__init__(**options)
        self._bound = worker_silence_seconds
        self._silence = WorkerSilence()
        self._asked_at = float("-inf")
        self._asked: frozenset[str] = frozenset()

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        return {
            **super().config_type(),
            "worker_silence_seconds": Field(
                Int,
                is_required=False,
                default_value=60,
                description="A run is lost if no worker confirms for so long that it executes it.",
            ),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> Self:
        return cls(inst_data=inst_data, **config_value)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Check whether a worker executes a run.

        Args:
            run: A run that is STARTED in Dagster's storage.

        Raises:
            Exception: The broker, its result backend or Dagster's database is unreachable, so
                nothing is known of the run.
        """
        try:
            has_ended = self._has_ended(run)
            if not has_ended:
                self._ask_workers(run)
        except Exception:
            self._silence.note_unreachable()
            raise
        if has_ended:
            return CheckRunHealthResult(
                WorkerStatus.FAILED,
                "the process of the run ended without reporting it: it was killed, or its memory "
                "was exhausted; start the run again to resume its work",
            )
        silence = self._silence.seconds(run.run_id)
        if silence < self._bound:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND,
            f"for {silence:.0f} s no worker has confirmed that it executes the run: its machine "
            "was stopped, or cannot be reached; start the run again to resume its work",
        )

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run, which then ends by itself, as it does with other launchers."""
        run = self._instance.get_run_by_id(run_id)
        task_id = run and run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if run is None or run.is_finished or not task_id:
            return False
        self._instance.report_run_canceling(run)
        self.celery.control.revoke(task_id, terminate=True, signal="SIGINT")
        return True

    def _has_ended(self, run: DagsterRun) -> bool:
        """Whether the task of a run has ended, although the run is STARTED."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        return bool(task_id) and self.celery.AsyncResult(task_id).state in _ENDED_STATES

    def _ask_workers(self, run: DagsterRun) -> None:
        """Ask all workers for all runs that have started, unless they were asked just now."""
        age = time.monotonic() - self._asked_at
        if age < _ANSWER_LIFETIME_SECONDS and run.run_id in self._asked:
            return
        started = self._instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
        tasks = {each.run_id: each.tags.get(DAGSTER_CELERY_TASK_ID_TAG, "") for each in started}
        executed = self._executed([task_id for task_id in tasks.values() if task_id])
        confirmed = {run_id for run_id, task_id in tasks.items() if task_id in executed}
        self._silence.note_answers(tasks, confirmed)
        self._asked_at, self._asked = time.monotonic(), frozenset(tasks)

    def _executed(self, task_ids: Sequence[str]) -> set[str]:
        """Those of some tasks that a worker has."""
        inspect = self.celery.control.inspect(timeout=RESPONSE_SECONDS)
        answers: dict[str, dict[str, Any]] = inspect.query_task(*task_ids) or {}
        return {task_id for tasks in answers.values() for task_id in tasks}
