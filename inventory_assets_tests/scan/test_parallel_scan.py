import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.errors import AccessDenied, RetriesExhausted, TransientError
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.scan.engine.events import (
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)
from inventory_assets.scan.engine.page_queue import BATCH_PAGES, QUEUED_PAGES
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.validation import page_validation
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence, Seam
from inventory_assets_tests.fakes.model_s3 import Habit, ModelS3

ALPHABET = "-./0a\0\U0010fffd\U0010fffe\U0010ffff"
Damage = Callable[[RawPage], RawPage]
keys_strategy = st.sets(st.text(ALPHABET, min_size=1, max_size=4), max_size=25)
prefixes_strategy = st.lists(st.text(ALPHABET, max_size=2), max_size=5)


def scan_shard(
    lister: PageSource, shard: Shard, stats: RequestStats | None = None
) -> tuple[list[str], list[RangeEvidence]]:
    job = ListingJob(shard.prefix, shard.ranges, stats or RequestStats())
    found: dict[int, list[str]] = {index: [] for index in range(len(shard.ranges))}
    closed: dict[int, RangeEvidence] = {}
    for event in ParallelScan(lister, [job]):
        assert event.job is job
        match event:
            case ObjectsListed(index=index, objects=objects):
                assert objects.num_rows
                assert index not in closed
                found[index] += objects.column("key").to_pylist()
            case RangeSplit(upper=upper):
                found[upper] = []
            case RangeCompleted(index=index, evidence=evidence):
                closed[index] = evidence
            case JobFailed(error=error):
                raise error
    order = sorted(closed, key=lambda index: closed[index].key_range)
    return [key for index in order for key in found[index]], [closed[index] for index in order]


def tasks_left() -> list[object]:
    """Tasks of any event loop that have not ended."""
    return [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]


def one_at_a_time(lister: ModelS3) -> ModelS3:
    """The lister with at most one request in flight, so that nothing is split."""
    lister.bucket_config = BucketConfig("model", max_in_flight=1)
    return lister


def check_evidence(shard: Shard, keys: list[str], closed: list[RangeEvidence]) -> None:
    assert tiling_violation([evidence.key_range for evidence in closed], shard.ranges) is None
    for evidence in closed:
        inside = [key for key in keys if key in evidence.key_range]
        assert evidence.rows == len(inside)
        assert evidence.first_key == (inside[0] if inside else None)
        assert evidence.last_key == (inside[-1] if inside else None)
        assert evidence.pages >= 1


@given(keys_strategy, prefixes_strategy, st.integers(1, 6), st.integers(0, 2))
@settings(max_examples=100)
def test_every_key_is_listed_once_in_order_by_the_shards_of_a_tiling(
    keys: set[str], some: list[str], page_size: int, empty_pages: int
) -> None:
    lister = ModelS3(keys, page_size, empty_pages=empty_pages)
    proven: list[KeyRange] = []
    found: list[str] = []
    for prefix in {"", *some}:
        shard, stats = make_shard(prefix, some), RequestStats()
        listed, closed = scan_shard(lister, shard, stats)
        assert listed == sorted(key for key in keys if shard.covers(key))
        check_evidence(shard, listed, closed)
        # Some requests are not needed in the end, but none is counted twice.
        assert sum(evidence.pages for evidence in closed) <= stats.requests
        proven += [evidence.key_range for evidence in closed]
        found += listed
    assert sorted(found) == sorted(keys)
    assert tiling_violation(sorted(proven), [KeyRange.of_prefix("")]) is None


def test_the_ending_distinguishes_a_reached_bound_from_the_end_of_the_listing() -> None:
    shard = make_shard("", ["b"])
    _, closed = scan_shard(ModelS3(["a", "b1", "b2", "b3", "b4", "b5", "c"]), shard)
    assert [evidence.ending for evidence in closed] == [
        Ending.BOUND_REACHED,
        Ending.LISTED_TO_END,
    ]


def test_a_range_that_ends_at_its_prefix_takes_one_confirming_request() -> None:
    lister = one_at_a_time(ModelS3([f"p{n:02}" for n in range(9)] + ["q"], page_size=3))
    keys, closed = scan_shard(lister, make_shard("p", []))
    assert len(keys) == 9
    # The last one confirms the end: nothing follows the last key.
    assert len(lister.requests) == closed[0].pages == 3 + 1
    assert lister.requests[-1].start_after == "p08"


def test_an_excluded_prefix_is_skipped() -> None:
    lister = ModelS3(["a", *(f"m/{n:03}" for n in range(900)), "z"], page_size=10)
    keys, _ = scan_shard(lister, make_shard("", ["m/"]))
    assert keys == ["a", "z"]
    assert len(lister.requests) <= 4


def test_an_empty_bucket_has_evidence_of_being_empty() -> None:
    keys, closed = scan_shard(ModelS3([]), make_shard("", []))
    assert keys == []
    whole = KeyRange.of_prefix("")
    assert closed == [
        RangeEvidence(whole, 0, None, None, 2, Ending.LISTED_TO_END, None, Seam.END_CONFIRMED)
    ]


