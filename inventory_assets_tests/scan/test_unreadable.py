"""Unreadable records are counted once, in whatever ranges they appear."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page import Page, Unreadable
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.directory_order_scan import DirectoryOrderScan
from inventory_assets.scan.engine.events import JobFailed, ListingJob, ObjectsListed, RangeCompleted
from inventory_assets.scan.engine.page_queue import QUEUED_PAGES
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.validation.page_validation import check_unreadable
from inventory_assets.scan.validation.range_evidence import EvidenceBuilder
from inventory_assets.scan.validation.seams import seam_violations
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    listing,
    objects_of,
)
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.fakes.raw_s3 import RawS3


def is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def listed_by(lister: RawS3, shard: Shard, stats: RequestStats) -> list[str]:
    job = ListingJob(shard.prefix, shard.ranges, stats)
    found: list[str] = []
    evidence = []
    for event in ParallelScan(lister, [job]):
        match event:
            case ObjectsListed(objects=objects):
                found += objects.column("key").to_pylist()
            case RangeCompleted():
                evidence.append(event.evidence)
            case JobFailed(error=error):
                raise error
    assert not [*seam_violations(sorted(evidence, key=lambda each: each.key_range))]
    return sorted(found)


raw_keys = st.sets(
    st.lists(st.sampled_from([b"a", b"b", b"/", b"\xc3\xa9", b"\xe9", b"\xff"]), min_size=1)
    .filter(lambda parts: len(parts) < 5)
    .map(b"".join),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(
    raw_keys,
    st.lists(st.sampled_from(["a", "b", "a/", "\xe9", "b/a"]), max_size=3),
    st.integers(1, 5),
    st.data(),
)
@example({b"a", b"b\xff", b"c"}, ["b"], 1, None)
def test_each_key_is_listed_or_counted_once(
    keys: set[bytes], prefixes: list[str], page_size: int, data: st.DataObject | None
) -> None:
    sizeless = data.draw(st.sets(st.sampled_from(sorted(keys)))) if data and keys else set()
    readable = [key.decode() for key in sorted(keys - sizeless) if is_text(key)]
    found: list[str] = []
    stats = RequestStats()
    for prefix in {"", *prefixes}:
        shard, of_shard = make_shard(prefix, prefixes), RequestStats()
        listed = listed_by(RawS3(keys, sizeless, page_size), shard, of_shard)
        assert listed == [key for key in readable if shard.covers(key)]
        found += listed
        stats.add(of_shard)
    assert sorted(found) == sorted(readable)
    assert stats.unreadable.count == len(keys) - len(readable)
    assert {record.key for record in stats.unreadable.first} == {
        key.decode() if is_text(key) else None
        for key in keys
        if key.decode("utf-8", "replace") not in readable
    }


def test_a_size_that_is_garbled_once_is_requested_again() -> None:
    keys = [f"k{number:02}".encode() for number in range(20)]
    lister, stats = RawS3(keys, garbled=[1, 4, 6]), RequestStats()
    lister.bucket_config = BucketConfig("model", max_in_flight=1)
    listed = listed_by(lister, make_shard("", []), stats)
    assert listed == [key.decode() for key in keys]
    assert stats.unreadable.count == 0


def test_a_kind_of_unreadable_record_is_requested_again_once_per_job() -> None:
    keys = [f"k{number:03}".encode() for number in range(300)]
    lister, stats = RawS3(keys, keys[::5]), RequestStats()
    lister.bucket_config = BucketConfig("model", max_in_flight=1)
    assert len(listed_by(lister, make_shard("", []), stats)) == 240
    assert stats.unreadable.count == 60
    assert stats.requests <= 100 + 3 * QUEUED_PAGES  # those that had run ahead
    assert not stats.faults


def test_a_page_of_only_unreadable_records_is_not_an_empty_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inventory_assets.scan.validation.page_validation.MAX_EMPTY_PAGES", 3)
    keys = [b"k%02d\xff" % number for number in range(30)]
    stats = RequestStats()
    assert listed_by(RawS3([*keys, b"z"]), make_shard("", []), stats) == ["z"]
    assert stats.unreadable.count == 30


def test_the_directory_order_scan_reports_unreadable_records_and_folders() -> None:
    class Folders(ModelS3):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:  # noqa: ARG002
            good, bad = Listed("a"), contents("<Key>b</Key>")
            folder = "<CommonPrefixes><Prefix>c%FF/</Prefix></CommonPrefixes>"
            page = decode_page(listing(contents(*contents_fields(good)), bad, folder))
            assert isinstance(page, Page)
            return page

    ranges, stats = [KeyRange.of_prefix("")], RequestStats()
    job = DirectoryOrderScan(Folders([]), "", ranges, stats, EvidenceBuilder(ranges))
    assert [key for batch in job for key in batch.column("key").to_pylist()] == ["a"]
    assert stats.unreadable.count == 2


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_record_that_cannot_be_read_is_compared_with_its_neighbours(place: int) -> None:
    objects = objects_of(["b", "d", "f"])
    in_order = "aceg"[place]
    for sort_key in {*"aceg"} - {in_order}:
        record = Unreadable(b"", "lacks <Size>", sort_key, sort_key, place)
        page = Page(objects, (), is_truncated=False, next_token=None, unreadable=(record,))
        with pytest.raises(KeysOutOfOrder):
            check_unreadable(page, "", "bucket")
    record = Unreadable(b"", "lacks <Size>", in_order, in_order, place)
    page = Page(objects, (), is_truncated=False, next_token=None, unreadable=(record,))
    check_unreadable(page, "", "bucket")
    if not place:
        with pytest.raises(KeysOutOfOrder):
            check_unreadable(page, "aa", "bucket")
