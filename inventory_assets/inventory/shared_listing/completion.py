"""Verify the results of all participants together, publish them, and remove what is left over."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from inventory_assets.inventory.errors import CorruptRecord, IncompleteListing
from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.folder_listing.unseen_keys import list_unseen
from inventory_assets.inventory.manifest.unreadable_records import (
    MAX_TOLERATED,
    UnreadableRecord,
    UnreadableRecords,
    require_readable,
)
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.shared_listing.conditional_record import write_if_unchanged
from inventory_assets.inventory.shared_listing.listing_record import (
    LISTING,
    SharedListing,
    SharedResult,
    encode_listing,
)
from inventory_assets.inventory.shared_listing.range_board import CLOSING, BoardState
from inventory_assets.inventory.shared_listing.range_record import RangeResult
from inventory_assets.inventory.shared_listing.range_worker import open_checkpoints
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.unreadable_log import MAX_STORED
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_lower_bound
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence

FILES, UNREADABLE = "files.txt", "unreadable.jsonl"
"""The URIs of the files, in key order; and the records that could not be decoded."""


def publish_result(
    work: Work, listing: SharedListing, etag: str, state: BoardState, now: Callable[[], datetime]
) -> SharedListing:
    """Verify the results of all ranges, and publish them in `listing.json`.

    Args:
        work: The bucket and the store.
        listing: The listing.
        etag: The ETag of its record.
        state: The records, all of which are done.
        now: The clock.

    Returns:
        The finished listing.

    Raises:
        IncompleteListing: The results do not prove that they are complete.
        SeamDisagrees: The store still does not list a key that exists.
        CorruptRecord: A part is missing.
        RecordsUnreadable: Most records, or all of them, cannot be decoded.
        ConflictError: Another participant has written the record meanwhile.
        StoreError: The store cannot be used.
    """
    whole, where = KeyRange.of_prefix(work.prefix), work.lister.bucket_config.display_name
    results = [result for _, result in state.results.values()]
    evidence = sorted(
        (row for result in results for row in result.evidence), key=lambda row: row.key_range
    )
    parts = [part for result in results for part in result.parts]
    stats = RequestStats()
    if not (work.versions and work.versions.as_of):
        # Keys without a version at that time are not listed, so there seams prove nothing.
        checkpoints = open_checkpoints(work, listing, CLOSING)
        parts += list_unseen(work, checkpoints, disagreements(evidence), [whole], stats)
    parts.sort(key=lambda part: part.first_key)
    _require_whole(where, state, parts, whole)
    _require_files(work.store, listing, parts)
    unreadable = _joined(
        [*results, RangeResult(unreadable=UnreadableRecords().joined(stats.unreadable))]
    )
    rows = sum(part.rows for part in parts)
    require_readable(where, rows, unreadable, MAX_TOLERATED if rows else 0)
    faults = Counter({fault.value: count for fault, count in stats.faults.items()})
    for each in results:
        faults.update(each.faults)
    found = SharedResult(
        now(),
        tuple(parts),
        tuple(evidence),
        listing.requests + stats.requests + sum(each.requests for each in results),
        dict(sorted(faults.items())),
        unreadable,
    )
    finished = replace(listing, result=found)
    write_if_unchanged(work.store, LISTING, encode_listing(finished), etag)
    return finished


def disagreements(evidence: Sequence[RangeEvidence]) -> list[tuple[KeyRange, str | None]]:
    """The keys on which neighbouring participants disagree.

    The last page of a range shows the first key beyond it. If the range to the right begins with
    another key, an object was created or deleted meanwhile, or the store lost one.

    Args:
        evidence: The evidence of ranges that tile all keys, in key order.

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
        if row.ending is not Ending.RESUMED and row.next_key != first and after < until:
            if found and found[-1][1] == first:
                found.pop()  # a range in between was empty
            found.append((KeyRange(after, until), first))
        if row.rows:
            first = row.first_key
    return found[::-1]


def tidy(store: Store, listing: SharedListing) -> None:
    """Write the files beside a finished listing, and remove all that it does not name.

    Every participant does it at its end: one that was paused may have left files after the others
    ended.

    Raises:
        StoreError: The store cannot be used.
    """
    result = listing.result
    if result is None:
        raise ValueError("the listing is not finished")
    named = {part.key for part in result.parts}
    files = "".join(f"{store.uri(part.key)}\n" for part in result.parts).encode()
    if store.read(FILES) != files:
        store.publish(FILES, files)
    if result.unreadable.count:
        store.publish(UNREADABLE, result.unreadable.lines.encode())
    remove_files(store, listing, named)


def remove_files(store: Store, listing: SharedListing, kept: Iterable[str] = ()) -> None:
    """Remove the records and parts of a listing, except some parts.

    Raises:
        StoreError: The store cannot be used.
    """
    named = {*kept}
    for folder in (listing.work_folder, listing.layout.base):
        for key in [file.key for file in store.files(folder)]:
            if key not in named:
                store.remove_key(key)


def _require_whole(
    where: str,
    state: BoardState,
    parts: Sequence[Part],
    whole: KeyRange,
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


def _require_files(store: Store, listing: SharedListing, parts: Sequence[Part]) -> None:
    sizes = {file.key: file.size for file in store.files(listing.layout.data_folder)}
    for part in parts:
        if sizes.get(part.key) != part.file_bytes:
            raise CorruptRecord(
                f"{store.where(part.key)} is missing or does not have the size that the listing "
                "wrote; list the bucket again, into a prefix to which no other program writes"
            )


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
