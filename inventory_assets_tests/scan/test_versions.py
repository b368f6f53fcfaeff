"""A scan finds all versions of a bucket, and its content at any time, as a simple model does."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby, pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.decoding.page import VERSION_SCHEMA
from inventory_assets.s3.errors import VersionsUnsupported
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine import page_queue
from inventory_assets.scan.engine.events import JobFailed, ListingJob, ObjectsListed, RangeCompleted
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.range_listing import list_range
from inventory_assets.scan.validation import page_validation
from inventory_assets.scan.validation.object_versions import Versions, order_violation
from inventory_assets.scan.validation.page_validation import check_keys
from inventory_assets_tests.fakes.versioned_s3 import (
    EPOCH,
    History,
    Version,
    VersionedS3,
    batch_of,
    histories,
)
from inventory_assets_tests.fakes.virtual_time import scans_run_on_virtual_time

moments = st.none() | st.integers(0, 200)


@pytest.fixture(scope="module", autouse=True)
def virtual_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_queue, "BATCH_WAIT_SECONDS", 0.0005)
        scans_run_on_virtual_time(patch)
        yield


def at(moment: int | None) -> Versions:
    return Versions(None if moment is None else EPOCH + timedelta(milliseconds=moment))


def scanned(lister: VersionedS3, job: ListingJob) -> list[pa.RecordBatch]:
    """The rows of a scan, in key order; checks that each key is in one batch, and the evidence."""
    found: dict[int, list[pa.RecordBatch]] = {}
    evidence = []
    for event in ParallelScan(lister, [job]):
        match event:
            case ObjectsListed(index=index, objects=objects):
                found.setdefault(index, []).append(objects)
            case RangeCompleted(index=index, evidence=row):
                assert row.rows == sum(batch.num_rows for batch in found.get(index, []))
                evidence.append((row, index))
            case JobFailed(error=error):
                raise error
    evidence.sort(key=lambda pair: pair[0].key_range)
    assert tiling_violation([row.key_range for row, _ in evidence], job.ranges) is None
    batches = [batch for _, index in evidence for batch in found.get(index, [])]
    keys = [batch.column("key").to_pylist() for batch in batches]
    assert all(left[-1] < right[0] for left, right in pairwise(keys)), "a key is in two batches"
    return batches


def rows_of(batches: Sequence[pa.RecordBatch]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, VERSION_SCHEMA).to_pylist()
    return rows


@given(
    histories(),
    moments,
    st.integers(1, 5),
    st.sets(st.text("ab-", min_size=1, max_size=2), max_size=3),
    st.sets(st.integers(0, 9), max_size=2),
)
def test_a_scan_finds_the_versions_of_any_time_in_any_pages_and_ranges(
    history: History, moment: int | None, page_size: int, cuts: set[str], damaged: set[int]
) -> None:
    job = ListingJob("", Shard("").ranges, initial_splits=sorted(cuts), versions=at(moment))
    lister = VersionedS3(history, page_size, sorted(damaged))
    expected = [each.row() for each in history.listed(moment)]
    assert rows_of(scanned(lister, job)) == expected


def test_a_range_is_listed_after_all_versions_of_the_key_before_it() -> None:
    history = History()
    for number in range(12):
        history.put("abc"[number % 3], number, number)
    job = ListingJob("", [KeyRange("a", "b")], versions=Versions())
    keys = [row["key"] for row in rows_of(scanned(VersionedS3(history), job))]
    assert keys == ["b"] * 4


@pytest.mark.parametrize("ranges", [[KeyRange("b", "c")], make_shard("", ["a"]).ranges])
def test_ranges_without_keys_are_empty_beside_those_with_keys(ranges: Sequence[KeyRange]) -> None:
    history = History()
    history.put("a/1", 1, 1)
    lister = VersionedS3(history)
    assert scanned(lister, ListingJob("", ranges, versions=Versions())) == []


class WithoutVersions(VersionedS3):
    """A store that answers a request for versions with an empty list."""

    def _body(self, request: PageRequest, stats: RequestStats) -> bytes:
        self._listed = []
        return super()._body(request, stats)


@pytest.mark.parametrize("ranges", [[KeyRange("b", "c")], Shard("").ranges])
def test_a_store_that_lists_no_versions_is_refused(ranges: Sequence[KeyRange]) -> None:
    history = History()
    history.put("a/1", 1, 1)
    with pytest.raises(VersionsUnsupported, match="returns no versions, although there are obj"):
        scanned(WithoutVersions(history), ListingJob("", ranges, versions=Versions()))
    assert scanned(WithoutVersions(History()), ListingJob("", ranges, versions=Versions())) == []


def test_a_key_of_many_pages_is_in_one_event() -> None:
    history = History()
    for number in range(100):
        history.put("many", number, number)
    history.put("z", 0, 0)
    job = ListingJob("", Shard("").ranges, versions=Versions())
    batches = scanned(VersionedS3(history, 7), job)
    assert batches[0].column("key").to_pylist()[:101] == ["many"] * 100 + ["z"]


@given(histories(), moments, st.integers(1, 5), st.text("ab-", max_size=2))
def test_a_range_listed_again_holds_the_same(
    history: History, moment: int | None, page_size: int, after: str
) -> None:
    key_range = KeyRange(after, KeyRange.of_prefix("").until)
    relisted = list_range(
        VersionedS3(history, page_size), "", key_range, RequestStats(), at(moment)
    )
    expected = [each.row() for each in history.listed(moment) if each.key in relisted.key_range]
    assert relisted.objects.to_pylist() == expected


def test_the_last_key_of_a_range_listed_again_has_all_its_versions() -> None:
    history = History()
    for number in range(4):
        history.put("a", number, number)
        history.put("b", number, number)
    relisted = list_range(VersionedS3(history), "", KeyRange("", "a"), RequestStats(), Versions())
    assert relisted.objects.num_rows == 4


def test_each_version_of_a_key_is_checked_once_over_many_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key may have millions; to check all of them with each page would take hours."""
    checked: list[int] = []

    def counted(objects: pa.RecordBatch) -> str | None:
        checked.append(objects.num_rows)
        return order_violation(objects)

    monkeypatch.setattr(page_validation, "order_violation", counted)
    history = History()
    for number in range(300):
        history.put("k", number, number)
    found = rows_of(
        scanned(VersionedS3(history, 10), ListingJob("", Shard("").ranges, versions=Versions()))
    )
    assert len(found) == 300
    assert sum(checked) <= 300 + len(checked)


