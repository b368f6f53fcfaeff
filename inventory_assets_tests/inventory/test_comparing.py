from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.comparing import (
    CHANGE_SCHEMA,
    COMPARED_COLUMNS,
    Change,
    compare,
)
from inventory_assets_tests.inventory.samples import LAYOUT, listed, records_of
from inventory_assets_tests.listings import Listed

Row = Mapping[str, Any]
OLD = Listed("k", size=1, modified=1000, e_tag="e", storage_class="STANDARD")
variants = st.builds(
    Listed,
    key=st.just("k"),
    size=st.sampled_from([0, 1]),
    modified=st.sampled_from([1000, 2000]),
    e_tag=st.sampled_from(["e", "f", "", None]),
    storage_class=st.sampled_from(["STANDARD", "GLACIER", None]),
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
    tables = list(compare(batches(old, old_cuts), batches(new, new_cuts), LAYOUT.bucket))
    assert all(table.schema == CHANGE_SCHEMA and table.num_rows for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def kind(old: Row, new: Row) -> Change | None:
    """The plain oracle: what happened to a key that is on both sides."""
    if old["e_tag"] != new["e_tag"] or old["size"] != new["size"]:
        return Change.MODIFIED
    if old["last_modified_date"] != new["last_modified_date"]:
        return Change.TOUCHED
    return Change.TRANSITIONED if old["storage_class"] != new["storage_class"] else None


def expected_changes(old: Sequence[Listed], new: Sequence[Listed]) -> list[Row]:
    before = {found.key: found.row() for found in old}
    after = {found.key: found.row() for found in new}
    none: Row = dict.fromkeys(COMPARED_COLUMNS)
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
                {"bucket": LAYOUT.bucket, "key": key, "change": change.value}
                | {name: new_row[name] for name in COMPARED_COLUMNS}
                | {f"previous_{name}": old_row[name] for name in COMPARED_COLUMNS}
            )
    return rows


cuts = st.lists(st.integers(0, 8), max_size=3)


@given(buckets, buckets, st.data(), cuts, cuts)
def test_changes_are_those_of_a_plain_comparison_of_sets(
    old: dict[str, Listed],
    other: dict[str, Listed],
    data: st.DataObject,
    old_cuts: list[int],
    new_cuts: list[int],
) -> None:
    kept = [key for key in old if data.draw(st.booleans())]
    new = {**{key: old[key] for key in kept}, **other}
    before, after = objects_of(old), objects_of(new)
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
def test_the_e_tag_is_looked_at_first(new: Listed, change: str | None) -> None:
    assert [row["change"] for row in compared([OLD], [new])] == ([change] if change else [])


def test_what_is_null_on_both_sides_did_not_change() -> None:
    nothing = replace(OLD, e_tag=None, storage_class=None)
    assert compared([nothing], [nothing]) == []


def test_other_columns_make_no_change() -> None:
    assert compared([OLD], [replace(OLD, owner="o", checksums=("CRC32",))]) == []


def test_no_more_than_the_two_windows_at_hand_are_read() -> None:
    ahead = {"old": 0, "new": 0}

    def stream(name: str) -> Iterator[pa.RecordBatch]:
        for number in range(10):
            ahead[name] += 1
            yield records_of(listed([f"{name}{number}"] if name == "new" else [f"new{number}x"]))

    first = next(compare(stream("old"), stream("new"), LAYOUT.bucket))
    assert first.column("key").to_pylist() == ["new0"]
    assert ahead == {"old": 1, "new": 1}
