"""Drives a `PartAssembler` as a scan does: ranges are split and completed in any order."""

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.listing import part_stream
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.part_assembler import PartAssembler
from inventory_assets.inventory.listing.part_sizing import DEFAULT_SIZING, PartSizing
from inventory_assets.inventory.listing.part_stream import RowBuffer
from inventory_assets.inventory.parts import fingerprint, part_writer
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.fakes.listings import objects_of
from inventory_assets_tests.inventory.samples import LAYOUT

LAST = "\U0010ffff"


def numbered(count: int) -> list[str]:
    return [f"{number:04}" for number in range(count)]


@contextmanager
def small_files(group_rows: int, part_rows: int = 10**6) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_stream, "ROW_GROUP_ROWS", group_rows)
        patch.setattr(part_writer, "ROW_GROUP_ROWS", group_rows)
        patch.setattr(part_writer, "PART_ROWS", part_rows)
        patch.setattr(fingerprint, "CHUNK_RECORDS", 4)
        yield


class CheckedBudget(RowBuffer):
    """A row buffer that checks after every batch how many rows its assemblers really hold."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.bound = rows
        self.assemblies: list[PartAssembler] = []

    def check(self) -> None:
        waiting = sum(
            objects.num_rows
            for assembler in self.assemblies
            for run in assembler._in_order()
            for objects in run.buffered
        )
        assert waiting == self._total
        assert waiting <= self.bound


@dataclass(slots=True)
class Listing:
    """A range as a scan lists it: the keys from `at` up to `stop` are still to come."""

    number: int
    at: int
    stop: int
    until: str


class Driver:
    """Lists keys into an assembler as a scan does, with splits, writes and ends in any order.

    Attributes:
        ranges: The listed ranges: those between `bounds`, without the ones numbered in `excluded`.
        segments: The segments of the baseline.
        split_hints: Keys at which ranges may be split.
        expected: The keys in the ranges.
        written: The keys written so far, in the order of writing.
    """

    def __init__(
        self,
        store: LocalStore,
        keys: Sequence[str],
        bounds: Sequence[int],
        excluded: Sequence[int],
        budget: CheckedBudget,
        chances: random.Random,
        *,
        most: int = 4,
        sizes: Mapping[str, int] | None = None,
        segments: Sequence[BaselineSegment] = (),
        sizing: PartSizing = DEFAULT_SIZING,
        checkpoint_log: CheckpointLog | None = None,
    ) -> None:
        self.written: list[str] = []
        self._checkpoint_log, self._stats = checkpoint_log, RequestStats()
        self.segments = segments
        self.split_hints = [segment.until for segment in segments]
        self._sizes = sizes or {}
        self._most = most
        self._keys = keys
        self._budget = budget
        self._chances = chances
        spans = [pair for number, pair in enumerate(pairwise(bounds)) if number not in excluded]
        self.ranges = [KeyRange(self._key(at), self._key(stop)) for at, stop in spans]
        self.expected = [key for at, stop in spans for key in keys[at:stop]]
        self._live = [
            Listing(number, at, stop, self._key(stop)) for number, (at, stop) in enumerate(spans)
        ]
        self._begun = len(self._live)
        self.told: list[tuple[KeyRange, Sequence[Part]]] = []
        self.assembler = PartAssembler(
            store,
            LAYOUT,
            self.ranges,
            budget,
            on_published=self._published,
            segments=segments,
            sizing=sizing,
            drafts=checkpoint_log.drafts if checkpoint_log else None,
            on_tick=self._ticked,
        )
        if checkpoint_log:
            checkpoint_log.track_open_ranges(self.assembler.open_ranges)
        budget.assemblies.append(self.assembler)

    def _published(self, key_range: KeyRange, parts: Sequence[Part]) -> None:
        self.told.append((key_range, tuple(parts)))
        if self._checkpoint_log:
            self._checkpoint_log.record_completed(key_range, parts, self._stats)

    def _ticked(self) -> None:
        if self._checkpoint_log:
            self._checkpoint_log.tick(self._stats)

    def _key(self, at: int) -> str:
        """The last key before a position."""
        return self._keys[at - 1] if at else ""

    @property
    def is_done(self) -> bool:
        return not self._live

    def run(self) -> None:
        """Run all remaining steps."""
        while not self.is_done:
            self.step()

    def step(self) -> None:
        """Run one step: write to, split or end a range."""
        while not self._try_step():
            pass
        self._budget.check()

    def _try_step(self) -> bool:
        listing = self._chances.choice(self._live)
        action = self._chances.choice(["write", "write", "split", "end"])
        if action == "split" and self._begun < 40:
            self._split(listing)
        elif listing.at < listing.stop:
            self._write(listing)
        elif action == "end":
            self._live.remove(listing)
            self.assembler.end(listing.number, listing.until)
        else:
            return False
        return True

    def _write(self, listing: Listing) -> None:
        start = listing.at
        listing.at = min(listing.stop, start + self._chances.randint(1, self._most))
        keys = self._keys[start : listing.at]
        self.assembler.write(listing.number, objects_of(keys, self._sizes))
        self.written += keys

    def _split(self, listing: Listing) -> None:
        """Upper parts become ranges; the uppermost is numbered first, as a scan does it."""
        count = self._chances.randint(1, 3)
        ahead = [hint for hint in self.split_hints if self._key(listing.at) < hint < listing.until]
        if ahead and self._chances.random() < 0.5:
            self.split_at(listing, sorted(self._chances.sample(ahead, min(count, len(ahead)))))
            return
        places = sorted(self._chances.randint(listing.at, listing.stop) for _ in range(count))
        self.split_at(listing, [self._key(place) for place in places])

    def split_at(self, listing: Listing, keys: Sequence[str]) -> None:
        """Ranges of their own begin after some keys."""
        ends = [*keys, listing.until]
        stops = [*(bisect_right(self._keys, key) for key in keys), listing.stop]
        for number in reversed(range(len(keys))):
            at, stop = stops[number : number + 2]
            self._live.append(Listing(self._begun, at, stop, ends[number + 1]))
            self.assembler.split(listing.number, self._begun, keys[number])
            self._begun += 1
        listing.stop, listing.until = stops[0], keys[0]

    def split_first(self, keys: Sequence[str]) -> None:
        """The first range is split before it begins."""
        inside = [key for key in keys if key < self._live[0].until] if self._live else []
        if inside:
            self.split_at(self._live[0], inside)


def keys_of(store: LocalStore, *found: Part) -> list[str]:
    return [
        key
        for part in found
        for key in pq.read_table(store.path(part.key), columns=["key"]).column("key").to_pylist()
    ]


def scratch_of(store: LocalStore) -> list[Path]:
    folder = store.root / ".scratch"
    return list(folder.iterdir()) if folder.exists() else []


def first(told: tuple[KeyRange, Sequence[Part]]) -> KeyRange:
    return told[0]


def check_told(store: LocalStore, driver: Driver) -> None:
    """Each reported part is published, complete, and reported once."""
    for key_range, published in driver.told:
        inside = [key for key in driver.expected if key in key_range]
        assert keys_of(store, *published) == inside
    for (left, _), (right, _) in pairwise(sorted(driver.told, key=first)):
        assert left.until <= right.after
