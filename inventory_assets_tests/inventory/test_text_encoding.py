import csv
import io
import json
import re
from urllib.parse import quote, unquote

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.export.export_format import Dialect
from inventory_assets.inventory.export.text_encoding import (
    csv_header,
    csv_lines,
    json_lines,
    percent_encoded,
)
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import HOSTILE_KEYS, records_of

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
formulas = st.text(st.sampled_from("=+-@\uff1d \t\r\n;,\"'aé"), min_size=1, max_size=8)


def table_of(*objects: Listed) -> pa.Table:
    return pa.Table.from_batches([records_of(objects)], RECORD_SCHEMA)


@given(st.lists(keys), st.integers(0, 3))
@example(["", "a b+c%/~é\U0010ffff"], 1)
def test_keys_are_percent_encoded_as_the_standard_library_does_it(
    texts: list[str], offset: int
) -> None:
    array = pa.array(texts, pa.string()).slice(offset)
    assert percent_encoded(array).to_pylist() == [quote(text, safe="/") for text in texts[offset:]]


def test_a_line_of_s3_inventory_is_quoted_whole_with_times_in_milliseconds() -> None:
    found = Listed('a b+c/é,"\n', size=7, modified=1_795_316_645_000, owner='o"1', checksums=("X",))
    bare = Listed("b", e_tag=None, storage_class=None)
    assert csv_lines(table_of(found, bare), Dialect.S3_INVENTORY).decode() == (
        '"bucket","a%20b%2Bc/%C3%A9%2C%22%0A","7","2026-11-22T03:04:05.000Z",'
        '"0123456789abcdef0123456789abcdef","STANDARD","false","X","o""1"\n'
        '"bucket","b","0","2023-11-14T22:13:20.123Z","","","","",""\n'
    )


@given(st.lists(keys.filter(bool), min_size=1))
def test_every_csv_of_s3_inventory_is_read_back_by_a_plain_reader(found: list[str]) -> None:
    table = table_of(*map(Listed, found))
    lines = csv_lines(table, Dialect.S3_INVENTORY).decode()
    assert [unquote(row[1]) for row in csv.reader(io.StringIO(lines))] == found
    assert lines.isascii()
    assert lines.count("\n") == len(found)


def test_batch_operations_get_bucket_and_key_and_no_header() -> None:
    table = table_of(Listed("a,b"), Listed("c d"))
    assert csv_header(table.schema, Dialect.BATCH_OPERATIONS) == b""
    assert csv_lines(table, Dialect.BATCH_OPERATIONS) == b"bucket,a%2Cb\nbucket,c%20d\n"


@pytest.mark.parametrize("none", [None, ""])
def test_an_empty_version_is_null(none: str | None) -> None:
    table = pa.table({"bucket": ["b", "b"], "key": ["k", "l"], "version_id": ["v1", none]})
    assert csv_lines(table, Dialect.BATCH_OPERATIONS) == b"b,k,v1\nb,l,null\n"
    assert csv_lines(table, Dialect.S3_INVENTORY) == b'"b","k","v1"\n"b","l","null"\n'


def test_a_spreadsheet_has_a_header_and_plain_keys() -> None:
    table = table_of(Listed('é "quoted", b'))
    header, line = [
        csv_header(table.schema, Dialect.SPREADSHEET).decode(),
        csv_lines(table, Dialect.SPREADSHEET).decode(),
    ]
    assert next(csv.reader([header])) == RECORD_SCHEMA.names
    assert next(csv.reader([line]))[:2] == ["bucket", 'é "quoted", b']


