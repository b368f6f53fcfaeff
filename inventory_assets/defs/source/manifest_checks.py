"""The checks of a date's manifest, which its asset logs, and the job that releases a held date."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from inventory_assets.defs.source.checks import LogContext, log_check, partitioned_check
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.listing_check import listing_check, log_listing_check
from inventory_assets.defs.source.listing_metadata import unreadable_table
from inventory_assets.defs.source.manifest_metadata import manifest_metadata
from inventory_assets.defs.source.partition_steps import log_partition
from inventory_assets.defs.source.run_checks import (
    date_run_metadata,
    log_speed,
    published_run,
    speed_check,
)
from inventory_assets.inventory.gate.held_date import HeldDate
from inventory_assets.inventory.gate.publication import Outcome
from inventory_assets.inventory.gate.verdict import ALLOWED, DATES_COMPARED, Verdict
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import violations_of
from inventory_assets.inventory.manifest.snapshot import files_that_differ, read_snapshot

STALE_AFTER = timedelta(hours=24)
"""The maximum difference between the listing times of a manifest's shards."""

HELD_TAG = "inventory_assets/held"
"""The tag of a run that held dates, whose value is the last of them."""


@dataclass(frozen=True, slots=True)
class ManifestChecks:
    """The checks of `inventory_manifest` that need no request to the bucket.

    Attributes:
        listings: Whether the listings of its shards are complete.
        tiling: Whether the shards cover the source.
        files: Whether the data files exist.
        age: Whether the shards were listed at about the same time.
        readable: Whether every record could be decoded.
        speed: Whether the listings were as fast as before.
        gate: Whether the date may be published.
    """

    listings: dg.AssetCheckSpec
    tiling: dg.AssetCheckSpec
    files: dg.AssetCheckSpec
    age: dg.AssetCheckSpec
    readable: dg.AssetCheckSpec
    speed: dg.AssetCheckSpec
    gate: dg.AssetCheckSpec

    @classmethod
    def of(cls, assets: SourceAssets) -> "ManifestChecks":
        """The checks of a source."""
        key, dates = assets.key("inventory_manifest"), assets.partitions.dates
        bounds = assets.gate_bounds
        return cls(
            listings=listing_check(assets, key),
            tiling=partitioned_check(
                "shards_cover_source",
                key,
                dates,
                "Every key of the source belongs to exactly one shard; parts ascend without "
                "overlap.",
            ),
            files=partitioned_check(
                "data_files_exist",
                key,
                dates,
                "Every file that the manifest lists exists and has the recorded size.",
            ),
            age=partitioned_check(
                "shards_equally_fresh",
                key,
                dates,
                f"No shard was listed more than {STALE_AFTER} before the one that was listed last.",
                blocking=False,
            ),
            readable=partitioned_check(
                "records_readable",
                key,
                dates,
                "Every record of the listings could be decoded. Records that could not are in no "
                "part; the snapshot of a shard keeps the original XML of the first 1,000 "
                "(`unreadable`).",
                blocking=False,
            ),
            speed=speed_check(assets),
            gate=partitioned_check(
                "publish_gate",
                key,
                dates,
                f"No more than {bounds.failed_percent:g} % of the requests failed, P95 of the page "
                f"latency is no more than {bounds.slower_ms:,} ms above the median of the last "
                f"{DATES_COMPARED} dates, and the evidence of every shard holds. A date beyond a "
                "bound is held: it is not published, and the last good one stays current, until "
                f"the job `{assets.release_job}` releases it.",
            ),
        )

    @property
    def specs(self) -> list[dg.AssetCheckSpec]:
        """All of them."""
        return [
            self.listings,
            self.tiling,
            self.files,
            self.age,
            self.readable,
            self.speed,
            self.gate,
        ]

    def log_all(
        self,
        context: LogContext,
        work: SourceContext,
        manifest: Manifest,
        verdict: Verdict = ALLOWED,
        held: HeldDate | None = None,
    ) -> list[str]:
        """Log the checks of a published manifest, without that of its listings.

        Args:
            context: The context of the run.
            work: The source.
            manifest: The published manifest of the date.
            verdict: What the gate said of it.
            held: A newer manifest of the date, which is held.

        Returns:
            The violations of the blocking checks.
        """
        broken = self.log_content(context, work, manifest)
        crossed = held.sentences if held else []
        note = "; ".join([*_release_note(manifest), *verdict.not_judged]) or None
        log_check(context, self.gate, str(manifest.day), crossed, note=note)
        return [*broken, *crossed]

    def log_content(
        self, context: LogContext, work: SourceContext, manifest: Manifest
    ) -> list[str]:
        """Log the checks of what a manifest says, whether it is published or held.

        Returns:
            The violations of the blocking checks.
        """
        partition_key = str(manifest.day)
        violations = violations_of(manifest)
        differing = files_that_differ(work.store, manifest.parts)
        log_check(context, self.tiling, partition_key, violations)
        log_check(context, self.files, partition_key, differing)
        log_check(context, self.age, partition_key, _stale_shards(manifest))
        self._log_readable(context, work, manifest)
        log_speed(context, self.speed, work, manifest)
        return [*violations, *(f"{file} is missing or was altered" for file in differing)]

    def _log_readable(self, context: LogContext, work: SourceContext, manifest: Manifest) -> None:
        """Log the check of unreadable records; the first are read from the shards' snapshots."""
        violations, metadata = [], {}
        if manifest.unreadable:
            with_some = (each.shard.prefix for each in manifest.shards if each.unreadable)
            snapshots = (
                read_snapshot(work.store, work.layout, manifest.day, prefix) for prefix in with_some
            )
            violations = [
                f"{manifest.unreadable:,} record(s) could not be decoded and are in no part"
            ]
            metadata = {
                "unreadable": manifest.unreadable,
                "records": unreadable_table(filter(None, snapshots)),
            }
        severity = dg.AssetCheckSeverity.WARN
        log_check(context, self.readable, str(manifest.day), violations, metadata, severity)


