import re
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, to_records
from inventory_assets.s3.decoding.page import OBJECT_SCHEMA
from inventory_assets_tests.fakes.listings import Listed

PARTS_COUNT = "-[0-9]+$"
HASH = "0123456789abcdef" * 2
e_tags_strategy = st.lists(
    st.none()
    | st.text("-01a", max_size=5)
    | st.text("-9\n é\0٣²", max_size=4)
    | st.sampled_from([HASH, f"{HASH}-7", f"{HASH}-10000", f"{HASH}-", f"-{HASH}", f"{HASH}-1\n"]),
    max_size=20,
)


def objects_with(e_tags: list[str | None]) -> pa.RecordBatch:
    rows = [Listed(f"{number:03}", number, e_tag=e_tag) for number, e_tag in enumerate(e_tags)]
    return pa.RecordBatch.from_pylist([row.row() for row in rows], schema=OBJECT_SCHEMA)


def multipart(objects: pa.RecordBatch) -> list[bool | None]:
    records = to_records(objects, "bucket")
    records.validate(full=True)
    flags: list[bool | None] = records.column("is_multipart_uploaded").to_pylist()
    return flags


def expected(e_tags: list[str | None]) -> list[bool | None]:
    """The result of the regular expression, with `$` as the end of the text."""
    expression = re.compile(PARTS_COUNT.replace("$", r"\Z"))
    return [None if e_tag is None else bool(expression.search(e_tag)) for e_tag in e_tags]


@given(e_tags_strategy)
def test_an_object_was_uploaded_in_parts_if_its_e_tag_ends_in_a_count(
    e_tags: list[str | None],
) -> None:
    objects = objects_with(e_tags)
    assert multipart(objects) == expected(e_tags)
    column = pc.match_substring_regex(objects.column("e_tag"), PARTS_COUNT)
    assert multipart(objects) == column.to_pylist()


def test_every_short_e_tag_is_reported_by_the_expression() -> None:
    short = [None, *("".join(text) for size in range(6) for text in product("-0a", repeat=size))]
    assert multipart(objects_with(short)) == expected(short)


@given(e_tags_strategy, st.integers(0, 20), st.integers(0, 20))
def test_a_slice_is_reported_as_if_it_stood_alone(
    e_tags: list[str | None], start: int, size: int
) -> None:
    objects = objects_with(e_tags).slice(start, size)
    assert multipart(objects) == expected(e_tags[start : start + size])


@given(e_tags_strategy, st.data())
def test_filtered_objects_give_the_same_result_as_independent_ones(
    e_tags: list[str | None], data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(e_tags), max_size=len(e_tags)))
    objects = objects_with(e_tags).filter(pa.array(kept, pa.bool_()))
    left = [e_tag for e_tag, keep in zip(e_tags, kept, strict=True) if keep]
    assert multipart(objects) == expected(left)


@given(e_tags_strategy, e_tags_strategy)
def test_concatenated_batches_give_the_results_of_each(
    one: list[str | None], other: list[str | None]
) -> None:
    objects = pa.concat_batches([objects_with(one)[1:], objects_with(other)])
    assert multipart(objects) == expected([*one[1:], *other])


def test_bytes_of_null_values_are_ignored() -> None:
    text = objects_with([f"{HASH}-1", f"{HASH}-2", HASH])
    _validity, offsets, data = text.column("e_tag").buffers()
    only_the_second = pa.py_buffer(bytes([0b010]))
    e_tags = pa.StringArray.from_buffers(3, offsets, data, only_the_second)
    at = OBJECT_SCHEMA.get_field_index("e_tag")
    objects = text.set_column(at, OBJECT_SCHEMA.field("e_tag"), e_tags)
    assert multipart(objects) == [None, True, None]


@pytest.mark.parametrize(
    "empty",
    [
        objects_with([]),
        objects_with([None, f"{HASH}-1"]).slice(2),
        objects_with([None, f"{HASH}-1"]).slice(1, 0),
        objects_with([f"{HASH}-1"]).filter(pa.array([False])),
        pa.RecordBatch.from_arrays(
            [pa.array([], f.type) for f in OBJECT_SCHEMA], schema=OBJECT_SCHEMA
        ),
    ],
)
def test_no_objects_make_no_records(empty: pa.RecordBatch) -> None:
    records = to_records(empty, "bucket")
    assert records.num_rows == 0
    assert records.schema == RECORD_SCHEMA


def test_records_keep_every_field_and_name_the_bucket() -> None:
    listed = Listed("k", 5, e_tag=f"{HASH}-3", checksums=("CRC32", "SHA256"), owner="o")
    objects = pa.RecordBatch.from_pylist([listed.row()], schema=OBJECT_SCHEMA)
    (record,) = to_records(objects, "bucket").to_pylist()
    assert record == {**listed.row(), "bucket": "bucket", "is_multipart_uploaded": True}
