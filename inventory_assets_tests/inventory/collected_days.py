"""Published days, for tests of garbage collection."""

import shutil
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.inventory.histories import (
    day_after,
    noon,
    publish_day,
)
from inventory_assets_tests.inventory.samples import LAYOUT

DAYS = [day_after(age) for age in range(4)]
KEYS = [{"a/1", "b"}, {"a/1", "a/2", "b"}, {"a/1", "a/2", "b", "c"}, {"a/1", "c"}]
LAST = Retention(keep_last=1)
EVER = Retention()
NEXT_WEEK = noon(day_after(10))


@cache
def published(count: int) -> Path:
    """A store's folder with so many days."""
    store = LocalStore(Path(mkdtemp(prefix="days-")))
    for day, keys in zip(DAYS[:count], KEYS, strict=False):
        publish_day(store, day, keys)
    return store.root


def remove_published() -> None:
    """Remove the folders of `published`."""
    for count in range(len(DAYS)):
        shutil.rmtree(published(count + 1), ignore_errors=True)
    published.cache_clear()


def publish_days(store: Store, count: int = 4) -> None:
    if isinstance(store, LocalStore):
        shutil.copytree(published(count), store.root, dirs_exist_ok=True)
        return
    for day, keys in zip(DAYS[:count], KEYS, strict=False):
        publish_day(store, day, keys)


def checkpoint_log_of(store: Store, day: date, now: Callable[[], datetime]) -> CheckpointLog:
    return CheckpointLog(store, LAYOUT.checkpoints(day), "stem", "identity", now)


def write_checkpoint(store: Store, day: date, parts: tuple[Part, ...]) -> None:
    """Write a checkpoint of a listing that names some parts."""
    checkpoint_log = checkpoint_log_of(store, day, lambda: noon(day))
    checkpoint_log.record_completed(KeyRange("", "zz"), parts, RequestStats())
    checkpoint_log.flush(RequestStats())
