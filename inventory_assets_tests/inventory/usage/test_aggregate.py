from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, VERSION_RECORD_SCHEMA
from inventory_assets.inventory.usage import (
    aggregate,
    aggregate_rows,
    dimensions,
    prefix_tree,
)
from inventory_assets.inventory.usage.aggregate import UsageAggregate, path_of
from inventory_assets.inventory.usage.keeping import KEEP, KeepRule
from inventory_assets.inventory.usage.schema import MAX_DEPTH, SIZE_BANDS
from inventory_assets_tests.inventory.usage.plain_usage import plain_usage, prefixes_of, rows_of

STRICT = KeepRule(Fraction(1, 4), 2)
"""It drops most prefixes, even of few records."""

NOTHING_KNOWN = {"size": None, "last_modified_date": None, "storage_class": None}

LONGEST = 1024
"""The most bytes of a key of S3."""

_letters = st.sampled_from(["/", "/", "a", "b", "é", "\x00", "\uffff", "\U0010ffff", " "])
short_keys = st.text(_letters, max_size=9)
hostile_keys = st.sampled_from(
    ["/", "//", "///", "a//b", "/" * LONGEST, "a" * LONGEST, "a/" * 512, "a/" * 70 + "b"]
)
any_keys = st.text(st.characters(codec="utf-8"), max_size=40)
keys = short_keys | short_keys | hostile_keys | any_keys
times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
records = st.fixed_dictionaries(
    {
        "size": st.none() | st.sampled_from([0, 1, 1023, 1024, 2**17, 5 * 2**40, 2**50]),
        "last_modified_date": st.none()
        | st.sampled_from(
            [datetime(2026, 1, 31, 23, 59, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC)]
        )
        | times,
        "storage_class": st.sampled_from([None, "", "STANDARD", "GLACIER", "ä"]),
    }
)
versions = st.fixed_dictionaries(
    {"is_latest": st.none() | st.booleans(), "is_delete_marker": st.none() | st.booleans()}
)


