from pathlib import Path

import pytest

from inventory_assets.inventory.errors import QueryRefused
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.query.sql_query import query_reader
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.samples import HOSTILE_KEYS, listed, parts_of


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    return Dataset(store, parts_of(store, listed([*HOSTILE_KEYS, "x'; DROP VIEW inventory; --"])))


def ask(dataset: Dataset, sql: str) -> list[dict[str, object]]:
    with query_reader(dataset, "inventory", sql) as answer:
        rows: list[dict[str, object]] = answer.read_all().to_pylist()
        return rows


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM inventory",
        "WITH all_of_it AS (FROM inventory) SELECT count(*) AS n FROM all_of_it;",
        "-- how many\nSELECT count(*) AS n FROM inventory",
    ],
)
def test_a_select_returns_its_rows(dataset: Dataset, sql: str) -> None:
    assert ask(dataset, sql) == [{"n": len(HOSTILE_KEYS) + 1}]


def test_hostile_keys_are_nothing_but_text(dataset: Dataset) -> None:
    keys = [row["key"] for row in ask(dataset, "SELECT key FROM inventory ORDER BY key")]
    assert keys == sorted([*HOSTILE_KEYS, "x'; DROP VIEW inventory; --"])


def test_times_are_in_utc_in_any_time_zone_of_the_machine(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    (row,) = ask(dataset, "SELECT max(last_modified_date)::VARCHAR AS time FROM inventory")
    assert row["time"] == "2023-11-14 22:13:20.123+00"


@pytest.mark.parametrize(
    "sql",
    [
        *("", "-- nothing", "SELECT 1; SELECT 2", "SELECT 1; DROP VIEW inventory"),
        *("CREATE TABLE t AS SELECT 1", "DROP VIEW inventory", "INSERT INTO t VALUES (1)"),
        *("SET memory_limit = '1GB'", "PRAGMA database_list", "CALL pragma_version()"),
        *("INSTALL httpfs", "LOAD httpfs", "EXPORT DATABASE 'x'", "CHECKPOINT", "BEGIN"),
        "EXPLAIN SELECT 1",
    ],
)
def test_anything_but_a_single_select_is_rejected(dataset: Dataset, sql: str) -> None:
    with pytest.raises(QueryRefused, match="a query must be one SELECT"):
        ask(dataset, sql)


def test_nothing_is_written(dataset: Dataset, tmp_path: Path) -> None:
    for target in (tmp_path / "out.csv", dataset.paths[0]):
        before = dataset.paths[0].read_bytes()
        with pytest.raises(QueryRefused):
            ask(dataset, f"COPY inventory TO '{target}'")
        with pytest.raises(QueryRefused):
            ask(dataset, f"ATTACH '{target}' AS other")
        assert dataset.paths[0].read_bytes() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{other}'",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM read_text('{other}')",
        "SELECT * FROM glob('{other}')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x')",
        "SELECT * FROM sql",
        "SELECT getenv('HOME')",
    ],
)
def test_nothing_else_is_read(dataset: Dataset, tmp_path: Path, sql: str) -> None:
    other = tmp_path / "other.parquet"
    other.write_bytes(dataset.paths[0].read_bytes())
    with pytest.raises(QueryRefused, match="the query failed"):
        ask(dataset, sql.format(other=other))


def test_a_failure_is_reported_in_one_line(dataset: Dataset) -> None:
    for sql in ("SELEC", "SELECT nothing FROM inventory", "SELECT key::INT FROM inventory"):
        with pytest.raises(QueryRefused) as caught:
            ask(dataset, sql)
        assert "\n" not in str(caught.value)
