"""Verify an inventory against its bucket: list some key ranges again, and compare.

The inventory's records, a page of them at a time, tile its key space; of these ranges some are
drawn, each record as likely as any other. Others are drawn from where the listing claims that there
is nothing. What changed since the listing differs as well, and is told apart by its LastModified.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

import pyarrow as pa

from inventory_assets.inventory.counting import keys_at
from inventory_assets.inventory.errors import NotVerifiable
from inventory_assets.inventory.facts import Manifest
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import Part, read_records
from inventory_assets.inventory.records import has_versions
from inventory_assets.inventory.snapshots import read_snapshot
from inventory_assets.inventory.store import Store
from inventory_assets.s3.listing import BucketLister, Tally
from inventory_assets.s3.pages import MAX_KEYS
from inventory_assets.scan.key_order import KeyOrder
from inventory_assets.scan.ranges import KeyRange
from inventory_assets.scan.relisting import relist
from inventory_assets.scan.versions import Versions

RECORDS_A_RANGE = MAX_KEYS
"""Records in a range, so that it takes one request to list it again."""

RANGES = 8
"""Ranges with records that are listed again."""

EMPTY_RANGES = 4
"""Ranges without records that are listed again."""

CLOCK_SKEW = timedelta(minutes=15)
"""How much S3's clock may differ from this machine's before S3 refuses its requests."""

LONGEST_UPLOAD = timedelta(days=7)
"""For how long an upload in parts may have gone on. Its LastModified is when it was begun
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html), so the object may
have appeared after a listing that began later than that."""

EXAMPLES = 10
"""Differences of a kind that are named; all are counted."""

_COLUMNS = ["key", "size", "last_modified_date", "e_tag"]


class Finding(StrEnum):
    """How a key differs."""

    MISSING = "missing"
    """It is in the bucket and not in the inventory, though it is older than the listing."""
    ALTERED = "altered"
    """Size, ETag or LastModified differ, though the object is older than the listing."""
    CREATED_SINCE = "created since"
    """It is in the bucket alone, and may be younger than the listing."""
    MODIFIED_SINCE = "modified since"
    """Size, ETag or LastModified differ, and the object may be younger than the listing."""
    GONE = "gone"
    """It is in the inventory alone: deleted since, or never there."""


FAULTS = (Finding.MISSING, Finding.ALTERED)
"""What nothing explains."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is compared of an object."""

    size: int | None
    last_modified: datetime
    e_tag: str | None

    @property
    def is_multipart(self) -> bool:
        """Whether it was uploaded in parts, as its ETag tells."""
        return "-" in (self.e_tag or "")