@given(st.lists(formulas, min_size=1))
@example(["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "a;=1", " =1", '";=1'])
def test_no_cell_of_a_spreadsheet_is_a_formula_wherever_it_is_split(found: list[str]) -> None:
    lines = csv_lines(table_of(*map(Listed, found)), Dialect.SPREADSHEET).decode()
    cells = [row[1] for row in csv.reader(io.StringIO(lines, newline=""))]
    assert len(cells) == len(found)
    pieces = [piece for cell in cells for piece in re.split("[;\t\r\n]", cell)]
    for cell in [*cells, *pieces]:
        assert not re.match("[ ]*[=+\\-@\uff1d]", cell)


@given(
    keys.filter(lambda key: key and not re.search("[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r\n]", key))
)
def test_a_key_that_is_no_formula_is_unchanged_in_a_spreadsheet(key: str) -> None:
    line = csv_lines(table_of(Listed(key)), Dialect.SPREADSHEET).decode()
    assert next(csv.reader(io.StringIO(line, newline="")))[1] == key


@given(st.lists(keys.filter(bool), min_size=1))
@example(list(HOSTILE_KEYS))
def test_json_lines_are_the_records(found: list[str]) -> None:
    objects = [Listed(key, size=2**63 - 1, owner=None) for key in found]
    lines = json_lines(table_of(*objects)).split(b"\n")[:-1]
    assert [json.loads(line) for line in lines] == [
        {
            "bucket": "bucket",
            "key": key,
            "size": 2**63 - 1,
            "last_modified_date": "2023-11-14T22:13:20.123Z",
            "e_tag": "0123456789abcdef0123456789abcdef",
            "storage_class": "STANDARD",
            "is_multipart_uploaded": False,
            "checksum_algorithm": None,
            "object_owner": None,
        }
        for key in found
    ]


@given(st.lists(keys.filter(bool), min_size=1))
def test_a_plain_csv_round_trips(found: list[str]) -> None:
    table = table_of(*map(Listed, found))
    text = csv_header(table.schema, Dialect.PLAIN) + csv_lines(table, Dialect.PLAIN)
    rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    assert [row["key"] for row in rows] == found


def test_a_columns_name_in_a_header_may_hold_quotes() -> None:
    schema = pa.schema([('max("size")', pa.int64()), ("b", pa.string())])
    assert next(csv.reader([csv_header(schema, Dialect.PLAIN).decode()])) == schema.names


def test_whole_numbers_of_any_size_stay_numbers_in_json() -> None:
    sums = pl.DataFrame({"n": [2**70]}, schema={"n": pl.Decimal(38, 0)}).to_arrow()
    assert json.loads(json_lines(sums)) == {"n": 2**70}


MAPS = pa.map_(pa.string(), pa.string())


@given(
    st.lists(st.none() | st.dictionaries(keys, st.none() | keys, max_size=3), max_size=5),
    st.booleans(),
)
def test_a_map_of_texts_is_an_object_in_jsonl_and_json_in_csv(
    maps: list[dict[str, str | None] | None], is_alone: bool
) -> None:
    column = pa.array([each if each is None else [*each.items()] for each in maps], MAPS)
    columns = {"m": column} if is_alone else {"key": ["\n}"] * len(maps), "m": column, "n": column}
    table = pa.table(columns)
    lines = json_lines(table).decode().split("\n")[:-1]
    assert [json.loads(line)["m"] for line in lines] == maps
    assert all(json.loads(line).keys() == columns.keys() for line in lines)
    text = csv_lines(table.select(["m"]), Dialect.PLAIN).decode()
    found = [row[0] if row else "" for row in csv.reader(io.StringIO(text, newline=""))]
    assert [json.loads(each) if each else None for each in found] == maps


def test_lines_with_maps_are_complete_beyond_a_slice() -> None:
    count = 10_000
    table = pa.table(
        {"key": [f"{n}" for n in range(count)], "m": pa.array([[("a", "b")]] * count, MAPS)}
    )
    rows = [json.loads(line) for line in json_lines(table).splitlines()]
    assert [row["key"] for row in rows] == [f"{n}" for n in range(count)]
    assert all(row["m"] == {"a": "b"} for row in rows)
