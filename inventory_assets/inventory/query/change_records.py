"""Read the changed records of dates: from change logs, or by comparing two inventories.

A change log is read if it is published, belongs to the present inventory of its date, and was made
with the present baseline of the date. Otherwise an error names the date, the source and the remedy.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.changes.change_log import (
    ChangeLog,
    days_with_changes,
    next_change_log,
    outdated_reason,
    read_change_log,
)
from inventory_assets.inventory.changes.changed_records import ChangedRecordsFile
from inventory_assets.inventory.changes.journal_format import to_journal
from inventory_assets.inventory.changes.shard_changes import FEW_VALUES
from inventory_assets.inventory.changes.sorted_diff import (
    BASELINE_COLUMNS,
    SNAPSHOT_COLUMNS,
    Change,
    diff_sorted,
)
from inventory_assets.inventory.errors import InventoryNotFound, QueryRefused
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.parts.current import read_current
from inventory_assets.inventory.query.published_inventory import no_inventory
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange

Days = date | tuple[date, date]
"""A date, or the first and the last date of a range."""

CREATED = (Change.CREATED.value, Change.MODIFIED.value)
"""The kinds of change of objects with new content: the key is new, or the ETag or size differs."""

EVERY_KEY = KeyRange.of_prefix("")

_OPEN_FILES = 4
"""Files of a change log that are open at once, each with a row group in memory."""


def change_logs(store: Store, layout: Layout, days: Days) -> list[ChangeLog]:
    """The change logs of a date, or of all dates of a range, in order.

    In a range, a date without an inventory has no log: the next log covers it.

    Raises:
        InventoryNotFound: The date, the first date or the last date of a range has no inventory, or
            a log is missing or outdated.
        QueryRefused: The range is empty.
    """
    first, last = days if isinstance(days, tuple) else (days, days)
    if first > last:
        raise QueryRefused(f"{first} is after {last}; name the first date of the range first")
    logs = [_present_log(store, layout, last)]
    while logs[-1].day > first:
        logs.append(_log_before(store, layout, logs[-1], first))
    logs.reverse()
    between = {day for day in days_with_changes(store, layout) if first <= day <= last}
    for day in sorted(between - {log.day for log in logs}):
        if read_change_log(store, layout, day):
            # It was published after its successor was logged, so that log has its changes, too.
            follower = next(log for log in logs if log.day > day)
            raise InventoryNotFound(_outdated(store, layout, follower, day))
    reason = outdated_reason(store, layout, logs[0])
    if reason:
        raise InventoryNotFound(f"{layout.source}: {reason}")
    return logs


def change_logs_since(store: Store, layout: Layout, since: date) -> list[ChangeLog]:
    """The change logs of all dates after a date, up to the newest log, in order.

    Raises:
        InventoryNotFound: The date has no inventory, and none of the logs was made with it; or a
            log is missing or outdated.
    """
    later = [day for day in days_with_changes(store, layout) if day > since]
    newest = next((day for day in reversed(later) if read_change_log(store, layout, day)), None)
    first = next_change_log(store, layout, since)
    if newest is None or first is None or first.baseline_day != since:
        if read_manifest(store, layout, since) is None:
            raise no_inventory(store, layout, since)
        if newest is None or first is None:
            return []
        raise InventoryNotFound(_outdated(store, layout, first, since))
    return change_logs(store, layout, (first.day, newest))


def files_of(logs: Sequence[ChangeLog]) -> list[str]:
    """The keys of the files of some logs, by date, each once."""
    return list(dict.fromkeys(file for log in logs for file in log.files))


def read_log(
    store: Store, log: ChangeLog, within: KeyRange = EVERY_KEY
) -> Iterator[pa.RecordBatch]:
    """The records of a change log in a range of keys, in key order, in bounded memory.

    Yields:
        Batches with `CHANGE_SCHEMA`, none empty.

    Raises:
        CorruptRecord: A file of the log is missing or damaged.
    """
    ranges = sorted(
        (key_range, entry.file)
        for entry in log.entries
        if any(entry.counts.values())
        for key_range in entry.shard.ranges
    )
    with closing(_OpenFiles(store)) as files:
        for key_range, file in ranges:
            wanted = key_range.intersection(within)
            if wanted:
                yield from files.get(file).read(wanted)


def compare_inventories(
    store: Store,
    layout: Layout,
    old: Manifest | None,
    new: Manifest,
    within: KeyRange = EVERY_KEY,
) -> Iterator[pa.RecordBatch]:
    """The changes from one inventory to another, in key order, in bounded memory.

    Args:
        store: Where both lie.
        layout: The layout of their source.
        old: The older one; None for one without objects.
        new: The newer one.
        within: The keys to compare.

    Yields:
        Batches with `CHANGE_SCHEMA`, none empty.
    """
    shared = old.part_keys & new.part_keys if old else frozenset()
    before, after = (
        [part for part in (side.parts if side else ()) if part.key not in shared]
        for side in (old, new)
    )
    differences = diff_sorted(
        read_current(store, before, [within], BASELINE_COLUMNS, FEW_VALUES),
        read_current(store, after, [within], SNAPSHOT_COLUMNS, FEW_VALUES),
    )
    for table in differences:
        yield from to_journal(table, layout.bucket, new.day, new.listed_at).to_batches()


def only_created(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The records of objects that were created or modified; see `CREATED`."""
    kinds = pa.array(CREATED)
    for batch in batches:
        created = batch.filter(pc.is_in(batch.column("change"), value_set=kinds))
        if created.num_rows:
            yield created


