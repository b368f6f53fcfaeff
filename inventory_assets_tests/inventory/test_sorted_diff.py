import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.changes import sorted_diff
from inventory_assets.inventory.changes.sorted_diff import (
    CARRIED_COLUMNS,
    COMPARED_COLUMNS,
    DIFFERENCE_SCHEMA,
    Change,
    diff_sorted,
)
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import listed, records_of

Row = Mapping[str, Any]
OLD = Listed("k", size=1, modified=1000, e_tag="e", storage_class="STANDARD")
variants = st.builds(
    Listed,
    key=st.just("k"),
    size=st.sampled_from([0, 1]),
    modified=st.sampled_from([1000, 2000]),
    e_tag=st.sampled_from(["e", "f", "", None]),
    storage_class=st.sampled_from(["STANDARD", "GLACIER", None]),
    checksums=st.sampled_from([(), ("CRC32",)]),
)
buckets = st.dictionaries(st.text(st.sampled_from("ab/é"), min_size=1, max_size=2), variants)


def objects_of(bucket: Mapping[str, Listed]) -> list[Listed]:
    return [replace(bucket[key], key=key) for key in sorted(bucket)]


def batches(objects: Sequence[Listed], cuts: Sequence[int]) -> Iterator[pa.RecordBatch]:
    bounds = [0, *sorted(min(cut, len(objects)) for cut in cuts), len(objects)]
    for start, end in pairwise(bounds):
        yield records_of(objects[start:end])


def compared(
    old: Sequence[Listed],
    new: Sequence[Listed],
    old_cuts: Sequence[int] = (),
    new_cuts: Sequence[int] = (),
) -> list[Row]:
    tables = list(diff_sorted(batches(old, old_cuts), batches(new, new_cuts)))
    assert all(table.schema == DIFFERENCE_SCHEMA and table.num_rows for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def kind(old: Row, new: Row) -> Change | None:
    """The reference implementation: the change of a key that is on both sides."""
    if old["e_tag"] != new["e_tag"] or old["size"] != new["size"]:
        return Change.MODIFIED
    if old["last_modified_date"] != new["last_modified_date"]:
        return Change.TOUCHED
    return Change.TRANSITIONED if old["storage_class"] != new["storage_class"] else None


def expected_changes(old: Sequence[Listed], new: Sequence[Listed]) -> list[Row]:
    before = {row["key"]: row for row in records_of(old).to_pylist()}
    after = {row["key"]: row for row in records_of(new).to_pylist()}
    none: Row = dict.fromkeys(COMPARED_COLUMNS + CARRIED_COLUMNS)
    rows: list[Row] = []
    for key in sorted(before.keys() | after.keys()):
        if key not in before:
            change: Change | None = Change.CREATED
        elif key not in after:
            change = Change.DELETED
        else:
            change = kind(before[key], after[key])
        if change:
            new_row, old_row = after.get(key, none), before.get(key, none)
            rows.append(
                {"key": key, "change": change.value}
                | {name: new_row.get(name) for name in COMPARED_COLUMNS + CARRIED_COLUMNS}
                | {f"previous_{name}": old_row[name] for name in COMPARED_COLUMNS}
            )
    return rows


TIME = RECORD_SCHEMA.field("last_modified_date").type
cuts = st.lists(st.integers(0, 8), max_size=3)


@given(buckets, buckets, st.data(), cuts, cuts, st.integers(1, 4), st.integers(0, 3))
def test_changes_are_those_of_a_plain_comparison_of_sets(
    old: dict[str, Listed],
    other: dict[str, Listed],
    data: st.DataObject,
    old_cuts: list[int],
    new_cuts: list[int],
    look_up_rows: int,
    max_shift: int,
) -> None:
    kept = [key for key in old if data.draw(st.booleans())]
    new = {**{key: old[key] for key in kept}, **other}
    before, after = objects_of(old), objects_of(new)
    with (
        patch.object(sorted_diff, "LOOK_UP_ROWS", look_up_rows),
        patch.object(sorted_diff, "MAX_SHIFT", max_shift),
    ):
        assert compared(before, after, old_cuts, new_cuts) == expected_changes(before, after)


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (OLD, None),
        (replace(OLD, e_tag="f"), "modified"),
        (replace(OLD, e_tag=None), "modified"),
        (replace(OLD, size=2), "modified"),
        (replace(OLD, e_tag="f", modified=2000, storage_class="GLACIER"), "modified"),
        (replace(OLD, modified=2000), "touched"),
        (replace(OLD, modified=2000, storage_class="GLACIER"), "touched"),
        (replace(OLD, storage_class="GLACIER"), "transitioned"),
        (replace(OLD, storage_class=None), "transitioned"),
    ],
)
def test_the_e_tag_is_compared_first(new: Listed, change: str | None) -> None:
    assert [row["change"] for row in compared([OLD], [new])] == ([change] if change else [])


def test_a_value_that_is_null_on_both_sides_did_not_change() -> None:
    nothing = replace(OLD, e_tag=None, storage_class=None)
    assert compared([nothing], [nothing]) == []


