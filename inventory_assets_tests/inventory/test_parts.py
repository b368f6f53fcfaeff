from hashlib import md5, sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.parts import part_writer
from inventory_assets.inventory.parts.counting import count_records
from inventory_assets.inventory.parts.part import Part, class_totals, read_records
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import (
    HOSTILE_KEYS,
    LAYOUT,
    listed,
    parts_of,
    records_of,
)

ALL = [KeyRange.of_prefix("")]
OBJECTS = [
    Listed("a", 3, e_tag="0" * 32 + "-7", checksums=("CRC32", "SHA256"), owner="o"),
    Listed("b/\x00", 0, storage_class="GLACIER"),
    Listed("b/\U0010fffd", 5_000_000_000_000, e_tag=None, storage_class=None),
    Listed("é", 1, storage_class="GLACIER"),
]
keys = st.text(st.sampled_from("ab/é\U0010ffff"), min_size=1, max_size=4)


def open_part(store: LocalStore, part: Part) -> pq.ParquetFile:
    return pq.ParquetFile(store.path(part.key))


def read(store: LocalStore, *parts: Part, columns: list[str] | None = None) -> pa.Table:
    return pa.Table.from_batches(read_records(store, parts, ALL, columns))


def small_row_groups(patch: pytest.MonkeyPatch, rows: int, part_rows: int = 1000) -> None:
    patch.setattr(part_writer, "ROW_GROUP_ROWS", rows)
    patch.setattr(part_writer, "PART_ROWS", part_rows)


def test_records_come_back_as_they_were_written(store: LocalStore) -> None:
    (part,) = parts_of(store, OBJECTS)
    back = read(store, part)
    assert back.schema == RECORD_SCHEMA
    assert back.to_pylist() == records_of(OBJECTS).to_pylist()


def test_hostile_keys_come_back_byte_for_byte(store: LocalStore) -> None:
    objects = listed(HOSTILE_KEYS)
    (part,) = parts_of(store, objects)
    assert read(store, part).column("key").to_pylist() == [found.key for found in objects]
    assert (part.first_key, part.last_key) == (objects[0].key, objects[-1].key)


def test_a_part_says_what_it_holds(store: LocalStore) -> None:
    (part,) = parts_of(store, OBJECTS)
    assert (part.rows, part.object_bytes) == (4, 5_000_000_000_004)
    assert (part.first_key, part.last_key) == ("a", "é")
    totals = [(total.storage_class, total.objects, total.bytes) for total in part.classes]
    assert totals == [("GLACIER", 2, 1), ("STANDARD", 1, 3), ("UNKNOWN", 1, 5_000_000_000_000)]


def test_totals_by_class_add_up_over_parts(store: LocalStore) -> None:
    parts = parts_of(store, OBJECTS[:2], OBJECTS[2:])
    assert class_totals(parts) == parts_of(store, OBJECTS)[0].classes


def test_a_part_is_named_for_its_content_and_knows_its_hashes(store: LocalStore) -> None:
    (part,) = parts_of(store, OBJECTS)
    data = store.path(part.key).read_bytes()
    assert part.key == LAYOUT.part(sha256(data).hexdigest())
    assert part.md5 == md5(data, usedforsecurity=False).hexdigest()
    assert part.file_bytes == len(data)


def test_the_same_records_make_the_same_file(store: LocalStore) -> None:
    assert parts_of(store, OBJECTS) == parts_of(store, OBJECTS)
    assert len(store.list_names(LAYOUT.base + "/data")) == 1


def test_finish_part_ends_a_part_and_writes_no_empty_part(store: LocalStore) -> None:
    first, second = parts_of(store, [], OBJECTS[:1], [], OBJECTS[1:])
    assert (first.rows, second.rows) == (1, 3)
    assert parts_of(store) == parts_of(store, [], []) == ()