class _OpenFiles:
    """Some files of a change log, of which the least recently read is closed for another."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: OrderedDict[str, ChangedRecordsFile] = OrderedDict()

    def get(self, key: str) -> ChangedRecordsFile:
        if key not in self._files:
            if len(self._files) >= _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
            self._files[key] = ChangedRecordsFile(self._store, key)
        self._files.move_to_end(key)
        return self._files[key]

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _present_log(store: Store, layout: Layout, day: date) -> ChangeLog:
    """The log of a date, for its present inventory and baseline."""
    log = read_change_log(store, layout, day)
    manifest = read_manifest(store, layout, day)
    if manifest is None:
        raise no_inventory(store, layout, day)
    if log is None:
        raise _no_log(layout, day)
    if log.manifest_identity != manifest.identity:
        raise InventoryNotFound(
            f"the inventory of {layout.source} for {day} was published again after its change log; "
            f"materialize object_changes for {day} and the shards that were listed again, then "
            "change_log"
        )
    return log


def _log_before(store: Store, layout: Layout, log: ChangeLog, first: date) -> ChangeLog:
    """The log of the baseline of a log, in a range of dates."""
    day = log.baseline_day
    if day is None or day < first:
        if read_manifest(store, layout, first) is None:
            raise no_inventory(store, layout, first)
        raise InventoryNotFound(_outdated(store, layout, log, first))
    before = read_change_log(store, layout, day)
    if before is None:
        if read_manifest(store, layout, day) is None:
            raise no_inventory(store, layout, day)
        raise _no_log(layout, day)
    if log.baseline_identity not in (before.manifest_identity, None):
        raise InventoryNotFound(_outdated(store, layout, log, day))
    return before


def _outdated(store: Store, layout: Layout, log: ChangeLog, day: date) -> str:
    """Why a log is not the continuation of the inventory of an earlier date."""
    reason = outdated_reason(store, layout, log) or (
        f"the change log of {log.day} was not made with the inventory of {day} as its change log "
        f"has it; materialize object_changes for {day}, then change_log, and the same for {log.day}"
    )
    return f"{layout.source}: {reason}"


def _no_log(layout: Layout, day: date) -> InventoryNotFound:
    return InventoryNotFound(
        f"the change log of {layout.source} for {day} is not there yet; materialize "
        "object_changes and change_log for that date"
    )
