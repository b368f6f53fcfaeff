"""What the publisher of a shared shard needs of each range, besides its parts and evidence."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.listing.part_reuse import PartialHashes, ReplayedHashes
from inventory_assets.inventory.parts.fingerprint import Fingerprint, FingerprintState, joined
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.runs.shard_run import ShardRun
from inventory_assets.inventory.storage.record_type import decode_json, encode_json
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce


@dataclass(frozen=True, slots=True)
class HashedRecords:
    """The hash of some neighbouring records.

    Attributes:
        first_key: The key of the first of them.
        fingerprint: The hash.
    """

    first_key: str
    fingerprint: FingerprintState


@dataclass(frozen=True, slots=True)
class RangeSummary:
    """What the holder of a range record knows of its ranges.

    Attributes:
        hashes: The hash of each contiguous range with records.
        partial_hashes: Hashes of segments of the baseline that were read in part.
        unchanged: Parts of the baseline that are unchanged, but were written again.
        response_bytes: Bytes of the response bodies, of all that held the record.
        run: How the last holder spent its time.
    """

    hashes: tuple[HashedRecords, ...]
    partial_hashes: tuple[HashedRecords, ...]
    unchanged: tuple[Part, ...]
    response_bytes: int
    run: ShardRun


def summarize(
    fingerprints: PartialHashes,
    partial_hashes: PartialHashes,
    unchanged: Iterable[Part],
    replayed: Sequence[tuple[str, ReplayedHashes]],
    ranges: Iterable[KeyRange],
    response_bytes: int,
    run: ShardRun,
) -> RangeSummary:
    """Join what was hashed of some ranges.

    Args:
        fingerprints: The hashes of the records that were listed, each with its first key.
        partial_hashes: Those of segments that were read in part.
        unchanged: Parts of the baseline that are unchanged, but were written again.
        replayed: The hashes of the work that was resumed, each with its first key.
        ranges: The ranges; no others are between the records of one of them.
        response_bytes: Bytes of the response bodies.
        run: How the time was spent.
    """
    pieces = [*fingerprints, *((first_key, each.fingerprint) for first_key, each in replayed)]
    hashes = []
    for key_range in coalesce(sorted(ranges)):
        inside = sorted(piece for piece in pieces if piece[0] in key_range and piece[1].rows)
        if inside:
            hashes.append(HashedRecords(inside[0][0], joined(inside).state))
    partial = [*partial_hashes, *(one for _, each in replayed for one in each.partial_hashes)]
    return RangeSummary(
        tuple(hashes),
        tuple(HashedRecords(first_key, each.state) for first_key, each in partial),
        (*unchanged, *(part for _, each in replayed for part in each.unchanged)),
        response_bytes,
        run,
    )


def fingerprints_of(hashed: Iterable[HashedRecords]) -> PartialHashes:
    """Hashes that can be joined, each with its first key.

    Raises:
        ValueError: One is damaged.
    """
    return [(each.first_key, Fingerprint.of_state(each.fingerprint)) for each in hashed]


def write_summary(store: Store, folder: str, summary: RangeSummary) -> str:
    """Write a summary under a new name, which is returned.

    Raises:
        StoreError: It cannot be written.
    """
    name = uuid4().hex
    store.publish(f"{folder}/{name}", zlib.compress(encode_json(summary), 1))
    return name


def read_summary(store: Store, folder: str, name: str) -> RangeSummary:
    """Read a summary.

    Raises:
        CorruptRecord: It is missing or damaged.
    """
    key = f"{folder}/{name}"
    data = store.read(key)
    try:
        if data is not None:
            return decode_json(RangeSummary, zlib.decompress(data))
    except (ValueError, zlib.error):
        pass
    raise CorruptRecord(
        f"{store.where(key)} is missing or damaged; materialize object_listing again for this "
        "shard, which lists it from the beginning"
    )
