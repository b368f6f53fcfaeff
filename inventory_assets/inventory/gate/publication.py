"""Publish a date, hold it, or release it.

Each step is one compare-and-swap, so of runs that began together one wins, and a kill between two
steps leaves a date published, held, or released with its publication to be finished:

- **Hold**: the record of the held date is written, if neither it nor `inventory.json` has changed
  since the run began.
- **Release**: the release is added to the record; then the held manifest is published in place of
  the `inventory.json` over which it was held. What a kill prevented, the next run or release of
  the date does first (`_finish_release`).
- **Publication** within the bounds, or of a content that was released before or is published
  already: `inventory.json` is replaced, which ends a hold over it.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice

from inventory_assets.errors import printable
from inventory_assets.inventory.errors import ConflictError, CorruptRecord, NotHeld
from inventory_assets.inventory.gate.held_date import HELD, HeldDate, read_held
from inventory_assets.inventory.gate.unfinished_release import release_to_finish
from inventory_assets.inventory.gate.verdict import (
    DATES_COMPARED,
    GateBounds,
    Verdict,
    figures_of,
    judge,
)
from inventory_assets.inventory.manifest.manifest import Manifest, Release
from inventory_assets.inventory.manifest.manifest_merge import (
    manifest_etag,
    manifests_before,
    publish_manifest,
    read_manifest,
    require_parts,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot, files_that_differ
from inventory_assets.inventory.manifest.snapshot_validation import failed_rules_of
from inventory_assets.inventory.storage.commit import commit
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.shard import Shard

LOG = logging.getLogger(__name__)

MAX_REASON = 500
"""The longest reason of a release, in characters."""

MAX_NAME = 100
"""The longest name of a person in a record, in characters; a longer one is cut."""


@dataclass(frozen=True, slots=True)
class DateVersion:
    """The state of a date when a run begins to read its snapshots.

    Attributes:
        manifest_etag: The ETag of its `inventory.json`.
        held_etag: The ETag of its record of a hold.
    """

    manifest_etag: str
    held_etag: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the manifest of a date.

    Attributes:
        manifest: The manifest, with its release if it has one.
        verdict: What the gate says.
        is_held: Whether it was held, and so not published.
    """

    manifest: Manifest
    verdict: Verdict
    is_held: bool = False


def begin_date(store: Store, layout: Layout, day: date, now: datetime) -> DateVersion:
    """The state of a date, before its snapshots are read.

    A release that was recorded, but whose publication was interrupted, is finished first. If a part
    of the released manifest is lost, it cannot be, and the date is judged anew.
    """
    record = _record(store, layout, day)
    released = record.released if record else None
    lost = files_that_differ(store, released.parts) if released else []
    if lost:
        LOG.warning(
            "%s: the released manifest cannot be published, as %s is missing or was altered; the "
            "date is judged anew",
            day,
            store.where(lost[0]),
        )
    elif released:
        _finish_release(store, layout, day, now)
    return DateVersion(manifest_etag(store, layout, day), store.etag(layout.held(day)))


def publish_or_hold(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    snapshots: Mapping[str, Snapshot],
    bounds: GateBounds,
    begun: DateVersion,
    now: datetime,
) -> Outcome:
    """Publish the manifest of a date, or hold it if it crosses a bound.

    Args:
        store: The store of the results.
        layout: The layout of the source.
        manifest: The manifest, merged of the snapshots.
        snapshots: The snapshots of the date.
        bounds: The bounds of the source.
        begun: The state of the date when the run began.
        now: The time.

    Raises:
        ConflictError: Another run published, held or released the date in the meantime.
        StoreError: A part is missing or altered, or a file could not be written.
    """
    broken = [
        printable(f"shard {prefix!r}: {violation}")
        for prefix, snapshot in snapshots.items()
        for violation in failed_rules_of(snapshot)
    ]
    before = islice(manifests_before(store, layout, manifest.day), DATES_COMPARED)
    verdict = judge(figures_of(manifest), [*map(figures_of, before)], bounds, broken)
    record = _record(store, layout, manifest.day)
    release = record.release_of(manifest.identity) if record else None
    if verdict.crossings and release is None:
        if broken or not _is_published(store, layout, manifest, begun):
            _hold(store, layout, manifest, verdict, record, begun, now)
            return Outcome(manifest, verdict, is_held=True)
        # Readers have this content already; what is published is consistent with the new listing.
        verdict = verdict.waived(f"{manifest.day} was published with the same content before")
    if release is not None:
        manifest = manifest.with_release(release)
        published = read_manifest(store, layout, manifest.day)
        if (
            published is not None
            and read_held(store, layout, manifest.day) is None
            and (published.identity, published.release) == (manifest.identity, release)
            and manifest_etag(store, layout, manifest.day) == begun.manifest_etag
        ):
            return Outcome(published, verdict)  # as it was released
    publish_manifest(store, layout, manifest, begun.manifest_etag)
    _drop_held(store, layout, manifest.day, now)
    return Outcome(manifest, verdict)


