"""Measure the size of daily inventories of a slowly changing bucket over a year.

`python -m benchmarks.year` lists a generated bucket once a day into parts, with as many ranges at a
time as a listing has. Ranges end where the parts of the day before ended, and sometimes elsewhere.
Of each day's changes, half replace objects, a quarter create and a quarter delete them. The changes
are in three *places* of the key space (others every day), *everywhere*, or at the *end*, where all
changed objects are new.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.two_days import LAYOUT, hexadecimal, strings
from inventory_assets.inventory.listing.part_assembler import PartAssembler
from inventory_assets.inventory.listing.part_reuse import segments_of, split_hints
from inventory_assets.inventory.listing.part_sizing import DEFAULT_SIZING
from inventory_assets.inventory.listing.part_stream import RowBuffer
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.decoding.page import OBJECT_SCHEMA
from inventory_assets.scan.engine.splitter import pick_evenly
from inventory_assets.scan.keyspace.key_range import KeyRange

PAGE = 1_000
PLACES = 3
SPLITS = 4
"""Ranges that are split elsewhere than where a part ended, a day."""

_Numbers = npt.NDArray[np.uint64]


class Bucket:
    """Objects whose keys are hexadecimal numbers.

    Args:
        count: How many there are at first.
        seed: What is drawn.
    """

    def __init__(self, count: int, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self.keys: _Numbers = np.unique(self._random.integers(0, 2**62, count, np.uint64))
        self._states = self._random.integers(0, 2**63, len(self.keys), np.uint64)

    def pass_day(self, changes: int, where: str) -> None:
        """Let so many objects change."""
        fresh = changes if where == "end" else changes // 4
        gone = replaced = np.array([], np.int64)
        if where != "end":
            drawn = self._drawn(3 * fresh, where)
            gone, replaced = drawn[:fresh], drawn[fresh:]
        self._states[replaced] = self._random.integers(0, 2**63, len(replaced), np.uint64)
        if where == "end":
            new = self.keys[-1] + np.cumsum(self._random.integers(1, 2**40, fresh, np.uint64))
        else:
            near = self.keys[self._drawn(fresh, where)]
            new = near + self._random.integers(1, 2**20, fresh, np.uint64)
        kept = np.ones(len(self.keys), np.bool_)
        kept[gone] = False
        keys = np.concatenate([self.keys[kept], new])
        states = np.concatenate(
            [self._states[kept], self._random.integers(0, 2**63, len(new), np.uint64)]
        )
        self.keys, order = np.unique(keys, return_index=True)
        self._states = states[order]

    def _drawn(self, count: int, where: str) -> npt.NDArray[np.int64]:
        """Different objects, in no order."""
        if where == "everywhere":
            return self._random.choice(len(self.keys), count, replace=False)
        starts = self._random.integers(0, len(self.keys) - count, PLACES)
        near = np.concatenate([np.arange(start, start + count // PLACES + 1) for start in starts])
        return self._random.permutation(np.unique(near))[:count]

    def pages(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Some objects, a page at a time."""
        for at in range(start, stop, PAGE):
            yield self._objects(at, min(at + PAGE, stop))

    def key(self, place: int) -> str:
        """The key of an object by its place."""
        (key,) = _keys(self.keys[place : place + 1]).to_pylist()
        return str(key)

    def place_after(self, key: str) -> int:
        """The place of the first object after a key of this form."""
        number = np.uint64(int(key.removeprefix("data/"), 16))
        return int(np.searchsorted(self.keys, number, side="right"))

    def _objects(self, start: int, stop: int) -> pa.RecordBatch:
        states = self._states[start:stop]
        other = states * np.uint64(0x9E3779B97F4A7C15)
        e_tags = np.stack([states, other], axis=1).view(np.uint8).reshape(len(states), 16)
        sizes = (other >> np.uint64(40)).astype(np.int64)
        times = (states % np.uint64(10**11)).astype(np.int64) + 1_640_995_200_000
        rows = stop - start
        columns = {
            "key": _keys(self.keys[start:stop]),
            "size": pa.array(sizes),
            "last_modified_date": pa.array(times).cast(
                OBJECT_SCHEMA.field("last_modified_date").type
            ),
            "e_tag": strings(hexadecimal(e_tags)),
            "storage_class": pa.repeat(pa.scalar("STANDARD"), rows),
        }
        return pa.RecordBatch.from_arrays(
            [columns.get(field.name, pa.nulls(rows, field.type)) for field in OBJECT_SCHEMA],
            schema=OBJECT_SCHEMA,
        )


