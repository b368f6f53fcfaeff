"""Join the results of all participants, and verify them together."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from inventory_assets.inventory.errors import IncompleteListing
from inventory_assets.inventory.folder_listing.range_listing import (
    OpenBuilder,
    RangesBuilder,
    RangesListed,
    Work,
)
from inventory_assets.inventory.folder_listing.unseen_keys import is_in_gap, list_unseen
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.manifest.unreadable_records import (
    MAX_TOLERATED,
    UnreadableRecord,
    UnreadableRecords,
    require_readable,
)
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.shared_listing.listing_record import SharedListing, SharedResult
from inventory_assets.inventory.shared_listing.range_board import BoardState
from inventory_assets.inventory.shared_listing.range_record import RangeResult
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.unreadable_log import MAX_STORED
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_lower_bound
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence, Seam


def join_results(
    work: Work,
    listing: SharedListing,
    state: BoardState,
    now: Callable[[], datetime],
    checkpoints: CheckpointLog,
    open_builder: OpenBuilder = RangesBuilder,
    tolerated_alone: int = 0,
) -> SharedResult:
    """Join the results of all ranges, and verify them together.

    Args:
        work: The bucket and the store.
        listing: The listing.
        state: The records, all of which are done.
        now: The clock.
        checkpoints: Those of keys that must be listed again.
        open_builder: Opens the sink of these keys.
        tolerated_alone: How many unreadable records are tolerated if there are no others.

    Raises:
        IncompleteListing: The results do not prove that they are complete.
        SeamDisagrees: The store still does not list a key that exists.
        RecordsUnreadable: Most records, or all of them, cannot be decoded.
        StoreError: The store cannot be used.
    """
    where = work.lister.bucket_config.display_name
    results = [result for _, result in state.results.values()]
    evidence = sorted(
        (row for result in results for row in result.evidence), key=lambda row: row.key_range
    )
    parts = [part for result in results for part in result.parts]
    stats = RequestStats()
    again: list[RangesListed] = []
    if not (work.versions and work.versions.as_of):
        # Keys without a version at that time are not listed, so there seams prove nothing.
        unseen = disagreements(evidence, listing.ranges)
        again = list_unseen(work, checkpoints, unseen, listing.ranges, stats, open_builder)
    parts += [part for each in again for part in each.parts]
    parts.sort(key=lambda part: part.first_key)
    _require_whole(where, state, parts, listing.ranges)
    unreadable = _joined(
        [*results, RangeResult(unreadable=UnreadableRecords().joined(stats.unreadable))]
    )
    rows = sum(part.rows for part in parts)
    require_readable(where, rows, unreadable, MAX_TOLERATED if rows else tolerated_alone)
    faults = Counter({fault.value: count for fault, count in stats.faults.items()})
    for each in results:
        faults.update(each.faults)
    return SharedResult(
        now(),
        tuple(parts),
        with_unseen(evidence, [row for each in again for row in each.evidence]),
        listing.requests + stats.requests + sum(each.requests for each in results),
        dict(sorted(faults.items())),
        unreadable,
    )


def disagreements(
    evidence: Sequence[RangeEvidence], whole: Sequence[KeyRange] = ()
) -> list[tuple[KeyRange, str | None]]:
    """The keys on which neighbouring participants disagree.

    The last page of a range shows the first key beyond it. If the range to the right begins with
    another key, an object was created or deleted meanwhile, or the store lost one.

    Args:
        evidence: The evidence of ranges that tile all keys, in key order.
        whole: All keys, if there are gaps in them: a key in a gap says nothing of the next range.

    Returns:
        Disjoint ranges without a listed key, to be listed again; each with the first key listed
        after it, or None if there is none.
    """
    found: list[tuple[KeyRange, str | None]] = []
    first: str | None = None
    for row in reversed(evidence):
        after = row.last_key if row.last_key is not None else row.key_range.after
        until = evidence[-1].key_range.until if first is None else prefix_lower_bound(first)
        # An earlier run did not record what lies beyond its range.
        is_seen = not whole or not is_in_gap(row.next_key, whole)
        is_known = row.ending is not Ending.RESUMED and is_seen
        if is_known and row.next_key != first and after < until:
            if found and found[-1][1] == first:
                found.pop()  # a range in between was empty
            found.append((KeyRange(after, until), first))
        if row.rows:
            first = row.first_key
    return found[::-1]


def with_unseen(
    evidence: Sequence[RangeEvidence], again: Sequence[RangeEvidence]
) -> tuple[RangeEvidence, ...]:
    """The evidence of ranges, with that of keys between them that were listed again.

    Args:
        evidence: The evidence of the ranges, in key order.
        again: That of the keys, of which the ranges hold none.
    """
    ranges = sorted(row.key_range for row in again)
    kept = [
        row
        if left == row.key_range
        # The seam was not that of the shorter range, and has been listed again.
        else replace(row, key_range=left, seam=Seam.CHANGED, next_key=None)
        for row in evidence
        for left in row.key_range.difference(ranges)
    ]
    return tuple(sorted([*kept, *again], key=lambda row: row.key_range))


def _require_whole(
    where: str,
    state: BoardState,
    parts: Sequence[Part],
    whole: Sequence[KeyRange],
) -> None:
    for ranges, result in state.results.values():
        written = sum(part.rows for part in result.parts)
        rows = sum(row.rows for row in result.evidence)
        if rows != written or any(
            not any(row.key_range.intersection(each) == row.key_range for each in ranges)
            for row in result.evidence
        ):
            raise _incomplete(where, f"{rows:,} objects listed, {written:,} written")
    if violation := state.violation(whole):
        raise _incomplete(where, violation)
    for left, right in pairwise(parts):
        if left.last_key >= right.first_key:
            raise _incomplete(where, f"{right.key} does not come after {left.key}")


def _incomplete(where: str, reason: str) -> IncompleteListing:
    return IncompleteListing(
        f"{where}: the shared listing does not prove that it is complete: {reason}; list it again"
    )


def _joined(results: Iterable[RangeResult]) -> UnreadableRecords:
    """All unreadable records; a record at the bound of two ranges is counted once."""
    records: set[UnreadableRecord] = set()
    others = 0
    for result in results:
        records.update(result.unreadable.first)
        others += result.unreadable.others
    in_order = sorted(records, key=lambda each: each.sort_key)
    return UnreadableRecords(len(records) + others, tuple(in_order[:MAX_STORED]))
