from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.hygiene.findings import StorageTotal
from inventory_assets.inventory.hygiene.report import Finding, UploadAges
from inventory_assets.inventory.hygiene.uploads import survey_uploads
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.upload_client import UploadClient
from inventory_assets_tests.fakes.upload_store import HeldUpload, UploadStore

NOW = datetime(2026, 5, 5, tzinfo=UTC)


def _price(totals: Sequence[StorageTotal]) -> float | None:
    if any(total.storage_class == "ODD" for total in totals):
        return None
    return sum(total.bytes * 2.0 for total in totals)


def _held(
    key: str, days: int, *parts: int, storage_class: str = "STANDARD", name: str = ""
) -> HeldUpload:
    started = NOW - timedelta(days=days, hours=1)
    return HeldUpload(key, name or f"{key}@{days}", started, parts, storage_class)


def _survey(store: UploadStore, requests: int = 100) -> tuple[Finding, UploadAges]:
    client = UploadClient(BucketConfig("bucket"), store)
    return survey_uploads(client, "", NOW, requests, _price)


def test_uploads_are_counted_with_age_bytes_and_cost() -> None:
    store = UploadStore([_held("a/1", 0, 5), _held("a/2", 8, 3, 4), _held("b", 400)])
    found, ages = _survey(store)
    assert (found.objects, found.bytes, found.monthly_usd) == (3, 12, 24.0)
    assert found.unsized == 0
    assert ages.older_than_days == ((1, 2), (7, 2), (30, 1), (365, 1))
    assert [(each.key, each.bytes) for each in ages.oldest] == [("b", 0), ("a/2", 7), ("a/1", 5)]
    assert found.examples == ("a/1", "a/2", "b")


def test_the_oldest_are_asked_first_and_sizes_not_asked_are_unknown() -> None:
    store = UploadStore([_held("a", 1, 1), _held("b", 3, 2), _held("c", 2, 4)])
    found, ages = _survey(store, requests=2)
    assert store.requests == ["uploads", "b@3", "c@2"]
    assert (found.bytes, found.unsized, ages.requests) == (6, 1, 2)
    assert [(each.key, each.bytes) for each in ages.oldest] == [("b", 2), ("c", 4), ("a", None)]


def test_without_requests_no_size_is_known_and_none_is_zero() -> None:
    found, _ = _survey(UploadStore([_held("x/a", 1, 1)]), requests=0)
    assert (found.bytes, found.monthly_usd, found.unsized) == (
        None,
        None,
        1,
    )
    assert [(share.prefix, share.bytes) for share in found.worst] == [("x/", None)]


def test_an_upload_that_ended_meanwhile_is_not_counted() -> None:
    store = UploadStore([_held("a/1", 9, 1, name="1"), _held("b/1", 1, 2)], gone=frozenset("1"))
    found, ages = _survey(store)
    assert (found.objects, found.bytes, ages.gone) == (1, 2, 1)
    assert ages.older_than_days[1] == (7, 0)
    assert [share.prefix for share in found.worst] == ["b/"]


def test_without_uploads_nothing_is_unknown() -> None:
    found, _ = _survey(UploadStore([]))
    assert (found.objects, found.bytes, found.monthly_usd) == (0, 0, 0)


def test_the_cost_is_unknown_if_the_price_of_a_class_is() -> None:
    store = UploadStore([_held("a", 1, 1), _held("b", 1, 1, storage_class="ODD")])
    assert _survey(store)[0].monthly_usd is None


@given(
    held=st.lists(
        st.builds(
            lambda key, days, parts: (key, days, tuple(parts)),
            st.sampled_from(["a/x", "a/y", "b/c/d", "e"]),
            st.integers(0, 50),
            st.lists(st.integers(0, 9), max_size=5),
        ),
        max_size=12,
    ),
    requests=st.integers(0, 15),
    page_size=st.integers(1, 4),
)
def test_a_survey_is_what_counting_all_uploads_gives(
    held: Sequence[tuple[str, int, tuple[int, ...]]], requests: int, page_size: int
) -> None:
    uploads = [
        _held(key, days, *parts, name=f"{number:02}")
        for number, (key, days, parts) in enumerate(held)
    ]
    found, ages = _survey(UploadStore(uploads, page_size, parts_of_page=2), requests)
    assert found.objects == len(uploads)
    by_age = sorted(uploads, key=lambda each: (each.initiated, each.key, each.upload_id))
    left, sizes = requests, []
    for upload in by_age:
        needed = max(1, -(-len(upload.parts) // 2))
        sizes.append(sum(upload.parts) if needed <= left else None)
        left -= min(needed, left)
    known = [size for size in sizes if size is not None]
    assert found.unsized == len(sizes) - len(known)
    assert found.bytes == (sum(known) if known or not uploads else None)
    assert [each.bytes for each in ages.oldest] == sizes
    for share in found.worst:
        assert share.objects == sum(upload.key.startswith(share.prefix) for upload in uploads)
