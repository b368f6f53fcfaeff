"""Ask a bucket for many objects at once, and hand on the rows in key order, in bounded memory.

A slice is a run of neighbouring records. Its unanswered objects are asked for by as many tasks as
requests may be in flight. Slices are read ahead while the tasks need work, and written in order as
they are complete, both in one thread beside the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.metadata.answer_rows import Asked, Row, answer_row, table_of_rows
from inventory_assets.inventory.metadata.asking import RequestBudget
from inventory_assets.inventory.metadata.fetch_log import FetchLog
from inventory_assets.inventory.metadata.schema import IDENTITY_COLUMNS
from inventory_assets.s3.head_client import HeadClient, ObjectReader

_T = TypeVar("_T")

SLICE_ROWS = 8_192
"""Records of a slice."""

_TABLE_ROWS = 512
"""Answers that become a table at once, so that few rows are objects of Python."""

SLICES_AHEAD = 16
"""Maximum slices that are read and not yet written."""


class Slice:
    """Neighbouring records, with what is known of them and what is to be asked.

    Args:
        part: The key of the part of the listing that holds them.
        known: Their rows, with `METADATA_SCHEMA`.
        chosen: The positions of the rows that are asked for.
    """

    def __init__(self, part: str, known: pa.Table, chosen: "np.typing.NDArray[np.int64]") -> None:
        self.part = part
        self.asked = len(chosen)
        self._known = known
        self._positions: list[int] = []
        self._rows: list[Row] = []
        self._tables: list[pa.Table] = []
        self._logged = 0
        self._chosen: list[int] = chosen.tolist()
        self._started = 0
        identities = known.select(IDENTITY_COLUMNS).take(pa.array(chosen))
        self._keys: list[str] = identities.column("key").to_pylist()
        self._version_ids: list[str | None] = identities.column("version_id").to_pylist()
        self._e_tags: list[str | None] = identities.column("e_tag").to_pylist()
        self._times: list[int | None] = (
            identities.column("last_modified_date").cast(pa.int64()).to_pylist()
        )

    @property
    def waiting(self) -> int:
        """How many objects are still to be asked for."""
        return self.asked - self._started

    def start_next(self) -> tuple[int, Asked]:
        """The position of the next object to ask for, and the object."""
        at = self._started
        self._started += 1
        # Made only now: Python's garbage collector looks at every object that waits.
        return self._chosen[at], Asked(
            self._keys[at], self._version_ids[at], self._e_tags[at], self._times[at]
        )

    @property
    def is_complete(self) -> bool:
        """Whether all its objects have answers."""
        return len(self._positions) == self.asked

    def answer(self, position: int, row: Row) -> None:
        """Set the row of an object."""
        self._positions.append(position)
        self._rows.append(row)
        if len(self._rows) >= _TABLE_ROWS:
            self._make_table()

    def _make_table(self) -> None:
        if self._rows:
            self._tables.append(table_of_rows(self._rows))
            self._rows = []

    def new_answers(self) -> list[pa.Table]:
        """The answers since the last call, in the order in which they came."""
        self._make_table()
        tables = self._tables[self._logged :]
        self._logged = len(self._tables)
        return tables

    def rows(self) -> pa.Table:
        """All rows in key order."""
        self._make_table()
        if not self._tables:
            return self._known
        order = np.arange(self._known.num_rows)
        order[self._positions] = self._known.num_rows + np.arange(len(self._positions))
        both = pa.concat_tables([self._known, *self._tables]).combine_chunks()
        return both.take(pa.array(order))


class Fetcher:
    """Asks for the objects of slices.

    Args:
        client: The client of the bucket.
        budget: Is told what each object took.
        log: Keeps answers until they are published.
        now: The clock.
    """

    def __init__(
        self,
        client: HeadClient,
        budget: RequestBudget,
        log: FetchLog,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._budget = budget
        self._log = log
        self._now = now
        self._pending: deque[Slice] = deque()
        self._unstarted: deque[Slice] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._active = 0

    def run(self, slices: Iterator[Slice], write: Callable[[Slice], None]) -> None:
        """Complete slices, and write them in order.

        The answers of slices that are not written, as an error ends the work, are kept in the log.

        Args:
            slices: Reads the slices.
            write: Writes a complete slice.

        Raises:
            S3Error: An error that concerns every object.
            StoreError, OSError: A file cannot be read or written.
        """
        try:
            asyncio.run(self._run(slices, write))
        except BaseException:
            # The error that ends the work says more than one that follows from it.
            with suppress(InventoryError, OSError, pa.ArrowException):
                self._log.flush(self._new_answers())
            raise

    async def _run(self, slices: Iterator[Slice], write: Callable[[Slice], None]) -> None:
        self._changed = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._began, self._began_at = self._clock(), int(self._now().timestamp() * 1000)
        tasks: list[asyncio.Task[None]] = []
        with ThreadPoolExecutor(1, "metadata") as thread:
            try:
                await self._feed(slices, write, thread, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(
        self,
        slices: Iterator[Slice],
        write: Callable[[Slice], None],
        thread: ThreadPoolExecutor,
        tasks: "list[asyncio.Task[None]]",
    ) -> None:
        is_read = False
        while not is_read or self._pending:
            self._changed.clear()
            while self._pending and self._pending[0].is_complete:
                found = self._pending[0]
                self._log.add(found.new_answers())
                await _in(thread, partial(write, found))
                self._pending.popleft()
            if self._log.is_due:
                await _in(thread, partial(self._log.flush, self._new_answers()))
            if not is_read and len(self._pending) < SLICES_AHEAD and self._needs_work:
                found_next = await _in(thread, lambda: next(slices, None))
                is_read = found_next is None
                if found_next is not None:
                    self._start(found_next, tasks)
                continue
            if self._pending and not self._pending[0].is_complete:
                await self._wait_for_change(tasks)

    def _new_answers(self) -> list[pa.Table]:
        return [table for each in self._pending for table in each.new_answers()]

    @property
    def _needs_work(self) -> bool:
        return sum(each.waiting for each in self._unstarted) < 2 * self._client.max_in_flight

    def _start(self, found: Slice, tasks: "list[asyncio.Task[None]]") -> None:
        self._pending.append(found)
        if not found.asked:
            return
        self._unstarted.append(found)
        missing = min(found.asked, self._client.max_in_flight) - len(tasks)
        tasks += [asyncio.create_task(self._work()) for _ in range(missing)]
        for _ in range(self._client.limit):
            self._wake_one()

    def _wake_one(self) -> None:
        """Let another task work, if one is idle and the limit of requests allows it."""
        if self._idle and self._unstarted and self._active < self._client.limit:
            self._active += 1
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_for_change(self, tasks: "list[asyncio.Task[None]]") -> None:
        """Wait until a slice is complete, work is scarce, or a task failed."""
        try:
            async with asyncio.timeout(1.0):  # so that the log is written in time
                await self._changed.wait()
        except TimeoutError:
            pass
        for task in tasks:
            if task.done():
                task.result()

    async def _work(self) -> None:
        """Ask for objects; idle while there are none, or more tasks work than requests may."""
        reader = self._client.reader()
        self._active += 1
        try:
            while True:
                while not self._unstarted or self._active > self._client.limit:
                    self._active -= 1
                    waiter = asyncio.get_running_loop().create_future()
                    self._idle.append(waiter)
                    await waiter
                await self._ask_next(reader)
                if self._idle:
                    self._wake_one()
        except BaseException:
            self._changed.set()
            raise
        finally:
            reader.close()

    async def _ask_next(self, reader: ObjectReader) -> None:
        current = self._unstarted[0]
        position, asked = current.start_next()
        if not current.waiting:
            self._unstarted.popleft()
            if len(self._unstarted) < 2:
                self._changed.set()
        answer = await reader.read(asked.key, asked.version_id, asked.e_tag)
        self._budget.spent(answer.requests)
        seconds = self._clock() - self._began
        fetched_at = self._began_at + int(seconds * 1000)
        current.answer(position, answer_row(asked, answer, fetched_at))
        if current.is_complete:
            self._changed.set()


async def _in(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
