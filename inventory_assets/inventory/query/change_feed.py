"""Read the new objects of a source step by step, each once: the I/O around `ChangeCursor`.

>>> feed = ChangeFeed(store, Layout("acme-logs", "logs"))
>>> cursor = feed.cursor(text_of_last_time)
>>> while step := feed.next_step(cursor):
...     for batch in step.created_batches():
...         ...  # process
...     cursor = step.cursor  # to be kept, in one transaction with what was processed
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from inventory_assets.inventory.changes.change_log import (
    ChangeLog,
    days_with_changes,
    read_change_log,
)
from inventory_assets.inventory.errors import CursorRefused
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest_as_of
from inventory_assets.inventory.query.change_cursor import (
    ChangeCursor,
    InventoryState,
    LoggedDate,
    Step,
)
from inventory_assets.inventory.query.change_records import (
    compare_inventories,
    only_created,
    read_log,
)
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange


@dataclass(frozen=True, slots=True)
class ChangeStep:
    """The objects between two inventories of a source.

    Attributes:
        store: Where the inventories lie.
        layout: The layout of the source.
        step: The inventories.
    """

    store: Store
    layout: Layout
    step: Step

    @property
    def day(self) -> date:
        """The date of the newer inventory."""
        return self.step.after.day

    @property
    def cursor(self) -> ChangeCursor:
        """The cursor once all objects of the step were processed."""
        return ChangeCursor(self.layout.base, self.step.after)

    def created_batches(self, prefix: str = "", after: str = "") -> Iterator[pa.RecordBatch]:
        """The created and modified objects, in key order, in bounded memory.

        They are the same whenever they are read, also if a date was published again meanwhile.

        Args:
            prefix: Only keys with this prefix.
            after: Only keys after this one.

        Yields:
            Batches with the columns of the change log (docs/changes.md), none empty.

        Raises:
            CursorRefused: One of the inventories is not kept any more.
            CorruptRecord: A file is missing or damaged.
        """
        within = KeyRange.of_prefix(prefix).intersection(
            KeyRange(after, KeyRange.of_prefix("").until)
        )
        if within is not None:
            yield from only_created(self._changes(within))

    def _changes(self, within: KeyRange) -> Iterator[pa.RecordBatch]:
        before, after = self.step.before, self.step.after
        log = read_change_log(self.store, self.layout, after.day)
        if before and log:
            logged = _logged_date(log)
            if logged.state.manifest == after.manifest and logged.continues(before):
                return read_log(self.store, log, within)
        old = self._inventory(before) if before else None
        return compare_inventories(self.store, self.layout, old, self._inventory(after), within)

    def _inventory(self, state: InventoryState) -> Manifest:
        manifest = read_manifest_as_of(self.store, self.layout, state.day, state.manifest)
        if manifest is None:
            raise CursorRefused(
                f"the inventory of {self.layout.source} for {state.day} that was read last is not "
                "kept any more, and no change log continues from it; retention removed the date, "
                "or it was published again more than a week ago. Remove the cursor to begin anew: "
                "objects that were processed then come again"
            )
        return manifest


@dataclass(frozen=True, slots=True)
class ChangeFeed:
    """The new objects of a source, from cursor to cursor.

    Attributes:
        store: The store of the results.
        layout: The layout of the source.
    """

    store: Store
    layout: Layout

    def cursor(self, text: str | None = None) -> ChangeCursor:
        """The cursor of a text (`ChangeCursor.to_json`); without one, that of a new reader.

        A new reader begins with all objects of the newest inventory.

        Raises:
            CursorRefused: The text is the cursor of another source, or none.
        """
        if text is None:
            return ChangeCursor(self.layout.base)
        return ChangeCursor.from_json(text, self.layout.base)

    def newest_cursor(self) -> ChangeCursor | None:
        """The cursor of a reader that skips all objects of the newest inventory; None without."""
        newest = self.next_step(self.cursor())
        return newest.cursor if newest else None

    def next_step(self, cursor: ChangeCursor) -> ChangeStep | None:
        """What a reader reads next; None if it has read everything."""
        step = cursor.next_step(self._dates(cursor.state))
        return ChangeStep(self.store, self.layout, step) if step else None

    def _dates(self, state: InventoryState | None) -> Iterator[LoggedDate]:
        """The dates that have a change log, newest first; without a state, only the newest."""
        for day in reversed(days_with_changes(self.store, self.layout)):
            if state is not None and day < state.day:
                return
            log = read_change_log(self.store, self.layout, day)
            if log is not None:
                yield _logged_date(log)
                if state is None:
                    return


def _logged_date(log: ChangeLog) -> LoggedDate:
    state = InventoryState(log.day, log.manifest_identity, log.listed_at or log.created_at)
    return LoggedDate(state, log.baseline_day, log.baseline_identity)
