"""Turn the objects of ranges that are listed side by side into parts in key order.

Each range begins as a *run* of its own. When a run is listed whole, the range to its right joins
it, unless that one has begun a file: so small neighbours end in one file, and each file holds an
unbroken stretch of the key space. Nothing is sorted, and nothing is read again.
"""

from collections.abc import Sequence

import pyarrow as pa

from inventory_assets.inventory.fingerprint import Fingerprint
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import ROW_GROUP_ROWS, Part, PartWriter
from inventory_assets.inventory.records import to_records
from inventory_assets.inventory.store import LocalStore
from inventory_assets.scan import KeyRange

ROWS_IN_MEMORY = 8 * ROW_GROUP_ROWS
"""Objects that wait to be written, over all ranges of a process; an object is 100 to 200 bytes."""


class RowBudget:
    """Bounds how many objects wait in memory, over all the runs of a process.

    Args:
        rows: The bound.
    """

    def __init__(self, rows: int = ROWS_IN_MEMORY) -> None:
        self._rows = rows
        self._total = 0
        self._runs: dict[_Run, int] = {}

    def hold(self, run: "_Run", rows: int) -> None:
        """Note how many objects wait in `run`, and have the fullest run write them if need be."""
        self._total += rows - self._runs.get(run, 0)
        self._runs[run] = rows
        if self._total > self._rows:
            max(self._runs, key=self._runs.__getitem__).flush()

    def let_go(self, run: "_Run") -> None:
        """Nothing waits in `run` any more."""
        self._total -= self._runs.pop(run, 0)


class Assembly:
    """The parts of some ranges; to be closed, after which what was not finished is gone.

    Args:
        store: Where the parts are published, each as soon as it is complete.
        layout: Under which keys.
        ranges: Disjoint and in key order; a part never spans a gap between them.
        budget: Shared by all that is assembled at the same time.
        with_fingerprint: Whether a fingerprint is wanted, which costs a tenth of the CPU.
    """

    def __init__(
        self,
        store: LocalStore,
        layout: Layout,
        ranges: Sequence[KeyRange],
        budget: RowBudget,
        *,
        with_fingerprint: bool = True,
    ) -> None:
        self._ranges = ranges
        self._runs = [
            _Run(store, layout, budget, index, Fingerprint() if with_fingerprint else None)
            for index in range(len(ranges))
        ]

    def close(self) -> None:
        """Remove what is not published; after `finish`, nothing."""
        for run in dict.fromkeys(self._runs):
            run.abandon()

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        """Append a batch with `OBJECT_SCHEMA` to the range at `index`, after all written to it."""
        self._runs[index].write(objects)

    def end(self, index: int) -> None:
        """The range at `index` is whole."""
        run = self._runs[index]
        run.is_whole = True
        while run.is_whole and self._touch(run.stop):
            right = self._runs[run.stop]
            if right.has_begun:
                break
            run.absorb(right)
            self._runs[right.start : right.stop] = [run] * (right.stop - right.start)
        # A small run waits for the range to its left, which may take it in.
        if run.is_whole and (run.has_begun or not self._touch(run.start)):
            run.cut()

    def finish(self) -> tuple[Part, ...]:
        """All parts, in key order."""
        runs = list(dict.fromkeys(self._runs))
        for run in runs:
            run.cut()
        return tuple(part for run in runs for part in run.parts)

    def fingerprint(self) -> str:
        """The fingerprint of all records, once they are finished."""
        whole = Fingerprint()
        for run in dict.fromkeys(self._runs):
            if run.fingerprint:
                whole.join(run.fingerprint)
        return whole.hexdigest()

    def _touch(self, index: int) -> bool:
        """Whether the range at `index` begins where the one before it ends."""
        return (
            0 < index < len(self._ranges)
            and self._ranges[index - 1].until == self._ranges[index].after
        )


class _Run:
    """Neighbouring ranges that are written one after the other.

    Attributes:
        start: The index of the first.
        stop: The index after the last.
        is_whole: Whether the last of them is listed to its end.
        fingerprint: Of the records written, where it is wanted.
        waiting: Objects not written yet, and `rows` of them.
    """

    def __init__(
        self,
        store: LocalStore,
        layout: Layout,
        budget: RowBudget,
        index: int,
        fingerprint: Fingerprint | None,
    ) -> None:
        self.start = index
        self.stop = index + 1
        self.is_whole = False
        self.fingerprint = fingerprint
        self._bucket = layout.bucket
        self._writer = PartWriter(store, layout)
        self._budget = budget
        self.waiting: list[pa.RecordBatch] = []
        self.rows = 0

    @property
    def has_begun(self) -> bool:
        """Whether something of it is written."""
        return self._writer.has_begun

    @property
    def parts(self) -> list[Part]:
        return self._writer.parts

    def write(self, objects: pa.RecordBatch) -> None:
        self.waiting.append(objects)
        self.rows += objects.num_rows
        self._budget.hold(self, self.rows)
        if self.rows >= ROW_GROUP_ROWS:
            self.flush()

    def absorb(self, right: "_Run") -> None:
        """Take over what waits in the neighbour, and its place."""
        self.stop, self.is_whole = right.stop, right.is_whole
        waiting, right.waiting, right.rows = right.waiting, [], 0
        self._budget.let_go(right)
        for objects in waiting:
            self.write(objects)

    def flush(self) -> None:
        """Write what waits as a row group."""
        if not self.rows:
            return
        waiting, self.waiting, self.rows = self.waiting, [], 0
        self._budget.let_go(self)
        records = to_records(pa.concat_batches(waiting), self._bucket)
        if self.fingerprint:
            self.fingerprint.update(records)
        self._writer.write(records)
        self._writer.end_row_group()
        if self.is_whole:
            self._writer.cut()

    def cut(self) -> None:
        self.flush()
        self._writer.cut()

    def abandon(self) -> None:
        self._budget.let_go(self)
        self._writer.abandon()