LETTERS = [f"p{letter}" for letter in "abcdefghijklm"]


@pytest.mark.parametrize(
    ("habit", "error"),
    [
        (Habit.STUCK_TOKEN, ListingStuck),
        (Habit.ENDLESS_EMPTY_PAGES, ListingStuck),
        (Habit.LISTS_TWICE, KeysOutOfOrder),
        (Habit.SHUFFLES_PAGES, KeysOutOfOrder),
    ],
)
def test_a_store_with_a_bad_habit_is_caught(
    habit: Habit, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_validation, "MAX_EMPTY_PAGES", 20)
    lister = one_at_a_time(ModelS3(LETTERS, habit=habit))
    with pytest.raises(error, match="bucket 'model'"):
        scan_shard(lister, make_shard("", []))
    assert len(lister.requests) <= 20 + QUEUED_PAGES + BATCH_PAGES + 2


def test_after_pages_that_go_back_the_listing_continues_after_the_last_key() -> None:
    lister = one_at_a_time(ModelS3(LETTERS, habit=Habit.GOES_BACKWARDS))
    keys, _ = scan_shard(lister, make_shard("", []))
    assert keys == LETTERS


def test_a_store_that_ignores_start_after_is_caught() -> None:
    lister = ModelS3(["a", "b", "c"], habit=Habit.IGNORES_START_AFTER)
    with pytest.raises(KeysOutOfOrder, match="lists 'a' after"):
        scan_shard(lister, make_shard("", ["b"]))


@pytest.mark.parametrize("keys", [["a"], ["z"], ["a", "pa", "z"], ["pa", "q"]])
def test_a_store_that_ignores_the_prefix_is_caught(keys: list[str]) -> None:
    with pytest.raises(KeyOutsideRequest):
        scan_shard(ModelS3(keys, habit=Habit.IGNORES_PREFIX), make_shard("p", []))


def test_a_store_in_directory_order_is_caught_where_the_orders_differ() -> None:
    lister = ModelS3(["a/x", "a-b", "a.c"], in_directory_order=True)
    with pytest.raises(KeysOutOfOrder, match="out of byte order"):
        scan_shard(lister, make_shard("", []))


def test_as_many_empty_pages_as_allowed_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_validation, "MAX_EMPTY_PAGES", 5)
    keys, _ = scan_shard(one_at_a_time(ModelS3(LETTERS, empty_pages=5)), make_shard("", []))
    assert keys == LETTERS


class _Watched(ModelS3):
    """Calls `before` with each request."""

    def __init__(self, keys: Sequence[str], before: Callable[[PageRequest], None]) -> None:
        super().__init__(keys)
        self._before = before

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        self._before(request)
        return super().list_page_sync(request, stats)


def test_fetchers_wait_for_a_slow_reader() -> None:
    keys = [f"{letter}{n:04}" for letter in "abcdefgh" for n in range(300)]
    asked: Counter[str] = Counter()
    lister = _Watched(
        keys, lambda request: asked.update(["probes" if request.delimiter else "pages"])
    )
    lister.bucket_config = BucketConfig("model", max_in_flight=8)
    jobs = [ListingJob(letter, [KeyRange.of_prefix(letter)]) for letter in "abcdefgh"]
    pages = splits = 0
    for event in ParallelScan(lister, jobs):
        if isinstance(event, ObjectsListed):
            pages += 1
            # The current batch, the queue, and one for each fetcher.
            assert asked["pages"] <= pages + BATCH_PAGES + QUEUED_PAGES + 8 + splits
        splits += isinstance(event, RangeSplit)
    # One more for each job, to confirm its end.
    assert pages <= asked["pages"] <= pages + splits + len(jobs)


def test_a_reader_that_leaves_early_leaves_no_task_behind() -> None:
    lister = ModelS3([f"{n:05}" for n in range(9000)])
    events = iter(ParallelScan(lister, [ListingJob("", [KeyRange.of_prefix("")])]))
    next(events)
    del events
    assert not tasks_left()
    assert len(lister.requests) < 100


def test_a_cancelled_lister_ends_the_scan() -> None:
    lister = ModelS3(LETTERS * 40)
    events = iter(ParallelScan(lister, [ListingJob("", [KeyRange.of_prefix("")])]))
    lister.cancel()
    with pytest.raises(Cancelled):
        list(events)
    assert not tasks_left()


def test_other_jobs_continue_after_one_has_failed() -> None:
    def before(request: PageRequest) -> None:
        if request.prefix == "b":
            raise AccessDenied("not b")

    keys = [f"{letter}{n:03}" for letter in "abc" for n in range(50)]
    jobs = [ListingJob(letter, [KeyRange.of_prefix(letter)]) for letter in "abc"]
    found: Counter[str] = Counter()
    failed: list[JobFailed] = []
    for event in ParallelScan(_Watched(keys, before), jobs):
        match event:
            case ObjectsListed(job=job, objects=objects):
                found[job.prefix] += objects.num_rows
            case JobFailed():
                failed.append(event)
    assert found == {"a": 50, "c": 50}
    ((job, error),) = [(failure.job, failure.error) for failure in failed]
    assert job is jobs[1]
    assert isinstance(error, AccessDenied)