class ListsTwice(VersionedS3):
    """Lists the latest version of a key once more, some pages later."""

    def __init__(self) -> None:
        history = History()
        for number in range(6):
            history.put("k", number, number)
        super().__init__(history, 2)
        self._listed.insert(4, replace(self._listed[0], is_latest=False))


def test_a_version_that_is_listed_twice_over_pages_is_rejected() -> None:
    with pytest.raises(KeysOutOfOrder, match="lists a version of 'k' twice"):
        scanned(ListsTwice(), ListingJob("", Shard("").ranges, versions=Versions()))
    with pytest.raises(KeysOutOfOrder, match="lists a version of 'k' twice"):
        list_range(ListsTwice(), "", KeyRange.of_prefix(""), RequestStats(), Versions())


def test_an_object_written_at_the_exact_time_is_included() -> None:
    history = History()
    for moment in (9, 10, 11):
        history.put("k", moment, moment)
    kept = at(10).as_of_view(batch_of(history.listed()))
    assert kept.column("size").to_pylist() == [10, 9]
    assert kept.column("is_latest").to_pylist() == [True, False]


@pytest.mark.parametrize(
    ("versions", "violation"),
    [
        ([("b", "1", 1), ("a", "1", 1)], "out of byte order"),
        ([("a", "1", 0), ("a", "2", 1)], "with an older version before the latest"),
        ([("a", "1", 1), ("a", "2", 0), ("a", "1", 0)], "with a version listed twice"),
        ([("a", "1", 1), ("b", "1", 1), ("a", "2", 0)], "delete markers after all versions"),
    ],
)
def test_versions_out_of_order_are_rejected(
    versions: list[tuple[str, str, int]], violation: str
) -> None:
    listed = [Version(key, name, 0, 0, bool(latest)) for key, name, latest in versions]
    with pytest.raises(KeysOutOfOrder, match=violation):
        check_keys(batch_of(listed), "", "", "model")


@given(histories())
def test_versions_in_the_order_of_a_listing_are_accepted(history: History) -> None:
    check_keys(batch_of(history.listed()), "", "", "model")


def test_versions_are_ordered_by_storing_not_by_last_modified() -> None:
    history = History()
    history.put("k", 20, 1)
    history.put("k", 10, 2)  # an upload in parts, begun before and completed after
    job = ListingJob("", Shard("").ranges, versions=at(30))
    found = rows_of(scanned(VersionedS3(history), job))
    assert [(row["size"], row["is_latest"]) for row in found] == [(2, True), (1, False)]
    assert len([*groupby(found, key=lambda row: row["key"])]) == 1
