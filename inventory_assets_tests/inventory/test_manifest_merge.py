import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from hashlib import md5

import polars as pl
import pytest

from inventory_assets.inventory.errors import ManifestIncomplete, OtherFormat, StoreError
from inventory_assets.inventory.manifest.manifest import ShardEntry
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    missing_prefixes,
    newest_manifest,
    publish_manifest,
    read_manifest,
    violations_of,
)
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of
from inventory_assets_tests.inventory.tilings import (
    KEYS,
    keys_of,
    merged,
    tiles,
)

LATER = NOW + timedelta(hours=1)


def test_shards_that_tile_are_merged_without_moving_data(store: LocalStore) -> None:
    snapshots = tiles(store, "a/", "b/")
    manifest = merged(store, snapshots)
    assert keys_of(store, manifest) == sorted(KEYS)
    assert violations_of(manifest) == []
    own = {part.key for snapshot in snapshots.values() for part in snapshot.parts}
    assert {part.key for part in manifest.parts} == own
    assert (manifest.rows, manifest.object_bytes) == (8, sum(map(len, KEYS)))


def test_shards_within_shards_are_merged(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, "b/", "b/x/"))
    assert keys_of(store, manifest) == sorted(KEYS)
    assert violations_of(manifest) == []
    assert [(entry.shard.prefix, entry.rows) for entry in manifest.shards] == [
        ("", 4),
        ("b/", 2),
        ("b/x/", 2),
    ]


def test_a_bucket_without_objects_has_a_manifest(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, held=[]))
    assert (manifest.rows, manifest.parts, violations_of(manifest)) == (0, (), [])


def test_a_date_without_snapshots_is_a_clear_error(store: LocalStore) -> None:
    with pytest.raises(ManifestIncomplete, match="no shard of this date has been listed yet"):
        merged(store, {})


def test_a_missing_remainder_is_named(store: LocalStore) -> None:
    snapshots = tiles(store, "a/")
    del snapshots[""]
    with pytest.raises(ManifestIncomplete, match=r"1 shard\(s\).* the remainder; materialize"):
        merged(store, snapshots)


def test_a_missing_shard_is_named(store: LocalStore) -> None:
    snapshots = tiles(store, "a/", "b/", "b/x/")
    del snapshots["a/"], snapshots["b/x/"]
    assert missing_prefixes("", snapshots) == ["a/", "b/x/"]
    with pytest.raises(ManifestIncomplete, match=r"2 shard\(s\).* 'a/', 'b/x/'; materialize"):
        merged(store, snapshots)


def test_of_many_missing_shards_some_are_named_and_all_counted(store: LocalStore) -> None:
    snapshots = tiles(store, *(f"{number:02}/" for number in range(12)), held=[])
    with pytest.raises(ManifestIncomplete, match=r"^12 shard.*'09/' and 2 more; materialize"):
        merged(store, {"": snapshots[""]})


def test_shards_that_do_not_tile_are_found(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, "a/", "b/"))
    broken = replace(manifest, shards=manifest.shards[:-1])
    assert "the shards do not tile the source" in violations_of(broken)[0]


def test_parts_that_overlap_are_found(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, "a/"))
    twice: tuple[ShardEntry, ...] = tuple(
        replace(entry, parts=entry.parts * 2) for entry in manifest.shards[:1]
    )
    assert any(
        "overlap" in violation for violation in violations_of(replace(manifest, shards=twice))
    )


def test_equal_content_has_equal_identity_whenever_it_was_merged(store: LocalStore) -> None:
    one = merged(store, tiles(store, "a/"))
    assert one.identity == merged(store, tiles(store, "a/"), LATER).identity
    assert one.identity != merged(store, tiles(store, "a/", held=KEYS[1:])).identity


# Publishing


def test_a_manifest_is_read_as_it_was_published(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, "a/", "b/", "é"))
    publish_manifest(store, LAYOUT, manifest)
    assert read_manifest(store, LAYOUT, DAY) == manifest
    assert read_manifest(store, LAYOUT, DAY - timedelta(days=1)) is None


def test_a_manifest_is_read_after_its_store_was_moved(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = merged(store, tiles(store, "a/"))
    publish_manifest(store, LAYOUT, manifest)
    moved = Destination("arn:aws:s3:::elsewhere", "in/")
    monkeypatch.setattr(LocalStore, "destination", property(lambda _store: moved))
    assert read_manifest(store, LAYOUT, DAY) == manifest
    assert merged(store, tiles(store, "a/")).destination == moved


def test_manifest_json_has_the_fields_of_s3_inventory(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, "a/"))
    publish_manifest(store, LAYOUT, manifest)
    document = json.loads(store.read("bucket/source/2026-05-05T00-00Z/manifest.json") or b"")
    files = document.pop("files")
    schema = document.pop("fileSchema")
    assert document == {
        "sourceBucket": "bucket",
        "destinationBucket": "arn:aws:s3:::amzn-s3-demo-local-folder",
        "version": "2016-11-30",
        "creationTimestamp": "1777942923456",
        "fileFormat": "Parquet",
    }
    assert schema == (
        "message s3.inventory {  required binary bucket (STRING);  required binary key (STRING);"
        "  optional int64 size;  optional int64 last_modified_date (TIMESTAMP(MILLIS,true));"
        "  optional binary e_tag (STRING);  optional binary storage_class (STRING);"
        "  optional boolean is_multipart_uploaded;  optional binary checksum_algorithm (STRING);"
        "  optional binary object_owner (STRING);}"
    )
    for file, part in zip(files, manifest.parts, strict=True):
        data = store.read(file["key"]) or b""
        assert file == {
            "key": part.key,
            "size": len(data),
            "MD5checksum": md5(data, usedforsecurity=False).hexdigest(),
        }