def log_manifest(
    context: LogContext,
    checks: ManifestChecks,
    work: SourceContext,
    manifest: Manifest,
    verdict: Verdict = ALLOWED,
) -> list[str]:
    """Log the materialization of a published manifest, and its checks.

    Returns:
        The violations of the blocking checks.
    """
    key = work.assets.key("inventory_manifest")
    metadata = {
        **manifest_metadata(work.store, work.layout, manifest, work.assets.prices),
        **date_run_metadata(published_run(work, manifest)),
        **_release_metadata(manifest),
    }
    log_partition(context, key, str(manifest.day), manifest.identity, metadata)
    broken = log_listing_check(
        context,
        checks.listings,
        work,
        manifest.day,
        is_on_its_own=False,
        is_released=manifest.release is not None,
    )
    return [*broken, *checks.log_all(context, work, manifest, verdict)]


def log_hold(
    context: dg.AssetExecutionContext,
    checks: ManifestChecks,
    work: SourceContext,
    outcome: Outcome,
) -> list[str]:
    """Log that a date is held; return why, and what a person can do."""
    manifest, day = outcome.manifest, str(outcome.manifest.day)
    context.instance.add_run_tags(context.run.run_id, {HELD_TAG: day})
    baseline = manifest.baseline
    metadata = {
        "held": dg.MetadataValue.path(work.store.where(work.layout.held(manifest.day))),
        "objects": manifest.objects,
        "object_bytes": manifest.object_bytes,
        "requests": manifest.requests,
        "faults": dg.MetadataValue.json(dict(manifest.faults)),
        "crossed": [each.measure.value for each in outcome.verdict.crossings],
        "not_judged": list(outcome.verdict.not_judged),
        "last_published_date": str(baseline.day) if baseline else "none",
        **date_run_metadata(published_run(work, manifest)),
        "release": f'inventory release {work.source.name}@{day} --because "..."',
    }
    sentences = outcome.verdict.sentences
    log_check(context, checks.gate, day, sentences, metadata)
    log_listing_check(context, checks.listings, work, manifest.day, is_on_its_own=False)
    # Without a result, Dagster would show the other checks as failed.
    broken = checks.log_content(context, work, manifest)
    remedy = (
        f"the date is held and not published; list it again, or release it with the job "
        f"{work.assets.release_job} or `inventory release {work.source.name}@{day} --because "
        '"..."`'
    )
    return [*sentences, *broken, remedy]


def _release_note(manifest: Manifest) -> Sequence[str]:
    release = manifest.release
    if release is None:
        return ()
    who = f"released by {release.released_by} at {release.released_at:%Y-%m-%d %H:%M} UTC"
    why = f"because: {release.because} (it was held, as {'; '.join(release.crossed)})"
    return [f"{who}, {why}"]


def _release_metadata(manifest: Manifest) -> dict[str, Any]:
    release = manifest.release
    if release is None:
        return {}
    return {
        "released_by": release.released_by,
        "released_at": release.released_at.isoformat(),
        "released_because": release.because,
        "was_held_because": list(release.crossed),
    }


def _stale_shards(manifest: Manifest) -> list[str]:
    newest = max(entry.finished_at for entry in manifest.shards)
    return [
        f"{entry.shard.prefix!r} was listed at {entry.finished_at:%Y-%m-%d %H:%M}"
        for entry in manifest.shards
        if newest - entry.finished_at > STALE_AFTER
    ]
