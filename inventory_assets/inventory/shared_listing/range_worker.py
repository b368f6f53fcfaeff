"""List the ranges of a claim, and give a share of them away when another participant asks."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

from inventory_assets.inventory.errors import ClaimLost, IncompleteListing, StoreError
from inventory_assets.inventory.folder_listing.range_listing import Work, list_by_ranges
from inventory_assets.inventory.listing.checkpoint_record import checkpoint_name
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.shared_listing.claim_keeper import ClaimKeeper
from inventory_assets.inventory.shared_listing.listing_goal import ListingGoal
from inventory_assets.inventory.shared_listing.listing_record import (
    AT_ROOT,
    RecordPlaces,
    SharedListing,
)
from inventory_assets.inventory.shared_listing.range_board import RangeBoard
from inventory_assets.inventory.shared_listing.range_builder import SharedRangesBuilder
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.inventory.shared_listing.range_record import RangeResult
from inventory_assets.s3.decoding.page import MAX_KEYS
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.parallel_scan import ParallelScan, utc_now
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce, tiling_violation
from inventory_assets.scan.validation.range_evidence import RangeEvidence

LOG = logging.getLogger(__name__)

SHARE = 0.5
"""The part of the pages left that is given away."""

MIN_SECONDS = 2.0
"""Work of less time, at the present rate, is not worth a share: another participant needs about as
long to claim it."""

PATIENCE_SECONDS = 5.0
"""After so long, a share is given whatever the estimate of the pages left, which may be wrong."""

ESTIMATE_SECONDS = 1.0
"""How often the pages left are estimated."""


class RangeWorker:
    """Lists the ranges of one claim.

    Args:
        goal: What is made of the listing.
        listing: The shared listing.
        board: The records of the listing.
        claim: The claim.
        keeper: Renews the claim meanwhile.
    """

    def __init__(
        self,
        goal: ListingGoal[object],
        listing: SharedListing,
        board: RangeBoard,
        claim: RangeClaim,
        keeper: ClaimKeeper,
    ) -> None:
        self._goal = goal
        self._work = goal.work_on(listing)
        self._listing = listing
        self._board = board
        self._claim = claim
        self._keeper = keeper
        self._builder: SharedRangesBuilder | None = None
        self._began = self._estimated = keeper.clock()

    def list_ranges(self) -> None:
        """List the ranges, and complete the claim with the result.

        Work that an earlier holder of the claim has recorded is not repeated.

        Raises:
            ClaimLost: Another participant has taken the ranges over.
            IncompleteListing: The listing does not prove that it is complete.
            InventoryError: Any error of a listing.
        """
        stats = RequestStats()
        checkpoints = open_checkpoints(
            self._work,
            self._listing,
            self._claim.name,
            self._goal.places,
            for_manifest=self._goal.segments(self._listing) is not None,
        )
        resumed = checkpoints.resumed = checkpoints.resumed.within(self._claim.record.ranges)
        if resumed.rows:
            LOG.info("%s objects of an earlier participant are kept", f"{resumed.rows:,}")
        missing = resumed.missing(self._claim.record.ranges)
        listed = list_by_ranges(
            self._work,
            checkpoints,
            missing,
            stats,
            self._open_builder,
            self._share,
            self._goal.split_hints(missing),
        )
        faults = Counter({fault.value: count for fault, count in stats.faults.items()})
        faults.update(resumed.faults)
        ranges = self._claim.record.ranges
        result = RangeResult(
            tuple(sorted((*listed.parts, *resumed.parts), key=lambda part: part.first_key)),
            joined_evidence([*listed.evidence, *narrowed(resumed.evidence, listed.evidence)]),
            stats.requests + resumed.requests,
            dict(sorted(faults.items())),
            resumed.unreadable.joined(stats.unreadable).within(ranges),
        )
        self._require_whole(result, ranges)
        if self._builder is not None:
            summary = self._goal.summarize(self._builder, resumed, ranges, self._listing)
            result = replace(result, summary=summary)
        self._claim.complete(result)
        self._board.answer(self._claim.name)
        checkpoints.clear()

    def _open_builder(
        self, work: Work, checkpoints: CheckpointLog, job: ListingJob
    ) -> SharedRangesBuilder:
        self._builder = self._goal.open_builder(work, checkpoints, job, self._listing, self._claim)
        return self._builder

    def _share(self, scan: ParallelScan) -> None:
        """Between two events of the scan: estimate what is left, and give a share away."""
        builder, now = self._builder, self._keeper.clock()
        if builder is None or now - self._estimated < ESTIMATE_SECONDS:
            return
        self._estimated = now
        left = scan.pages_left(builder.job)
        self._keeper.pages_left = round(left) if isfinite(left) else None
        asked_at = self._keeper.asked_at
        if asked_at is None:
            return
        pages_per_second = builder.rows / MAX_KEYS / max(now - self._began, ESTIMATE_SECONDS)
        is_worth_it = isfinite(left) and left >= MIN_SECONDS * pages_per_second
        if is_worth_it or now - asked_at >= PATIENCE_SECONDS:
            self._give_away(scan, builder.job)

    def _give_away(self, scan: ParallelScan, job: ListingJob) -> None:
        ranges = scan.give_away(job, SHARE)
        if not ranges:
            self._keeper.asked_at = self._keeper.clock()  # try again only after a while
            return
        LOG.info("giving %s range(s) away, as another participant has none", f"{len(ranges):,}")
        self._keeper.asked_at = None
        try:
            self._claim.give(ranges)
            self._board.answer(self._claim.name)
        except ClaimLost:
            pass  # the builder ends at its next event
        except StoreError as error:
            LOG.warning("the ranges given away are recorded later: %s", error)

    def _require_whole(self, result: RangeResult, ranges: Sequence[KeyRange]) -> None:
        violation = tiling_violation(
            [each.key_range for each in result.evidence], coalesce(sorted(ranges))
        )
        rows = sum(each.rows for each in result.evidence)
        written = sum(part.rows for part in result.parts)
        if violation or rows != written:
            raise IncompleteListing(
                f"{self._work.lister.bucket_config.display_name}: the listing of the ranges "
                f"{self._claim.name} does not prove that it is complete: "
                f"{violation or f'{rows:,} objects listed, {written:,} written'}; list it again"
            )


def open_checkpoints(
    work: Work,
    listing: SharedListing,
    name: str,
    places: RecordPlaces = AT_ROOT,
    *,
    for_manifest: bool = False,
) -> CheckpointLog:
    """Open the checkpoints of a range record, which its holders share.

    Args:
        work: The bucket and the store.
        listing: The shared listing.
        name: The name of the record.
        places: Where the records lie.
        for_manifest: Whether a manifest will name the parts.
    """
    return CheckpointLog(
        work.store,
        f"{places.folder(listing)}/checkpoints",
        checkpoint_name(name, KeyOrder.BYTES),
        listing.request.fingerprint,
        utc_now,
        started_at=listing.begun_at,
        layout=work.layout,
        for_manifest=for_manifest,
        observer=work.observer,
    )


def narrowed(
    resumed: Sequence[RangeEvidence], listed: Sequence[RangeEvidence]
) -> list[RangeEvidence]:
    """The evidence of earlier holders, without beginnings of ranges that were listed again.

    A seam may have shown that a key was created before the first key of a resumed range.
    """
    ranges = sorted(each.key_range for each in listed)
    return [
        replace(row, key_range=rest[-1])
        for row in resumed
        if (rest := row.key_range.difference(ranges))
    ]


def joined_evidence(evidence: Sequence[RangeEvidence]) -> tuple[RangeEvidence, ...]:
    """Join the evidence of adjacent ranges of one participant, which has compared their seams."""
    joined: list[RangeEvidence] = []
    for row in sorted(evidence, key=lambda each: each.key_range):
        left = joined[-1] if joined else None
        if left is None or left.key_range.until != row.key_range.after:
            joined.append(row)
            continue
        joined[-1] = RangeEvidence(
            KeyRange(left.key_range.after, row.key_range.until),
            left.rows + row.rows,
            left.first_key if left.first_key is not None else row.first_key,
            row.last_key if row.last_key is not None else left.last_key,
            left.pages + row.pages,
            row.ending,
            row.next_key,
            row.seam,
        )
    return tuple(joined)
