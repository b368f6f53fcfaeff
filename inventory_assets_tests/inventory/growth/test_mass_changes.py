from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from inventory_assets.inventory.changes.change_log import ChangeLog, ChangeLogEntry
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.growth.mass_changes import mass_changes
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.growth.exact_sizes import BOUNDS


def log_of(baseline_rows: int, **counts: int) -> ChangeLog:
    entries = [
        ChangeLogEntry(make_shard(prefix, []), "file", {Change(each): count})
        for prefix, (each, count) in zip("abc", counts.items(), strict=False)
    ]
    return ChangeLog(
        "bucket",
        "source",
        date(2026, 11, 22),
        "identity",
        rows=baseline_rows,
        baseline_day=date(2026, 11, 20) if baseline_rows else None,
        baseline_rows=baseline_rows,
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
        entries=tuple(entries),
    )


@pytest.mark.parametrize("change", [Change.MODIFIED, Change.DELETED])
@pytest.mark.parametrize(("count", "told"), [(300, 0), (301, 1)])
def test_more_than_the_bound_is_told(change: Change, count: int, told: int) -> None:
    log = log_of(1000, **{change.value: count, "created": 1000})
    assert len(mass_changes(log, change, BOUNDS)) == told


def test_it_is_told_with_numbers_and_dates() -> None:
    (text,) = mass_changes(log_of(2000, modified=1999), Change.MODIFIED, BOUNDS)
    assert text == ("1,999 of the 2,000 objects of 2026-11-20 are modified on 2026-11-22: 100.0 %")


def test_a_first_date_and_few_objects_tell_nothing() -> None:
    assert mass_changes(log_of(0, created=5), Change.DELETED, BOUNDS) == []
    few = replace(BOUNDS, min_objects=10)
    assert mass_changes(log_of(9, deleted=9), Change.DELETED, few) == []
