from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.parts import fingerprint as fingerprint_module
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
texts = st.text("ab\0é", max_size=3)
fields: dict[str, st.SearchStrategy[Any]] = {
    "bucket": texts,
    "key": texts,
    "size": st.none() | st.integers(0, 3) | st.just(2**63 - 1),
    "last_modified_date": st.none()
    | st.integers(0, 3).map(lambda milliseconds: EPOCH + timedelta(milliseconds=milliseconds)),
    "e_tag": st.none() | texts,
    "storage_class": st.none() | texts,
    "is_multipart_uploaded": st.none() | st.booleans(),
    "checksum_algorithm": st.none() | texts,
    "object_owner": st.none() | texts,
}
rows_strategy = st.lists(st.fixed_dictionaries(fields), max_size=8)
Row = dict[str, Any]
ROW: Row = {
    "bucket": "b",
    "key": "k",
    "size": 1,
    "last_modified_date": EPOCH,
    "e_tag": "e",
    "storage_class": "STANDARD",
    "is_multipart_uploaded": False,
    "checksum_algorithm": "CRC32",
    "object_owner": "o",
}


def records(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=RECORD_SCHEMA)


def digest(*batches: pa.RecordBatch) -> str:
    fingerprint = Fingerprint()
    for batch in batches:
        fingerprint.update(batch)
    return fingerprint.hexdigest()


def test_the_strategies_know_every_field() -> None:
    assert [*fields] == [*ROW] == RECORD_SCHEMA.names


@given(rows_strategy, st.lists(st.integers(0, 8), max_size=4))
def test_the_fingerprint_does_not_depend_on_batches(rows: list[Row], cuts: list[int]) -> None:
    whole = records(rows)
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pairs = list(pairwise(bounds))
    slices = [whole.slice(start, end - start) for start, end in pairs]
    copies = [records(rows[start:end]) for start, end in pairs]
    assert digest(whole) == digest(*slices) == digest(*copies)


@given(rows_strategy, rows_strategy)
def test_equal_digests_mean_equal_records_in_equal_order(one: list[Row], other: list[Row]) -> None:
    assert (digest(records(one)) == digest(records(other))) == (one == other)


@given(rows_strategy.filter(bool), st.data())
def test_a_change_of_any_field_changes_the_fingerprint(
    rows: list[Row], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(RECORD_SCHEMA.names))
    value = data.draw(fields[name])
    assume(value != rows[at][name])
    changed = [*rows[:at], {**rows[at], name: value}, *rows[at + 1 :]]
    assert digest(records(rows)) != digest(records(changed))


@given(rows_strategy, st.permutations(range(8)))
def test_the_order_of_records_counts(rows: list[Row], order: list[int]) -> None:
    shuffled = [rows[index] for index in order if index < len(rows)]
    assert (digest(records(rows)) == digest(records(shuffled))) == (rows == shuffled)


@pytest.mark.parametrize(
    ("name", "empty"),
    [
        ("size", 0),
        ("last_modified_date", EPOCH),
        ("e_tag", ""),
        ("storage_class", ""),
        ("is_multipart_uploaded", False),
        ("checksum_algorithm", ""),
        ("object_owner", ""),
    ],
)
def test_null_differs_from_empty(name: str, empty: object) -> None:
    without = digest(records([{**ROW, name: None}]))
    assert without != digest(records([{**ROW, name: empty}]))


def test_text_that_moves_between_neighbours_changes_the_fingerprint() -> None:
    def two(one: str, other: str) -> str:
        return digest(records([{**ROW, "key": one}, {**ROW, "key": other}]))

    assert len({two("ab", "c"), two("a", "bc"), two("abc", ""), two("", "abc")}) == 4
    assert digest(records([{**ROW, "e_tag": "x", "storage_class": None}])) != digest(
        records([{**ROW, "e_tag": None, "storage_class": "x"}])
    )


def test_absent_and_empty_values_are_equal() -> None:
    filtered = records([ROW]).filter(pc.equal(records([ROW]).column("key"), "other"))
    assert digest() == digest(records([])) == digest(filtered) == digest(records([]), filtered)


def test_a_digest_has_32_hexadecimal_digits_and_can_be_computed_early() -> None:
    fingerprint = Fingerprint()
    early = fingerprint.hexdigest()
    fingerprint.update(records([ROW]))
    assert early != fingerprint.hexdigest() == fingerprint.hexdigest() == digest(records([ROW]))
    assert len(early) == 32
    assert int(early, 16) >= 0


def test_the_digest_of_a_record_stays_the_same_from_release_to_release() -> None:
    assert digest(records([ROW])) == "f0ddb8da8d28cfbb32f05bdfeb8b71ca"


# Ranges listed side by side.

NEVER = 2**40
"""A chunk size that no chunk of a test reaches."""

some_rows = st.builds(
    lambda key, size, e_tag: {**ROW, "key": key, "size": size, "e_tag": e_tag},
    texts,
    fields["size"],
    fields["e_tag"],
)
divisions = st.lists(st.lists(st.lists(some_rows, max_size=4), max_size=3), max_size=6)
"""The batches of some consecutive runs of records."""


