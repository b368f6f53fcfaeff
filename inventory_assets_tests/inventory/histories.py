"""A source with published dates, for tests of retention."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from inventory_assets.inventory.changes.change_log import publish_change_log
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.export.csv_inventory import publish_csv_inventory
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.exporter import publish_export
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    newest_manifest,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot, publish_snapshot, read_snapshots
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.retention.collector import GRACE, Plan, execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.date_usage import publish_usage
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, listed, snapshot_of

REMAINDER = Shard("", ("a/",))
SHARDS = (REMAINDER, Shard("a/", ()))
CYCLE = (timedelta(0), GRACE, 2 * GRACE, 3 * GRACE)
"""When collections have found, confirmed and removed a file, and forgotten its mark."""


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def day_after(days: int) -> date:
    return DAY + timedelta(days=days)


def snapshots_of(store: Store, day: date, keys: Iterable[str]) -> list[Snapshot]:
    """The snapshots of both shards, their parts published."""
    objects = listed(keys)
    inside = [[found for found in objects if found.key.startswith("a/")], []]
    inside[1] = [found for found in objects if found not in inside[0]]
    return [
        replace(snapshot_of(store, shard, found, day), finished_at=noon(day))
        for shard, found in zip(SHARDS, reversed(inside), strict=True)
    ]


def publish_day(store: Store, day: date, keys: Iterable[str]) -> Manifest:
    """Everything that a date may have: snapshots, changes, inventory, log, usage and exports."""
    baseline = newest_manifest(store, LAYOUT, day)
    for snapshot in snapshots_of(store, day, keys):
        publish_snapshot(store, LAYOUT, snapshot)
        publish_changes(store, LAYOUT, snapshot, baseline, noon(day))
    manifest = merge(store, LAYOUT, "", read_snapshots(store, LAYOUT, day), noon(day))
    publish_manifest(store, LAYOUT, manifest)
    publish_change_log(store, LAYOUT, manifest, noon(day))
    publish_usage(store, LAYOUT, manifest, noon(day))
    publish_export(store, LAYOUT, manifest, "csv", ExportFormat.named("csv"))
    publish_csv_inventory(store, LAYOUT, manifest)
    return manifest


def keys_of(store: Store, day: date) -> list[str] | None:
    """The keys of a date's inventory, read from its files; None where it is none."""
    manifest = read_manifest(store, LAYOUT, day)
    if manifest is None:
        return None
    batches = read_records(store, manifest.parts, [KeyRange.of_prefix("")], ["key"])
    return [key for batch in batches for key in batch.column("key").to_pylist()]


def collect(store: Store, retention: Retention, now: datetime) -> Plan:
    """Plan a collection and execute it at the same time."""
    plan = plan_collection(store, LAYOUT, retention, now.date(), now)
    execute(store, plan, lambda: now)
    return plan


def collect_all(store: Store, retention: Retention, start: datetime) -> None:
    """Run collections until none changes anything."""
    # The files that only a date named are found after it went.
    for moment in (start, *(start + later for later in CYCLE)):
        collect(store, retention, moment)


def all_keys(store: Store) -> list[str]:
    """The keys of all files of the source."""
    bases = (LAYOUT.base, LAYOUT.csv.base)
    return sorted(file.key for base in bases for file in store.files(base))


def data_files(store: Store) -> set[str]:
    """The keys of all data files."""
    return {key for key in all_keys(store) if "/data/" in key and "/tombstones/" not in key}


def part_usages(store: Store) -> set[str]:
    """The names of the parts that have a file with their usage."""
    return set(store.list_names(f"{LAYOUT.base}/usage/parts"))


def part_names(store: Store) -> set[str]:
    """The names of all parts."""
    return set(store.list_names(LAYOUT.data_folder))


def tombstone_keys(store: Store) -> list[str]:
    """The keys of all tombstones."""
    return [key for key in all_keys(store) if "/tombstones/" in key]


def named(store: Store) -> set[str]:
    """All data files whose names occur anywhere in a record: a simple reference implementation."""
    found: set[str] = set()
    for key in all_keys(store):
        if "/tombstones/" not in key and key.endswith((".json", "symlink.txt")):
            text = (store.read(key) or b"").decode()
            lines = text.split() if key.endswith(".txt") else texts(json.loads(text))
            found |= {line[line.index(LAYOUT.bucket + "/") :] for line in lines if "/data/" in line}
    return found


def texts(document: Any) -> Iterator[str]:
    """All texts that are values in a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from texts(value)
    elif isinstance(document, list):
        for value in document:
            yield from texts(value)


class Killed(Exception):
    """The process was killed."""


def killed_after(store: Store, operations: int) -> Store:
    """The same store, for a process that is killed after a number of changes."""
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

    for name in ("remove_key", "put_if_match"):
        setattr(dying, name, counted(getattr(store, name)))
    return dying


def dangling(store: Store, days: Sequence[date]) -> list[str]:
    """The files that are missing although something published names them."""
    there = data_files(store)
    missing = sorted(named(store) - there)
    for day in days:
        manifest = read_manifest(store, LAYOUT, day)
        missing += (
            [part.key for part in manifest.parts if part.key not in there] if manifest else []
        )
    return missing


def out_of_order(store: Store, day: date) -> bool:
    """Whether a date lacks a file that was published before another of its files."""
    published = [
        LAYOUT.snapshot(day, "a/"),
        LAYOUT.changes(day, "a/"),
        LAYOUT.manifest(day),
        LAYOUT.symlink(day),
        LAYOUT.s3_manifest(day),
        LAYOUT.checksum(day),
        LAYOUT.change_log(day),
        LAYOUT.change_log_symlink(day),
        LAYOUT.csv.s3_manifest(day),
        LAYOUT.csv.symlink(day),
        LAYOUT.csv.checksum(day),
        LAYOUT.usage(day),
        LAYOUT.export(day, "csv"),
    ]
    is_there = [store.size(key) is not None for key in published]
    return is_there != sorted(is_there, reverse=True)
