"""What is done to the machines of a deployment, and what is waited for."""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from inventory_assets.defs.source.partitions import RUN_OF_DATE_TAG
from inventory_assets_tests.distributed.cluster import SLOTS
from inventory_assets_tests.distributed.machines import Machine, Network
from inventory_assets_tests.distributed.servers import SOURCE, Servers

TASK_TAG = "dagster-celery/task_id"
CUT_OFF_SECONDS = 60.0

CRON = "*/3 * * * *"
"""The first tick comes soon, and there is time to turn the schedule off before the next one."""

_PATIENCE_SECONDS = 900.0
_MOST = 20
"""Shards of a run that is lost; of more, too little is left to do for a machine that comes back."""

_BEGUN = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS)


@dataclass(frozen=True)
class Lost:
    """What became of a machine that was lost.

    Attributes:
        machine: Its name.
        at: When it was lost, in seconds since the epoch.
        run_ids: The runs that it executed.
        back_at: When it was there again.
        most_requests: The most requests of listings in flight until then.
    """

    machine: str
    at: float
    run_ids: tuple[str, ...]
    back_at: float
    most_requests: int


def group_of(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterRun]:
    """A run with all repetitions, in order."""
    found = instance.get_run_group(run_id)
    runs = list(found[1]) if found else [instance.get_run_by_id(run_id)]
    records = {run.run_id: instance.get_run_record_by_id(run.run_id) for run in runs if run}
    return sorted(
        (run for run in runs if run),
        key=lambda run: records[run.run_id].create_timestamp,  # type: ignore[union-attr]
    )


