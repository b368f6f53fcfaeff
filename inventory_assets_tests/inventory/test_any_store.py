"""Behaviour of all stores: a folder, and buckets on moto, ministack and SeaweedFS."""

import io
import random
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest, sha256
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.errors import ConflictError, StoreError
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import files_that_differ
from inventory_assets.inventory.parts.counting import count_records
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage import bucket_store as bucket_store_module
from inventory_assets.inventory.storage.bucket_store import BucketStore, _RangedFile
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import NO_ETAG, Store
from inventory_assets.s3 import object_client
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.conftest import CEPH, SWIFT
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import (
    DAY,
    LAYOUT,
    NOW,
    listed,
    parts_of,
    snapshot_of,
)
from inventory_assets_tests.inventory.stores import bucket_store, unfinished_uploads

KINDS = ["folder", "moto", "ministack", "seaweedfs", CEPH, SWIFT]
SMALL_UPLOAD = 5 * 2**20


@pytest.fixture(params=KINDS)
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return LocalStore(tmp_path / "store")
    return bucket_store(request.getfixturevalue(request.param))


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files over 5 MiB, the least that S3 allows, are uploaded in parts."""
    monkeypatch.setattr(object_client, "UPLOAD_BYTES", SMALL_UPLOAD)


def publish_bytes(store: Store, key: str, data: bytes, digest: str | None = None) -> None:
    with store.scratch() as folder:
        file = folder / "file"
        file.write_bytes(data)
        store.publish_file(key, file, digest)


def test_what_is_published_is_read_back(any_store: Store) -> None:
    any_store.publish("a/b.json", b"one")
    assert any_store.read("a/b.json") == b"one"
    assert any_store.size("a/b.json") == 3
    any_store.publish("a/b.json", b"")
    assert any_store.read("a/b.json") == b""


def test_an_unpublished_record_is_none(any_store: Store) -> None:
    assert any_store.read("nothing") is None
    assert any_store.open("nothing") is None
    assert any_store.size("nothing") is None
    assert any_store.etag("nothing") == NO_ETAG
    assert any_store.list_names("nothing") == []
    any_store.remove_key("nothing")


def test_list_names_returns_the_direct_children_in_order(any_store: Store) -> None:
    keys = ["top", "f/b c+d%20", "f/a/x", "f/a/y", "f/a-b", "f/é", "fg/x"]
    for key in keys:
        any_store.publish(key, b"")
    assert any_store.list_names("f") == ["a", "a-b", "b c+d%20", "é"]
    assert set(any_store.list_names("")) - {".scratch"} == {"top", "f", "fg"}


def test_files_are_listed_with_those_of_subfolders(any_store: Store) -> None:
    sizes = {"f/b c+d%20": 1, "f/a/x": 2, "f/a/y/z": 0, "f/é": 3, "fg/x": 4, "top": 5}
    for key, size in sizes.items():
        any_store.publish(key, b"x" * size)
    assert {file.key: file.size for file in any_store.files("f")} == {
        key: size for key, size in sizes.items() if key.startswith("f/")
    }
    assert list(any_store.files("nothing")) == []


def test_only_an_empty_folder_is_removed(any_store: Store) -> None:
    any_store.publish("f/a/x", b"")
    any_store.remove_folder("f/a")
    assert any_store.list_names("f") == ["a"]
    any_store.remove_key("f/a/x")
    any_store.remove_folder("f/a")
    any_store.remove_folder("f/a")
    assert list(any_store.files("f")) == []


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("digest", [True, False])
def test_a_large_file_comes_back_byte_for_byte(any_store: Store, digest: bool) -> None:
    data = random.Random(1).randbytes(2 * SMALL_UPLOAD + 77)  # noqa: S311
    publish_bytes(any_store, "large", data, sha256(data).hexdigest() if digest else None)
    file = any_store.open("large")
    assert file is not None
    with file:
        assert file_digest(file, "sha256").hexdigest() == sha256(data).hexdigest()
        file.seek(SMALL_UPLOAD - 3)
        assert file.read(7) == data[SMALL_UPLOAD - 3 : SMALL_UPLOAD + 4]
    if isinstance(any_store, BucketStore):
        assert unfinished_uploads(any_store) == []


def test_a_damaged_file_is_healed_by_publishing_it_again(any_store: Store) -> None:
    data = b"good"
    digest = sha256(data).hexdigest()
    any_store.publish("part", b"evil")
    for _ in range(2):
        publish_bytes(any_store, "part", data, digest)
        assert any_store.read("part") == data


def test_a_conditional_write_fails_after_another_write(any_store: Store) -> None:
    first = any_store.put_if_match("x", b"1", NO_ETAG)
    assert any_store.etag("x") == first != NO_ETAG
    with pytest.raises(ConflictError, match=r"x was published by another run.*start over"):
        any_store.put_if_match("x", b"2", NO_ETAG)
    second = any_store.put_if_match("x", b"2", first)
    with pytest.raises(ConflictError):
        any_store.put_if_match("x", b"3", first)
    any_store.remove_key("x")
    with pytest.raises(ConflictError):
        any_store.put_if_match("x", b"3", second)
    assert any_store.read("x") is None


@pytest.mark.parametrize("is_new", [True, False])
def test_exactly_one_of_concurrent_runs_publishes(any_store: Store, is_new: bool) -> None:
    if not is_new:
        any_store.publish("x", b"old")
    version = any_store.etag("x")
    runs = 6
    start = Barrier(runs)

    def publish(number: int) -> bytes | None:
        data = str(number).encode()
        start.wait()
        try:
            any_store.put_if_match("x", data, version)
        except ConflictError:
            return None
        return data

    with ThreadPoolExecutor(runs) as pool:
        published = [data for data in pool.map(publish, range(runs)) if data]
    assert [any_store.read("x")] == published


def test_exactly_one_of_concurrent_manifests_is_published(any_store: Store) -> None:
    snapshots = [snapshot_of(any_store, Shard(""), listed(keys)) for keys in ("ab", "cd")]
    manifests = [merge(any_store, LAYOUT, "", {"": snapshot}, NOW) for snapshot in snapshots]
    start = Barrier(len(manifests))

    def publish(number: int) -> bool:
        start.wait()
        try:
            publish_manifest(any_store, LAYOUT, manifests[number], NO_ETAG)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(len(manifests)) as pool:
        done = list(pool.map(publish, range(len(manifests))))
    assert sorted(done) == [False, True]
    assert read_manifest(any_store, LAYOUT, DAY) == manifests[done.index(True)]


def test_parts_are_read_by_range_as_from_a_folder(any_store: Store, tmp_path: Path) -> None:
    groups = [
        [Listed(f"k{number:05}") for number in range(start, start + 500)] for start in (0, 500)
    ]
    parts = parts_of(any_store, *groups)
    assert files_that_differ(any_store, parts) == []
    local = LocalStore(tmp_path / "other")
    assert parts_of(local, *groups) == parts
    assert [any_store.read(part.key) for part in parts] == [local.read(part.key) for part in parts]
    some = KeyRange("k00250", "k00700")
    batches = list(read_records(any_store, parts, [some], ["key", "size"]))
    assert [key for batch in batches for key in batch["key"].to_pylist()] == [
        f"k{number:05}" for number in range(251, 701)
    ]
    assert count_records(any_store, parts, some) == 450


def test_a_missing_part_counts_as_different(any_store: Store) -> None:
    parts = parts_of(any_store, [Listed("a")], [Listed("b")])
    any_store.remove_key(parts[0].key)
    assert files_that_differ(any_store, parts) == [parts[0].key]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a/..", ".."])
def test_no_key_leads_out_of_the_store(any_store: Store, key: str) -> None:
    for use in (any_store.read, any_store.open, any_store.remove_key, any_store.where):
        with pytest.raises(StoreError, match="leads out of the store"):
            use(key)


@given(
    size=st.integers(0, 60),
    steps=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 30)), max_size=8),
)
def test_a_file_read_by_ranges_behaves_like_a_local_file(
    size: int, steps: list[tuple[int, int]]
) -> None:
    data = bytes(range(size))
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return data[start:stop]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket_store_module, "READ_AHEAD_BYTES", 7)
        ranged, plain = _RangedFile(read, size), io.BytesIO(data)
        for place, length in steps:
            assert ranged.seek(place) == plain.seek(place)
            assert ranged.read(length) == plain.read(length)
            assert ranged.tell() == plain.tell()
    assert all(0 <= start < stop <= size for start, stop in asked)
