"""Verify an inventory against its bucket: list a sample again and compare.

The sample has ranges of a page of records each, drawn with equal probability; ranges that the
listing found empty, with the records on both sides; and a few prefixes. On stores without usable
StartAfter it has prefixes only. LastModified distinguishes differences from changes since the
listing. Records that seem deleted are looked up by name.
"""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from inventory_assets.inventory.verification.findings import (
    UNEXPLAINED,
    ComparedFields,
    Finding,
    compared_fields,
    differences,
    key_of,
)
from inventory_assets.inventory.verification.targets import VerificationTarget
from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.s3.store_profile import KeyEncoding, StartAfter
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread
from inventory_assets.scan.key_encoding import corrected
from inventory_assets.scan.key_lookup import find_misplaced_key, list_level, list_prefix, look_up
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.range_listing import list_range

RANGES = 8
"""The default number of ranges with records to list again."""

PREFIXES = 1
"""The number of prefixes to list in addition to ranges."""

FOLDERS = 4
"""The number of folders to search for missing names, on stores without usable StartAfter."""

NAMES_PER_FOLDER = 100
"""Maximum names per folder to look up in the inventory."""

MAX_LOOKUPS = 100
"""Maximum keys that seem deleted to look up by name, drawn at random."""

MAX_ORDER_CHECKS = 3
"""The number of existing keys that were not listed in their range to search in another order."""

FEW_RECORDS = 20
"""Samples smaller than this may lose half of their records without doubt about the bucket."""

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
        asked_again: How many of these were looked up by name.
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
        """What is wrong, as sentences: unexplained differences, store problems and doubt."""
        problems: list[str] = []
        for kind in UNEXPLAINED:
            keys = [key for key, finding in self.findings.items() if finding is kind]
            problems += [f"{kind}: {key!r}" for key in keys[:EXAMPLES]]
            if len(keys) > EXAMPLES:
                problems.append(f"{kind}: {len(keys) - EXAMPLES:,} more")
        if count := self.counts[Finding.CONTRADICTED]:
            problems.append(
                f"the store contradicts itself: {count:,} of the keys above are there when asked "
                "for by name, and are not shown where the store lists what lies around them, so "
                "its listings may lack other keys as well"
            )
        return [*problems, *self.store_problems, *([self.doubt] if self.doubt else [])]


def verify(
    inventory: VerificationTarget, lister: ListClient, chance: random.Random, count: int = RANGES
) -> Verification:
    """List a sample of the inventory again and compare.

    Args:
        inventory: The inventory.
        lister: Its bucket.
        chance: The random generator that draws the sample.
        count: The number of ranges with records; of prefixes, on stores without usable StartAfter.

    Raises:
        ScanError: The store lists keys outside the request, or does not end its listing.
        S3Error: A request failed permanently.
        StoreError: A part cannot be read.
    """
    for _ in KeyEncoding:
        try:
            return _verify(inventory, lister, chance, count)
        except NamesMisread as error:
            lister.profile = corrected(lister.profile, error)
    return _verify(inventory, lister, chance, count)