def release_date(
    store: Store,
    layout: Layout,
    day: date,
    by: str,
    because: str,
    now: Callable[[], datetime],
) -> Manifest:
    """Publish the held manifest of a date exactly as it was held, with who released it and why.

    Args:
        store: The store of the results.
        layout: The layout of the source.
        day: The date.
        by: Who releases it.
        because: Why.
        now: The clock.

    Raises:
        NotHeld: The date is not held, or there is no reason.
        ConflictError: The date was published or held anew in the meantime.
        StoreError: A part is missing or altered, or a file could not be written.
    """
    reason = printable(because.strip())
    if not reason or len(reason) > MAX_REASON:
        raise NotHeld(
            f"a release needs a reason of 1 to {MAX_REASON} characters, and {len(reason)} were "
            "given; say why the date may be published"
        )
    finished = _finish_release(store, layout, day, now())
    if finished is not None:
        return finished
    etag = store.etag(layout.held(day))
    held = read_held(store, layout, day)
    if held is None:
        raise NotHeld(_why_not_held(store, layout, day))
    [manifest] = held.manifest
    name = printable(by.strip())[:MAX_NAME]
    release = Release(manifest.identity, now(), name, reason, tuple(held.sentences))
    record = replace(held, changed_at=now(), releases=(*held.releases, release))
    commit(store, HELD.file(layout.held(day), record), etag)
    released = _finish_release(store, layout, day, now())
    if released is None:
        raise ConflictError(
            f"the inventory of {day} was published or held anew while it was released; look at it, "
            "and release it again if it is still held"
        )
    return released


def _hold(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    verdict: Verdict,
    earlier: HeldDate | None,
    begun: DateVersion,
    now: datetime,
) -> None:
    is_same = earlier is not None and any(
        each.identity == manifest.identity for each in earlier.manifest
    )
    record = HeldDate(
        day=manifest.day,
        changed_at=now,
        held_since=earlier.held_since if earlier and is_same else now,
        replaces=begun.manifest_etag,
        crossings=verdict.crossings,
        manifest=(manifest,),
        releases=earlier.releases if earlier else (),
    )

    def verify() -> None:
        require_parts(store, manifest)
        _require_unchanged(store, layout, manifest.day, begun)

    key = layout.held(manifest.day)
    commit(store, HELD.file(key, record), begun.held_etag, verify=verify)
    # Published in the last moment: then nothing is held, and the run must say so.
    _require_unchanged(store, layout, manifest.day, begun)


def _require_unchanged(store: Store, layout: Layout, day: date, begun: DateVersion) -> None:
    if manifest_etag(store, layout, day) != begun.manifest_etag:
        raise ConflictError(
            f"another run published the inventory of {day} while this one held it; materialize "
            "inventory_manifest for the date again"
        )


def _is_published(store: Store, layout: Layout, manifest: Manifest, begun: DateVersion) -> bool:
    """Whether readers have the content of a manifest, in what was published when the run began."""
    published = read_manifest(store, layout, manifest.day)
    return (
        published is not None
        and _content_of(published) == _content_of(manifest)
        and manifest_etag(store, layout, manifest.day) == begun.manifest_etag
    )


def _content_of(manifest: Manifest) -> list[tuple[Shard, str]]:
    """What equal records have in common, however they are divided into parts."""
    return [(entry.shard, entry.fingerprint) for entry in manifest.shards]


def _finish_release(store: Store, layout: Layout, day: date, now: datetime) -> Manifest | None:
    """Publish the manifest whose release is recorded, if nothing was published in its place.

    Returns:
        The manifest, if this call published it, or found it published; None if there is no release
        to be finished, or something else was published meanwhile.
    """
    etag = manifest_etag(store, layout, day)
    record = _record(store, layout, day)
    manifest = release_to_finish(store, layout, record) if record else None
    if manifest is None:
        return None
    if read_manifest(store, layout, day) != manifest:
        try:
            publish_manifest(store, layout, manifest, etag)
        except ConflictError:
            # Another run may just have finished the same.
            if read_manifest(store, layout, day) != manifest:
                return None
    _drop_held(store, layout, day, now)
    return manifest


def _drop_held(store: Store, layout: Layout, day: date, now: datetime) -> None:
    """Let go of the manifest of a hold that has ended, so that its parts are needed no more."""
    key = layout.held(day)
    etag = store.etag(key)
    record = _record(store, layout, day)
    if record is None or not record.manifest:
        return
    if manifest_etag(store, layout, day) == record.replaces:
        return  # held anew, over what has just been published
    # Whoever has changed the record meanwhile holds the date anew, or has done the same.
    with suppress(ConflictError):
        commit(store, HELD.file(key, replace(record, changed_at=now, manifest=())), etag)


def _record(store: Store, layout: Layout, day: date) -> HeldDate | None:
    """The record of a hold; None where there is none, or it is damaged: the date is judged anew."""
    try:
        return HELD.read(store, layout.held(day))
    except CorruptRecord as error:
        LOG.warning("%s", error)
        return None


def _why_not_held(store: Store, layout: Layout, day: date) -> str:
    published = read_manifest(store, layout, day)
    what = f"{layout.source} on {day} is not held"
    if published is None:
        return f"{what}, and not published either; materialize inventory_manifest for the date"
    if published.release is not None:
        release = published.release
        return (
            f"{what}: {release.released_by} released it at "
            f"{release.released_at:%Y-%m-%d %H:%M} UTC, and it is published"
        )
    return f"{what}: it is published"