@contextmanager
def chunks(records: int, at_most: int = NEVER) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint_module, "CHUNK_RECORDS", records)
        patch.setattr(fingerprint_module, "MAX_CHUNK_RECORDS", at_most)
        yield


def fingerprint_of(batches: list[list[Row]]) -> Fingerprint:
    fingerprint = Fingerprint()
    for batch in batches:
        fingerprint.update(records(batch))
    return fingerprint


def joined(parts: list[Fingerprint]) -> str:
    """The digest of fingerprints joined from left to right."""
    whole = Fingerprint()
    for part in parts:
        whole.join(part)
    return whole.hexdigest()


def joined_anyhow(parts: list[Fingerprint], data: st.DataObject) -> str:
    """The digest of fingerprints of which neighbours are joined in any order."""
    parts = [Fingerprint(), *parts]
    while len(parts) > 1:
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at].join(parts.pop(at + 1))
    return parts[0].hexdigest()


@pytest.mark.parametrize("size", [1, 2, 4, NEVER])
@settings(max_examples=30)
@given(runs=divisions, data=st.data())
def test_the_fingerprint_does_not_depend_on_range_boundaries(
    size: int, runs: list[list[list[Row]]], data: st.DataObject
) -> None:
    rows = [row for batches in runs for batch in batches for row in batch]
    with chunks(size):
        whole = digest(records(rows))
        assert joined([fingerprint_of(batches) for batches in runs]) == whole
        assert joined_anyhow([fingerprint_of(batches) for batches in runs], data) == whole


@settings(max_examples=30)
@given(rows_strategy, st.integers(0, 8), st.integers(0, 8))
def test_records_can_be_added_after_a_join(rows: list[Row], one: int, other: int) -> None:
    first, second = sorted((one, other))
    with chunks(2):
        fingerprint = fingerprint_of([rows[:first]])
        fingerprint.join(fingerprint_of([rows[first:second]]))
        fingerprint.update(records(rows[second:]))
        assert fingerprint.hexdigest() == digest(records(rows))


@pytest.mark.parametrize("size", [1, 2, 4])
@settings(max_examples=30)
@given(one=rows_strategy, other=rows_strategy)
def test_equal_digests_mean_equal_records_whatever_the_chunks(
    size: int, one: list[Row], other: list[Row]
) -> None:
    with chunks(size):
        assert (digest(records(one)) == digest(records(other))) == (one == other)


@settings(max_examples=30)
@given(rows_strategy, st.permutations(range(8)), st.integers(0, 8))
def test_the_order_of_ranges_and_records_counts(
    rows: list[Row], order: list[int], cut: int
) -> None:
    shuffled = [rows[index] for index in order if index < len(rows)]
    swapped = [*rows[cut:], *rows[:cut]]
    with chunks(2):
        assert (digest(records(rows)) == digest(records(shuffled))) == (rows == shuffled)
        parts = [fingerprint_of([rows[cut:]]), fingerprint_of([rows[:cut]])]
        assert (joined(parts) == digest(records(rows))) == (rows == swapped)


@pytest.mark.parametrize("name", ["size", "e_tag", "storage_class", "is_multipart_uploaded"])
def test_null_differs_from_empty_whatever_the_chunks(name: str) -> None:
    empty = {"size": 0, "is_multipart_uploaded": False}.get(name, "")
    neighbours = [{**ROW, "key": str(number)} for number in range(9)]
    with chunks(2):
        without = [*neighbours, {**ROW, name: None}, *neighbours]
        with_empty = [*neighbours, {**ROW, name: empty}, *neighbours]
        assert digest(records(without)) != digest(records(with_empty))


def numbered(start: int, stop: int) -> list[Row]:
    return [{**ROW, "key": f"{number:06}"} for number in range(start, stop)]


def test_chunks_have_about_the_intended_size_and_stable_ends() -> None:
    """Records put in front change the chunks around them only."""
    with chunks(8):
        whole, more = fingerprint_of([numbered(0, 4000)]), fingerprint_of([numbered(-40, 4000)])
    found = len(whole.digests) // 16
    assert 350 <= found <= 650
    assert more.digests.endswith(whole.digests[16:])


@settings(max_examples=30)
@given(divisions, divisions, st.integers(1, 5))
def test_chunks_have_a_maximum_size_and_equal_splits_are_equal(
    one: list[list[list[Row]]], other: list[list[list[Row]]], at_most: int
) -> None:
    """Only joined in the same order: where a chunk is cut depends on what came before."""
    with chunks(NEVER, at_most):
        left = joined([fingerprint_of(batches) for batches in one])
        assert left == joined([fingerprint_of(batches) for batches in one])
        rows, others = (
            [row for batches in runs for batch in batches for row in batch] for runs in (one, other)
        )
        if rows != others:
            assert left != joined([fingerprint_of(batches) for batches in other])


def test_a_chunk_without_an_end_has_a_maximum_size() -> None:
    with chunks(NEVER, 10):
        fingerprint = fingerprint_of([numbered(at, at + 3) for at in range(0, 300, 3)])
    assert fingerprint.head.rows + fingerprint.tail.rows <= 2 * 12
    assert fingerprint.rows == 300
