"""The health check of runs that Celery's workers execute, with a real broker and no worker."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from inventory_assets_tests.databases import Redis
from inventory_assets_tests.distributed.conftest import require_programs
from inventory_assets_tests.external_servers import HOST

pytestmark = pytest.mark.distributed

BOUND_SECONDS = 60
TASK = "task-of-the-run"
LAUNCHER = """
run_launcher:
  module: inventory_assets.defs.celery_run_launcher
  class: MonitoredCeleryRunLauncher
  config:
    broker: {url}/0
    backend: {url}/1
    worker_silence_seconds: {bound}
    config_source:
      broker_transport_options: {{max_retries: 0, socket_connect_timeout: 1}}
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    require_programs()
    with Redis(tmp_path / "redis", HOST) as server:
        yield server


@pytest.fixture
def instance(tmp_path: Path, redis: Redis) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text(LAUNCHER.format(url=redis.url, bound=BOUND_SECONDS))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def clock(instance: dg.DagsterInstance) -> list[float]:
    """The time of the launcher, which only the test moves on."""
    time = [0.0]
    launcher: Any = instance.run_launcher
    launcher._silence._now = lambda: time[0]
    return time


def started_run(instance: dg.DagsterInstance, *, with_task: bool = True) -> dg.DagsterRun:
    @dg.job
    def nothing() -> None:
        pass

    tags = {"dagster-celery/task_id": TASK} if with_task else {}
    return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher: Any = instance.run_launcher
    launcher._asked_at = float("-inf")  # the workers are asked again
    return launcher.check_run_worker_health(run).status  # type: ignore[no-any-return]


@pytest.mark.parametrize("with_task", [True, False])
def test_a_run_is_lost_when_no_worker_confirmed_it_for_long(
    instance: dg.DagsterInstance, clock: list[float], with_task: bool
) -> None:
    run = started_run(instance, with_task=with_task)
    assert health(instance, run) is WorkerStatus.RUNNING
    clock[0] = BOUND_SECONDS - 1
    assert health(instance, run) is WorkerStatus.RUNNING
    clock[0] = BOUND_SECONDS
    assert health(instance, run) is WorkerStatus.NOT_FOUND


def test_a_run_is_not_lost_while_the_broker_is_unreachable(
    instance: dg.DagsterInstance, clock: list[float], redis: Redis
) -> None:
    run = started_run(instance)
    assert health(instance, run) is WorkerStatus.RUNNING
    redis.stop()
    clock[0] = 2 * BOUND_SECONDS
    with pytest.raises(Exception, match=r"(?i)connect|refused"):
        health(instance, run)
    redis.start()
    with suppress(Exception):  # connections to the former server are found to be broken once
        health(instance, run)
    assert health(instance, run) is WorkerStatus.RUNNING
    clock[0] = 3 * BOUND_SECONDS
    assert health(instance, run) is WorkerStatus.NOT_FOUND


def test_nor_while_the_result_backend_is_unreachable(
    instance: dg.DagsterInstance, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started_run(instance)
    assert health(instance, run) is WorkerStatus.RUNNING

    def refuse(_task_id: str) -> None:
        raise ConnectionError("refused")

    with monkeypatch.context() as patch:
        launcher: Any = instance.run_launcher
        patch.setattr(launcher.celery, "AsyncResult", refuse)
        clock[0] = BOUND_SECONDS - 1
        with pytest.raises(ConnectionError):
            health(instance, run)
    clock[0] = 2 * BOUND_SECONDS
    assert health(instance, run) is WorkerStatus.RUNNING


@pytest.mark.parametrize("state", ["FAILURE", "REVOKED"])
def test_a_run_whose_process_was_killed_has_failed(
    instance: dg.DagsterInstance, state: str
) -> None:
    run = started_run(instance)
    launcher: Any = instance.run_launcher
    launcher.celery.backend.store_result(TASK, RuntimeError("killed"), state)
    assert health(instance, run) is WorkerStatus.FAILED


def test_a_lost_entry_of_the_result_backend_is_no_lost_run(
    instance: dg.DagsterInstance, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started_run(instance)
    launcher: Any = instance.run_launcher
    monkeypatch.setattr(launcher, "_executed", set)
    clock[0] = 2 * BOUND_SECONDS
    assert health(instance, run) is WorkerStatus.RUNNING
    clock[0] = 4 * BOUND_SECONDS
    assert health(instance, run) is WorkerStatus.RUNNING


def test_a_run_that_has_ended_or_was_never_taken_cannot_be_terminated(
    instance: dg.DagsterInstance,
) -> None:
    waiting = started_run(instance, with_task=False)
    assert not instance.run_launcher.terminate(waiting.run_id)
    ended = started_run(instance)
    instance.report_run_failed(ended)
    assert not instance.run_launcher.terminate(ended.run_id)
    assert not instance.run_launcher.terminate("no run")


def test_a_terminated_run_is_being_cancelled(instance: dg.DagsterInstance) -> None:
    run = started_run(instance)
    assert instance.run_launcher.terminate(run.run_id)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.CANCELING
