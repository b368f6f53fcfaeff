from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.hygiene import duplicates
from inventory_assets.inventory.hygiene.duplicates import find_duplicates
from inventory_assets.inventory.hygiene.findings import Tally
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import record_schema
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import LAYOUT, parts_of

ONE, TWO = "1" * 32, "abcdef" + "0" * 26


@pytest.fixture(autouse=True, params=["hashes that differ", "one hash"])
def _many_small_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_FILE_ROWS", 3)
    if request.param == "one hash":  # for all contents
        monkeypatch.setattr(duplicates, "_MIX", np.uint64(0))


def _found(store: LocalStore, *groups: list[Listed]) -> Tally:
    with store.scratch() as folder:
        return find_duplicates(store, parts_of(store, *groups), folder)


def test_the_first_key_with_a_content_is_kept_and_the_others_are_redundant(
    store: LocalStore,
) -> None:
    found = _found(
        store,
        [Listed("a/1", 10, e_tag=ONE), Listed("a/2", 10, e_tag=ONE)],
        [Listed("b/1", 10, e_tag=ONE), Listed("b/2", 7, e_tag=TWO)],
    )
    assert (found.objects, found.bytes, found.examples) == (2, 20, ("a/2", "b/1"))
    assert [(share.prefix, share.bytes) for share in found.prefixes] == [
        ("", 20),
        ("a/", 10),
        ("b/", 10),
    ]


@pytest.mark.parametrize(
    "others",
    [
        (Listed("a", 5, e_tag=f"{ONE}-2"), Listed("b", 5, e_tag=f"{ONE}-2")),
        (Listed("a", 5, e_tag=None), Listed("b", 5, e_tag=None)),
        (Listed("a", 0, e_tag=ONE), Listed("b", 0, e_tag=ONE)),
        (Listed("a", 5, e_tag=ONE), Listed("b", 6, e_tag=ONE)),
        (Listed("a", 5, e_tag="x" * 32), Listed("b", 5, e_tag="x" * 32)),
        (Listed("a", 5, e_tag=ONE[:-2]), Listed("b", 5, e_tag=ONE[:-2])),
    ],
    ids=["multipart", "no ETag", "empty", "other size", "no hash", "short"],
)
def test_only_equal_etags_of_whole_files_and_equal_sizes_count(
    store: LocalStore, others: tuple[Listed, Listed]
) -> None:
    assert _found(store, list(others)).objects == 0


def test_digits_in_upper_case_are_equal_to_those_in_lower_case(store: LocalStore) -> None:
    found = _found(store, [Listed("a", 1, e_tag=TWO), Listed("b", 1, e_tag=TWO.upper())])
    assert found.examples == ("b",)


def test_without_objects_there_are_no_duplicates(store: LocalStore) -> None:
    assert find_duplicates(store, [], store.root) == Tally((), (), ())


def test_temporary_files_are_removed_also_after_a_failure(store: LocalStore) -> None:
    parts = parts_of(store, [Listed("a", 1, e_tag=ONE)], [Listed("b", 1, e_tag=ONE)])
    store.remove_key(parts[1].key)
    before = _files(store.root)
    with pytest.raises(CorruptRecord), store.scratch() as folder:
        find_duplicates(store, parts, folder)
    assert _files(store.root) == before


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


_e_tags = st.sampled_from([ONE, TWO, "0" * 31 + "7", f"{ONE}-2", None, "short"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    contents=st.lists(st.tuples(_e_tags, st.integers(0, 2)), max_size=20),
    cuts=st.sets(st.integers(1, 19)),
    versions=st.lists(st.sampled_from(["current", "old", "marker"]), min_size=20, max_size=20),
    of_versions=st.booleans(),
)
def test_duplicates_are_those_that_comparing_all_current_objects_shows(
    roomy_store: LocalStore,
    contents: list[tuple[str | None, int]],
    cuts: set[int],
    versions: list[str],
    of_versions: bool,
) -> None:
    rows: list[dict[str, Any]] = []
    for number, ((e_tag, size), kind) in enumerate(zip(contents, versions, strict=False)):
        row: dict[str, Any] = {
            "bucket": "bucket",
            "key": f"{number % 3}/{number:02}",
            "e_tag": e_tag,
            "size": size,
            "storage_class": "STANDARD",
        }
        if of_versions:
            row |= {"is_latest": kind != "old", "is_delete_marker": kind == "marker"}
        rows.append(row)
    rows.sort(key=lambda row: str(row["key"]))
    parts = _published(roomy_store, rows, cuts, of_versions=of_versions)
    with roomy_store.scratch() as folder:
        found = find_duplicates(roomy_store, parts, folder)
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    for row in rows:
        is_current = not of_versions or (row["is_latest"] and not row["is_delete_marker"])
        if is_current and row["size"] and len(row["e_tag"] or "") == 32:
            groups[row["e_tag"], row["size"]].append(row["key"])
    redundant = sorted(key for keys in groups.values() for key in keys[1:])
    assert found.objects == len(redundant)
    assert found.bytes == sum(size * (len(keys) - 1) for (_, size), keys in groups.items())
    assert list(found.examples) == redundant[:3]


def _published(
    store: LocalStore, rows: list[dict[str, Any]], cuts: set[int], *, of_versions: bool
) -> list[Part]:
    schema = record_schema(of_versions=of_versions)
    with PartWriter(store, LAYOUT) as writer:
        for number, row in enumerate(rows):
            if number in cuts:
                writer.finish_part()
            writer.write(pa.RecordBatch.from_pylist([row], schema=schema))
        writer.finish_part()
    return writer.parts
