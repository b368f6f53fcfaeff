"""Compare samples of an inventory with its bucket, range by range or prefix by prefix."""

import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from inventory_assets.inventory.verification.findings import (
    ComparedFields,
    Finding,
    compared_fields,
    differences,
    key_of,
)
from inventory_assets.inventory.verification.targets import VerificationTarget
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.key_lookup import find_misplaced_key, list_level, list_prefix, look_up
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.range_listing import list_range

PREFIXES = 1
"""The number of prefixes to list in addition to ranges."""

FOLDERS = 4
"""The number of folders to search for missing names, on stores without usable StartAfter."""

NAMES_PER_FOLDER = 100
"""Maximum names per folder to look up in the inventory."""

MAX_LACKING_NAMES = 10
"""Maximum names per folder, of those that the inventory lacks, to compare with the bucket."""

MAX_LOOKUPS = 100
"""Maximum keys that seem deleted to look up by name, drawn at random."""

MAX_ORDER_CHECKS = 3
"""Maximum keys to search in another order, of those that exist but were not in their range."""


@dataclass(slots=True)
class Comparison:
    """The state of a verification, and its requests.

    Attributes:
        inventory: The inventory.
        lister: Its bucket.
        stats: The requests sent.
        ranges: The ranges that were listed again.
        prefixes: The prefixes that were listed again.
        findings: The differences by name (`compared_fields`).
        records: The number of the inventory's records in the sample.
        shown: The number of the bucket's records in the sample.
        ended_early: Keys after which the store reported the end of a listing, and listed more.
    """

    inventory: VerificationTarget
    lister: PageSource
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
        """Look up records that seem deleted by name.

        Returns:
            The number of records that seemed deleted, and how many of these were looked up.
        """
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
            KeysOutOfOrder: A key is elsewhere: the store does not list in byte order.
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
                    f"{self.lister.bucket_config.display_name}: the store lists {first!r} before "
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
        """List the names directly in a folder, and compare some that the inventory lacks."""
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
        for name in lacking[:MAX_LACKING_NAMES]:
            if name in is_folder:
                self._compare_prefix(name)
            else:
                objects = look_up(self.lister, name, self.stats)
                self._compare({}, compared_fields(objects.to_batches()))

    def _check_empty_bucket(self) -> None:
        """Check with another kind of request that the bucket of an empty inventory is empty."""
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
