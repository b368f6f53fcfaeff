"""Histories of a bucket whose dates are published, published again, or missed, and their reader."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

from hypothesis import strategies as st

from inventory_assets.inventory.changes.change_log import publish_change_log
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.query.change_cursor import (
    ChangeCursor,
    InventoryState,
    LoggedDate,
)
from inventory_assets.inventory.query.change_feed import ChangeFeed
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.logged_days import compared, merged
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, snapshot_of

Objects = Mapping[str, int]
"""The content of each key: a number that no other write has."""

Step = tuple[str, str, int, bool]
"""What is done, and to which key, to the date of how many days ago, and whether a reader dies."""

KEYS = ("a", "b/1", "b/2", "c")
_OF_A_DATE = ("list", "publish", "log", "inventory")
ANY_STEP = [
    *(("write", key, 0, False) for key in KEYS),
    ("delete", "a", 0, False),
    ("delete", "b/1", 0, False),
    *((action, "", age, False) for action in _OF_A_DATE for age in (0, 1)),
    ("publish", "", 2, False),
    ("log", "", 2, False),
    ("day", "", 0, False),
    ("day", "", 0, False),
    ("read", "", 0, False),
    ("read", "", 0, False),
    ("read", "", 0, True),
]
steps = st.lists(st.sampled_from(ANY_STEP), max_size=40)


def created(old: Objects, new: Objects) -> list[tuple[str, int]]:
    """The objects of `new` that are new, or have another content than in `old`."""
    return sorted(new.items() - old.items())


def listed_at(clock: int) -> datetime:
    return NOW + timedelta(seconds=clock)


class History(ABC):
    """What was published; the reader's cursor is a text."""

    @abstractmethod
    def publish(self, day: date, objects: Objects, clock: int) -> None:
        """Publish the inventory of a date, from a listing at some time."""

    @abstractmethod
    def log(self, day: date) -> None:
        """Publish the change log of a published date."""

    @abstractmethod
    def read(self, cursor: str | None) -> tuple[list[tuple[str, int]], str] | None:
        """The next objects of a reader, and its next cursor."""


class ModelHistory(History):
    """The cursor alone, with inventories and logs in memory."""

    def __init__(self) -> None:
        self._states: dict[tuple[date, str], Objects] = {}
        self._current: dict[date, InventoryState] = {}
        self._logs: dict[date, tuple[LoggedDate, list[tuple[str, int]]]] = {}

    def publish(self, day: date, objects: Objects, clock: int) -> None:
        identity = repr(sorted(objects.items()))
        self._states[day, identity] = dict(objects)
        self._current[day] = InventoryState(day, identity, listed_at(clock))

    def log(self, day: date) -> None:
        state = self._current[day]
        before = max((other for other in self._current if other < day), default=None)
        baseline = self._current[before].manifest if before else None
        rows = (
            created(self._states[before, baseline], self._of(state)) if before and baseline else []
        )
        self._logs[day] = LoggedDate(state, before, baseline), rows

    def read(self, cursor: str | None) -> tuple[list[tuple[str, int]], str] | None:
        stand = ChangeCursor.from_json(cursor, "b/s") if cursor else ChangeCursor("b/s")
        step = stand.next_step([logged for logged, _ in self._logs.values()])
        if step is None:
            return None
        logged, rows = self._logs[step.after.day]
        if step.before is None or not logged.continues(step.before):
            rows = created(self._of(step.before), self._of(step.after))
        return rows, stand.after(step).to_json()

    def _of(self, state: InventoryState | None) -> Objects:
        return self._states[state.day, state.manifest] if state else {}


class StoredHistory(History):
    """The whole feed, over a store."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._snapshots: dict[date, dict[str, Snapshot]] = {}

    def publish(self, day: date, objects: Objects, clock: int) -> None:
        self._snapshots[day] = snapshots_of(self._store, objects, day, clock)
        merged(self._store, self._snapshots[day])

    def log(self, day: date) -> None:
        compared(self._store, self._snapshots[day])
        manifest = merged(self._store, self._snapshots[day])
        publish_change_log(self._store, LAYOUT, manifest, NOW)

    def read(self, cursor: str | None) -> tuple[list[tuple[str, int]], str] | None:
        feed = ChangeFeed(self._store, LAYOUT)
        step = feed.next_step(feed.cursor(cursor))
        if step is None:
            return None
        rows = [row for batch in step.created_batches() for row in batch.to_pylist()]
        found = [(row["key"], int(row["e_tag"], 16)) for row in rows]
        assert [key for key, _ in found] == sorted({key for key, _ in found})
        return found, step.cursor.to_json()


def snapshots_of(store: LocalStore, objects: Objects, day: date, clock: int) -> dict[str, Snapshot]:
    """Snapshots of the shard `b/` and the remainder, listed at some time."""
    prefixes = ["", "b/"]
    return {
        prefix: replace(
            snapshot_of(
                store,
                make_shard(prefix, prefixes),
                [
                    Listed(key, e_tag=f"{content:032x}")
                    for key, content in sorted(objects.items())
                    if make_shard(prefix, prefixes).covers(key)
                ],
                day,
            ),
            finished_at=listed_at(clock),
        )
        for prefix in prefixes
    }


def run(history: History, actions: Iterable[Step]) -> tuple[Counter[tuple[str, int]], Objects]:
    """Let a bucket, its inventories and a reader go through some steps, and then to the end.

    The sink of the reader is transactional: what a reader that dies has written is rolled back
    together with its cursor.

    Returns:
        How often each object was processed, and what the bucket holds in the end.
    """
    bucket: dict[str, int] = {}
    listings: dict[date, tuple[Objects, int]] = {}
    published: set[date] = set()
    processed: Counter[tuple[str, int]] = Counter()
    cursor: str | None = None
    today = DAY
    until_all_is_read: list[Step] = [("inventory", "", 0, False)]
    for clock, (action, key, age, dies) in enumerate([*actions, *until_all_is_read], 1):
        day = today - timedelta(days=age)
        if action == "day":
            today += timedelta(days=1)
        elif action == "write":
            bucket[key] = clock
        elif action == "delete":
            bucket.pop(key, None)
        if action in {"list", "inventory"} and age < 2:  # as only two days can be listed
            listings[day] = dict(bucket), clock
        if action in {"publish", "inventory"} and day in listings:
            history.publish(day, *listings[day])
            published.add(day)
        if action in {"log", "inventory"} and day in published:
            history.log(day)
        if action == "read" and (found := history.read(cursor)) and not dies:
            processed.update(found[0])
            cursor = found[1]
    while found := history.read(cursor):
        processed.update(found[0])
        cursor = found[1]
    return processed, bucket
