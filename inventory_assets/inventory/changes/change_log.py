"""The change log of a date: all changes of the source since its baseline, each key once.

It lists the files of the changes of all shards and copies no records, with one exception: if a
prefix became a shard after the shard around it was compared, the changed records of the outer shard
are written again without those of the prefix. A key belongs to the shard that covers it in the
manifest of the date.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.inventory.changes.changed_records import (
    publish_changed_records,
    read_changed_records,
)
from inventory_assets.inventory.changes.shard_changes import (
    FORMAT,
    Changes,
    balance_violation,
    publish_changes,
    read_changes,
)
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.errors import CorruptRecord, ManifestIncomplete
from inventory_assets.inventory.manifest.manifest import Manifest, ShardEntry
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.manifest.s3_inventory_format import symlinks
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.inventory.storage.commit import commit
from inventory_assets.inventory.storage.layout import FileKind, Layout, day_of_partition
from inventory_assets.inventory.storage.record_type import RecordType, UriList
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.shard import Shard


@dataclass(frozen=True, slots=True)
class ChangeLogEntry:
    """A shard in a change log.

    Attributes:
        shard: The keys that belong to it.
        file: The key of its file of changed records.
        counts: Changed records by kind, including kinds without any.
        unreadable: Objects of the baseline whose records could not be decoded this time.
    """

    shard: Shard
    file: str
    counts: Mapping[Change, int]
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """How the inventory of a date differs from its baseline.

    Attributes:
        bucket: The bucket inventoried.
        source: The source's name.
        day: The date.
        manifest_identity: The identity of the date's manifest.
        rows: Objects in it.
        baseline_day: The baseline's date; None for a first inventory, which has no changes.
        baseline_rows: Objects in the baseline.
        created_at: When it was published.
        entries: The shards, by prefix in order.
        baseline_identity: The identity of the baseline; None without one, or in older logs.
        format: The number of the format of this record.
        listed_at: The time whose state the date's inventory holds; None in older logs.
    """

    bucket: str
    source: str
    day: date
    manifest_identity: str
    rows: int
    baseline_day: date | None
    baseline_rows: int
    created_at: datetime
    entries: tuple[ChangeLogEntry, ...]
    baseline_identity: str | None = None
    format: int = FORMAT
    listed_at: datetime | None = None

    @property
    def counts(self) -> Mapping[Change, int]:
        """Changed records by kind, including kinds without any."""
        counts: Counter[Change] = Counter()
        for entry in self.entries:
            counts.update(entry.counts)
        return {change: counts[change] for change in Change}

    @property
    def files(self) -> tuple[str, ...]:
        """The keys of the files with changes; one empty file where nothing changed."""
        changed = tuple(entry.file for entry in self.entries if any(entry.counts.values()))
        # There may be several empty files: a key with a tombstone is not used again.
        return changed or tuple(entry.file for entry in self.entries[:1])

    @property
    def identity(self) -> str:
        """A hash of the manifest, the baseline's date and the files; equal logs have equal ones."""
        identifying = [self.manifest_identity, str(self.baseline_day), *self.files]
        return hashlib.sha256(json.dumps(identifying).encode()).hexdigest()[:32]

    @property
    def balance_violation(self) -> str | None:
        """Why the counts do not add up to the inventory; None if they do."""
        if self.baseline_day is None:
            return None
        unreadable = sum(entry.unreadable for entry in self.entries)
        return balance_violation(
            self.baseline_rows, self.counts, unreadable, self.rows, "the inventory"
        )


_REMEDY = "materialize change_log for {day} again"

CHANGE_LOG = RecordType(
    kind=FileKind.CHANGE_LOG,
    title="change log",
    remedy=_REMEDY,
    data_files="entries[].file",
    written_at="created_at",
    formats=(FORMAT,),
    model=ChangeLog,
)

