from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.hygiene import findings_builder, prefix_counts
from inventory_assets.inventory.hygiene.findings import PART_FINDINGS, PartFindings
from inventory_assets.inventory.hygiene.odd_keys import ODD_KEYS, odd_keys
from inventory_assets.inventory.hygiene.part_findings import (
    compute_findings,
    merge_findings,
    part_findings,
)
from inventory_assets.inventory.hygiene.prefix_counts import (
    PrefixCounts,
    PrefixShare,
    prefixes_of,
    worst_prefixes,
)
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.schema import record_schema
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.findings_oracle import (
    Row,
    counted_findings,
    folders,
    kinds_of,
    top,
    with_dictionary,
)
from inventory_assets_tests.inventory.samples import LAYOUT, listed, parts_of

MODIFIED = datetime(2026, 1, 2, tzinfo=UTC)

_PLAIN = ["a", "b", "ü", "dt=1", "dt=%3A", "communal"]
_ODD = ["", ".", "..", "...", "c ", "d.", "con", "Nul.txt", "x:y", "lpt\xb9", "\x01", "\x85"]
_OF_HIVE = ["dt=", "=1", "dt=%3", "dt=%", "dt=a=b", "d't=1"]
_segments = st.sampled_from([*_PLAIN, *_ODD, *_OF_HIVE])
_keys = st.lists(_segments, min_size=1, max_size=4).map("/".join).filter(bool)


@st.composite
def _rows(draw: st.DrawFn, *, of_versions: bool) -> list[Row]:
    rows: list[Row] = []
    for key in sorted(draw(st.sets(_keys, max_size=12)), key=str.encode):
        for number in range(draw(st.integers(1, 3)) if of_versions else 1):
            is_marker = of_versions and draw(st.booleans())
            row: dict[str, Any] = {
                "bucket": "bucket",
                "key": key,
                "size": None if is_marker else draw(st.sampled_from([0, 1, 7, 2**17, 2**40])),
                "last_modified_date": MODIFIED,
                "storage_class": None
                if is_marker
                else draw(st.sampled_from([None, "STANDARD", "GLACIER"])),
            }
            if of_versions:
                row |= {"is_latest": number == 0, "is_delete_marker": is_marker}
            rows.append(row)
    return rows


def _pieces(rows: Sequence[Row], cuts: set[int]) -> list[list[Row]]:
    """Divide rows before some of them, so that no key is in two pieces."""
    pieces: list[list[Row]] = []
    for number, row in enumerate(rows):
        is_new = not pieces or rows[number - 1]["key"] != row["key"]
        if is_new and (not pieces or number in cuts):
            pieces.append([])
        pieces[-1].append(row)
    return pieces


def _batch(rows: Sequence[Row], *, of_versions: bool) -> pa.RecordBatch:
    schema = record_schema(of_versions=of_versions)
    return with_dictionary(pa.RecordBatch.from_pylist(list(rows), schema=schema))


def _part(rows: Sequence[Row]) -> Part:
    return Part("", len(rows), 0, 0, "", rows[0]["key"], rows[-1]["key"], ())


def _merged(rows: Sequence[Row], cuts: set[int], batch_cuts: set[int], of_versions: bool) -> Any:
    """The findings of rows that are divided into parts, and these into batches."""
    parts, found = [], []
    for piece in _pieces(rows, cuts):
        parts.append(_part(piece))
        batches = [_batch(each, of_versions=of_versions) for each in _pieces(piece, batch_cuts)]
        found.append(compute_findings(parts[-1], batches))
    return merge_findings(parts, found)


@pytest.fixture(autouse=True)
def _few_are_kept(request: pytest.FixtureRequest) -> Any:
    """With few prefixes kept, small examples reach the bounds."""
    with pytest.MonkeyPatch.context() as patch:
        if "property" in request.node.name:
            patch.setattr(prefix_counts, "KEPT", 2)
            patch.setattr(findings_builder, "LARGEST", 3)
            patch.setattr(PrefixCounts.prune, "__kwdefaults__", {"at_most": 0})
        yield


@given(
    rows=st.booleans().flatmap(lambda versions: _rows(of_versions=versions)),
    cuts=st.sets(st.integers(1, 30)),
    batch_cuts=st.sets(st.integers(1, 30)),
)
def test_property_findings_of_any_cut_equal_those_of_all_rows_one_by_one(
    rows: list[Row], cuts: set[int], batch_cuts: set[int]
) -> None:
    of_versions = bool(rows) and "is_latest" in rows[0]
    found: PartFindings = _merged(rows, cuts, batch_cuts, of_versions)
    objects = [row for row in rows if not row.get("is_delete_marker")]
    assert (found.objects, found.bytes) == (
        len(objects),
        sum(row["size"] or 0 for row in objects),
    )
    expected = counted_findings(rows)
    assert found.tallies.keys() == expected.keys()
    for name, tally in found.tallies.items():
        counted = expected[name]
        assert {
            (total.storage_class, total.size_band): (total.objects, total.bytes)
            for total in tally.totals
        } == {kind: (counted.totals[kind], counted.bytes[kind]) for kind in counted.totals}
        assert list(tally.examples) == list(counted.keys)[: len(tally.examples)]
        assert len(tally.examples) == min(3, len(counted.keys))
        assert _top(tally.prefixes) == top(counted.prefixes, counted.prefix_bytes, 2)
    assert _top(found.crowded) == top(*folders(rows), 2)
    by_size = sorted(objects, key=lambda row: (-(row["size"] or 0), row["key"].encode()))
    assert [(each.key, each.size) for each in found.largest] == [
        (row["key"], row["size"] or 0) for row in by_size[:3]
    ]


