from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inventory_assets.inventory.fingerprint import Fingerprint
from inventory_assets.inventory.records import RECORD_SCHEMA

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
def test_the_cuts_between_batches_leave_no_trace(rows: list[Row], cuts: list[int]) -> None:
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
def test_a_change_of_any_one_field_shows(rows: list[Row], data: st.DataObject) -> None:
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


def test_text_that_moves_between_neighbours_shows() -> None:
    def two(one: str, other: str) -> str:
        return digest(records([{**ROW, "key": one}, {**ROW, "key": other}]))

    assert len({two("ab", "c"), two("a", "bc"), two("abc", ""), two("", "abc")}) == 4
    assert digest(records([{**ROW, "e_tag": "x", "storage_class": None}])) != digest(
        records([{**ROW, "e_tag": None, "storage_class": "x"}])
    )


def test_nothing_is_the_same_however_it_is_said() -> None:
    filtered = records([ROW]).filter(pc.equal(records([ROW]).column("key"), "other"))
    assert digest() == digest(records([])) == digest(filtered) == digest(records([]), filtered)


def test_a_digest_is_32_hexadecimal_digits_and_may_be_asked_for_early() -> None:
    fingerprint = Fingerprint()
    early = fingerprint.hexdigest()
    fingerprint.update(records([ROW]))
    assert early != fingerprint.hexdigest() == fingerprint.hexdigest() == digest(records([ROW]))
    assert len(early) == 32
    assert int(early, 16) >= 0


def test_the_digest_of_a_record_stays_the_same_from_release_to_release() -> None:
    assert digest(records([ROW])) == "f0ddb8da8d28cfbb32f05bdfeb8b71ca"
