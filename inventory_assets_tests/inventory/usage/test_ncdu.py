"""The export format of ncdu, also as the real program reads it."""

import json
import shutil
import subprocess
from typing import Any

import pyarrow as pa
import pytest

from inventory_assets.inventory.usage.by_prefix import by_prefix
from inventory_assets.inventory.usage.ncdu import ncdu_document
from inventory_assets.inventory.usage.schema import MAX_DEPTH
from inventory_assets_tests.inventory.usage.test_aggregate import aggregated, sorted_records

HOSTILE = [
    "\x00/nul",
    "\x1b[31m/red",
    "//",
    "/",
    "a//b",
    "a/\u202eb/bidi",
    'quote"\\/x',
    "<script>/x",
    "\ud7ff/\U0010ffff/x",
    "new\nline/x",
    "é/x",
    "/" * 1024,
    "x" * 1022 + "/y",
    "\x01" * 1022 + "/y",
    "../../etc/passwd",
]


def prefixes_of(keys: list[str], versions: list[dict[str, Any]] | None = None) -> pa.Table:
    values = [{"size": 10**number} for number in range(min(len(keys), 16))]
    values = [value | more for value, more in zip(values, versions or [{}] * 16, strict=False)]
    return by_prefix(aggregated(sorted_records(keys, values)))


def written(prefixes: pa.Table) -> str:
    return "".join(ncdu_document(prefixes, "s3://bucket", "1.2.3", 1_700_000_000))


def paths(item: Any, above: str = "") -> dict[str, int]:
    """The bytes of each file of a document, by path."""
    if isinstance(item, dict):
        return {f"{above}{item['name']}": item.get("asize", 0)}
    name = f"{above}{item[0]['name']}/"
    return {path: size for each in item[1:] for path, size in paths(each, name).items()}


def test_what_is_beneath_no_deeper_prefix_is_a_file() -> None:
    document = json.loads(written(prefixes_of(["a/1", "a/b/2", "c"])))
    assert document[:3] == [
        1,
        0,
        {"progname": "inventory", "progver": "1.2.3", "timestamp": 1_700_000_000},
    ]
    assert paths(document[3]) == {
        "s3://bucket/a/(1 objects)": 1,
        "s3://bucket/a/b/(1 objects)": 10,
        "s3://bucket/(1 objects)": 100,
    }


def test_noncurrent_versions_are_a_file_of_their_own() -> None:
    states = [{"is_latest": latest, "is_delete_marker": False} for latest in (True, False)]
    document = json.loads(written(prefixes_of(["k", "k"], states)))
    assert paths(document[3]) == {
        "s3://bucket/(1 objects)": 1,
        "s3://bucket/(1 noncurrent versions)": 10,
    }


def test_an_empty_inventory_is_an_empty_directory() -> None:
    assert json.loads(written(prefixes_of([])))[3] == [{"name": "s3://bucket"}]


def test_no_name_controls_a_terminal() -> None:
    text = written(prefixes_of(HOSTILE))
    assert all(line.isprintable() for line in text.splitlines())
    assert "(no name)" in text


@pytest.mark.skipif(shutil.which("ncdu") is None, reason="needs ncdu: apt-get install ncdu")
@pytest.mark.parametrize("keys", [HOSTILE, [], ["a"], ["a/" * MAX_DEPTH + "b"]])
def test_ncdu_reads_it(keys: list[str]) -> None:
    text = written(prefixes_of(keys))
    ncdu = subprocess.run(
        ["ncdu", "-f", "-", "-o", "-"],
        input=text.encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (ncdu.returncode, ncdu.stderr) == (0, b"")
    assert paths(json.loads(ncdu.stdout)[3]) == paths(json.loads(text)[3])