@pytest.mark.parametrize("name", ["size", "last_modified_date"])
def test_a_null_number_differs_from_zero(name: str) -> None:
    def batch(*values: int | None) -> pa.RecordBatch:
        records = records_of([replace(OLD, key=key) for key in "abc"])
        place = RECORD_SCHEMA.get_field_index(name)
        numbers = pa.array(values, pa.int64()).cast(RECORD_SCHEMA.field(place).type)
        return records.set_column(place, RECORD_SCHEMA.field(place), numbers)

    (table,) = diff_sorted([batch(None, None, 0)], [batch(None, 0, None)])
    assert table["key"].to_pylist() == ["b", "c"]


def test_other_columns_are_not_compared() -> None:
    assert compared([OLD], [replace(OLD, owner="o", checksums=("CRC32",))]) == []


def test_reading_ahead_is_bounded_to_a_few_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sorted_diff, "ROW_GROUP_ROWS", 1)
    ahead = {"old": 0, "new": 0}

    def stream(name: str) -> Iterator[pa.RecordBatch]:
        for number in range(10):
            ahead[name] += 1
            yield records_of(listed([f"{name}{number}"] if name == "new" else [f"new{number}x"]))

    with closing(diff_sorted(stream("old"), stream("new"))) as changes:
        assert next(changes).column("key").to_pylist() == ["new0"]
    assert ahead == dict.fromkeys(("old", "new"), 1 + sorted_diff.BATCHES_AHEAD)


def test_no_thread_outlives_a_comparison_that_is_left_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sorted_diff, "ROW_GROUP_ROWS", 1)
    before = threading.active_count()
    changes = diff_sorted(batches([], []), batches(listed("abc"), [1, 2]))
    next(changes)
    assert threading.active_count() > before
    changes.close()
    assert threading.active_count() == before


def test_an_error_while_reading_ahead_is_raised() -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield records_of(listed("a"))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(diff_sorted(batches(listed("a"), []), broken()))


def test_many_records_give_the_result_of_a_full_join() -> None:
    """Over several look-ups and batches, against Polars' join of the whole."""
    random = np.random.default_rng(5)
    old, new = (drawn_records(random, 20_000) for _ in range(2))
    joined = pl.DataFrame(new).join(
        pl.DataFrame(old), on="key", how="full", coalesce=True, suffix="_old"
    )

    def differs(name: str) -> pl.Expr:
        return pl.col(name).ne_missing(pl.col(f"{name}_old"))

    kind = (
        pl.when(pl.col("bucket_old").is_null())
        .then(pl.lit("created"))
        .when(pl.col("bucket").is_null())
        .then(pl.lit("deleted"))
        .when(differs("e_tag") | differs("size"))
        .then(pl.lit("modified"))
        .when(differs("last_modified_date"))
        .then(pl.lit("touched"))
        .when(differs("storage_class"))
        .then(pl.lit("transitioned"))
    )
    expected = joined.select("key", change=kind).drop_nulls().sort("key")
    tables = list(diff_sorted(old.to_batches(7_001), new.to_batches(3_989)))
    found = pl.DataFrame(pa.concat_tables(tables)).select("key", "change")
    assert found.rows() == expected.rows()
    assert set(found["change"]) == {change.value for change in Change}


def drawn_records(random: np.random.Generator, rows: int) -> pa.Table:
    """Records of which most, but not all, are drawn alike each time."""
    keys = np.flatnonzero(random.random(rows) < 0.98)
    few = random.random((3, len(keys))) < 0.02
    text = {
        "bucket": np.full(len(keys), "b"),
        "key": np.char.add("k/", np.char.zfill(keys.astype(str), 6)),
        "e_tag": np.where(few[0], "other", np.char.add("e", keys.astype(str))),
        "storage_class": np.where(few[1], "GLACIER", "STANDARD"),
    }
    columns = {name: pa.array(values.tolist(), pa.string()) for name, values in text.items()}
    columns["last_modified_date"] = pa.array(np.where(few[2], 2000, 1000)).cast(TIME)
    columns["size"] = pa.array(keys)
    arrays = [columns.get(field.name, pa.nulls(len(keys), field.type)) for field in RECORD_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=RECORD_SCHEMA)


@pytest.mark.parametrize("others", ["GLACIER", None])
def test_dictionary_columns_are_compared_by_value(others: str | None) -> None:
    def encoded(*classes: str | None) -> pa.RecordBatch:
        objects = [
            Listed(key, storage_class=name) for key, name in zip("abc", classes, strict=True)
        ]
        records = records_of(objects)
        column = records.column("storage_class").dictionary_encode()
        return records.set_column(5, "storage_class", column)

    old, new = encoded("STANDARD", others, others), encoded(others, "STANDARD", others)
    (table,) = diff_sorted([old], [new])
    assert table.select(["key", "previous_storage_class", "storage_class"]).to_pylist() == [
        {"key": "a", "previous_storage_class": "STANDARD", "storage_class": others},
        {"key": "b", "previous_storage_class": others, "storage_class": "STANDARD"},
    ]
