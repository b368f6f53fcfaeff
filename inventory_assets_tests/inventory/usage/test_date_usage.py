from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.errors import ConflictError, CorruptRecord
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.usage import part_usage
from inventory_assets.inventory.usage.by_prefix import by_prefix
from inventory_assets.inventory.usage.date_usage import (
    DateUsage,
    days_with_usage,
    newest_usage,
    publish_usage,
    read_usage,
    usage_etag,
    violations_of,
)
from inventory_assets.inventory.usage.schema import (
    PREFIX_DESCRIPTIONS,
    PREFIX_SCHEMA,
    USAGE_DESCRIPTIONS,
    USAGE_SCHEMA,
)
from inventory_assets.inventory.usage.usage_files import read_table
from inventory_assets_tests.inventory.histories import Killed, all_keys
from inventory_assets_tests.inventory.logged_days import merged, shard_snapshots
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW
from inventory_assets_tests.inventory.usage.plain_usage import rows_of
from inventory_assets_tests.inventory.usage.test_aggregate import aggregated, sorted_records

YESTERDAY = DAY - timedelta(days=1)
KEYS = {"A", "a/1", "a/b/2", "a/b/3", "c", "d/e/f/4", "é/\n"}


def inventory(store: LocalStore, keys: set[str] = KEYS, days_before: int = 0) -> Manifest:
    """The manifest of a date, with a shard of the prefix `a/`."""
    day = DAY - timedelta(days=days_before)
    return merged(store, shard_snapshots(store, keys, {"a/"}, day))


def used(store: LocalStore, keys: set[str] = KEYS, days_before: int = 0) -> DateUsage:
    return publish_usage(store, LAYOUT, inventory(store, keys, days_before), NOW)