def test_a_part_ends_by_itself_at_its_greatest_size(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_row_groups(monkeypatch, rows=2, part_rows=4)
    parts = parts_of(store, listed(f"{number:02}" for number in range(10)))
    assert [part.rows for part in parts] == [4, 4, 2]
    assert all(left.last_key < right.first_key for left, right in pairwise(parts))


def test_row_groups_carry_the_bounds_of_their_keys(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_row_groups(monkeypatch, rows=4)
    (part,) = parts_of(store, listed("abcdefghij"))
    with open_part(store, part) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    bounds = [(g.column(1).statistics.min, g.column(1).statistics.max) for g in groups]
    assert bounds == [("a", "d"), ("e", "h"), ("i", "j")]


def test_a_batch_that_overshoots_leaves_no_tiny_row_group(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_row_groups(monkeypatch, rows=3)
    (part,) = parts_of(store, listed("abcdefgh"))
    with open_part(store, part) as file:
        rows = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert rows == [4, 4]


def test_keys_are_compressed_with_zstd(store: LocalStore) -> None:
    (part,) = parts_of(store, OBJECTS)
    with open_part(store, part) as file:
        column = file.metadata.row_group(0).column(1)
    assert (column.path_in_schema, column.compression) == ("key", "ZSTD")
    assert "DELTA_BYTE_ARRAY" in column.encodings


def test_a_writer_left_by_an_error_publishes_nothing_more_and_cleans_up(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_row_groups(monkeypatch, rows=1)

    def fail() -> None:
        with PartWriter(store, LAYOUT) as writer:
            writer.write(records_of(OBJECTS))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path for path in store.root.rglob("*") if path.is_file()] == []
    assert list((store.root / ".scratch").iterdir()) == []


def test_a_writer_that_did_its_work_leaves_no_scratch(store: LocalStore) -> None:
    parts_of(store, OBJECTS)
    assert list((store.root / ".scratch").iterdir()) == []


@st.composite
def tiling(draw: st.DrawFn) -> list[KeyRange]:
    bounds = sorted(draw(st.sets(keys, max_size=6)))
    ranges = [KeyRange(after, until) for after, until in pairwise(["", *bounds, "\U0010ffff" * 9])]
    return [key_range for key_range in ranges if draw(st.booleans())]


@given(st.sets(keys, max_size=20), st.sets(keys, max_size=4), tiling(), st.integers(1, 5))
def test_reading_ranges_is_filtering_records(
    roomy_store: LocalStore,
    held: set[str],
    cuts: set[str],
    ranges: list[KeyRange],
    group_rows: int,
) -> None:
    bounds = ["", *sorted(cuts), "\U0010ffff" * 9]
    groups = [[k for k in sorted(held) if low < k <= high] for low, high in pairwise(bounds)]
    with pytest.MonkeyPatch.context() as patch:
        small_row_groups(patch, group_rows)
        parts = parts_of(roomy_store, *map(listed, groups))
        batches = list(read_records(roomy_store, parts, ranges))
    expected = [key for key in sorted(held) if any(key in key_range for key_range in ranges)]
    assert [key for batch in batches for key in batch.column("key").to_pylist()] == expected
    assert all(batch.num_rows for batch in batches)
    counts = [count_records(roomy_store, parts, key_range) for key_range in ranges]
    assert counts == [sum(key in key_range for key in held) for key_range in ranges]


def test_only_the_requested_columns_are_read(store: LocalStore) -> None:
    (part,) = parts_of(store, OBJECTS)
    back = read(store, part, columns=["key", "size"])
    assert back.to_pylist() == records_of(OBJECTS).select(["key", "size"]).to_pylist()


def test_row_groups_outside_the_ranges_are_not_read(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_row_groups(monkeypatch, rows=2)
    (part,) = parts_of(store, listed("abcdef"))
    groups: list[int] = []
    plain = pq.ParquetFile.read_row_group

    def read_row_group(file: pq.ParquetFile, group: int, **options: Any) -> object:
        groups.append(group)
        return plain(file, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    (batch,) = read_records(store, [part], [KeyRange("b", "c")])
    assert batch.column("key").to_pylist() == ["c"]
    assert groups == [1]


def test_parts_wholly_inside_are_counted_without_their_files(store: LocalStore) -> None:
    parts = parts_of(store, listed("abc"), listed("def"))
    for part in parts:
        store.path(part.key).unlink()
    assert count_records(store, parts, KeyRange("", "z")) == 6


@pytest.mark.parametrize("damage", ["removed", "truncated", "overwritten"])
def test_a_damaged_file_is_named(store: LocalStore, damage: str) -> None:
    (part,) = parts_of(store, OBJECTS)
    path: Path = store.path(part.key)
    data = path.read_bytes()
    path.unlink()
    if damage != "removed":
        path.write_bytes(data[:100] if damage == "truncated" else b"\xff" * len(data))
    with pytest.raises(CorruptRecord, match=f"{path} is missing or damaged"):
        read(store, part)
