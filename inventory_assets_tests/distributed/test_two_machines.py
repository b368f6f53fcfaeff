"""A date spreads over two machines, and survives the loss of either."""

from collections import Counter
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from benchmarks.load_source import LoadSource
from inventory_assets.defs.worker_silence import RESPONSE_SECONDS
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.runs.shard_run import SHARD_RUN
from inventory_assets.inventory.storage.prefix_encoding import REMAINDER
from inventory_assets_tests.distributed.stage import CUT_OFF_SECONDS, Lost
from inventory_assets_tests.distributed.story import (
    CONCURRENCY,
    OBJECTS,
    POLL_SECONDS,
    RUNS,
    SHARDS,
    SILENCE_SECONDS,
    Story,
)
from inventory_assets_tests.distributed.truth import keys_of, listed

pytestmark = pytest.mark.distributed

BOUND_SECONDS = 2.0 * (SILENCE_SECONDS + 2 * POLL_SECONDS + 2 * RESPONSE_SECONDS)
"""Until a lost run is given up; twice the sum of the settings, as the machine may be busy."""

MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION


@pytest.fixture(params=["killed", "cut_off"])
def lost(story: Story, request: pytest.FixtureRequest) -> Lost:
    """Each of the machines that were lost."""
    found: Lost = getattr(story, request.param)
    return found


def failed_at(story: Story, run_id: str) -> float:
    """When a run was given up first; a process that comes back reports its failure again."""
    kind = dg.DagsterEventType.RUN_FAILURE
    return min(each.timestamp for each in story.instance.all_logs(run_id, of_type=kind))


def materialized(story: Story, run_id: str) -> dict[str, float]:
    """When a run has materialized its partitions."""
    logged = story.instance.all_logs(run_id, of_type=MATERIALIZED)
    found = [
        (str(each.dagster_event.partition), each.timestamp) for each in logged if each.dagster_event
    ]
    assert not [key for key, count in Counter(key for key, _ in found).items() if count > 1]
    return dict(found)


def texts(story: Story, run_id: str, kind: dg.DagsterEventType) -> str:
    return "\n".join(str(each) for each in story.instance.all_logs(run_id, of_type=kind))


def process_of(story: Story, shard_key: str) -> str:
    """The process that listed what is published of a shard."""
    prefix = "" if shard_key == REMAINDER else shard_key
    run = SHARD_RUN.read(story.store, story.layout.shard_run(story.day, prefix))
    assert run is not None
    return run.run_id


def test_the_date_spreads_over_both_machines(story: Story) -> None:
    runs = [run for root in story.range_runs for run in story.group(root)]
    shards = Counter[str]()
    for run in runs:
        shards[story.machine_of(run)] += len(materialized(story, run.run_id))
    print(f"\n{story.kind}: {dict(shards)} materializations, {len(runs)} runs")
    assert min(shards["a"], shards["b"]) >= SHARDS // 10


def test_each_machine_was_lost_in_the_middle_of_its_runs(story: Story, lost: Lost) -> None:
    assert len(lost.run_ids) == 2
    for run_id in lost.run_ids:
        shards = len(story.shard_keys) // len(story.range_runs)
        assert 0 < len(materialized(story, run_id)) < shards
    assert story.cut_off.back_at - story.cut_off.at >= CUT_OFF_SECONDS
    assert story.killed.machine != story.cut_off.machine


def test_lost_runs_are_given_up_within_the_bound_and_repeated(story: Story, lost: Lost) -> None:
    for run_id in lost.run_ids:
        seconds = failed_at(story, run_id) - lost.at
        print(f"\n{lost.machine}: given up after {seconds:.0f} s (at most {BOUND_SECONDS:.0f} s)")
        assert seconds <= BOUND_SECONDS
        assert "no worker has confirmed" in texts(story, run_id, dg.DagsterEventType.RUN_FAILURE)
        later = story.group(run_id)
        assert later[-1].status is dg.DagsterRunStatus.SUCCESS
        assert later[-1].run_id != run_id


def test_a_machine_that_comes_back_publishes_and_logs_nothing_more(story: Story) -> None:
    refusals = 0
    for run_id in story.cut_off.run_ids:
        given_up = failed_at(story, run_id)
        assert given_up < story.cut_off.back_at
        assert max(materialized(story, run_id).values()) < given_up
        failures = texts(story, run_id, dg.DagsterEventType.STEP_FAILURE)
        refusals += "nothing more is published" in failures
        run = story.instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.FAILURE
        early = {key.partition("|")[2] for key in materialized(story, run_id)}
        own = {process_of(story, shard_key) for shard_key in early}
        assert len(own) == 1
        repetition = story.group(run_id)[-1].run_id
        late = {key.partition("|")[2] for key in materialized(story, repetition)} - early
        assert late
        # A shard may be published, and the machine cut off before it can say so.
        assert sum(process_of(story, shard_key) in own for shard_key in late) <= 4
    # The other process may have given up by itself, as no database answered it.
    print(f"\n{refusals} of {len(story.cut_off.run_ids)} late processes were refused to publish")
    assert refusals > 0