_paths = st.lists(st.sampled_from("ab"), max_size=3).map("".join)


@given(
    counts=st.dictionaries(_paths, st.integers(1, 9), min_size=1),
    cuts=st.sets(st.integers(1, 60), max_size=8),
    is_cumulative=st.booleans(),
)
@example(counts={"a": 3, "b": 6}, cuts={4}, is_cumulative=False)
def test_property_sums_of_the_prefixes_that_are_kept_are_exact(
    counts: dict[str, int], cuts: set[int], is_cumulative: bool
) -> None:
    keys = sorted(
        "".join(f"{name}/" for name in path) + f"x{number}"
        for path, count in counts.items()
        for number in range(count)
    )
    sizes = np.array([int(key[-1]) ** 2 for key in keys])
    whole = PrefixCounts(is_cumulative=is_cumulative)
    for start, stop in pairwise(sorted({0, len(keys), *(cut for cut in cuts if cut < len(keys))})):
        piece = PrefixCounts(is_cumulative=is_cumulative)
        piece.add(pa.array(keys[start:stop]), sizes[start:stop])
        piece.prune(keys[start], keys[stop - 1], at_most=0)
        whole.merge(piece.shares())
        whole.prune(keys[0], keys[stop - 1], at_most=0)
    objects, totals = Counter[str](), Counter[str]()
    for key, size in zip(keys, sizes.tolist(), strict=True):
        folders_of_key = list(prefixes_of(key))
        for folder in folders_of_key if is_cumulative else folders_of_key[-1:]:
            objects[folder] += 1
            totals[folder] += size
    assert _top(whole.shares()) == top(objects, totals, 2)


def _top(shares: tuple[PrefixShare, ...]) -> dict[str, tuple[int, int]]:
    """Those that are kept of the whole; without its first and last key's prefixes."""
    counts = PrefixCounts(is_cumulative=True, shares=shares)
    return {share.prefix: (share.objects, share.bytes or 0) for share in counts.top()}


@given(key=st.one_of(_keys, st.text(min_size=1, max_size=8)))
@example("dt=%3/x")
@example("dt=%%41/x")
@example("a/con .txt")
@example("....")
@example("a. /")
@example("=/x")
@example("a==/x")
@example("a\n=1/x")
def test_a_key_has_the_kinds_that_its_names_show(key: str) -> None:
    keys = pa.array([key])
    assert [kind for kind, _ in odd_keys(keys)] == list(kinds_of(key))


def test_every_kind_has_an_example_here() -> None:
    keys = ["//", "../a", "\x07", "a.", "a|b", "dt=/1", "dt=1:2/x"]
    assert {kind for key in keys for kind in kinds_of(key)} == set(ODD_KEYS)


def test_the_findings_of_a_part_are_computed_once_and_kept_under_its_name(
    store: LocalStore,
) -> None:
    (part,) = parts_of(store, listed(["a//b", "c"]))
    found = part_findings(store, LAYOUT, part)
    key = LAYOUT.part_findings(part.key)
    assert key.rpartition("/")[2] == part.key.rpartition("/")[2]
    assert PART_FINDINGS.read(store, key) == found
    store.remove_key(part.key)
    assert part_findings(store, LAYOUT, part) == found


def test_damaged_findings_are_computed_again(store: LocalStore) -> None:
    (part,) = parts_of(store, listed(["a//b", "c"]))
    found = part_findings(store, LAYOUT, part)
    store.publish(LAYOUT.part_findings(part.key), b"{}")
    assert part_findings(store, LAYOUT, part) == found
    assert PART_FINDINGS.read(store, LAYOUT.part_findings(part.key)) == found


def _shares(counts: Counter[str]) -> list[PrefixShare]:
    """Cumulative shares of objects that lie directly in prefixes."""
    total: Counter[str] = Counter()
    for folder, count in counts.items():
        for prefix in prefixes_of(folder):
            total[prefix] += count
    return [PrefixShare(prefix, count, 0) for prefix, count in total.items()]


def _worst(counts: dict[str, int]) -> list[tuple[str, int]]:
    found = worst_prefixes(_shares(Counter(counts)), lambda share: share.objects)
    return [(share.prefix, share.objects) for share in found]


def test_the_worst_prefixes_are_those_that_a_long_common_prefix_divides_into() -> None:
    assert _worst({f"lake/db/{name}/": number for number, name in enumerate("abc", 1)}) == [
        ("lake/db/c/", 3),
        ("lake/db/b/", 2),
        ("lake/db/a/", 1),
    ]


def test_a_prefix_that_holds_objects_directly_is_not_replaced_by_a_small_one_in_it() -> None:
    assert _worst({"a/": 1000, "a/b/": 1}) == [("a/", 1001)]


def test_at_most_ten_prefixes_are_the_worst_and_none_lies_within_another() -> None:
    counts = {f"{name}/{number:02}/": 5 for name in "abc" for number in range(12)}
    found = _worst(counts)
    assert len(found) == 10
    assert not [one for one, _ in found for other, _ in found if one != other and one in other]


def test_a_prefix_with_more_than_half_is_divided_though_there_are_ten() -> None:
    counts = {f"{name}/": 1 for name in "abcdefghijkl"} | {"z/x/": 60, "z/y/": 40}
    assert _worst(counts)[:2] == [("z/x/", 60), ("z/y/", 40)]


def test_without_objects_there_is_no_worst_prefix() -> None:
    assert _worst({}) == []