def _verify(
    inventory: VerificationTarget, lister: ListClient, chance: random.Random, count: int
) -> Verification:
    comparison = _Comparison(inventory, lister)
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
            comparison, asked = _Comparison(inventory, lister, comparison.stats), None
            if inventory.key_order is KeyOrder.BYTES:
                problems.append(f"the inventory was listed in byte order, and now {error}")
            else:
                notes.append(f"{error}; so keys were asked for by what they start with")
    if asked is None:
        comparison.by_prefix(chance, count)
        asked = comparison.look_up_missing(chance)
    notes += [
        f"the store said that its listing ends behind {key!r}, and it does not"
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


@dataclass(slots=True)
class _Comparison:
    """The state of a verification."""

    inventory: VerificationTarget
    lister: ListClient
    stats: RequestStats = field(default_factory=RequestStats)
    ranges: list[KeyRange] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    records: int = 0
    shown: int = 0
    ended_early: list[str] = field(default_factory=list)
    _complete_prefixes: list[str] = field(default_factory=list)
    """Prefixes that were listed completely."""
    _missing: dict[str, ComparedFields] = field(default_factory=dict)
    _next_listed: dict[str, str] = field(default_factory=dict)
    """The next key that the store listed after each record that seems deleted."""

    def by_range(self, chance: random.Random, count: int) -> None:
        """Compare ranges, and a few prefixes."""
        reached = ""
        ranges = self.inventory.sample(chance, count)
        # If several ranges have the same start, the longest comes first.
        ranges.sort(key=lambda each: each.until, reverse=True)
        ranges.sort(key=lambda each: each.after)
        for key_range in ranges:
            if key_range.until > reached:
                until = self._compare_range(self.inventory.prefix, key_range, reached)
                reached = max(reached, until)
        for prefix in self.inventory.sample_prefixes(chance, PREFIXES, longer=True):
            self._compare_range(prefix, KeyRange.of_prefix(prefix), None)
        self.ranges.sort()
        if not self.inventory.rows and not self.shown:
            self._check_empty_bucket()

    def by_prefix(self, chance: random.Random, count: int) -> None:
        """Compare prefixes, and search folders for names that the inventory lacks."""
        for prefix in self.inventory.sample_prefixes(chance, count):
            self._compare_prefix(prefix)
        if self.inventory.versions is None:
            for folder in self.inventory.records.folders(chance, FOLDERS):
                self._search_folder(folder, chance)
        if not self.inventory.rows:
            self._compare_prefix(self.inventory.prefix)

    def look_up_missing(self, chance: random.Random) -> tuple[int, int]:
        """Look up records that seem deleted by name; return how many seem so, and the lookups."""
        gone = sorted(
            name for name in self._missing if self.findings.get(name) is Finding.MISSING_IN_BUCKET
        )
        names = chance.sample(gone, min(MAX_LOOKUPS, len(gone)))
        by_key: dict[str, list[str]] = {}
        for name in names:
            by_key.setdefault(self._key(name), []).append(name)
        for key, of_key in sorted(by_key.items()):
            objects = look_up(self.lister, key, self.stats, self.inventory.versions)
            found = compared_fields(objects.to_batches())
            for name in of_key:
                if name in found:
                    changed = differences(
                        {name: self._missing[name]}, {name: found[name]}, self.inventory.began_at
                    )
                    # A changed object may have changed after its range was listed again.
                    is_new = changed.get(name) is Finding.MODIFIED_SINCE
                    self.findings[name] = Finding.MODIFIED_SINCE if is_new else Finding.CONTRADICTED
        return len(gone), len(names)

    def check_order(self) -> None:
        """Check whether keys that were not listed in their range are elsewhere in the order.

        Raises:
            KeysOutOfOrder: One is: the store does not list in byte order.
        """
        names = [
            name for name in self._next_listed if self.findings.get(name) is Finding.CONTRADICTED
        ]
        for name in names[:MAX_ORDER_CHECKS]:
            key, versions = self._key(name), self.inventory.versions
            other = self._next_listed[name]
            first = find_misplaced_key(self.lister, key, other, self.stats, versions)
            if first is not None:
                raise KeysOutOfOrder(
                    f"{self.lister.connection.display_name}: the store lists {first!r} before "
                    f"{key!r}, which is not byte order"
                )

    def _compare_range(self, prefix: str, key_range: KeyRange, reached: str | None) -> str:
        """Compare a range; return the key up to which it was listed.

        Args:
            prefix: The prefix of the requests.
            key_range: The range.
            reached: Records up to this key are counted already; None for those in `ranges`.
        """
        versions = self.inventory.versions
        listed = list_range(self.lister, prefix, key_range, self.stats, versions)
        expected = self.inventory.records_in(listed.key_range)
        found = compared_fields(listed.objects.to_batches())
        # Count records in several ranges once.
        if reached is None:
            self.records += sum(not self._was_listed(name) for name in expected)
        else:
            self.records += sum(self._key(name) > reached for name in expected)
        self._compare(expected, found)
        shown = [*map(self._key, found), listed.reached]
        for name in expected.keys() - found.keys():
            key = self._key(name)
            at = bisect_right(shown, key, hi=len(shown) - 1)
            if shown[at] > key:
                self._next_listed[name] = shown[at]
        if listed.ended_early is not None and listed.ended_early not in self.ended_early:
            self.ended_early.append(listed.ended_early)
        self.ranges.append(listed.key_range)
        return listed.key_range.until

    def _compare_prefix(self, prefix: str) -> None:
        versions = self.inventory.versions
        listed = list_prefix(self.lister, prefix, self.stats, versions)
        expected = self.inventory.records_in(KeyRange.of_prefix(prefix))
        found = compared_fields(listed.objects.to_batches())
        if not listed.is_whole:
            expected = {name: fields for name, fields in expected.items() if name in found}
        else:
            self._complete_prefixes.append(prefix)
        self.records += len(expected)
        self._compare(expected, found)
        self.prefixes.append(prefix)

    def _search_folder(self, folder: str, chance: random.Random) -> None:
        """List the names directly in a folder, and compare those that the inventory lacks."""
        if folder.startswith(tuple(self._complete_prefixes)):
            return
        keys, folders = list_level(self.lister, folder, self.stats)
        names = sorted({*keys, *folders})
        drawn = chance.sample(names, min(NAMES_PER_FOLDER, len(names)))
        is_folder = set(folders)
        records = self.inventory.records
        lacking = [
            *records.without_records([name for name in drawn if name in is_folder]),
            *records.keys_without_records([name for name in drawn if name not in is_folder]),
        ]
        for name in lacking[:EXAMPLES]:
            if name in is_folder:
                self._compare_prefix(name)
            else:
                objects = look_up(self.lister, name, self.stats)
                self._compare({}, compared_fields(objects.to_batches()))

    def _check_empty_bucket(self) -> None:
        """Check an empty listing of an empty inventory by another kind of request."""
        if self.inventory.versions is None:
            keys, folders = list_level(self.lister, self.inventory.prefix, self.stats, 1)
            self.findings |= dict.fromkeys([*keys, *folders], Finding.CONTRADICTED)

    def _compare(
        self, expected: Mapping[str, ComparedFields], found: Mapping[str, ComparedFields]
    ) -> None:
        self.shown += len(found)
        changed = differences(expected, found, self.inventory.began_at)
        for name in self._missing.keys() & found.keys():
            if found[name] == self._missing[name]:
                changed[name] = Finding.CONTRADICTED
        self.findings |= changed
        self._missing |= {
            name: expected[name]
            for name, kind in changed.items()
            if kind is Finding.MISSING_IN_BUCKET
        }

    def _key(self, name: str) -> str:
        return key_of(name, has_version=self.inventory.versions is not None)

    def _was_listed(self, name: str) -> bool:
        key = self._key(name)
        return any(key in key_range for key_range in self.ranges)


def _lists_ranges(lister: ListClient) -> bool:
    """Whether the store supports StartAfter, according to its profile."""
    return lister.profile.start_after is not StartAfter.IGNORED