class Stage:
    """The servers and machines, and what is done to them.

    Args:
        network: Two machines.
        running: The servers.
        seed: Determines the machines that are lost, and when.
    """

    def __init__(self, network: Network, running: Servers, seed: int) -> None:
        self.network = network
        self.cluster = running.cluster
        self.instance = running.instance
        self._source = running.source
        self._chosen = random.Random(seed)  # noqa: S311 - a repeatable test
        self._began = time.monotonic()

    def tell(self, what: str) -> None:
        """Print what happens, with the seconds since the beginning."""
        print(f"{time.monotonic() - self._began:6.0f} s: {what}", flush=True)

    def wait(self, what: str, look: Callable[[], object]) -> float:
        """Wait until something is the case; when it was."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if look():
                return time.time()
            time.sleep(0.5)
        raise AssertionError(
            f"waited in vain for {what}; the daemon said:\n{self.cluster.daemon_log()[-6000:]}"
        )

    def machines(self) -> list[Machine]:
        """The machines, in the order in which they are lost."""
        names = sorted(self.network.machines)
        return [self.network.machines[name] for name in self._chosen.sample(names, len(names))]

    def runs_of(self, machine: Machine) -> list[dg.DagsterRun]:
        """The runs that a machine executes now."""
        log = machine.log("worker").read_text(errors="replace")
        started = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        return [run for run in started if f"[{run.tags.get(TASK_TAG)}] received" in log]

    def wait_until_its_processes_ended(self, machine: Machine, run_ids: Sequence[str]) -> None:
        """Wait until nothing works at some runs any more, whatever has become of them."""
        runs = [self.instance.get_run_by_id(run_id) for run_id in run_ids]
        tasks = [run.tags[TASK_TAG] for run in runs if run]

        def look() -> bool:
            log = machine.log("worker").read_text(errors="replace")
            # What it tells Celery's result backend may fail, as the connection broke.
            return all(re.search(rf"\[{task}\] (succeeded|raised)", log) for task in tasks)

        self.wait(f"the processes of {machine.name} to end", look)

    def scheduled_runs(self, runs: int) -> list[str]:
        """Turn the schedule on, and off after its first tick; the runs of the date, in order."""
        name = f"{SOURCE}_daily"
        self.cluster.start_schedule(name)
        self.wait("a tick of the schedule to end", lambda: "SUCCESS" in self._ticks(name))
        self.turn_off(name, self.cluster.stop_schedule)
        of_schedule = dg.RunsFilter(tags={"dagster/schedule_name": name})
        requested = self.instance.get_runs(of_schedule)
        found = {run.tags[RUN_OF_DATE_TAG]: run.run_id for run in requested}
        assert len(requested) == runs, f"the schedule has requested {sorted(found)}"
        return [found[f"{number} of {runs}"] for number in range(1, runs + 1)]

    def turn_off(self, name: str, stop: Callable[[str], None]) -> None:
        """Turn a schedule or a sensor off; a tick that is under way turns it on at its end."""

        def look() -> bool:
            if "STARTED" in self._ticks(name):
                return False
            if [each.status.value for each in self._states(name)] == ["STOPPED"]:
                return True
            stop(name)
            return False

        self.wait(f"{name} to be off", look)

    def _states(self, name: str) -> list[Any]:
        return [each for each in self.instance.all_instigator_state() if each.name == name]

    def _ticks(self, name: str) -> list[str]:
        """The statuses of the ticks of a schedule or a sensor, newest first."""
        return [
            tick.status.value
            for each in self._states(name)
            for tick in self.instance.get_ticks(each.instigator_origin_id, each.selector_id)
        ]

    def logged(self, run_id: str) -> int:
        """The partitions that a run has materialized."""
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        return len(self.instance.all_logs(run_id, of_type=kind))

    def wait_until_in_the_middle(self, machine: Machine) -> tuple[str, ...]:
        """Wait until all slots of a machine list, and some shards of each run are complete."""
        fewest = self._chosen.randint(1, 6)
        found: list[str] = []

        def look() -> bool:
            found[:] = [run.run_id for run in self.runs_of(machine)]
            logged = [self.logged(run_id) for run_id in found]
            return len(found) == SLOTS and min(logged) > 0 and fewest <= max(logged) <= _MOST

        self.wait(f"{machine.name} to have listed {fewest} shards in a run", look)
        return tuple(found)

    def wait_for_failures(self, run_ids: Sequence[str]) -> None:
        def look() -> bool:
            runs = [self.instance.get_run_by_id(run_id) for run_id in run_ids]
            return all(run and run.status is dg.DagsterRunStatus.FAILURE for run in runs)

        self.wait(f"the runs {run_ids} to be given up", look)

    def wait_for_repetitions(self, run_ids: Sequence[str]) -> None:
        def look() -> bool:
            newest = [group_of(self.instance, run_id)[-1] for run_id in run_ids]
            return all(run.run_id not in run_ids and run.status in _BEGUN for run in newest)

        self.wait(f"the runs {run_ids} to be repeated", look)

    def wait_for_success(self, run_ids: Sequence[str]) -> float:
        def look() -> bool:
            newest = [group_of(self.instance, run_id)[-1] for run_id in run_ids]
            return all(run.status is dg.DagsterRunStatus.SUCCESS for run in newest)

        return self.wait(f"the runs {run_ids} to succeed, or a repetition of each", look)

    def kill(self, machine: Machine) -> Lost:
        """Kill a machine in the middle of its runs, and start it again once they are given up."""
        run_ids = self.wait_until_in_the_middle(machine)
        at = time.time()
        machine.kill()
        self.tell(f"killed {machine.name} with {len(run_ids)} runs")
        self.wait_for_failures(run_ids)
        self.cluster.start_worker(machine)
        return Lost(machine.name, at, run_ids, time.time(), self._source.most_waiting())

    def cut_off(self, machine: Machine) -> Lost:
        """Cut a machine off for a minute, or longer until its runs are repeated elsewhere."""
        run_ids = self.wait_until_in_the_middle(machine)
        at = time.time()
        machine.cut_off()
        self.tell(f"cut off {machine.name} with {len(run_ids)} runs")
        self.wait_for_failures(run_ids)
        self.wait_for_repetitions(run_ids)
        time.sleep(max(0.0, at + CUT_OFF_SECONDS - time.time()))
        most = self._source.most_waiting()
        machine.reconnect()
        self.tell(f"reconnected {machine.name}")
        return Lost(machine.name, at, run_ids, time.time(), most)
