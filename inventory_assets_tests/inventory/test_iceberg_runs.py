"""Runs that change Iceberg tables at once, are killed, or fail."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

from inventory_assets.inventory.errors import IcebergError
from inventory_assets.inventory.iceberg.sync import sync_change_log, sync_date, sync_manifest
from inventory_assets.inventory.iceberg.tables import IcebergTables, tag_of
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.samples import DAY
from inventory_assets_tests.inventory.tables import (
    AFTER,
    BEFORE,
    changes_in_table,
    keys_by_reference,
    manifest_of,
    publish,
    show,
    tables_in,
    unpublish,
)

pytestmark = pytest.mark.filterwarnings("ignore:Iceberg scan planning with the polars_iceberg")


def test_dates_added_concurrently_are_all_in_the_table(tables: IcebergTables) -> None:
    every = [DAY + timedelta(days=number) for number in range(4)]
    published = [publish(tables, day, {"a/1", f"b/{day}"}) for day in every]
    assert isinstance(tables.store, LocalStore)
    runs = [tables_in(tables.store) for _ in every]
    barrier = Barrier(len(every))

    def run(number: int) -> None:
        barrier.wait()
        manifest, log = published[number]
        sync_manifest(runs[number], manifest)
        sync_change_log(runs[number], log)

    with ThreadPoolExecutor(len(every)) as pool:
        list(pool.map(run, range(len(every))))
    dated = {tag_of(day): ["a/1", f"b/{day}"] for day in every}
    assert keys_by_reference(tables) == {"main": dated[tag_of(every[-1])], **dated}
    assert len(changes_in_table(tables)) == 2 * 3


def test_a_date_published_again_meanwhile_has_its_latest_content(
    tables: IcebergTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tables, BEFORE, {"a/1"})
    publish(tables, DAY, {"a/1", "b/1"})
    commit = SqlCatalog.commit_table
    is_first = True

    def overtaken(*arguments: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            publish(tables, DAY, {"a/1", "b/2"})
        return commit(*arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", overtaken)
    assert sync_date(tables, DAY).manifest == manifest_of(tables, DAY)
    assert keys_by_reference(tables)[tag_of(DAY)] == ["a/1", "b/2"]
    assert changes_in_table(tables) == [(str(DAY), "b/2", "created")]


class _Killed(BaseException):
    """Not caught by anyone."""


@pytest.mark.parametrize("is_committed", [False, True])
def test_the_next_run_repairs_one_killed_at_any_commit(
    tables: IcebergTables, monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    commit = SqlCatalog.commit_table
    show(tables, BEFORE, {"a/1"})
    show(tables, AFTER, {"z"})
    for survived in range(6):
        unpublish(tables, AFTER)
        left = survived

        def dying(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left >= 0:
                return commit(*arguments)
            if is_committed:
                commit(*arguments)
            raise _Killed

        with monkeypatch.context() as patch:
            patch.setattr(SqlCatalog, "commit_table", dying)
            try:
                show(tables, DAY, {"a/1", f"b/{survived}"})
            except _Killed:
                is_done = False
            else:
                is_done = True
        if not is_done:
            show(tables, DAY, {"a/1", f"b/{survived}"})
        assert keys_by_reference(tables) == {
            "main": ["a/1", f"b/{survived}"],
            tag_of(BEFORE): ["a/1"],
            tag_of(DAY): ["a/1", f"b/{survived}"],
        }
        assert changes_in_table(tables) == [(str(DAY), f"b/{survived}", "created")]
        if is_done:
            return
    pytest.fail("more commits than expected")


@pytest.mark.parametrize("error", [CommitFailedException, CommitStateUnknownException])
def test_a_conflicting_commit_is_retried_and_finally_reported(
    tables: IcebergTables, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    manifest, _ = publish(tables, DAY, {"a/1"})
    commit = SqlCatalog.commit_table
    failures = 2

    def failing(*arguments: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise error("someone else was faster")
        return commit(*arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", failing)
    sync_manifest(tables, manifest)
    assert keys_by_reference(tables)[tag_of(DAY)] == ["a/1"]
    failures = 1_000
    manifest, _ = publish(tables, AFTER, {"a/2"})
    with pytest.raises(IcebergError, match="could not be changed in 10 attempts"):
        sync_manifest(tables, manifest)


@pytest.mark.parametrize(
    "secret", ["postgresql://me:hunter2@db/catalog", "of key AKIAABCDEFGHIJKLMNOP"]
)
def test_errors_of_a_catalogue_are_reported_without_secrets(
    tables: IcebergTables, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    def failing(*_arguments: Any) -> Any:
        raise RuntimeError(f"cannot connect to {secret}")

    manifest, _ = publish(tables, DAY, {"a/1"})
    monkeypatch.setattr(SqlCatalog, "load_table", failing)
    with pytest.raises(IcebergError, match="RuntimeError") as caught:
        sync_manifest(tables, manifest)
    assert secret not in str(caught.value)
    assert caught.value.__suppress_context__