def prefixes(store: LocalStore, usage: DateUsage) -> dict[str, dict[str, Any]]:
    table = read_table(store, usage.by_prefix.key, PREFIX_SCHEMA)
    assert table.schema == PREFIX_SCHEMA
    return {row["prefix"]: row for row in table.to_pylist()}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts whose records are read."""
    found: list[str] = []
    compute = part_usage.usage_of_part

    def spy(store: Any, part: Any) -> pa.Table:
        found.append(part.key)
        return compute(store, part)

    monkeypatch.setattr(part_usage, "usage_of_part", spy)
    return found


def test_every_column_is_described() -> None:
    assert list(USAGE_DESCRIPTIONS) == USAGE_SCHEMA.names
    assert list(PREFIX_DESCRIPTIONS) == PREFIX_SCHEMA.names


def test_the_totals_at_every_prefix_are_those_that_duckdb_counts(store: LocalStore) -> None:
    manifest = inventory(store)
    usage = publish_usage(store, LAYOUT, manifest, NOW)
    files = [str(store.path(part.key)) for part in manifest.parts]
    for prefix, row in prefixes(store, usage).items():
        counted = duckdb.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM read_parquet($files) "
            "WHERE starts_with(key, $prefix)",
            {"files": files, "prefix": prefix},
        ).fetchall()
        assert [(row["objects"], row["bytes"])] == counted
    assert list(prefixes(store, usage)) == ["", "a/", "a/b/", "d/", "d/e/", "d/e/f/", "é/"]
    assert violations_of(store, usage, manifest) == []


def test_the_record_has_the_totals_and_names_both_tables(store: LocalStore) -> None:
    usage = used(store)
    assert (usage.totals.objects, usage.totals.bytes) == (len(KEYS), sum(map(len, KEYS)))
    assert usage.totals.monthly_usd is None
    for table, schema in zip(usage.tables, (USAGE_SCHEMA, PREFIX_SCHEMA), strict=True):
        assert read_table(store, table.key, schema).num_rows == table.rows
        assert store.size(table.key) == table.file_bytes
    assert read_usage(store, LAYOUT, DAY) == usage
    assert read_usage(store, LAYOUT, YESTERDAY) is None


def test_a_part_is_aggregated_once_however_many_days_share_it(
    store: LocalStore, computed: list[str]
) -> None:
    first = used(store, days_before=1)
    before = [*computed]
    assert len(before) == first.parts == 3
    used(store)
    assert computed == before
    used(store, KEYS | {"a/9"})
    assert len(computed) == len(before) + 1


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_the_usage_of_a_part_that_is_damaged_is_computed_again(
    store: LocalStore, computed: list[str], damage: bytes | None
) -> None:
    usage = used(store)
    (name, *_), folder = store.list_names(f"{LAYOUT.base}/usage/parts"), "usage/parts"
    key = f"{LAYOUT.base}/{folder}/{name}"
    if damage is None:
        store.remove_key(key)
    else:
        store.publish(key, damage)
    computed.clear()
    assert used(store).identity == usage.identity
    assert len(computed) == 1


def test_the_usage_of_other_records_or_of_another_format_is_not_used(
    store: LocalStore, computed: list[str]
) -> None:
    used(store)
    names = store.list_names(f"{LAYOUT.base}/usage/parts")
    paths = [store.path(f"{LAYOUT.base}/usage/parts/{name}") for name in names]
    smallest = min(paths, key=lambda path: pq.read_metadata(path).num_rows)
    other, old = (path for path in paths if path != smallest)
    other.write_bytes(smallest.read_bytes())
    pq.write_table(pq.read_table(old).replace_schema_metadata({}), old)
    computed.clear()
    assert prefixes(store, used(store))[""]["objects"] == len(KEYS)
    assert len(computed) == 2


# Changes


def changes(row: dict[str, Any]) -> list[int | None]:
    return [row[f"objects_change{since}"] for since in ("", "_7d", "_30d")]


def test_a_date_is_compared_with_the_table_before_a_week_and_a_month_before(
    store: LocalStore,
) -> None:
    used(store, {"a/1"}, days_before=30)
    used(store, {"a/1", "a/b/2"}, days_before=7)
    used(store, {"a/1", "a/b/2", "c"}, days_before=2)
    usage = used(store)
    found = prefixes(store, usage)
    assert changes(found[""]) == [4, 5, 6]
    assert changes(found["a/"]) == [1, 1, 2]
    assert changes(found["a/b/"]) == [1, 1, None]
    assert changes(found["d/"]) == [None, None, None]
    assert [(each.since, (DAY - each.day).days) for each in usage.compared] == [
        ("", 2),
        ("_7d", 7),
        ("_30d", 30),
    ]
    week = usage.compared_with("_7d")
    assert week is not None
    assert (week.objects_change, week.bytes_change) == (5, sum(map(len, KEYS)) - 8)


@pytest.mark.parametrize(
    ("age", "compared"),
    [(6, [""]), (7, ["", "_7d"]), (10, ["", "_7d"]), (11, [""]), (37, ["", "_30d"]), (38, [""])],
)
def test_a_week_may_be_ten_days_and_a_month_37(
    store: LocalStore, age: int, compared: list[str]
) -> None:
    used(store, days_before=age)
    assert [each.since for each in used(store).compared] == compared


def test_a_first_date_has_no_changes(store: LocalStore) -> None:
    usage = used(store)
    assert usage.compared == ()
    assert usage.compared_with("") is None
    assert changes(prefixes(store, usage)[""]) == [None, None, None]


def test_the_newest_usage_is_found_and_a_damaged_record_is_passed_over(store: LocalStore) -> None:
    used(store, days_before=2)
    used(store, days_before=1)
    store.publish(LAYOUT.usage(YESTERDAY), b"{}")
    newest = newest_usage(store, LAYOUT)
    assert newest is not None
    assert newest.day == DAY - timedelta(days=2)
    assert days_with_usage(store, LAYOUT) == [DAY - timedelta(days=2), YESTERDAY]


# Other inventories


def test_an_inventory_without_objects_has_a_row(store: LocalStore) -> None:
    usage = used(store, set())
    assert (usage.aggregate.rows, usage.by_prefix.rows) == (0, 1)
    assert prefixes(store, usage)[""]["objects"] == 0


def test_versions_and_delete_markers_count_apart() -> None:
    states = [(True, False), (False, False), (False, True), (True, True)]
    values = [
        {"is_latest": latest, "is_delete_marker": marker, "size": None if marker else 5}
        for latest, marker in states
    ]
    (row,) = by_prefix(aggregated(sorted_records(["k"] * 4, values))).to_pylist()
    assert [row[name] for name in PREFIX_SCHEMA.names[2:9]] == [2, 10, 1, 5, 1, 5, 2]


# Costs


def price(rows: pa.Table) -> pa.DoubleArray:
    """A dollar an object; the cost of GLACIER is unknown."""
    is_known = pc.not_equal(rows.column("storage_class"), "GLACIER")
    costs = pc.if_else(is_known, rows.column("objects").cast(pa.float64()), None)
    return costs.combine_chunks()


def test_the_cost_of_a_prefix_is_unknown_if_the_cost_of_any_of_its_rows_is() -> None:
    classes = ("STANDARD", "STANDARD", "GLACIER")
    values: list[dict[str, Any]] = [{"storage_class": name} for name in classes]
    values.append({"is_delete_marker": True})
    versions = [{"is_latest": True, "is_delete_marker": False} | value for value in values]
    rows = aggregated(sorted_records(["a/1", "a/2", "b/3", "c/4"], versions))
    found = by_prefix(rows, pricing=price).to_pylist()
    assert {row["prefix"]: row["monthly_usd"] for row in found} == {
        "": None,
        "a/": 2.0,
        "b/": None,
        "c/": 0.0,
    }


# Violations


def test_usage_that_contradicts_its_manifest_is_found(store: LocalStore) -> None:
    manifest = inventory(store)
    usage = publish_usage(store, LAYOUT, manifest, NOW)
    wrong = replace(usage, totals=replace(usage.totals, objects=9, bytes=1, current_objects=5))
    assert violations_of(store, wrong, manifest) == [
        "the usage counts 9 records, but the manifest 7",
        "the usage counts 5 current objects, but the manifest 7",
        "the usage counts 1 bytes, but the manifest 25",
    ]
    store.publish(usage.by_prefix.key, b"other")
    assert [violation[-26:] for violation in violations_of(store, usage, manifest)] == [
        " is missing or was altered"
    ]
    other = inventory(store, {"z"})
    (outdated,) = violations_of(store, usage, other)
    assert "was published again after its usage" in outdated


@pytest.mark.parametrize("data", [b"", None])
def test_a_table_that_is_missing_or_damaged_is_named_with_the_remedy(
    store: LocalStore, data: bytes | None
) -> None:
    key = used(store).aggregate.key
    store.remove_key(key)
    if data is not None:
        store.publish(key, data)
    with pytest.raises(CorruptRecord, match="remove it, then materialize prefix_usage"):
        read_table(store, key, USAGE_SCHEMA)


# Interruptions


def test_of_two_runs_that_begin_together_one_publishes(store: LocalStore) -> None:
    manifest = inventory(store)
    expected_etag = usage_etag(store, LAYOUT, DAY)
    publish_usage(store, LAYOUT, manifest, NOW, expected_etag)
    with pytest.raises(ConflictError):
        publish_usage(store, LAYOUT, manifest, NOW + timedelta(hours=1), expected_etag)


def killed_after(store: LocalStore, operations: int) -> LocalStore:
    """The same store, for a process that is killed before one of its changes."""
    dying = copy(store)
    left = operations

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any) -> Any:
            nonlocal left
            if not left:
                raise Killed
            left -= 1
            return change(*arguments)

        return do

    for name in ("publish_file", "put_if_match", "remove_key", "publish"):
        setattr(dying, name, counted(getattr(store, name)))
    return dying


def test_a_run_that_is_killed_anywhere_leaves_whole_files_and_the_next_one_completes(
    store: LocalStore,
) -> None:
    manifest = inventory(store)
    for operations in range(20):
        try:
            publish_usage(killed_after(store, operations), LAYOUT, manifest, NOW)
        except Killed:
            assert read_usage(store, LAYOUT, DAY) is None
            files = [store.path(key) for key in all_keys(store) if "/usage/" in key]
            assert all(pq.read_table(file).num_rows for file in files)
            for key in all_keys(store):
                if "/usage/" in key and operations % 2:  # the next one may find them, or not
                    store.remove_key(key)
        else:
            break
    else:
        pytest.fail("it never completed")
    usage = read_usage(store, LAYOUT, DAY)
    assert usage is not None
    assert violations_of(store, usage, manifest) == []


def test_the_stored_aggregate_has_the_schema(store: LocalStore) -> None:
    rows = rows_of(read_table(store, used(store).aggregate.key, USAGE_SCHEMA))
    assert sum(row["objects"] for row in rows if row["prefix"] == "") == len(KEYS)
