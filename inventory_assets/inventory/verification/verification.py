"""Verify an inventory against its bucket: list a sample again and compare.

The sample consists of ranges with a page of records each, drawn with equal probability; of ranges
that the listing found empty, with the records on both sides; and of a few prefixes. On stores
without usable StartAfter it has prefixes only. LastModified tells whether an object may have
changed since the listing, which explains a difference. Records that seem deleted are looked up by
name (`comparison.py`).
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from inventory_assets.inventory.verification.comparison import Comparison
from inventory_assets.inventory.verification.findings import UNEXPLAINED, Finding
from inventory_assets.inventory.verification.targets import VerificationTarget
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.store_profile import KeyEncoding, StartAfter
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread
from inventory_assets.scan.key_encoding import corrected
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange

RANGES = 8
"""The default number of ranges with records to list again."""

FEW_RECORDS = 20
"""A smaller sample may lack half of its records without raising doubt about the bucket."""

EXAMPLES = 10
"""Maximum keys to name per kind of difference."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying a sample.

    Attributes:
        ranges: The ranges that were listed again, in key order.
        records: The number of the inventory's records in the sample.
        requests: The number of requests sent.
        findings: The differences by key, in key order.
        prefixes: The prefixes that were listed again, in order.
        shown: The number of the bucket's records in the sample.
        seemed_gone: The number of records that the bucket did not list.
        asked_again: The number of these that were looked up by name.
        store_problems: Other behaviour of the store that makes listings unreliable, as sentences.
        notes: Other behaviour of the store that has no effect, as sentences.
    """

    ranges: tuple[KeyRange, ...]
    records: int
    requests: int
    findings: Mapping[str, Finding]
    prefixes: tuple[str, ...] = ()
    shown: int = 0
    seemed_gone: int = 0
    asked_again: int = 0
    store_problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Finding, int]:
        """The number of keys of each kind of difference."""
        counts = Counter(self.findings.values())
        return {finding: counts[finding] for finding in Finding}

    @property
    def doubt(self) -> str | None:
        """Why this may be another bucket, or an emptied one; None otherwise.

        The reason is that more than half of at least `FEW_RECORDS` records are gone, or that all
        records are gone and the bucket lists nothing.
        """
        gone = self.counts[Finding.MISSING_IN_BUCKET]
        if not gone or self.counts[Finding.CONTRADICTED]:
            return None
        is_empty = gone == self.records and not self.shown
        if is_empty or (self.records >= FEW_RECORDS and 2 * gone > self.records):
            return (
                f"{gone:,} of {self.records:,} sampled records are gone: is this the right bucket, "
                "and was it emptied?"
            )
        return None

    @property
    def problems(self) -> list[str]:
        """All problems, as sentences: unexplained differences, store problems and doubt."""
        problems: list[str] = []
        for kind in UNEXPLAINED:
            keys = [key for key, finding in self.findings.items() if finding is kind]
            problems += [f"{kind}: {key!r}" for key in keys[:EXAMPLES]]
            if len(keys) > EXAMPLES:
                problems.append(f"{kind}: {len(keys) - EXAMPLES:,} more")
        if count := self.counts[Finding.CONTRADICTED]:
            problems.append(
                f"the store contradicts itself: {count:,} of the keys above exist when looked up "
                "by name, but are missing in the listing of their range, so its listings may lack "
                "other keys, too"
            )
        return [*problems, *self.store_problems, *([self.doubt] if self.doubt else [])]


def verify(
    inventory: VerificationTarget, lister: PageSource, chance: random.Random, count: int = RANGES
) -> Verification:
    """List a sample of the inventory again and compare.

    Args:
        inventory: The inventory.
        lister: Its bucket.
        chance: The random generator that draws the sample.
        count: The number of ranges with records; of prefixes, on stores without usable StartAfter.

    Raises:
        ScanError: The store lists keys outside the request, or does not end its listing.
        S3Error: A request failed for good.
        StoreError: A part cannot be read.
    """
    for _ in KeyEncoding:
        try:
            return _verify(inventory, lister, chance, count)
        except NamesMisread as error:
            lister.profile = corrected(lister.profile, error)
    return _verify(inventory, lister, chance, count)


def _verify(
    inventory: VerificationTarget, lister: PageSource, chance: random.Random, count: int
) -> Verification:
    comparison = Comparison(inventory, lister)
    notes: list[str] = []
    problems: list[str] = []
    asked = None
    if inventory.key_order is not KeyOrder.DIRECTORY and _lists_ranges(lister):
        try:
            comparison.by_range(chance, count)
            asked = comparison.look_up_missing(chance)
            comparison.check_order()
        except KeysOutOfOrder as error:
            # The results by range are not reliable: start again by prefix.
            comparison, asked = Comparison(inventory, lister, comparison.stats), None
            if inventory.key_order is KeyOrder.BYTES:
                problems.append(f"the inventory was listed in byte order, but now {error}")
            else:
                notes.append(f"{error}; so the sample was listed by prefix, not by range")
    if asked is None:
        comparison.by_prefix(chance, count)
        asked = comparison.look_up_missing(chance)
    notes += [
        f"the store reported the end of its listing after {key!r}, but more keys follow"
        for key in comparison.ended_early
    ]
    return Verification(
        tuple(comparison.ranges),
        comparison.records,
        comparison.stats.requests,
        dict(sorted(comparison.findings.items())),
        tuple(comparison.prefixes),
        comparison.shown,
        *asked,
        tuple(problems),
        tuple(notes),
    )


def _lists_ranges(lister: PageSource) -> bool:
    """Whether the store supports StartAfter, according to its profile."""
    return lister.profile.start_after is not StartAfter.IGNORED
