"""Verify an inventory against its bucket: list a sample of it again, and compare.

The inventory's records, a page of them at a time, tile its key space; of these ranges some are
drawn, each record as likely as any other. Others are drawn from where the listing claims that there
is nothing, with the keys on both sides, and a few records are asked for by what their keys start
with instead. Where a store lists no ranges, all are. What changed since the listing differs as
well, and is told apart by its LastModified. What seems gone is asked for once more, by its name.
"""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from inventory_assets.inventory.verification.findings import (
    FAULTS,
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
from inventory_assets.scan.key_lookup import find_misplaced_key, list_level, list_prefix, look_up
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.range_listing import list_range
from inventory_assets.scan.store_probe import corrected

RANGES = 8
"""Ranges with records that are listed again."""

PREFIXES = 1
"""Records that are asked for by what their keys start with, where the others are by range."""

FOLDERS = 4
"""Folders of which a page of names is looked at, where a store lists no ranges."""

NAMES_A_FOLDER = 100
"""Names of such a page that are looked for in the inventory at most."""

ASKED_AGAIN = 100
"""Keys that seem gone and are asked for by name at most, drawn at random."""

WITNESSES = 3
"""Keys that were not shown in their range, and are there, whose place in the order is asked for."""

FEW_RECORDS = 20
"""Fewer records than this may be gone by half without a doubt about the bucket."""

EXAMPLES = 10
"""Differences of a kind that are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What listing a sample again has shown.

    Attributes:
        ranges: What was listed again by range, in key order.
        records: Records of the inventory in what was listed again.
        requests: Requests sent.
        findings: By key in order, those that differ.
        prefixes: What was listed again by what keys start with, in order.
        shown: Records that the bucket showed there.
        seemed_gone: Records that were not shown where they should be.
        asked_again: How many of these were asked for by name.
        store_faults: What else the store does that makes its listings unreliable, as sentences.
        notes: What else the store does, and makes no difference, as sentences.
    """

    ranges: tuple[KeyRange, ...]
    records: int
    requests: int
    findings: Mapping[str, Finding]
    prefixes: tuple[str, ...] = ()
    shown: int = 0
    seemed_gone: int = 0
    asked_again: int = 0
    store_faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Finding, int]:
        """Differing keys by kind; every kind is named."""
        counts = Counter(self.findings.values())
        return {finding: counts[finding] for finding in Finding}

    @property
    def doubt(self) -> str | None:
        """Why this may be another bucket, or an emptied one; None where that does not seem so.

        More than half of at least `FEW_RECORDS` records are gone; or all are, however few, and the
        bucket shows nothing in their place.
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
    def faults(self) -> list[str]:
        """What nothing explains: the first few keys, and how many more; and what is doubted."""
        faults: list[str] = []
        for kind in FAULTS:
            keys = [key for key, finding in self.findings.items() if finding is kind]
            faults += [f"{kind}: {key!r}" for key in keys[:EXAMPLES]]
            if len(keys) > EXAMPLES:
                faults.append(f"{kind}: {len(keys) - EXAMPLES:,} more")
        if count := self.counts[Finding.CONTRADICTED]:
            faults.append(
                f"the store contradicts itself: {count:,} of the keys above are there when asked "
                "for by name, and are not shown where the store lists what lies around them, so "
                "its listings may lack other keys as well"
            )
        return [*faults, *self.store_faults, *([self.doubt] if self.doubt else [])]


def verify(
    inventory: VerificationTarget, lister: ListClient, chance: random.Random, count: int = RANGES
) -> Verification:
    """List a sample of the inventory again and compare.

    Args:
        inventory: What is verified.
        lister: Its bucket.
        chance: Draws the sample; the same seed draws the same of the same inventory.
        count: How many ranges with records are drawn; where the store lists no ranges, how many
            records with those that start alike.

    Raises:
        ScanError: The store lists what was not asked for, or does not come to an end.
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
    inventory: VerificationTarget, lister: ListClient, chance: random.Random, count: int
) -> Verification:
    compared = _Comparison(inventory, lister)
    notes: list[str] = []
    faults: list[str] = []
    asked = None
    if inventory.key_order is not KeyOrder.DIRECTORY and _lists_ranges(lister):
        try:
            compared.by_range(chance, count)
            asked = compared.ask_again(chance)
            compared.check_order()
        except KeysOutOfOrder as error:
            # Whatever its ranges showed, they show nothing for certain.
            compared, asked = _Comparison(inventory, lister, compared.stats), None
            if inventory.key_order is KeyOrder.BYTES:
                faults.append(f"the inventory was listed in byte order, and now {error}")
            else:
                notes.append(f"{error}; so keys were asked for by what they start with")
    if asked is None:
        compared.by_prefix(chance, count)
        asked = compared.ask_again(chance)
    notes += [
        f"the store said that its listing ends behind {key!r}, and it does not"
        for key in compared.ended_early
    ]
    return Verification(
        tuple(compared.ranges),
        compared.records,
        compared.stats.requests,
        dict(sorted(compared.findings.items())),
        tuple(compared.prefixes),
        compared.shown,
        *asked,
        tuple(faults),
        tuple(notes),
    )


