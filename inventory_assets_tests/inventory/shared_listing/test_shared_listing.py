"""Participants that are killed at any point, one after the other and at the same time."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import (
    CorruptRecord,
    IncompleteListing,
    InventoryNotFound,
    JoinRefused,
)
from inventory_assets.inventory.parts.schema import VERSION_RECORD_SCHEMA
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.shared_listing import claim_keeper, range_worker, url_goal
from inventory_assets.inventory.shared_listing.listing_lifecycle import SharingOptions
from inventory_assets.inventory.shared_listing.listing_record import (
    LISTING,
    SharedResult,
    read_shared_listing,
)
from inventory_assets.inventory.shared_listing.shared_listing import join_listing
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import AccessDenied
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.fakes.versioned_s3 import EPOCH, History, VersionedS3
from inventory_assets_tests.inventory.killed_listings import KEYS, Bucket, small_files

IMPATIENT = SharingOptions(
    lease_seconds=60, poll_seconds=0.005, clock=lambda: time.monotonic() * 1000
)
"""A participant whose clock runs so fast that a lease takes 60 ms."""
PATIENT = SharingOptions(lease_seconds=60, poll_seconds=0.005)


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_files():
        yield


def join(
    root: Path,
    lister: Bucket | None = None,
    options: SharingOptions = PATIENT,
    store: LocalStore | None = None,
    prefix: str = "",
    encodings: Encodings = Encodings.COMPACT,
    versions: Versions | None = None,
) -> SharedResult:
    return join_listing(
        lister or Bucket(KEYS),
        prefix,
        store or LocalStore(root),
        versions=versions,
        encodings=encodings,
        options=options,
    )


def keys_in(root: Path) -> list[str]:
    return [
        key
        for batch in Dataset.of_shared_listing(LocalStore(root)).batches(["key"])
        for key in batch.column("key").to_pylist()
    ]


def check(root: Path, result: SharedResult, keys: list[str] = KEYS) -> None:
    """The result is the truth, in key order, and nothing is left over."""
    assert keys_in(root) == sorted(keys)
    assert sum(row.rows for row in result.evidence) == len(keys)
    left = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    # A process that is only said to be killed still has its drafts locked.
    left = {name for name in left if not name.startswith(".drafts/")}
    assert left == {LISTING, url_goal.FILES, *(part.key for part in result.parts)}
    files = (root / url_goal.FILES).read_text().splitlines()
    assert files == [f"file://{root / part.key}" for part in result.parts]


def test_one_participant_lists_everything(tmp_path: Path) -> None:
    lister = Bucket(KEYS)
    result = join(tmp_path, lister)
    check(tmp_path, result)
    assert result.requests == len(lister.requests)


def test_several_participants_share_a_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_worker, "ESTIMATE_SECONDS", 0.02)
    monkeypatch.setattr(range_worker, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(claim_keeper, "CHECK_SECONDS", 0.01)
    keys = [f"{number:06}" for number in range(6_000)]
    buckets = [Slow(keys, seed) for seed in range(3)]
    results: list[SharedResult] = []

    def take_part(bucket: Bucket) -> None:
        results.append(join(tmp_path, bucket))

    threads = [threading.Thread(target=take_part, args=(bucket,)) for bucket in buckets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert results[0] == results[1] == results[2]
    check(tmp_path, results[0], keys)
    assert sum(len(bucket.requests) > 20 for bucket in buckets) >= 2, "nothing was shared"
    pages = len(keys) / 10
    assert sum(len(bucket.requests) for bucket in buckets) < 1.6 * pages


class Slow(Bucket):
    """A bucket that takes real time, so that threads run at the same time."""

    def list_page_sync(self, request, stats):  # type: ignore[no-untyped-def]
        time.sleep(0.002)
        return super().list_page_sync(request, stats)


@pytest.mark.parametrize("left", [*range(1, 12), 15, 20, 30, 40, 50, 60])
def test_a_killed_participant_costs_its_unfinished_ranges(tmp_path: Path, left: int) -> None:
    with pytest.raises(Killed):
        join(tmp_path, store=MortalStore(tmp_path, Life(left)))
    result = join(tmp_path, options=IMPATIENT)
    check(tmp_path, result)


def test_work_of_a_killed_participant_is_kept(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        join(tmp_path, store=MortalStore(tmp_path, Life(60)))
    lister = Bucket(KEYS)
    check(tmp_path, join(tmp_path, lister, options=IMPATIENT))
    assert len(lister.requests) < 0.75 * len(KEYS) / 10


def test_a_chain_of_killed_participants(tmp_path: Path) -> None:
    for left in (25, 12, 30, 5, 18, 22):
        with pytest.raises(Killed):
            join(tmp_path, options=IMPATIENT, store=MortalStore(tmp_path, Life(left)))
    check(tmp_path, join(tmp_path, options=IMPATIENT))


def test_a_participant_that_fails_leaves_its_ranges_to_the_others_at_once(tmp_path: Path) -> None:
    class Refusing(Bucket):
        def list_page_sync(self, request, stats):  # type: ignore[no-untyped-def]
            if len(self.requests) > 40:
                raise AccessDenied("these credentials have expired")
            return super().list_page_sync(request, stats)

    with pytest.raises(AccessDenied, match="have expired") as failure:
        join(tmp_path, Refusing(KEYS))
    assert "the other participants list the rest" in failure.value.__notes__[0]
    began = time.monotonic()
    check(tmp_path, join(tmp_path))  # with a patient clock: nothing waits for a lease
    assert time.monotonic() - began < 30


def test_a_stopped_participant_can_be_started_again(tmp_path: Path) -> None:
    class Stopped(Bucket):
        def list_page_sync(self, request, stats):  # type: ignore[no-untyped-def]
            if len(self.requests) > 40:
                raise KeyboardInterrupt
            return super().list_page_sync(request, stats)

    with pytest.raises(KeyboardInterrupt):
        join(tmp_path, Stopped(KEYS))
    check(tmp_path, join(tmp_path))


def test_a_late_participant_finds_the_finished_listing(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    first = join(tmp_path)
    logged.clear()
    lister = Bucket(KEYS)
    assert join(tmp_path, lister) == first
    assert not lister.requests
    assert "the listing was finished at" in logged.messages[0]


def test_a_finished_listing_of_yesterday_is_refused(tmp_path: Path) -> None:
    join(tmp_path)
    tomorrow = SharingOptions(now=lambda: utc_now() + timedelta(days=1))
    with pytest.raises(JoinRefused, match="too old to stand for the present bucket"):
        join(tmp_path, options=tomorrow)


@pytest.mark.parametrize("minutes", [-20, 20])
def test_clocks_that_differ_do_not_matter(tmp_path: Path, minutes: int) -> None:
    with pytest.raises(Killed):
        join(tmp_path, store=MortalStore(tmp_path, Life(40)))
    wrong = timedelta(minutes=minutes)
    options = SharingOptions(60, 0.005, lambda: time.monotonic() * 1000, lambda: utc_now() + wrong)
    check(tmp_path, join(tmp_path, options=options))


def test_an_abandoned_listing_of_yesterday_begins_anew(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Killed):
        join(tmp_path, store=MortalStore(tmp_path, Life(40)))
    old = read_shared_listing(LocalStore(tmp_path))
    later = SharingOptions(
        60, 0.005, lambda: time.monotonic() * 1000, lambda: utc_now() + timedelta(days=1)
    )
    check(tmp_path, join(tmp_path, options=later))
    new = read_shared_listing(LocalStore(tmp_path))
    assert old is not None
    assert new is not None
    assert old.id != new.id
    assert any("more than a day old" in message for message in logged.messages)


OTHERS: list[tuple[Callable[[Path], object], str]] = [
    (lambda root: join(root, prefix="a"), "the prefix is '' there and 'a' here"),
    (lambda root: join(root, encodings=Encodings.PLAIN), "the encodings is"),
    (lambda root: join(root, versions=Versions()), "the versions is"),
]


@pytest.mark.parametrize(("begin", "words"), OTHERS)
def test_a_participant_with_other_arguments_is_refused(
    tmp_path: Path, begin: Callable[[Path], object], words: str
) -> None:
    with pytest.raises(Killed):
        join(tmp_path, store=MortalStore(tmp_path, Life(30)))
    with pytest.raises(JoinRefused, match="is another listing") as refused:
        begin(tmp_path)
    assert words in str(refused.value)
    check(tmp_path, join(tmp_path, options=IMPATIENT))


def test_a_participant_of_another_bucket_or_version_is_refused(tmp_path: Path) -> None:
    join(tmp_path)
    other = Bucket(KEYS)
    other.bucket_config = BucketConfig("other", max_in_flight=4)
    with pytest.raises(JoinRefused, match="the bucket is 'model' there and 'other' here"):
        join(tmp_path, other)
    record = tmp_path / LISTING
    text = record.read_text()
    record.write_text(text.replace('"program": "', '"program": "9.'))
    with pytest.raises(JoinRefused, match=r"the version is '9\."):
        join(tmp_path)
    record.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(CorruptRecord, match="has format 2, and this version of the program knows"):
        join(tmp_path)
    record.write_text("{")
    with pytest.raises(CorruptRecord, match="is damaged"):
        join(tmp_path)


def test_a_store_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.csv").write_text("mine")
    with pytest.raises(JoinRefused, match=r"holds other files already, such as 'report\.csv'"):
        join(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


def test_a_store_that_lists_in_directory_order_is_refused(tmp_path: Path) -> None:
    keys = [f"d{number:02}{end}" for number in range(60) for end in ("/x", "-y")]
    with pytest.raises(JoinRefused, match="lists in directory order"):
        join(tmp_path, Bucket(keys, key_order=KeyOrder.DIRECTORY))
    with pytest.raises(JoinRefused, match="lists in directory order"):
        join_listing(Bucket(KEYS), "", LocalStore(tmp_path), key_order=KeyOrder.DIRECTORY)


def test_a_listing_that_is_wrong_fails_for_all_and_begins_anew(tmp_path: Path) -> None:
    class Lying(Bucket):
        def list_page_sync(self, request, stats):  # type: ignore[no-untyped-def]
            if len(self.requests) > 40:
                raise KeysOutOfOrder("the keys do not ascend")
            return super().list_page_sync(request, stats)

    with pytest.raises(KeysOutOfOrder):
        join(tmp_path, Lying(KEYS))
    with pytest.raises(InventoryNotFound, match=r"failed .*the keys do not ascend"):
        keys_in(tmp_path)
    check(tmp_path, join(tmp_path))


def test_an_unfinished_listing_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(InventoryNotFound, match="holds no shared listing"):
        keys_in(tmp_path)
    with pytest.raises(Killed):
        join(tmp_path, store=MortalStore(tmp_path, Life(30)))
    with pytest.raises(InventoryNotFound, match="is not finished"):
        keys_in(tmp_path)


@pytest.mark.parametrize("as_of", [None, 2])
def test_versions_are_listed_together(tmp_path: Path, as_of: int | None) -> None:
    history = History()
    for moment in (1, 2, 3):
        for key in KEYS[:120]:
            history.put(key, moment, 10 * moment)
    versions = Versions(None if as_of is None else EPOCH + timedelta(milliseconds=as_of))
    with pytest.raises(Killed):
        join_listing(
            VersionedS3(history, 10),
            "",
            MortalStore(tmp_path, Life(25)),
            versions=versions,
            options=PATIENT,
        )
    result = join_listing(
        VersionedS3(history, 10),
        "",
        LocalStore(tmp_path),
        versions=versions,
        options=IMPATIENT,
    )
    found = Dataset.of_shared_listing(LocalStore(tmp_path))
    assert found.schema == VERSION_RECORD_SCHEMA
    rows = [row for batch in found.batches(["key", "version_id"]) for row in batch.to_pylist()]
    expected = [(each.key, each.version_id) for each in history.listed(as_of)]
    assert [(row["key"], row["version_id"]) for row in rows] == expected
    assert sum(part.rows for part in result.parts) == len(expected)


def test_an_empty_bucket_has_an_empty_result(tmp_path: Path) -> None:
    result = join(tmp_path, Bucket([]))
    assert result.parts == ()
    check(tmp_path, result, [])


def test_a_lost_part_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require = url_goal._require_files

    def lose_one(store: LocalStore, *arguments: object) -> None:
        next(tmp_path.rglob("*.parquet")).unlink()
        require(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(url_goal, "_require_files", lose_one)
    with pytest.raises(CorruptRecord, match="is missing or does not have the size"):
        join(tmp_path)


def test_a_failed_listing_ends_the_others(tmp_path: Path) -> None:
    """One that waits for ranges learns that the listing failed."""
    with pytest.raises(Killed):
        join(tmp_path, store=MortalStore(tmp_path, Life(40)))
    record = tmp_path / LISTING
    failed = record.read_text().replace('"failure": ""', '"failure": "a key was lost"')

    def fail_meanwhile(_seconds: float) -> None:
        record.write_text(failed)

    waiting = SharingOptions(lease_seconds=60, sleep=fail_meanwhile)
    with pytest.raises(IncompleteListing, match="failed at another participant: a key was lost"):
        join(tmp_path, options=waiting)