CHANGE_LOG_SYMLINK = UriList(
    kind=FileKind.CHANGE_LOG_SYMLINK, title="list of a change log's files", remedy=_REMEDY
)


def change_log_etag(store: Store, layout: Layout, day: date) -> str:
    """The ETag of the change log of a date; it changes when another run publishes one."""
    return store.etag(layout.change_log(day))


def publish_change_log(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    now: datetime,
    expected_etag: str | None = None,
) -> ChangeLog:
    """Publish the change log of a manifest; its list of files is written last.

    Args:
        store: Where.
        layout: The layout of the source.
        manifest: The manifest of the date.
        now: The time.
        expected_etag: The `change_log_etag` when this run began to read the manifest; None for the
            present one.

    Raises:
        ConflictError: Another run published the change log of the date in the meantime.
        ManifestIncomplete: The snapshot of a shard in the manifest was not compared, or not with
            the present newest complete inventory before the date.
        CorruptRecord: A file that must be written again is damaged.
    """
    if expected_etag is None:
        expected_etag = change_log_etag(store, layout, manifest.day)
    compared = _compared(store, layout, manifest)
    baseline = newest_manifest(store, layout, before=manifest.day)
    _require_baseline(manifest, baseline, compared)
    log = ChangeLog(
        bucket=layout.bucket,
        source=layout.source,
        day=manifest.day,
        manifest_identity=manifest.identity,
        rows=manifest.objects,
        baseline_day=baseline.day if baseline else None,
        baseline_rows=baseline.objects if baseline else 0,
        created_at=now,
        entries=tuple(
            _entry(store, layout, entry, compared[entry.shard.prefix]) for entry in manifest.shards
        ),
        baseline_identity=baseline.identity if baseline else None,
        listed_at=manifest.listed_at,
    )
    links = symlinks([store.uri(file) for file in log.files])
    commit(
        store,
        CHANGE_LOG.file(layout.change_log(log.day), log),
        expected_etag,
        dependents=[(layout.change_log_symlink(log.day), links)],
    )
    return log


def compare_shards(
    store: Store, layout: Layout, manifest: Manifest, prefixes: Collection[str], now: datetime
) -> list[str]:
    """Compare some shards, except those that were compared as the manifest's change log needs.

    Args:
        store: Where.
        layout: The layout of the source.
        manifest: The manifest of the date.
        prefixes: The prefixes of shards that no other run compares.
        now: The time.

    Returns:
        The prefixes of the shards that were compared, in order.

    Raises:
        ManifestIncomplete: The snapshot of a shard is not the one in the manifest.
        CorruptRecord: A part is missing or damaged.
    """
    baseline = newest_manifest(store, layout, before=manifest.day)
    identity = baseline.identity if baseline else None
    compared = []
    for entry in manifest.shards:
        prefix = entry.shard.prefix
        if prefix not in prefixes:
            continue
        try:
            changes = read_changes(store, layout, manifest.day, prefix)
        except CorruptRecord:
            changes = None
        if changes is not None and (changes.snapshot_fingerprint, changes.baseline_identity) == (
            entry.fingerprint,
            identity,
        ):
            continue
        snapshot = read_snapshot(store, layout, manifest.day, prefix)
        if snapshot is None or snapshot.fingerprint != entry.fingerprint:
            raise ManifestIncomplete(
                f"{_name_shards(manifest, [prefix])} been listed again after the manifest of "
                f"{manifest.day} was published; materialize inventory_manifest for this date, then "
                "change_log"
            )
        publish_changes(store, layout, snapshot, baseline, now)
        compared.append(prefix)
    return compared


def read_change_log(store: Store, layout: Layout, day: date) -> ChangeLog | None:
    """The published change log of a date, or None where there is none that can be read."""
    try:
        log = CHANGE_LOG.read(store, layout.change_log(day))
    except CorruptRecord:
        return None
    return log if log and log.day == day else None