def test_an_abandoned_job_ends_soon_and_yields_no_more_events() -> None:
    lister = ModelS3([f"{n:05}" for n in range(9000)])
    job = ListingJob("", [KeyRange("", "4"), KeyRange("4", "5"), KeyRange("5", "9" * 9)])
    events = 0
    scan = ParallelScan(lister, [job])
    for _ in scan:
        scan.abandon(job)
        events += 1
    assert events == 1
    assert job.failed
    assert len(lister.requests) < 200


def test_a_job_abandoned_at_its_last_page_yields_no_completed_range() -> None:
    job = ListingJob("", [KeyRange("", "b")])  # one page has all keys, and "c" beyond the range
    scan = ParallelScan(ModelS3(["a", "c"]), [job])
    events = []
    for event in scan:
        events.append(event)
        scan.abandon(job)
    assert [type(event) for event in events] == [ObjectsListed]


class _Damaging(ModelS3):
    """Applies a damage to pages by chance, such that their ends look complete."""

    def __init__(self, keys: Iterable[str], chance: Callable[[], bool], damage: Damage) -> None:
        super().__init__(keys)
        self._chance = chance
        self._damage = damage

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        received = await super().fetch_raw_page(request, stats, body)
        return self._damage(received) if self._chance() else received


def _garble(received: RawPage) -> RawPage:
    return replace(received, body=received.body.replace(b"<Size>", b"<Size>&", 1))


def _lose_an_object(received: RawPage) -> RawPage:
    head, _, rest = received.body.rpartition(b"<Contents>")
    tail = rest.partition(b"</Contents>")[2]
    return replace(received, body=head + tail) if head else replace(received, body=b"")


def _mistake_the_token(received: RawPage) -> RawPage:
    return replace(received, next_token="0:0:", is_truncated=True)


@pytest.mark.parametrize("damage", [_garble, _lose_an_object, _mistake_the_token])
@given(keys=keys_strategy, prefixes=prefixes_strategy, seed=st.integers(0, 9999))
@settings(max_examples=60)
def test_a_damaged_page_is_listed_again_without_loss_or_repetition(
    damage: Damage, keys: set[str], prefixes: list[str], seed: int
) -> None:
    chances = random.Random(seed)  # noqa: S311 - a repeatable test
    damaged = 0

    def chance() -> bool:
        nonlocal damaged
        hit = chances.random() < 0.3
        damaged += hit
        return hit

    lister = _Damaging(keys, chance, damage)
    lister.retry = RetryPolicy(malformed_attempts=1000)
    shard, stats = make_shard("", prefixes), RequestStats()
    listed, closed = scan_shard(lister, shard, stats)
    assert listed == sorted(key for key in keys if shard.covers(key))
    check_evidence(shard, listed, closed)
    assert stats.faults.total() <= damaged
    assert set(stats.faults) <= {TransientError.MALFORMED}


def test_a_page_that_stays_damaged_fails_the_job() -> None:
    lister = one_at_a_time(_Damaging(LETTERS, lambda: True, _garble))
    stats = RequestStats()
    with pytest.raises(RetriesExhausted, match="malformed 3 times"):
        scan_shard(lister, make_shard("", []), stats)
    assert stats.faults == {TransientError.MALFORMED: 3}


def test_a_job_records_when_it_began() -> None:
    moments = iter(range(100))
    clock = lambda: datetime(2026, 1, 1, 0, 0, next(moments), tzinfo=UTC)  # noqa: E731
    jobs = [ListingJob(letter, [KeyRange.of_prefix(letter)]) for letter in "ab"]
    lister = ModelS3(["a", "b"])
    lister.bucket_config = BucketConfig("model", max_in_flight=1)
    assert all(job.began_at is None for job in jobs)
    list(ParallelScan(lister, jobs, clock))
    began = [job.began_at for job in jobs if job.began_at]
    assert len(began) == 2
    assert began[0] < began[1]


HOSTILE_KEYS = [
    "..", "../up", "/", "//", "/lead", "a b", "a+b", "a%2Bb", "a&b<c>d", "a\"b'c", "a\rb",
    "a\x01b", "a/../b", "a//b", "é", "\U0001f984/x", "\U0001f984/\x01", "z" * 1024, "y" * 1023,
]  # fmt: skip


def test_a_real_server_with_hostile_keys_is_listed_completely(
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
) -> None:
    lister = ListClient(moto_bucket(HOSTILE_KEYS))
    registered = ["a", "a/", "\U0001f984/", "z" * 1023, "/", "a+"]
    found: list[str] = []
    for prefix in ["", *registered]:
        shard = make_shard(prefix, registered)
        keys, closed = scan_shard(lister, shard)
        assert keys == sorted(key for key in HOSTILE_KEYS if shard.covers(key))
        check_evidence(shard, keys, closed)
        found += keys
    assert sorted(found) == sorted(HOSTILE_KEYS)
