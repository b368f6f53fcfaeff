"""Progress of a scan, from synthetic events and a synthetic clock."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.errors import TransientError
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import (
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.engine.progress import Elsewhere, Progress, ProgressMeter, reported_every
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence
from inventory_assets_tests.fakes.listings import objects_of
from inventory_assets_tests.fakes.model_s3 import ModelS3

WHOLE = KeyRange.of_prefix("")


class Watched:
    """A meter with a clock that the test advances."""

    def __init__(self, expected: Mapping[str, int | None] | None = None) -> None:
        self.now = 100.0
        self.meter = ProgressMeter(lambda: (3, 8), expected, lambda: self.now)

    def find(self, job: ListingJob, count: int) -> None:
        objects = objects_of(f"{number:06}" for number in range(count))
        self.meter.on_event(ObjectsListed(job, 0, objects))

    def end(self, job: ListingJob) -> None:
        evidence = RangeEvidence(WHOLE, 0, None, None, 1, Ending.LISTED_TO_END)
        self.meter.on_event(RangeCompleted(job, 0, evidence))

    def after(self, seconds: float) -> Progress:
        self.now += seconds
        return self.meter.progress()


def job(prefix: str = "", kept: int = 0) -> ListingJob:
    return ListingJob(prefix, [KeyRange.of_prefix(prefix)], RequestStats(), resumed_objects=kept)


def test_without_events_progress_is_zero_and_the_time_left_unknown() -> None:
    progress = Watched({"": 10}).after(0)
    assert (progress.objects, progress.rate, progress.seconds_left) == (0, 0, None)


def test_objects_and_their_rate_are_counted() -> None:
    watched = Watched()
    watched.find(job(), 20)
    progress = watched.after(4)
    assert (progress.objects, progress.rate, progress.seconds) == (20, 5, 4)
    assert (progress.in_flight, progress.limit) == (3, 8)


def test_the_rate_is_the_recent_one() -> None:
    watched, one = Watched(), job()
    for count in (1000, 1000, 10, 10, 10, 10, 10, 10):
        watched.find(one, count)
        progress = watched.after(5)
    assert progress.rate == 2


def test_split_and_completed_ranges_are_counted() -> None:
    watched, one = Watched(), job()
    watched.find(one, 1)
    watched.meter.on_event(RangeSplit(one, 0, 1, "k"))
    assert (watched.after(1).ranges_done, watched.after(1).ranges_open) == (0, 2)
    watched.end(one)
    assert (watched.after(1).ranges_done, watched.after(1).ranges_open) == (1, 1)


def test_faults_are_counted_over_all_jobs_by_kind() -> None:
    watched, one, other = Watched(), job("a"), job("b")
    for each in (one, other):
        watched.find(each, 1)
        each.stats.failed(TransientError.THROTTLED)
    other.stats.failed(TransientError.RESET)
    assert watched.after(1).faults == {"throttled": 2, "reset": 1}


def test_the_time_left_is_that_of_the_expected_rest_at_the_recent_rate() -> None:
    watched = Watched({"a": 30, "b": 60})
    watched.find(job("a"), 20)
    progress = watched.after(10)
    assert (progress.seconds_left, progress.is_at_least) == (35, False)


def test_without_expected_objects_the_time_left_is_unknown() -> None:
    watched = Watched()
    watched.find(job(), 20)
    assert watched.after(10).seconds_left is None


def test_a_shard_without_expected_objects_makes_the_time_left_a_minimum() -> None:
    watched = Watched({"a": 30, "new": None})
    watched.find(job("a"), 20)
    progress = watched.after(10)
    assert (progress.seconds_left, progress.is_at_least) == (5, True)


def test_a_shard_with_more_objects_than_expected_makes_the_time_left_a_minimum() -> None:
    watched = Watched({"a": 30, "b": 60})
    watched.find(job("a"), 40)
    progress = watched.after(10)
    assert (progress.seconds_left, progress.is_at_least) == (15, True)


def test_a_completed_shard_adds_no_time() -> None:
    watched, one = Watched({"a": 1000, "b": 60}), job("a")
    watched.find(one, 20)
    watched.end(one)
    assert watched.after(10).seconds_left == 30


def test_a_failed_shard_does_not_count_and_adds_no_time() -> None:
    watched, failed = Watched({"a": 1000, "b": 60}), job("a")
    watched.find(failed, 500)
    watched.find(job("b"), 20)
    failed.state.failed = True
    watched.meter.on_event(JobFailed(failed, RuntimeError()))
    progress = watched.after(10)
    assert (progress.objects, progress.ranges_open) == (20, 1)
    assert progress.seconds_left == 20


def test_objects_of_an_earlier_run_are_not_expected_again() -> None:
    watched = Watched({"": 100})
    watched.find(job(kept=70), 10)
    assert watched.after(10).seconds_left == 20


def test_without_recent_objects_the_time_left_is_unknown() -> None:
    watched, one = Watched({"": 100}), job()
    watched.find(one, 10)
    for _ in range(7):
        progress = watched.after(5)
    assert (progress.rate, progress.seconds_left) == (0, None)


@given(st.sets(st.text("ab/", min_size=1, max_size=5), max_size=40), st.integers(1, 5))
def test_at_the_end_of_a_scan_all_objects_are_counted_and_no_range_is_open(
    keys: set[str], page_size: int
) -> None:
    watched = Watched()
    for event in ParallelScan(ModelS3(keys, page_size), [job()], lambda: datetime.now(UTC)):
        watched.meter.on_event(event)
    progress = watched.after(1)
    assert (progress.objects, progress.ranges_open) == (len(keys), 0)
    assert progress.ranges_done > 0


@pytest.mark.parametrize(
    ("left", "is_at_least", "end"),
    [
        (None, False, ""),
        (59.6, False, ", about 1:00 left"),
        (7322, True, ", at least 2:02:02 left"),
    ],
)
def test_the_progress_is_one_line(left: float | None, is_at_least: bool, end: str) -> None:
    progress = Progress(
        objects=1234567,
        rate=45678.9,
        ranges_done=12,
        ranges_open=30,
        in_flight=31,
        limit=32,
        faults={"throttled": 2},
        seconds=65,
        seconds_left=left,
        is_at_least=is_at_least,
    )
    assert progress.line == (
        "1,234,567 objects, 45,679/s, 12 ranges done, 30 open, 31 of 32 requests in flight, "
        f"2 throttled, 1:05 so far{end}"
    )


@pytest.fixture
def threads() -> Callable[[], set[threading.Thread]]:
    before = set(threading.enumerate())
    return lambda: set(threading.enumerate()) - before


def test_progress_is_reported_at_intervals_without_events_and_no_thread_is_left(
    threads: Callable[[], set[threading.Thread]],
) -> None:
    told = threading.Semaphore(0)
    with reported_every(Watched().meter, lambda _progress: told.release(), 0.001):
        assert told.acquire(timeout=30)
        assert told.acquire(timeout=30)
    assert threads() == set()


def test_an_error_ends_the_reports_without_waiting_for_the_next(
    threads: Callable[[], set[threading.Thread]],
) -> None:
    told: list[Progress] = []
    with pytest.raises(KeyboardInterrupt), reported_every(Watched().meter, told.append, 3600):
        raise KeyboardInterrupt
    assert (told, threads()) == ([], set())


def test_the_progress_of_other_processes_is_added() -> None:
    watched = Watched()
    others = {1: Watched(), 2: Watched()}
    for process, other in others.items():
        going = job()
        going.stats.failed(TransientError.THROTTLED)
        for count in (5, 7 * process):
            other.find(going, count)
            watched.meter.on_event(Elsewhere(process, other.after(1)))

    progress = watched.after(2)

    assert progress.objects == (5 + 7) + (5 + 14)
    assert progress.rate == progress.objects / 2
    assert progress.ranges_open == 2
    assert progress.faults == {TransientError.THROTTLED.value: 2}
    assert (progress.in_flight, progress.limit) == (6, 16)