def test_the_checksum_is_that_of_manifest_json(store: LocalStore) -> None:
    publish_manifest(store, LAYOUT, merged(store, tiles(store)))
    document = store.read(LAYOUT.s3_manifest(DAY)) or b""
    expected = md5(document, usedforsecurity=False).hexdigest().encode()
    assert store.read(LAYOUT.checksum(DAY)) == expected


def test_the_symlink_file_lists_files_that_read_in_key_order(store: LocalStore) -> None:
    publish_manifest(store, LAYOUT, merged(store, tiles(store, "a/", "b/x/")))
    names = (store.read("bucket/source/hive/dt=2026-05-05-00-00/symlink.txt") or b"").decode()
    assert pl.read_parquet(names.splitlines())["key"].to_list() == sorted(KEYS)


def test_a_missing_part_stops_the_publication(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, "a/"))
    path = store.path(manifest.parts[0].key)
    path.unlink()
    with pytest.raises(StoreError, match=f"{path} is missing or was altered"):
        publish_manifest(store, LAYOUT, manifest)
    assert read_manifest(store, LAYOUT, DAY) is None
    assert "hive" not in store.list_names(LAYOUT.base)


def dying_after(published: int, store: LocalStore) -> Callable[[str, bytes, str], str]:
    plain = store.put_if_match
    count = 0

    def publish(key: str, data: bytes, version: str) -> str:
        nonlocal count
        if count == published:
            raise KeyboardInterrupt
        count += 1
        return plain(key, data, version)

    return publish


@pytest.mark.parametrize("published", range(4))
def test_a_first_publication_truncated_is_none(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, published: int
) -> None:
    manifest = merged(store, tiles(store, "a/"))
    monkeypatch.setattr(store, "put_if_match", dying_after(published, store))
    with pytest.raises(KeyboardInterrupt):
        publish_manifest(store, LAYOUT, manifest)
    assert read_manifest(store, LAYOUT, DAY) is None


@pytest.mark.parametrize("published", range(4))
def test_a_publication_truncated_leaves_none_or_the_old_one_and_a_retry_heals_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, published: int
) -> None:
    old = merged(store, tiles(store, "a/", held=KEYS[:4]))
    publish_manifest(store, LAYOUT, old)
    new = merged(store, tiles(store, "a/"), LATER)
    with monkeypatch.context() as patch:
        patch.setattr(store, "put_if_match", dying_after(published, store))
        with pytest.raises(KeyboardInterrupt):
            publish_manifest(store, LAYOUT, new)
    assert read_manifest(store, LAYOUT, DAY) == (None if published else old)
    publish_manifest(store, LAYOUT, new)
    assert read_manifest(store, LAYOUT, DAY) == new


@pytest.mark.parametrize("key_of", [LAYOUT.manifest, LAYOUT.s3_manifest, LAYOUT.checksum])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff"])
def test_a_damaged_manifest_is_none(
    store: LocalStore, key_of: Callable[[date], str], damage: bytes
) -> None:
    publish_manifest(store, LAYOUT, merged(store, tiles(store, "a/")))
    store.publish(key_of(DAY), damage)
    assert read_manifest(store, LAYOUT, DAY) is None


@pytest.mark.parametrize("number", [b"2", b"9"])
def test_a_manifest_of_another_format_is_not_taken_for_a_missing_one(
    store: LocalStore, number: bytes
) -> None:
    manifest = merged(store, tiles(store))
    publish_manifest(store, LAYOUT, manifest)
    key = LAYOUT.manifest(DAY)
    of_another = (store.read(key) or b"").replace(b'"format": 3', b'"format": ' + number)
    store.publish(key, of_another)
    with pytest.raises(OtherFormat, match=f"has format {number.decode()}, and this version"):
        read_manifest(store, LAYOUT, DAY)
    with pytest.raises(OtherFormat):
        newest_manifest(store, LAYOUT, date.max)
    with pytest.raises(OtherFormat):
        publish_manifest(store, LAYOUT, manifest)
    assert store.read(key) == of_another


def test_the_baseline_is_the_newest_complete_manifest_before_the_day(store: LocalStore) -> None:
    manifest = merged(store, tiles(store, "a/"))
    days = [date(2026, 4, 29), date(2026, 5, 1), date(2026, 5, 4), DAY]
    for day in days:
        publish_manifest(store, LAYOUT, replace(manifest, day=day))
    store.path(LAYOUT.checksum(date(2026, 5, 4))).unlink()

    def found(before: date) -> date | None:
        baseline = newest_manifest(store, LAYOUT, before)
        return baseline.day if baseline else None

    assert found(date.max) == DAY
    assert found(DAY) == date(2026, 5, 1)
    assert found(date(2026, 5, 1)) == date(2026, 4, 29)
    assert found(date(2026, 4, 29)) is None


def test_an_empty_store_has_no_baseline(store: LocalStore) -> None:
    assert newest_manifest(store, LAYOUT, DAY) is None


def test_the_remainder_of_a_source_with_a_prefix_is_that_prefix(store: LocalStore) -> None:
    snapshot = snapshot_of(store, Shard("b/"), listed(k for k in KEYS if k.startswith("b/")))
    manifest = merge(store, LAYOUT, "b/", {"b/": snapshot}, NOW)
    assert violations_of(manifest) == []
    assert keys_of(store, manifest) == ["b/1", "b/x/1", "b/x/2", "b/y"]