def test_a_machine_that_came_back_works_again_with_a_new_worker(story: Story) -> None:
    runs = [story.instance.get_run_by_id(run_id) for run_id in story.ended]
    machines = Counter(story.machine_of(run) for run in runs if run)
    assert machines[story.cut_off.machine] > 0, machines
    assert machines[story.killed.machine] > 0, machines


def test_every_shard_is_materialized_by_the_run_that_counts(story: Story) -> None:
    """The newest materialization of each shard is that of the snapshot that is published."""
    newest: dict[str, tuple[float, str]] = {}
    for root in story.range_runs:
        for run in story.group(root):
            for key, at in materialized(story, run.run_id).items():
                newest[key] = max(newest.get(key, (0.0, "")), (at, run.run_id))
    assert set(newest) == {f"{story.day}|{key}" for key in story.shard_keys}
    succeeded = {story.group(root)[-1].run_id for root in story.range_runs}
    assert {run_id for _, run_id in newest.values()} == succeeded


def test_the_runs_are_those_that_the_schedule_requested(story: Story) -> None:
    """Each lists neighbouring shards, and together they list all of them once."""
    parts = [partitions_of(story, run_id) for run_id in story.range_runs]
    assert [key for part in parts for key in part] == list(story.shard_keys)
    assert len(parts) == RUNS
    assert max(map(len, parts)) == -(-len(story.shard_keys) // RUNS)


def partitions_of(story: Story, run_id: str) -> list[str]:
    """The shards of a run, as Dagster derives them."""
    run = story.instance.get_run_by_id(run_id)
    assert run is not None
    tags = [f"dagster/asset_partition_range_{name}" for name in ("start", "end")]
    first, last = (story.shard_keys.index(run.tags[tag].partition("|")[2]) for tag in tags)
    return list(story.shard_keys[first : last + 1])


def test_all_runs_together_have_no_more_requests_in_flight_than_allowed(story: Story) -> None:
    """A machine that comes back may send some until its runs ask whether they have ended."""
    print(
        f"\nrequests in flight: {story.cut_off.most_requests} of {CONCURRENCY} at most, and "
        f"{story.most_requests} once the machine that was cut off was back"
    )
    assert CONCURRENCY // 2 < story.cut_off.most_requests <= CONCURRENCY
    assert story.most_requests <= 2 * CONCURRENCY


def test_no_pool_is_missing(story: Story) -> None:
    for run_id in story.range_runs:
        logs = [entry.user_message for entry in story.instance.all_logs(run_id)]
        assert not [each for each in logs if "the pool" in each]


def test_complete_shards_are_not_listed_again(story: Story) -> None:
    print(
        f"\n{story.requests:,} requests in {story.seconds:.0f} s; objects listed twice: "
        f"{story.objects - OBJECTS:,}"
    )
    # Four runs were lost; each had no more than a few shards under way.
    assert story.objects - OBJECTS < OBJECTS / 4


def test_the_date_is_complete_and_equal_to_the_truth(story: Story) -> None:
    assert set(story.ended.values()) == {"SUCCESS"}, story.ended
    columns = ["key", "size", "last_modified_date", "e_tag"]
    inventory = Dataset.of_date(story.store, story.layout, story.day)
    found = pa.Table.from_batches(inventory.batches(columns)).select(columns)
    assert found.num_rows == OBJECTS
    keys = found["key"].to_pylist()
    assert keys == keys_of(list(story.names), SHARDS)
    # The same bucket, which responds at once.
    with LoadSource("real", OBJECTS, names=story.folder / "names") as source:
        truth = listed(source)
    for column in columns:
        assert found[column].equals(truth[column].cast(found[column].type)), column


def test_no_password_is_in_a_log(story: Story) -> None:
    logs = [path for path in story.folder.rglob("*.log") if path.is_file()]
    assert len(logs) >= 4
    for path in logs:
        assert not [each for each in story.secrets if each in path.read_text(errors="replace")]


def test_the_machines_share_no_folder(story: Story) -> None:
    drafts = {path.parts[len(story.folder.parts)] for path in _drafts(story.folder)}
    assert drafts <= {"a", "b"}


def _drafts(folder: Path) -> list[Path]:
    return [*folder.glob("*/inventory-drafts-*")]