def sorted_records(keys: Sequence[str], values: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    ordered = sorted(keys, key=str.encode)
    return [
        {"key": key, **NOTHING_KNOWN, **value} for key, value in zip(ordered, values, strict=True)
    ]


def batch_of(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    schema = VERSION_RECORD_SCHEMA if rows and "is_latest" in rows[0] else RECORD_SCHEMA
    return pa.RecordBatch.from_pylist([{"bucket": "bucket", **row} for row in rows], schema=schema)


def aggregated(
    rows: Sequence[dict[str, Any]],
    cuts: Sequence[int] = (),
    rule: KeepRule = KEEP,
    within: tuple[int, int] = (0, 0),
) -> pa.Table:
    """The aggregate of records that come in batches."""
    found = UsageAggregate(rule, within)
    batch = batch_of(rows)
    for start, end in pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        found.add_records(batch.slice(start, end - start))
    return found.table()


def merged(
    rows: Sequence[dict[str, Any]], parts: Sequence[int], batches: Sequence[int], rule: KeepRule
) -> pa.Table:
    """The aggregate of the pruned aggregates of parts."""
    whole = UsageAggregate(rule)
    for start, end in pairwise([0, *sorted(min(cut, len(rows)) for cut in parts), len(rows)]):
        if end > start:
            part = aggregated(rows[start:end], batches, rule)
            whole.add(part, rows[start]["key"], rows[end - 1]["key"])
    return whole.table()


@st.composite
def inventories(draw: st.DrawFn) -> list[dict[str, Any]]:
    with_versions = draw(st.booleans())
    chosen = draw(st.lists(keys, unique=not with_versions, max_size=25))
    values = [draw(records) | (draw(versions) if with_versions else {}) for _ in chosen]
    return sorted_records(chosen, values)


cuts = st.lists(st.integers(0, 25), max_size=4)
rules = st.builds(
    KeepRule, st.fractions(Fraction(1, 10_000), 1), st.integers(1, 6)
) | st.sampled_from([KEEP, STRICT])


@given(inventories(), cuts, rules)
def test_it_is_what_a_dictionary_counts(
    rows: list[dict[str, Any]], cuts: list[int], rule: KeepRule
) -> None:
    assert rows_of(aggregated(rows, cuts, rule)) == plain_usage(rows, rule)


@given(inventories(), cuts, cuts, rules)
def test_the_merged_aggregates_of_pieces_are_that_of_the_whole(
    rows: list[dict[str, Any]], parts: list[int], batches: list[int], rule: KeepRule
) -> None:
    assert rows_of(merged(rows, parts, batches, rule)) == plain_usage(rows, rule)


@given(inventories(), cuts)
def test_what_is_known_of_the_whole_changes_nothing(
    rows: list[dict[str, Any]], cuts: list[int]
) -> None:
    within = (len(rows), sum(row["size"] or 0 for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregate, "BATCH_ROWS", 4)
        assert rows_of(aggregated(rows, cuts, STRICT, within)) == plain_usage(rows, STRICT)


@given(inventories(), cuts)
def test_pruning_again_and_again_changes_nothing(
    rows: list[dict[str, Any]], cuts: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregate, "_MIN_PENDING_BYTES", 0)
        patch.setattr(aggregate, "BATCH_PREFIXES", 5)
        patch.setattr(aggregate, "BATCH_ROWS", 3)
        patch.setattr(aggregate, "BATCH_KEY_BYTES", 9)
        assert rows_of(merged(rows, cuts, [], STRICT)) == plain_usage(rows, STRICT)


@given(inventories(), rules)
def test_the_totals_are_exact_whatever_is_dropped(
    rows: list[dict[str, Any]], rule: KeepRule
) -> None:
    whole = [row for row in rows_of(aggregated(rows, rule=rule)) if row["prefix"] == ""]
    assert sum(row["objects"] for row in whole) == len(rows)
    assert sum(row["bytes"] for row in whole) == sum(row["size"] or 0 for row in rows)


@given(keys)
@example("")
def test_the_path_of_a_key_is_all_of_its_prefixes(key: str) -> None:
    assert path_of(key) == prefixes_of(key)


@given(inventories(), st.integers(2, 5))
def test_blocks_of_keys_are_compared_like_single_keys(
    rows: list[dict[str, Any]], block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_tree, "_BLOCK", block)
        assert rows_of(aggregated(rows)) == plain_usage(rows, KEEP)


@pytest.mark.parametrize("cells", [0, 10**9], ids=["sorting", "in a table"])
@pytest.mark.parametrize("exact", [0, 2**53], ids=["in halves", "whole"])
@pytest.mark.parametrize("numbers", [0, 2**40], ids=["by value", "by number"])
@given(rows=inventories(), cuts=cuts)
def test_each_way_of_counting_gives_the_same(
    cells: int, exact: int, numbers: int, rows: list[dict[str, Any]], cuts: list[int]
) -> None:
    # A number for each month of 10,000 years, as often as there are classes, takes some memory.
    in_one_year = [{**row, "last_modified_date": datetime(2026, 1, 1, tzinfo=UTC)} for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregate_rows, "_CELLS_PER_RECORD", cells)
        patch.setattr(aggregate_rows, "_EXACT", exact)
        patch.setattr(dimensions, "_MOST_NUMBERS", numbers)
        assert rows_of(aggregated(in_one_year, cuts)) == plain_usage(in_one_year, KEEP)


def test_prefixes_deeper_than_the_limit_count_in_their_ancestors() -> None:
    found = rows_of(aggregated(sorted_records(["/" * LONGEST], [{"size": 7}])))
    assert [row["depth"] for row in found] == list(range(MAX_DEPTH + 1))
    assert {row["bytes"] for row in found} == {7}


def test_a_key_in_each_directory_and_a_directory_with_all_keys() -> None:
    names = [f"{number:05}/x/y/z" for number in range(30_000)]
    names += [f"all/{number:05}" for number in range(30_000)]
    rows = sorted_records(names, [{"size": number % 9} for number in range(len(names))])
    assert rows_of(aggregated(rows, [7, 20_000])) == plain_usage(rows, KEEP)


def test_the_bands_begin_and_end_where_the_table_says() -> None:
    bounds = [bound for _, bound in SIZE_BANDS[:-1]]
    sizes = sorted({size for bound in bounds for size in (bound - 1, bound)})
    rows = sorted_records([f"{size:020}" for size in sizes], [{"size": size} for size in sizes])
    found = {(row["size_band"], row["bytes"]) for row in rows_of(aggregated(rows))}
    assert found == {(row["size_band"], row["bytes"]) for row in plain_usage(rows, KEEP)}
    assert {band for band, _ in found} == set(range(len(SIZE_BANDS)))


def test_more_storage_classes_than_there_are_codes_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dimensions, "_CLASS_BITS", 1)
    rows = sorted_records(list("abc"), [{"storage_class": name} for name in "xyz"])
    with pytest.raises(CorruptRecord, match="more than 2 storage classes, the last 'z'"):
        aggregated(rows)


def test_of_equal_prefixes_the_first_is_the_larger() -> None:
    rule = KeepRule(Fraction(1), 2)
    equal = np.array([4, 1, 1, 1, 1])
    assert rule.kept(equal, np.zeros(5, np.int64)).tolist() == [True, True, False, False, False]
