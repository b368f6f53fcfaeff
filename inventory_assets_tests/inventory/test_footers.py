import io
import struct

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.parts.footers import MAGIC, Footers, footer_of
from inventory_assets.inventory.parts.parquet_encoding import parquet_writer
from inventory_assets_tests.inventory.samples import listed, records_of


def groups_of(sizes: list[int]) -> list[pa.RecordBatch]:
    records = records_of(listed(f"{number:06}" for number in range(sum(sizes))))
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [records.slice(start, size) for start, size in zip(starts, sizes, strict=True)]


def by_one_writer(groups: list[pa.RecordBatch]) -> bytes:
    file = io.BytesIO()
    with parquet_writer(file, groups[0].schema) as writer:
        for group in groups:
            writer.write_batch(group, row_group_size=group.num_rows)
    return file.getvalue()


def by_a_writer_each(groups: list[pa.RecordBatch]) -> bytes:
    whole, footers = bytearray(MAGIC), Footers()
    for group in groups:
        alone = by_one_writer([group])
        (size,) = struct.unpack("<I", alone[-8:-4])
        footers.add(footer_of(alone), len(whole))
        whole += alone[len(MAGIC) : -8 - size]
    return bytes(whole + footers.whole())


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
@settings(max_examples=40)
def test_row_groups_written_separately_make_the_same_bytes_as_one_file(sizes: list[int]) -> None:
    groups = groups_of(sizes)
    assert by_a_writer_each(groups) == by_one_writer(groups)


VALUES = st.fixed_dictionaries(
    {
        "key": st.text(min_size=1, max_size=40),
        "size": st.none() | st.integers(-(2**63), 2**63 - 1),
        "is_latest": st.none() | st.booleans(),
        "ratio": st.none() | st.floats(allow_nan=False),
        "version_id": st.none() | st.text(max_size=300),
        "tags": st.none() | st.lists(st.integers(0, 9), max_size=4),
    }
)
SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "size": pa.int64(),
        "is_latest": pa.bool_(),
        "ratio": pa.float64(),
        "version_id": pa.string(),
        "tags": pa.list_(pa.int32()),
    }
)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=20))
@settings(max_examples=40)
def test_row_groups_of_any_schema_are_combined(rows: list[list[dict[str, object]]]) -> None:
    groups = [pa.RecordBatch.from_pylist(each, SCHEMA) for each in rows]
    assert by_a_writer_each(groups) == by_one_writer(groups)
