"""Scans of versions of which some cannot be decoded, from pages that arrive damaged."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS, StartAfter
from inventory_assets.scan.engine.events import JobFailed, ListingJob, ObjectsListed
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.fakes.versioned_s3 import History, VersionedS3, histories
from inventory_assets_tests.fakes.virtual_time import scans_run_on_virtual_time
from inventory_assets_tests.scan.test_versions import at, moments


@pytest.fixture(scope="module", autouse=True)
def virtual_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        scans_run_on_virtual_time(patch)
        yield


class Odd(VersionedS3):
    """Some versions cannot be decoded, and perhaps a key marker alone is ignored."""

    def __init__(
        self,
        history: History,
        page_size: int,
        damaged: Sequence[int],
        unreadable: set[str],
        *,
        ignores_start: bool,
    ) -> None:
        super().__init__(history, page_size, damaged)
        self.bucket_config = BucketConfig("model", max_in_flight=4)
        self._unreadable = unreadable
        self._ignores_start = ignores_start
        if ignores_start:
            self.profile = replace(AWS, start_after=StartAfter.IGNORED)

    def _body(self, request: PageRequest, stats: RequestStats) -> bytes:
        if self._ignores_start:
            request = replace(request, start_after="")
        body = super()._body(request, stats)
        for each in self._unreadable:
            shown = f"<VersionId>{each}</VersionId><IsLatest>".encode()
            body = body.replace(shown, shown + b"perhaps ")
        return body


def history_of(keys: str) -> History:
    """A history in which keys of one letter are put, one after the other."""
    history = History()
    for key in keys:
        history.put(key, 1, 1)
    return history


@given(
    histories("ab-", most=40),
    moments,
    st.integers(1, 6),
    st.lists(st.text("ab-", min_size=1, max_size=2), max_size=2),
    st.sets(st.integers(1, 40), max_size=8),
    st.lists(st.integers(0, 20), max_size=2),  # the third without progress would end the listing
    st.booleans(),
)
@example(history_of("abbbbbbbbbc"), None, 3, [], set(), [2], True).via("versions of b were lost")
@example(history_of("abbbcde"), None, 5, ["c"], {5}, [], False).via("b was lost")
@example(history_of("abccd"), None, 3, ["c"], {4}, [], False).via("c was out of order")
@settings(max_examples=200)
def test_a_scan_finds_all_versions_that_can_be_decoded(
    history: History,
    moment: int | None,
    page_size: int,
    excluded: list[str],
    numbers: set[int],
    damaged: list[int],
    ignores_start: bool,
) -> None:
    unreadable = {f"v{number}" for number in numbers}
    shard = make_shard("", excluded)
    lister = Odd(history, page_size, damaged, unreadable, ignores_start=ignores_start)
    job = ListingJob("", shard.ranges, versions=at(moment))
    found: list[tuple[str, str]] = []
    for event in ParallelScan(lister, [job]):
        match event:
            case ObjectsListed(objects=objects):
                columns = [objects.column(name).to_pylist() for name in ("key", "version_id")]
                found += zip(*columns, strict=True)
            case JobFailed(error=error):
                raise error
    there = [each for each in history.listed() if shard.covers(each.key)]
    then = [(each.key, each.version_id) for each in history.listed(moment)]
    listed = {(each.key, each.version_id) for each in there if each.version_id not in unreadable}
    assert sorted(found) == sorted(each for each in then if each in listed)
    assert job.stats.unreadable.count == len(there) - len(listed)