@dataclass(slots=True)
class _Comparison:
    """What has been compared so far."""

    inventory: VerificationTarget
    lister: ListClient
    stats: RequestStats = field(default_factory=RequestStats)
    ranges: list[KeyRange] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    records: int = 0
    shown: int = 0
    ended_early: list[str] = field(default_factory=list)
    _whole: list[str] = field(default_factory=list)
    """Prefixes of which all was listed."""
    _missing: dict[str, ComparedFields] = field(default_factory=dict)
    _behind: dict[str, str] = field(default_factory=dict)
    """Of what seems gone, the next key that the store showed."""

    def by_range(self, chance: random.Random, count: int) -> None:
        """List ranges again, and a few prefixes."""
        reached = ""
        ranges = self.inventory.sample(chance, count)
        # Of two that begin alike the longer one comes first.
        ranges.sort(key=lambda each: each.until, reverse=True)
        ranges.sort(key=lambda each: each.after)
        for key_range in ranges:
            if key_range.until > reached:
                reached = max(reached, self._relist(self.inventory.prefix, key_range, reached))
        for prefix in self.inventory.sample_prefixes(chance, PREFIXES, longer=True):
            self._relist(prefix, KeyRange.of_prefix(prefix), None)
        self.ranges.sort()
        if not self.inventory.rows and not self.shown:
            self._look_into_emptiness()

    def by_prefix(self, chance: random.Random, count: int) -> None:
        """List prefixes again, and look for folders that the inventory lacks."""
        for prefix in self.inventory.sample_prefixes(chance, count):
            self._list_prefix(prefix)
        if self.inventory.versions is None:
            for folder in self.inventory.records.folders(chance, FOLDERS):
                self._look_into_folder(folder, chance)
        if not self.inventory.rows:
            self._list_prefix(self.inventory.prefix)

    def ask_again(self, chance: random.Random) -> tuple[int, int]:
        """Ask for what seems gone by name; how much seems so, and how much of it was asked for."""
        gone = sorted(
            name for name in self._missing if self.findings.get(name) is Finding.MISSING_IN_BUCKET
        )
        names = chance.sample(gone, min(ASKED_AGAIN, len(gone)))
        by_key: dict[str, list[str]] = {}
        for name in names:
            by_key.setdefault(self._key(name), []).append(name)
        for key, of_key in sorted(by_key.items()):
            objects = look_up(self.lister, key, self.stats, self.inventory.versions)
            found = compared_fields(objects.to_batches())
            for name in of_key:
                if name in found:
                    told = differences(
                        {name: self._missing[name]}, {name: found[name]}, self.inventory.began_at
                    )
                    # What was put since may have been put since it was listed again.
                    is_new = told.get(name) is Finding.MODIFIED_SINCE
                    self.findings[name] = Finding.MODIFIED_SINCE if is_new else Finding.CONTRADICTED
        return len(gone), len(names)

    def check_order(self) -> None:
        """See whether what the store's ranges did not show stands elsewhere in its order.

        Raises:
            KeysOutOfOrder: It does.
        """
        names = [name for name in self._behind if self.findings.get(name) is Finding.CONTRADICTED]
        for name in names[:WITNESSES]:
            key, versions = self._key(name), self.inventory.versions
            first = find_misplaced_key(self.lister, key, self._behind[name], self.stats, versions)
            if first is not None:
                raise KeysOutOfOrder(
                    f"{self.lister.connection.display_name}: the store lists {first!r} before "
                    f"{key!r}, "
                    "which is not byte order"
                )

    def _relist(self, prefix: str, key_range: KeyRange, reached: str | None) -> str:
        """Compare a range; where it was listed to.

        Args:
            prefix: What it is asked for with.
            key_range: The range.
            reached: Records up to here were counted before; None for those of `ranges`.
        """
        versions = self.inventory.versions
        listed = list_range(self.lister, prefix, key_range, self.stats, versions)
        held = self.inventory.holds(listed.key_range)
        found = compared_fields(listed.objects.to_batches())
        # Not again those of two ranges.
        if reached is None:
            self.records += sum(not self._was_listed(name) for name in held)
        else:
            self.records += sum(self._key(name) > reached for name in held)
        self._compare(held, found)
        shown = [*map(self._key, found), listed.reached]
        for name in held.keys() - found.keys():
            key = self._key(name)
            at = bisect_right(shown, key, hi=len(shown) - 1)
            if shown[at] > key:
                self._behind[name] = shown[at]
        if listed.ended_early is not None and listed.ended_early not in self.ended_early:
            self.ended_early.append(listed.ended_early)
        self.ranges.append(listed.key_range)
        return listed.key_range.until

    def _list_prefix(self, prefix: str) -> None:
        versions = self.inventory.versions
        listed = list_prefix(self.lister, prefix, self.stats, versions)
        held = self.inventory.holds(KeyRange.of_prefix(prefix))
        found = compared_fields(listed.objects.to_batches())
        if not listed.is_whole:
            held = {name: fields for name, fields in held.items() if name in found}
        else:
            self._whole.append(prefix)
        self.records += len(held)
        self._compare(held, found)
        self.prefixes.append(prefix)

    def _look_into_folder(self, folder: str, chance: random.Random) -> None:
        """List what lies right in a folder, and all of what the inventory lacks of that."""
        if folder.startswith(tuple(self._whole)):
            return
        keys, folders = list_level(self.lister, folder, self.stats)
        names = sorted({*keys, *folders})
        drawn = chance.sample(names, min(NAMES_A_FOLDER, len(names)))
        is_folder = set(folders)
        records = self.inventory.records
        lacking = [
            *records.lacks([name for name in drawn if name in is_folder]),
            *records.lacks_keys([name for name in drawn if name not in is_folder]),
        ]
        for name in lacking[:EXAMPLES]:
            if name in is_folder:
                self._list_prefix(name)
            else:
                objects = look_up(self.lister, name, self.stats)
                self._compare({}, compared_fields(objects.to_batches()))

    def _look_into_emptiness(self) -> None:
        """Ask in another way whether there is nothing, where the inventory holds nothing either."""
        if self.inventory.versions is None:
            keys, folders = list_level(self.lister, self.inventory.prefix, self.stats, 1)
            self.findings |= dict.fromkeys([*keys, *folders], Finding.CONTRADICTED)

    def _compare(
        self, held: Mapping[str, ComparedFields], found: Mapping[str, ComparedFields]
    ) -> None:
        self.shown += len(found)
        told = differences(held, found, self.inventory.began_at)
        for name in self._missing.keys() & found.keys():
            if found[name] == self._missing[name]:
                told[name] = Finding.CONTRADICTED
        self.findings |= told
        self._missing |= {
            name: held[name] for name, kind in told.items() if kind is Finding.MISSING_IN_BUCKET
        }

    def _key(self, name: str) -> str:
        return key_of(name, has_version=self.inventory.versions is not None)

    def _was_listed(self, name: str) -> bool:
        key = self._key(name)
        return any(key in key_range for key_range in self.ranges)


def _lists_ranges(lister: ListClient) -> bool:
    """Whether the store can be asked for what comes after a key, as far as its profile tells."""
    return lister.profile.start_after is not StartAfter.IGNORED
