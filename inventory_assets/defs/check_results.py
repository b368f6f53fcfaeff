"""The results of asset checks in Dagster's history: those that are no longer needed, and deleted.

For its lineage, its catalogue and each page of an asset, Dagster reads the latest result of every
check for every partition. With the results of three years, that takes most of the time in which
these pages load. Results that passed, of dates that automation no longer follows, say nothing
that the manifests do not say. So they are deleted, and those that did not pass are kept.

No public call of Dagster deletes results of checks, so this module imports private modules.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

PASSED = "SUCCEEDED"
"""The status of a result that passed, in Dagster's table."""

_CHUNK = 500
"""Rows in a statement, as databases bound the number of its parameters."""

_TABLE = AssetCheckExecutionsTable


def passed_results(
    keys: Iterable[dg.AssetKey], instance: dg.DagsterInstance, first_kept: date
) -> list[int]:
    """The rows of checks that passed when they last ran for a date before `first_kept`.

    Args:
        keys: The checked assets, whose partition keys begin with a date.
        instance: Dagster's instance; there are no rows where it keeps its events in no database.
        first_kept: The first date of which all results are kept.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return []
    columns = (_TABLE.c.id, _TABLE.c.asset_key, _TABLE.c.check_name, _TABLE.c.partition)
    wanted = (
        _TABLE.select()
        .with_only_columns(*columns, _TABLE.c.execution_status)
        .where(_TABLE.c.asset_key.in_([key.to_string() for key in keys]))
        .where(_TABLE.c.partition < first_kept.isoformat())
        .order_by(_TABLE.c.id)
    )
    rows: dict[tuple[str, str, str], list[int]] = {}
    statuses: dict[tuple[str, str, str], str] = {}
    with storage.index_connection() as connection:
        for row, asset, check, partition, status in connection.execute(wanted):
            result = (asset, check, partition)
            rows.setdefault(result, []).append(row)
            statuses[result] = status
    return [row for result, found in rows.items() if statuses[result] == PASSED for row in found]


def delete_results(instance: dg.DagsterInstance, rows: Sequence[int]) -> None:
    """Delete rows that `passed_results` returned."""
    _delete(instance, _TABLE.c.id, rows)


def delete_results_of_runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Delete the results of runs; nothing where Dagster keeps its events in no database."""
    _delete(instance, _TABLE.c.run_id, run_ids)


def _delete(instance: dg.DagsterInstance, column: Any, values: Sequence[Any]) -> None:
    """Delete the rows whose column has one of the values."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return
    with storage.index_connection() as connection:
        for begin in range(0, len(values), _CHUNK):
            chunk = values[begin : begin + _CHUNK]
            connection.execute(_TABLE.delete().where(column.in_(chunk)))