def _keys(numbers: _Numbers) -> pa.StringArray:
    raw = hexadecimal(numbers.astype(">u8").view(np.uint8).reshape(len(numbers), 8))
    folder = np.frombuffer(b"data/", np.uint8)
    return strings(np.concatenate([np.tile(folder, (len(numbers), 1)), raw], axis=1))


def listed(
    store: LocalStore, bucket: Bucket, baseline: Sequence[Part], connections: int, day: int
) -> list[Part]:
    """The parts of a day, as a listing of so many ranges at a time leaves them."""
    whole = KeyRange.of_prefix("")
    chances = random.Random(day)  # noqa: S311 - repeatable
    count = len(bucket.keys)
    cuts = pick_evenly(split_hints(baseline, [whole], DEFAULT_SIZING), connections)
    if not cuts:
        cuts = [bucket.key(count * number // connections) for number in range(1, connections)]
    cuts = sorted({*cuts, *(bucket.key(chances.randrange(count - 1)) for _ in range(SPLITS))})
    ends = [whole.after, *cuts, whole.until]
    ranges = [KeyRange(after, until) for after, until in pairwise(ends)]
    places = [0, *(bucket.place_after(cut) for cut in cuts), count]
    assembly = PartAssembler(
        store, LAYOUT, ranges, RowBuffer(), segments=segments_of(baseline, [whole], DEFAULT_SIZING)
    )
    waiting = [*enumerate(bucket.pages(*pair) for pair in pairwise(places))]
    open_ranges, waiting = waiting[:connections], waiting[connections:]
    while open_ranges:
        for number, pages in [*open_ranges]:
            page = next(pages, None)
            if page is not None:
                assembly.write(number, page)
                continue
            assembly.end(number, ranges[number].until)
            open_ranges.remove((number, pages))
            open_ranges += waiting[:1]
            waiting = waiting[1:]
    return assembly.substitute_unchanged(assembly.finish(), [])


def measure(arguments: argparse.Namespace, where: str) -> None:
    """A year, and a row of the table about it."""
    bucket = Bucket(arguments.objects)
    changes = round(arguments.objects * arguments.changed)
    known: dict[str, int] = {}
    written: list[int] = []
    full, parts = 0, list[Part]()
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="year-") as folder:
        store = LocalStore(Path(folder))
        for day in range(arguments.days + 1):
            if day:
                bucket.pass_day(changes, where)
            parts = listed(store, bucket, parts, arguments.connections, day)
            new = {part.key: part.file_bytes for part in parts if part.key not in known}
            known |= new
            written.append(sum(new.values()))
            full += sum(part.file_bytes for part in parts)
    today = sum(part.file_bytes for part in parts)
    days = written[1:]
    print(
        f"| {where} | {arguments.days} | {written[0] / 1e6:.1f} "
        f"| {sum(days) / len(days) / 1e6:.2f} "
        f"| {sum(days) / len(days) / today:.1%} | {sum(written) / 1e6:,.0f} | {full / 1e6:,.0f} "
        f"| {len(parts)} | {(time.process_time() - began) / len(written):.1f} |",
        flush=True,
    )


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--changed", type=float, default=0.001, help="which part of all, a day")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--where", nargs="+", default=["places", "end", "everywhere"])
    arguments = parser.parse_args()
    print(
        "| changes | days | first day, MB | a later day, MB | of a full day | all days, MB "
        "| in full, MB | parts at last | CPU s a day |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for where in arguments.where:
        measure(arguments, where)


if __name__ == "__main__":
    main()