@dataclass(frozen=True, slots=True)
class Verifiable:
    """An inventory, as far as it is needed to verify it.

    Attributes:
        store: Where its parts lie.
        parts: Its records, in key order.
        prefix: It holds all keys that start with it.
        began_at: When its listing began; what was modified later may differ.
        empty: Stretches of keys in which the listing found nothing.
        versions: Which versions it holds; None for current objects.
    """

    store: Store
    parts: Sequence[Part]
    prefix: str
    began_at: datetime
    empty: Sequence[KeyRange] = ()
    versions: Versions | None = None

    @classmethod
    def of_manifest(cls, store: Store, layout: Layout, manifest: Manifest) -> "Verifiable":
        """A date's inventory, with what its snapshots say.

        Raises:
            NotVerifiable: The store lists in directory order.
            CorruptRecord: A snapshot is damaged.
        """
        empty: list[KeyRange] = []
        for entry in manifest.shards:
            if entry.evidence.key_order is KeyOrder.DIRECTORY:
                raise in_directory_order(f"the inventory of {manifest.day}")
            snapshot = read_snapshot(store, layout, manifest.day, entry.shard.prefix)
            # A later listing of the shard proves nothing of this one.
            if snapshot and snapshot.fingerprint == entry.fingerprint:
                for row in snapshot.evidence:
                    rest = KeyRange(row.last_key or row.key_range.after, row.key_range.until)
                    empty += rest.minus(entry.shard.excluded)
        began_at = min(entry.started_at for entry in manifest.shards)
        versions = None
        if has_versions(manifest.schema):
            # A shard that was listed while the day lasted holds nothing that is younger than it.
            late = manifest.reconstruction
            versions = Versions(late.as_of if late else None)
        return cls(store, manifest.parts, manifest.prefix, began_at, empty, versions)

    @property
    def rows(self) -> int:
        """Records in the inventory."""
        return sum(part.rows for part in self.parts)

    def sample(self, chance: random.Random, count: int) -> list[KeyRange]:
        """Draw ranges: up to `count` of those with records, and `EMPTY_RANGES` of the others.

        Those with records hold `RECORDS_A_RANGE` each (the last may hold fewer), tile the keys of
        `prefix`, and are all drawn where there are no more.
        """
        blocks = max(1, -(-self.rows // RECORDS_A_RANGE))
        drawn = chance.sample(range(blocks), min(count, blocks))
        whole = KeyRange.of_prefix(self.prefix)
        ends = {block * RECORDS_A_RANGE - 1 for number in drawn for block in (number, number + 1)}
        known = keys_at(self.store, self.parts, [end for end in ends if 0 <= end < self.rows - 1])
        bounds = [
            (
                known.get(number * RECORDS_A_RANGE - 1, whole.after),
                known.get((number + 1) * RECORDS_A_RANGE - 1, whole.until),
            )
            for number in drawn
        ]
        # All of a thousand versions may be of one key.
        ranges = [KeyRange(after, until) for after, until in bounds if after < until]
        empty = chance.sample(self.empty, min(EMPTY_RANGES, len(self.empty)))
        return sorted({*ranges, *empty})

    def holds(self, key_range: KeyRange) -> dict[str, Facts]:
        """The records in a range."""
        columns = [*_COLUMNS, "version_id"]
        return facts_of(read_records(self.store, self.parts, [key_range], columns))


@dataclass(frozen=True, slots=True)
class Verification:
    """What listing some ranges again has shown.

    Attributes:
        ranges: What was listed again, in key order.
        records: Records of the inventory in these ranges.
        requests: Requests sent.
        findings: By key in order, those that differ.
    """

    ranges: tuple[KeyRange, ...]
    records: int
    requests: int
    findings: Mapping[str, Finding]

    @property
    def counts(self) -> dict[Finding, int]:
        """Differing keys by kind; every kind is named."""
        counts = Counter(self.findings.values())
        return {finding: counts[finding] for finding in Finding}

    @property
    def faults(self) -> list[str]:
        """What nothing explains: the first few keys, and how many more."""
        faults: list[str] = []
        for kind in FAULTS:
            keys = [key for key, finding in self.findings.items() if finding is kind]
            faults += [f"{kind}: {key!r}" for key in keys[:EXAMPLES]]
            if len(keys) > EXAMPLES:
                faults.append(f"{kind}: {len(keys) - EXAMPLES:,} more")
        return faults


def verify(
    inventory: Verifiable, lister: BucketLister, chance: random.Random, count: int = RANGES
) -> Verification:
    """List a sample of the inventory's ranges again and compare.

    Args:
        inventory: What is verified.
        lister: Its bucket.
        chance: Draws the ranges; the same seed draws the same of the same inventory.
        count: How many with records are drawn.

    Raises:
        ScanError: The store does not list in byte order.
        S3Error: A request failed for good.
        StoreError: A part cannot be read.
    """
    tally = Tally()
    ranges: list[KeyRange] = []
    findings: dict[str, Finding] = {}
    records, reached = 0, ""
    for key_range in inventory.sample(chance, count):
        listed = relist(lister, inventory.prefix, key_range, tally, inventory.versions)
        held = inventory.holds(listed.key_range)
        records += sum(key > reached for key in held)  # not again those of two ranges
        reached = max(reached, listed.key_range.until)
        found = facts_of(listed.objects.to_batches())
        findings |= differences(held, found, inventory.began_at)
        ranges.append(listed.key_range)
    return Verification(tuple(ranges), records, tally.requests, dict(sorted(findings.items())))


def differences(
    held: Mapping[str, Facts], found: Mapping[str, Facts], began_at: datetime
) -> dict[str, Finding]:
    """Tell how what is found differs from what an inventory holds of the same keys.

    Args:
        held: The inventory's records, by key.
        found: The bucket's objects, by key.
        began_at: When the inventory's listing began.
    """
    findings: dict[str, Finding] = {}
    for key in held.keys() | found.keys():
        before, now = held.get(key), found.get(key)
        if now is None:
            findings[key] = Finding.GONE
        elif before != now:
            margin = LONGEST_UPLOAD if now.is_multipart else CLOCK_SKEW
            if now.last_modified >= began_at - margin:
                findings[key] = Finding.MODIFIED_SINCE if before else Finding.CREATED_SINCE
            else:
                findings[key] = Finding.ALTERED if before else Finding.MISSING
    return findings


def facts_of(batches: Iterable[pa.RecordBatch]) -> dict[str, Facts]:
    """By key, with its version if there is one, what is compared of the rows of batches."""
    return dict(_facts(batches))


def empty_between(parts: Sequence[Part], prefix: str) -> list[KeyRange]:
    """The stretches between and around parts, where a listing without other evidence found nothing.

    Each ends with the key that comes next, if there is one.
    """
    whole = KeyRange.of_prefix(prefix)
    bounds = [(left.last_key, right.first_key) for left, right in pairwise(parts)]
    if parts:
        bounds = [(whole.after, parts[0].first_key), *bounds, (parts[-1].last_key, whole.until)]
    return [KeyRange(after, until) for after, until in bounds if after < until]


def in_directory_order(what: str) -> NotVerifiable:
    """The error for an inventory whose store lists no ranges."""
    return NotVerifiable(
        f"{what} cannot be verified by ranges: its store lists in directory order, where no range "
        "can be asked for; list it again and compare the two with `inventory diff`"
    )


def _facts(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, Facts]]:
    for batch in batches:
        keys, *columns = (batch.column(name).to_pylist() for name in _COLUMNS)
        if "version_id" in batch.schema.names:
            ids = batch.column("version_id").to_pylist()
            keys = [f"{key} (version {name})" for key, name in zip(keys, ids, strict=True)]
        yield from zip(keys, map(Facts, *columns), strict=True)
