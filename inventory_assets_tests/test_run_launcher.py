"""Whether the process of a run exists."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from inventory_assets.defs import run_launcher
from inventory_assets.defs.run_launcher import MonitoredRunLauncher, is_running

PROJECT = Path(__file__).parents[1]
NOBODY = {"host": "localhost", "socket": "/nowhere/at/all"}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster as the project ships it."""
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does nothing for long."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(params=["/proc", "ps"])
def by_any_means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `/proc`, as on Linux, and with ps, as on macOS."""
    if request.param == "ps":
        if not shutil.which("ps"):
            pytest.skip("there is no ps")
        monkeypatch.setattr(run_launcher, "_PROC", Path("/nowhere"))


@pytest.mark.usefixtures("by_any_means")
def test_a_process_is_running_until_it_is_killed(sleeper: "subprocess.Popen[bytes]") -> None:
    now = time.time()
    assert is_running(sleeper.pid, now)
    sleeper.kill()
    wait_until_dead(sleeper.pid)  # its exit status was not read yet: it is a zombie
    assert not is_running(sleeper.pid, now)
    sleeper.wait()
    assert not is_running(sleeper.pid, now)


@pytest.mark.usefixtures("by_any_means")
def test_a_later_process_with_the_same_id_is_not_mistaken_for_it(
    sleeper: "subprocess.Popen[bytes]",
) -> None:
    assert not is_running(sleeper.pid, time.time() - 600)


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.01)


def started_run(
    instance: dg.DagsterInstance, pid: int | None, server: dict[str, Any] | None
) -> dg.DagsterRun:
    """A run that a process is said to work at."""

    @dg.job
    def nothing() -> None:
        pass

    tags = {} if server is None else {GRPC_INFO_TAG: json.dumps(server)}
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)
    if pid is not None:
        instance.report_engine_event("at work", run, EngineEventData.in_process(pid))
        instance.report_engine_event("a step", run, EngineEventData.in_process(1))
    return run


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    return instance.run_launcher.check_run_worker_health(run).status


def test_the_shipped_settings_let_the_daemon_end_dead_runs(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, MonitoredRunLauncher)
    assert instance.run_monitoring_enabled
    assert instance.run_launcher.supports_check_run_worker_health
    assert instance.run_monitoring_max_resume_run_attempts == 0


@pytest.mark.parametrize("server", [None, NOBODY, {"host": "127.0.0.1", "port": 9}])
def test_a_run_of_this_machine_is_gone_when_its_process_is(
    instance: dg.DagsterInstance,
    sleeper: "subprocess.Popen[bytes]",
    server: dict[str, Any] | None,
) -> None:
    run = started_run(instance, sleeper.pid, server)
    assert health(instance, run) is WorkerStatus.RUNNING
    sleeper.kill()
    sleeper.wait()
    assert health(instance, run) is WorkerStatus.NOT_FOUND
    said = instance.run_launcher.check_run_worker_health(run).msg
    assert said
    assert f"process {sleeper.pid} no longer exists" in said


@pytest.mark.parametrize(
    ("pid", "server"), [(None, NOBODY), (2**22 + 1, {"host": "code.example", "port": 4000})]
)
def test_a_run_of_which_nothing_can_be_known_is_left_alone(
    instance: dg.DagsterInstance, pid: int | None, server: dict[str, Any]
) -> None:
    assert health(instance, started_run(instance, pid, server)) is WorkerStatus.RUNNING


def test_a_command_elsewhere_is_left_alone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs are in a database that other machines use, too."""

    class Elsewhere:
        pass

    monkeypatch.setattr(run_launcher, "SqliteRunStorage", Elsewhere)
    assert health(instance, started_run(instance, 2**22 + 1, None)) is WorkerStatus.RUNNING


def test_a_run_that_its_server_executes_is_running_whatever_the_clock_says(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    says_yes: Callable[[object, object], bool] = lambda *_: True  # noqa: E731
    monkeypatch.setattr(MonitoredRunLauncher, "_is_executed_by_its_server", says_yes)
    assert health(instance, started_run(instance, 2**22 + 1, NOBODY)) is WorkerStatus.RUNNING