def violations_of(store: Store, log: ChangeLog) -> list[str]:
    """Describe the rules that the log violates, each with the place; normally none."""
    violations = [log.balance_violation] if log.balance_violation else []
    return violations + [f"{file} is missing" for file in log.files if store.size(file) is None]


def outdated_reason(store: Store, layout: Layout, log: ChangeLog) -> str | None:
    """Why the baseline of the log is no longer the baseline of its date; None where it still is.

    A log is outdated if a complete inventory was published later for a date between the two, or for
    the date of the baseline. The removal of an expired baseline does not make it outdated.
    """
    newest = newest_manifest(store, layout, before=log.day)
    if newest is None or newest.day < (log.baseline_day or date.min):
        return None
    is_same_day = newest.day == log.baseline_day
    if newest.identity == log.baseline_identity or (is_same_day and not log.baseline_identity):
        return None
    return (
        f"the inventory of {newest.day} was published after the change log of {log.day}, whose "
        f"baseline is {log.baseline_day or 'no date'}; materialize object_changes for "
        f"{log.day} and all shards, then change_log"
    )


def next_change_log(store: Store, layout: Layout, day: date) -> ChangeLog | None:
    """The change log of the first date after another that has one."""
    for later in days_with_changes(store, layout):
        if later > day and (log := read_change_log(store, layout, later)):
            return log
    return None


def days_with_changes(store: Store, layout: Layout) -> list[date]:
    """The dates for which some shard was compared, in order; the change log may be missing."""
    folder = layout.change_log(date.min).rpartition("/dt=")[0]
    return sorted(filter(None, map(day_of_partition, store.list_names(folder))))


def _compared(store: Store, layout: Layout, manifest: Manifest) -> Mapping[str, Changes]:
    """The changes of the manifest's shards, by prefix."""
    found: dict[str, Changes] = {}
    missing = []
    for entry in manifest.shards:
        prefix = entry.shard.prefix
        changes = read_changes(store, layout, manifest.day, prefix)
        if changes is None or changes.snapshot_fingerprint != entry.fingerprint:
            missing.append(prefix)
        else:
            found[prefix] = changes
    if missing:
        raise ManifestIncomplete(
            f"{_name_shards(manifest, missing)} not been compared since they were listed; "
            f"materialize object_changes for {manifest.day} and these shards"
        )
    return found


def _require_baseline(
    manifest: Manifest, baseline: Manifest | None, compared: Mapping[str, Changes]
) -> None:
    """Require that all shards were compared with the baseline.

    If a shard was compared with an older one, the changes between the two would be in two logs. A
    baseline of equal identity gives the same changes.
    """
    identity = baseline.identity if baseline else None
    other = [
        prefix for prefix, changes in compared.items() if changes.baseline_identity != identity
    ]
    if other:
        raise ManifestIncomplete(
            f"{_name_shards(manifest, other)} not been compared with the present newest complete "
            f"inventory before {manifest.day} ({baseline.day if baseline else 'there is none'}); "
            f"materialize object_changes for {manifest.day} and these shards"
        )


def _entry(store: Store, layout: Layout, entry: ShardEntry, changes: Changes) -> ChangeLogEntry:
    file, counts = changes.file, changes.counts
    if entry.shard != changes.shard and changes.total:
        file, counts = publish_changed_records(
            store, layout, read_changed_records(store, file, entry.shard.ranges)
        )
    unreadable = sum(entry.shard.covers(key) for key in changes.unreadable)
    return ChangeLogEntry(entry.shard, file, counts, unreadable)


def _name_shards(manifest: Manifest, prefixes: list[str]) -> str:
    """The names of shards as the subject of a sentence, with "have"."""
    names = [
        "the remainder" if prefix == manifest.prefix else repr(prefix) for prefix in prefixes[:10]
    ]
    more = f" and {len(prefixes) - 10} more" if len(prefixes) > 10 else ""
    return f"{', '.join(names)}{more} have"
