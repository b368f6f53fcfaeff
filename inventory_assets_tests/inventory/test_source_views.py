import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.inventory.errors import QueryRefused
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.query.source_views import (
    DATES_DESCRIPTIONS,
    DATES_SCHEMA,
    create_views,
)
from inventory_assets.inventory.query.sql_query import sql_session
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.usage.date_usage import publish_usage, read_usage
from inventory_assets_tests.inventory.logged_days import pass_day
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, parts_of

DOCS = Path(__file__).parents[2] / "docs"
DAYS = [DAY + timedelta(days=number) for number in range(5)]
KEYS = [
    {"logs/1.gz", "logs/2.gz", "pictures/a.jpg"},
    {"logs/1.gz", "logs/2.gz", "logs/3.gz", "pictures/b.jpg"},
    {"logs/1.gz", "logs/2.gz", "logs/3.gz", "logs/44.gz", "pictures/b.jpg"},
    {"logs/1.gz", "logs/2.gz", "logs/44.gz", "pictures/b.jpg"},
    {"logs/1.gz", "logs/2.gz", "logs/3.gz", "logs/44.gz", "pictures/b.jpg"},
]


def _queries() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", (DOCS / "queries.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Five dates, with change logs and usage, in a folder whose name is hard to quote."""
    store = LocalStore(tmp_path_factory.mktemp("it's [a] store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_store, "_flush", lambda _path: None)
        for day, keys in zip(DAYS, KEYS, strict=True):
            pass_day(store, keys, day, {"logs/"})
            manifest = read_manifest(store, LAYOUT, day)
            assert manifest
            publish_usage(store, LAYOUT, manifest, NOW)
    return store


def _ask(store: LocalStore, sql: str, *, all_views: bool = False) -> list[dict[str, Any]]:
    inventory = Dataset.of_date(store, LAYOUT)
    create = partial(create_views, inventory=inventory, sql=None if all_views else sql)
    with sql_session(create, "FROM dates") as session, session.reader(sql) as answer:
        rows: list[dict[str, Any]] = answer.read_all().to_pylist()
        return rows


def test_there_are_fifteen_queries_or_more() -> None:
    assert len(_queries()) >= 15


@pytest.mark.parametrize("sql", _queries(), ids=lambda sql: " ".join(sql.split())[:60])
def test_every_documented_query_has_an_answer(store: LocalStore, sql: str) -> None:
    assert _ask(store, sql) == _ask(store, sql, all_views=True)
    if "1 YEAR" not in sql and "e_tag" not in sql:
        assert _ask(store, sql) != []


def test_dates_have_their_totals_and_changes(store: LocalStore) -> None:
    rows = _ask(store, "FROM dates ORDER BY day")
    assert [row["day"] for row in rows] == DAYS
    assert [row["objects"] for row in rows] == [len(keys) for keys in KEYS]
    assert [row["bytes"] for row in rows] == [sum(map(len, keys)) for keys in KEYS]
    assert [row["baseline_day"] for row in rows] == [None, *DAYS[:-1]]
    assert [(row["created"], row["deleted"]) for row in rows] == [
        (0, 0),
        (2, 1),
        (1, 0),
        (0, 1),
        (1, 0),
    ]
    assert all(row["shards"] == 2 and row["requests"] > 0 for row in rows)


def test_changes_are_those_of_all_dates(store: LocalStore) -> None:
    rows = _ask(store, "SELECT sequence_number AS day, key, change FROM changes ORDER BY ALL")
    assert [(row["day"], row["key"], row["change"]) for row in rows] == [
        (str(DAYS[1]), "logs/3.gz", "created"),
        (str(DAYS[1]), "pictures/a.jpg", "deleted"),
        (str(DAYS[1]), "pictures/b.jpg", "created"),
        (str(DAYS[2]), "logs/44.gz", "created"),
        (str(DAYS[3]), "logs/3.gz", "deleted"),
        (str(DAYS[4]), "logs/3.gz", "created"),
    ]


def test_usage_has_a_day(store: LocalStore) -> None:
    sql = "SELECT day, objects FROM usage_by_prefix WHERE prefix = 'logs/' ORDER BY day"
    counts = [2, 3, 4, 3, 4]
    expected = list(zip(DAYS, counts, strict=True))
    assert [(row["day"], row["objects"]) for row in _ask(store, sql)] == expected
    sql = "SELECT day, sum(bytes) AS bytes FROM usage WHERE prefix = '' GROUP BY day ORDER BY day"
    assert [row["bytes"] for row in _ask(store, sql)] == [sum(map(len, keys)) for keys in KEYS]


def test_dates_that_share_a_table_of_usage_are_all_there(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for day in DAYS[:2]:
        pass_day(store, {"a/1"}, day, set())
        manifest = read_manifest(store, LAYOUT, day)
        assert manifest
        publish_usage(store, LAYOUT, manifest, NOW)
    keys = set()
    for day in DAYS[:2]:
        usage = read_usage(store, LAYOUT, day)
        assert usage
        keys.add(usage.aggregate.key)
    assert len(keys) == 1
    rows = _ask(store, "SELECT day, objects FROM usage WHERE prefix = 'a/' ORDER BY day")
    assert [(row["day"], row["objects"]) for row in rows] == [(day, 1) for day in DAYS[:2]]


def test_the_newest_date_is_the_inventory(store: LocalStore) -> None:
    rows = _ask(store, "SELECT key FROM inventory ORDER BY key")
    assert {row["key"] for row in rows} == KEYS[-1]


def test_a_source_without_logs_and_usage_has_empty_views(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    pass_day(store, set(), DAY, set())
    store.remove_key(LAYOUT.change_log(DAY))
    for view in ("changes", "usage", "usage_by_prefix"):
        assert _ask(store, f"FROM {view}") == []
    (row,) = _ask(store, "FROM dates")
    assert (row["objects"], row["created"]) == (0, None)


def test_a_folder_has_the_records_only(store: LocalStore) -> None:
    folder = Dataset(store, parts_of(store, listed({"a"})))
    with sql_session(partial(create_views, inventory=folder), "") as session:
        with session.reader("FROM inventory") as answer:
            assert answer.read_all().num_rows == 1
        with pytest.raises(QueryRefused, match="dates"), session.reader("FROM dates"):
            pass


def test_a_session_answers_again_after_a_mistake(store: LocalStore) -> None:
    inventory = Dataset.of_date(store, LAYOUT)
    with sql_session(partial(create_views, inventory=inventory), "FROM dates") as session:
        for sql in ("DROP VIEW dates", "FROM nothing", "SELECT 1; SELECT 2", "FROM 'x.csv'"):
            with pytest.raises(QueryRefused), session.reader(sql):
                pass
        for sql in ("SHOW TABLES", "DESCRIBE dates", "SUMMARIZE inventory"):
            with session.reader(sql) as answer:
                assert answer.read_all().num_rows > 0


def test_every_column_of_dates_is_described() -> None:
    assert list(DATES_DESCRIPTIONS) == DATES_SCHEMA.names
