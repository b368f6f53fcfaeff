"""List the keys on which two scans of neighbouring ranges disagree again."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from inventory_assets.inventory.folder_listing.range_listing import (
    OpenBuilder,
    RangesBuilder,
    RangesListed,
    Work,
    list_by_ranges,
)
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import SeamDisagrees
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.range_listing import list_range
from inventory_assets.scan.validation.range_evidence import Seam
from inventory_assets.scan.validation.seams import MAX_ROUNDS


def list_unseen(
    work: Work,
    checkpoints: CheckpointLog,
    unseen: Iterable[tuple[KeyRange, str | None]],
    wanted: Sequence[KeyRange],
    stats: RequestStats,
    open_builder: OpenBuilder = RangesBuilder,
) -> list[RangesListed]:
    """List the keys between two ranges again whose scans disagree on them.

    Args:
        work: The bucket, and the store.
        checkpoints: The checkpoints of the listing.
        unseen: Ranges without a listed key, each with the first key listed after it, or None.
        wanted: The ranges that are listed at all, in key order.
        stats: Counts the requests.
        open_builder: Opens the sink of each range.

    Returns:
        What was found in each range.

    Raises:
        SeamDisagrees: The store still does not list a key that exists.
        InventoryError: Any error of a listing.
    """
    found: list[RangesListed] = []
    for key_range, first_key in unseen:
        missing = [both for each in wanted if (both := key_range.intersection(each))]
        listed = list_by_ranges(work, checkpoints, missing, stats, open_builder)
        shown = listed.evidence[-1].next_key if listed.evidence else first_key
        if first_key is not None and shown != first_key and not is_in_gap(shown, wanted):
            # The key was deleted meanwhile, or the store contradicts itself.
            *others, last = listed.evidence
            after = last.key_range.after if last.last_key is None else last.last_key
            if _is_left_out(work, after, first_key, wanted, stats):
                raise SeamDisagrees(
                    f"{work.lister.bucket_config.display_name}: the store does not list "
                    f"{first_key!r} after {after!r}, though the key exists: the store does not "
                    "list in byte order, ends listings too early, or loses keys"
                )
            listed = replace(listed, evidence=(*others, replace(last, seam=Seam.CHANGED)))
        found.append(listed)
    return found


def _is_left_out(
    work: Work, after: str, first_key: str, wanted: Sequence[KeyRange], stats: RequestStats
) -> bool:
    """Whether a store repeatedly leaves out a key that exists.

    A key may be deleted and created again at any moment, so one contradiction proves nothing. Other
    keys between the two prove that the listing before was not whole.
    """
    between = [both for each in wanted if (both := KeyRange(after, first_key).intersection(each))]
    request = PageRequest(first_key, max_keys=1, versions=work.versions is not None)
    for _ in range(MAX_ROUNDS):
        page = work.lister.list_page_sync(request, stats)
        if page.objects.column("key").to_pylist() != [first_key]:
            return False
        found = list_range(work.lister, work.prefix, between[-1], stats, work.versions)
        keys = {*found.objects.column("key").to_pylist()}
        if keys:
            return keys != {first_key}
    return True


def is_in_gap(key: str | None, wanted: Sequence[KeyRange]) -> bool:
    """Whether a key is in none of the ranges that are listed, so that it says nothing of them."""
    return key is not None and not any(key in each for each in wanted)
