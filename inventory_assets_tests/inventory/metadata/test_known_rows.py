from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.metadata.known_rows import KnownRows, SortedFile, key_bounds
from inventory_assets.inventory.metadata.metadata_files import metadata_writer
from inventory_assets.inventory.metadata.schema import IDENTITY_COLUMNS, METADATA_SCHEMA
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.samples import LAYOUT

Row = dict[str, Any]
IDENTITIES = pa.schema([METADATA_SCHEMA.field(name) for name in IDENTITY_COLUMNS])

rows = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["a", "a\n", "a/b", "b", "é", "\U0001f600", "z" * 40]),
            "version_id": st.sampled_from([None, "v1", "v2", "null"]),
            "e_tag": st.sampled_from([None, "e1", "e2"]),
            "last_modified_date": st.sampled_from([None, 0, 1, 1_700_000_000_000]),
        }
    ),
    max_size=12,
).map(lambda found: sorted(found, key=lambda row: str(row["key"])))


def identity(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in IDENTITY_COLUMNS)


def write(store: LocalStore, number: int, group: int, found: list[Row]) -> SortedFile | None:
    """A file with row groups of so many rows; None without rows, as no such file is written."""
    if not found:
        return None
    table = pa.Table.from_pylist(found, schema=METADATA_SCHEMA)
    with store.scratch() as folder:
        path = folder / "file"
        with metadata_writer(path, Encodings.COMPACT) as writer:
            writer.write_table(table, row_group_size=group)
        store.publish_file(f"file-{number}", path)
    bounds = key_bounds(store, f"file-{number}")
    return SortedFile(f"file-{number}", *bounds) if bounds else None


@given(st.lists(rows, max_size=4), rows, st.integers(1, 5), st.integers(1, 5))
def test_a_record_has_the_row_of_the_first_file_that_knows_it(
    roomy_store: LocalStore, files: list[list[Row]], asked: list[Row], group: int, step: int
) -> None:
    expected: dict[tuple[Any, ...], str] = {}
    for number, found in enumerate(files):
        for row in found:
            expected.setdefault(identity(row), f"text/{number}")
    written = [
        write(roomy_store, number, group, [{**row, "content_type": f"text/{number}"} for row in f])
        for number, f in enumerate(files)
    ]
    with closing(KnownRows(roomy_store, [file for file in written if file])) as known:
        for start in range(0, len(asked), step):
            some = asked[start : start + step]
            found = known.rows_of(pa.Table.from_pylist(some, schema=IDENTITIES))
            assert found.column("content_type").to_pylist() == [
                expected.get(identity(row)) for row in some
            ]
            assert found.select(IDENTITY_COLUMNS) == pa.Table.from_pylist(some, schema=IDENTITIES)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        (LAYOUT.metadata_data("1"), r"remove the records of metadata that name it"),
        (LAYOUT.fetched("1"), r"; remove it, then"),
    ],
)
def test_the_error_of_a_damaged_file_says_what_to_remove(
    store: LocalStore, key: str, remedy: str
) -> None:
    store.publish(key, b"no Parquet")
    with pytest.raises(CorruptRecord, match=remedy):
        key_bounds(store, key)
