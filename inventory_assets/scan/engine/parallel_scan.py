"""Walk many ranges at once: receivers that only receive, and one reader that decodes and checks.

A receiver is a task that follows one range from page to page and hands every page over as it came;
what it needs for the next request it finds without decoding. All receivers live in one event loop,
which runs while the reader, whoever iterates, waits for pages; in between the reader decodes some
of them a call, checks every assumption, and tells what was found. So there is one thread, no lock,
and nothing is handed to and fro; meanwhile the kernel receives. Between receivers and reader stands
a short queue, so memory is bounded by the pages in it and one page a receiver, however fast the
store or slow the disk.

Where fewer requests are in flight than allowed, the upper part of a range that is being listed
becomes a range of its own, so that as many are as may be, whatever the shape of the key space.
Ranges stay disjoint and tile what they came from.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa

from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers
from inventory_assets.s3.decoding.xml_decoder import MAX_KEYS, Page
from inventory_assets.s3.errors import MalformedResponse, TransientError
from inventory_assets.s3.list_client import ListClient, retries_exhausted
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import StartAfter
from inventory_assets.scan.engine.events import (
    Event,
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)
from inventory_assets.scan.engine.page_queue import PageQueue, QueueItem
from inventory_assets.scan.engine.range_task import (
    PAGES_BEFORE_SPLIT,
    PAGES_WORTH_A_SPLIT,
    RangeTask,
)
from inventory_assets.scan.engine.seam_keeper import SeamEvent, SeamKeeper
from inventory_assets.scan.engine.splitter import Splitter
from inventory_assets.scan.errors import (
    KeyOutsideRequest,
    KeysOutOfOrder,
    ListingStuck,
    NamesMisread,
    ScanError,
)
from inventory_assets.scan.keyspace.key_range import (
    LEAST_CHARACTER,
    MAX_KEY_BYTES,
    KeyRange,
    ceiling_of,
)
from inventory_assets.scan.keyspace.sorted_keys import count_up_to
from inventory_assets.scan.store_probe import check_names, first_page, require_versions
from inventory_assets.scan.validation.object_versions import split_last_key
from inventory_assets.scan.validation.order_proof import OrderProof
from inventory_assets.scan.validation.page_validation import (
    MAX_EMPTY_PAGES,
    belongs_elsewhere,
    check_keys,
    decoded_pages,
    matches_header,
    next_place,
    without_repeated,
)
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets.scan.validation.seams import Beyond, KnownRange, ListedRange, link

GAP_PROBE_KEYS = 10
"""Keys asked for first where a range ends within the prefix.

Most gaps between shards are empty, and one key beyond the gap is proof enough."""

MISPLACED_PAGES = 3
"""How often in a row a range is listed again whose page does not belong where it came.

It may be a proxy's answer to another request; a store that keeps another order sends such pages
every time."""

IDLE_BY_ONE = 16
"""Requests that may be in flight for each that is, from which on ranges are split in any case."""


def utc_now() -> datetime:
    """The time; the one clock that production code reads."""
    return datetime.now(UTC)


class ParallelScan:
    """The objects of some walks, in no order among ranges, in key order within each.

    Iterated once, by one thread; no thread outlives the iteration. One that is left early, by an
    error or otherwise, cancels the lister.

    Args:
        lister: The bucket.
        jobs: Begun in this order, as many ranges at a time as requests may be in flight just then.
        now: The clock.
    """

    def __init__(
        self,
        lister: ListClient,
        jobs: Sequence[ListingJob],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._lister = lister
        self._display_name = lister.connection.display_name
        self._now = now
        self._waiting = deque(
            RangeTask(job, index, key_range)
            for job in jobs
            for index, key_range in enumerate(job.ranges)
        )
        self._unsettled = {job: len(job.ranges) for job in jobs if job.ranges}
        """By walk, ranges that are not told as ended."""
        self._ranges = Counter({job: len(job.ranges) for job in jobs})
        self._seams = SeamKeeper(self, self._display_name)
        neighbours: dict[ListingJob, list[ListedRange]] = {
            job: [KnownRange(evidence) for evidence in job.resumed_evidence] for job in jobs
        }
        for task in self._waiting:
            # Where another run has stopped, nothing is known of either.
            is_edge = ceiling_of(task.key_range.after) is not None or not task.start_after
            task.is_made_up = bool(task.job.resumed_evidence) or not is_edge
            neighbours[task.job].append(task)
        for ranges in neighbours.values():
            link(sorted(ranges, key=lambda each: each.key_range))
        self._active: set[RangeTask] = set()
        self._workers: set[asyncio.Task[None]] = set()
        self._pending_splits = 0
        """Ranges that splits under way were asked for."""
        self._splitter = Splitter(lister)
        self._order = OrderProof(lister)
        self._is_inclusive = lister.profile.start_after is StartAfter.INCLUSIVE
        """Whether the store was seen to list the key that was asked after."""
        self._probes: deque[tuple[RangeTask, ListedRange]] = deque()
        """Seams to be probed: a range, and the one on its right."""
        self._decode_buffers = DecodeBuffers()
        self._buffers: list[bytearray] = []
        self._queue = PageQueue()
        self._misread: NamesMisread | None = None
        self._met: set[ListingJob] = set()
        """Walks in which anything was found."""
        self._closed = False
        if lister.profile.start_after is not StartAfter.IGNORED:
            for task in [*self._waiting]:
                cuts = [cut for cut in task.job.initial_splits if cut in task.key_range]
                self._waiting.extend(reversed(self._split_off(task, cuts)))

    def __iter__(self) -> Iterator[Event]:
        """Tell what is found, as it is found.

        A walk ends with a `JobFailed`, or with an `RangeCompleted` for each of its ranges, those
        split off included. `JobFailed` tells of `KeysOutOfOrder` (a page does not ascend, or goes
        back behind the page before it), `SeamDisagrees` (ranges contradict each other where they
        meet), `KeyOutsideRequest`, `ListingStuck` (a token is repeated, or empty pages do not end)
        and `S3Error`.

        Raises:
            Cancelled: `lister.cancel` was called.
        """
        with asyncio.Runner() as runner:
            # Not by the runner's own `run`, which sets and resets signal handlers for every batch.
            self._run = runner.get_loop().run_until_complete
            try:
                while self._unsettled:
                    yield from self._read(self._run(self._take_batch()))
            except BaseException:
                self._lister.cancel()
                raise
            finally:
                self._closed = True  # the runner cancels the tasks that are left

    # The receivers' side.

    @property
    def _max_tasks(self) -> int:
        """How many ranges may be listed at once: as many as requests may be in flight now.

        More would wait for each other, and each has a file open and rows in memory.
        """
        return self._lister.in_flight[1]

    def _schedule(self) -> None:
        """Begin what can be begun, while fewer are at work than may be."""
        while not self._closed and (free := self._max_tasks - len(self._workers)) > 0:
            work: Coroutine[None, None, None]
            if self._probes:
                work = self._probe(*self._probes.popleft())
            elif self._waiting:
                task = self._waiting.popleft()
                task.job.began_at = task.job.began_at or self._now()
                work = self._receive(task)
            elif victims := self._steal_candidates(free - self._pending_splits):
                victim = victims[0]
                victim.is_splittable = False  # nobody else splits it meanwhile
                wanted = -(-(free - self._pending_splits) // len(victims))
                worth = self._splitter.pages_left(victim) / PAGES_WORTH_A_SPLIT - 1
                wanted = max(1, int(min(wanted, worth)))
                self._pending_splits += wanted
                work = self._split(victim, wanted)
            else:
                return
            worker = asyncio.create_task(work)
            self._workers.add(worker)
            worker.add_done_callback(self._on_task_done)

    def _on_task_done(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._schedule()

    async def _receive(self, task: RangeTask) -> None:
        generation = task.attempt
        ending: Ending | None = None
        try:
            async for received, ending, request in self._pages(task, generation):
                await self._queue.put(
                    QueueItem(task, generation, received, ending=ending, request=request)
                )
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the reader raises or tells it
            await self._queue.put(QueueItem(task, generation, error=error))
        else:
            if ending is None:
                await self._queue.put(QueueItem(task, generation))
        if task.attempt == generation:
            self._active.discard(task)

    def _steal_candidates(self, count: int) -> list[RangeTask]:
        """Up to `count` ranges that are worth splitting, those with most left first."""
        if count <= 0 or self._lister.profile.start_after is StartAfter.IGNORED:
            return []
        # No estimate is good enough to leave nearly all idle.
        few = len(self._workers) * IDLE_BY_ONE <= self._max_tasks
        left = {
            task: self._splitter.pages_left(task)
            for task in self._active
            if task.pages >= (PAGES_BEFORE_SPLIT if few else task.pages_before_next_split)
            and task.is_splittable
            and not task.job.failed
        }
        worthwhile = [task for task in left if few or left[task] >= PAGES_WORTH_A_SPLIT]
        return sorted(worthwhile, key=left.__getitem__, reverse=True)[:count]

    async def _split(self, victim: RangeTask, wanted: int) -> None:
        """Take away up to `wanted` upper parts of a range, and leave them to whoever is free."""
        try:
            places = await self._splitter.split_points(victim, wanted)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the range itself will meet it
            places = []
        self._pending_splits -= wanted
        victim.pages = 0
        if victim not in self._active:
            return
        victim.is_splittable = True
        until = victim.key_range.until
        places = [place for place in places if victim.cursor < place < until]
        if places:
            self._waiting.extendleft(self._split_off(victim, places, is_trial=True))
        else:
            victim.failed_splits += 1

    def _split_off(
        self, victim: RangeTask, places: Sequence[str], *, is_trial: bool = False
    ) -> list[RangeTask]:
        """Make ranges of their own of what lies after some places; the uppermost comes first.

        Args:
            victim: Keeps what lies before the first place.
            places: Within it, ascending.
            is_trial: Whether how they turn out says if the victim is worth splitting again.
        """
        job, until = victim.job, victim.key_range.until
        parts: list[RangeTask] = []
        if job not in self._unsettled:
            return parts  # it is over
        for after, upto in reversed([*pairwise([*places, until])]):
            if after == until:
                continue
            parent = victim if is_trial else None
            task = RangeTask(job, self._ranges[job], KeyRange(after, upto), parent, is_gap=False)
            task.is_made_up = True
            self._ranges[job] += 1
            self._unsettled[job] += 1
            victim.insert_right(task)
            self._queue.add(QueueItem(victim, victim.attempt, upper=task))
            parts.append(task)
        if parts:
            victim.key_range = KeyRange(victim.key_range.after, places[0])
            victim.is_gap = False
        return parts

    async def _pages(
        self, task: RangeTask, generation: int
    ) -> AsyncIterator[tuple[RawPage, Ending | None, PageRequest]]:
        """The pages of a range, each with how it ends the range and what it answers."""
        job = task.job
        token, after = task.resume_token, self._resume_after(task)
        while not (self._closed or job.failed or task.attempt != generation):
            request = PageRequest(
                job.prefix,
                start_after=after or "",
                token=token,
                max_keys=GAP_PROBE_KEYS if task.is_gap and token is None else MAX_KEYS,
                versions=job.versions is not None,
            )
            received = await self._lister.fetch_raw_page(request, job.stats, self._buffer())
            if self._skips_keys(task, request) and received.last_key is not None:
                await self._order.prove(job.prefix, request.start_after, job.stats)
            ending = self._on_raw_page(task, generation, received)
            yield received, ending, request
            if ending:
                return
            token, after = next_place(request, received, self._lister.profile, self._display_name)

    def _resume_after(self, task: RangeTask) -> str:
        """Where a range begins, or goes on when its end is to be confirmed.

        A store that lists the key asked after first, and would show nothing else, confirms no end.
        """
        is_asked = bool(task.rows) and task.asked_rows == task.rows
        if self._is_inclusive and is_asked and not task.job.versions:
            behind = task.after + LEAST_CHARACTER
            return behind if len(behind.encode()) <= MAX_KEY_BYTES else task.after
        return task.after

    @staticmethod
    def _skips_keys(task: RangeTask, request: PageRequest) -> bool:
        """Whether a page begins where only the store's order says what comes before it.

        Where a shard begins, discovery has found out.
        """
        is_start = request.start_after == task.start_after and not task.is_made_up
        return not request.token and bool(request.start_after) and not is_start

    def _buffer(self) -> bytearray:
        """Memory for a page, used before if possible."""
        try:
            return self._buffers.pop()
        except IndexError:
            return bytearray()

    def _on_raw_page(self, task: RangeTask, generation: int, received: RawPage) -> Ending | None:
        """Take note of a page just received; whether and how the range ends with it."""
        if task.attempt != generation:
            return None  # the page is void
        last_key = received.last_key
        if last_key is not None:
            task.pages += 1
            # Never back, whatever a damaged page says: what was told of is not split off.
            task.advance_cursor(max(task.cursor, last_key))
            self._splitter.observe_page(task)
        ending: Ending | None = None
        if last_key is not None and last_key > task.key_range.until:
            ending = Ending.BOUND_REACHED
        elif not received.is_truncated:
            ending = Ending.LISTED_TO_END
        if task.parent and (ending or last_key is not None):
            # Where little was to be had, the next attempt waits twice as long.
            task.parent.failed_splits = task.parent_failed_splits + 1 if ending else 0
            task.parent = None
        if ending:
            self._active.discard(task)
        elif task not in self._active:
            self._active.add(task)
            task.is_splittable = True
        elif task.is_splittable and task.pages >= PAGES_BEFORE_SPLIT:
            self._schedule()
        return ending

    # The reader's side.

    async def _take_batch(self) -> list[QueueItem]:
        self._schedule()
        if not self._workers and self._queue.is_empty:
            raise RuntimeError("the ranges of a scan wait for each other")
        return await self._queue.take()

    def _read(self, items: Sequence[QueueItem]) -> Iterator[Event]:
        bodies = [item.raw_page.body for item in items if item.raw_page]
        decoded = decoded_pages(bodies, self._decode_buffers, self._lister.profile.encoding)
        if all(isinstance(page, Page) for page in decoded):
            # Not where one was damaged: its error may still look into them.
            self._buffers += [body for body in bodies if isinstance(body, bytearray)]
        pages = iter(decoded)
        for item in items:
            page = next(pages) if item.raw_page else None
            if item.upper is not None:
                if not item.task.job.failed:
                    yield _split_event(item.task, item.upper)
            elif item.attempt == item.task.attempt:
                yield from self._process(item, page)

    def _process(self, item: QueueItem, page: Page | MalformedResponse | None) -> Iterator[Event]:
        job = item.task.job
        if not job.failed:
            try:
                if item.probe:
                    yield from self._settled(self._seams.probed(item.task, *item.probe))
                else:
                    yield from self._accept_page(item, page)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001 - the caller is told, whatever it is
                job.failed = True
                yield JobFailed(job, error)
        if job.failed:
            self._unsettled.pop(job, None)

    def _accept_page(
        self, item: QueueItem, page: Page | MalformedResponse | None
    ) -> Iterator[Event]:
        task = item.task
        if item.error is not None:
            raise item.error
        if page is None or item.raw_page is None:
            raise RuntimeError("a range was let go of that nobody gave up")
        if self._misread:
            raise self._misread
        if isinstance(page, MalformedResponse):
            self._retry_range(task, page)
            return
        try:
            objects = self._validate_page(item, page)
        except (MalformedResponse, KeysOutOfOrder, KeyOutsideRequest) as error:
            is_elsewhere = belongs_elsewhere(page, task.key_range, task.after, task.page_starts)
            if isinstance(error, ScanError) and not is_elsewhere:
                raise
            self._retry_range(task, error)
            return
        if page.ambiguous:
            self._check_names(task, page)
        if page.unreadable and not self._set_aside(task, page):
            self._requeue(task)
            return
        yield from self._believed(task, page, objects, item.ending)

    def _believed(
        self, task: RangeTask, page: Page, objects: pa.RecordBatch, ending: Ending | None
    ) -> Iterator[Event]:
        """Go on with a page of which all is proved."""
        task.corrupt_pages = 0
        task.evidence.page()
        if page.objects.num_rows:
            task.page_starts.append(page.objects.column("key")[0].as_py())
        if ending is Ending.BOUND_REACHED and not _reaches(objects, task.key_range.until):
            # Only a record that cannot be read lies beyond; a seam takes one that can.
            yield from self._found(task, objects, None)
            self.list_again(task, page.last_key or task.after)
            return
        yield from self._found(task, objects, ending)
        is_empty = not (page.objects.num_rows or page.unreadable or ending)
        task.empty_pages = task.empty_pages + 1 if is_empty else 0
        if task.empty_pages > MAX_EMPTY_PAGES:
            raise ListingStuck(
                f"{self._display_name}: the store sent {task.empty_pages} empty pages in a row"
            )

    def _validate_page(self, item: QueueItem, page: Page) -> pa.RecordBatch:
        """The objects of a page, with those held back before it, once all is proved of them."""
        task = item.task
        if item.raw_page and not matches_header(page, item.raw_page):
            raise MalformedResponse("the ends of the response contradict it")
        if page.common_prefixes:
            raise MalformedResponse("the page holds common prefixes, which were not asked for")
        objects = without_repeated(page.objects, item.request, task.after)
        if objects.num_rows < page.objects.num_rows and not self._is_inclusive:
            self._is_inclusive, task.asked_rows = True, -1  # which confirms no end
        if self._lister.profile.start_after is StartAfter.IGNORED:
            # What is asked again begins before it, where nothing can be asked behind a key.
            objects = objects.slice(count_up_to(objects.column("key"), task.after))
            task.resume_token = item.request.token if item.request else None
        if task.pending_versions is not None:
            objects = pa.concat_batches([task.pending_versions, objects])
        check_keys(objects, task.job.prefix, task.after, self._display_name)
        return objects

    @staticmethod
    def _set_aside(task: RangeTask, page: Page) -> bool:
        """Take note of a page's unreadable records; return whether they are believed.

        A kind that was not met before is believed once the page came twice: it may be damage.
        """
        stats = task.job.stats
        inside = [
            each for each in page.unreadable if not each.sort_key or each.sort_key in task.key_range
        ]
        texts = {each.text for each in inside}
        if not stats.unreadable.has_met(inside) and not texts <= task.unreadable_keys:
            task.unreadable_keys |= texts
            task.pending_versions = None
            return False
        stats.set_aside(inside)
        return True

    def _check_names(self, task: RangeTask, page: Page) -> None:
        """Ask, while others go on listing, whether names are read as they are meant."""
        try:
            self._run(check_names(self._lister, page, task.job.stats))
        except NamesMisread as error:
            self._misread = error  # by all walks
            raise

    def _found(
        self, task: RangeTask, objects: pa.RecordBatch, ending: Ending | None
    ) -> Iterator[Event]:
        """Tell what a page holds of its range, and note what it shows beyond."""
        versions = task.job.versions
        if versions:
            # A key is handed on whole, so that nothing after this need know that it has versions.
            objects, task.pending_versions = split_last_key(objects, goes_on=not ending)
        keys = objects.column("key")
        inside = count_up_to(keys, task.key_range.until)
        # A shortened StartAfter may let keys of the range on the left through.
        before = count_up_to(keys, task.key_range.after)
        task.after = keys[-1].as_py() if len(keys) else task.after
        beyond = Beyond(keys[inside].as_py() if inside < len(keys) else None)
        has_begun = task.first_key is not None
        if inside > before:
            self._met.add(task.job)
            found = objects.slice(before, inside - before)
            task.first_key = task.first_key or keys[before].as_py()
            task.last_key = task.after if inside == len(keys) else keys[inside - 1].as_py()
            task.rows += found.num_rows
            found = versions.as_of_view(found) if versions else found
            if found.num_rows:
                task.evidence.rows(found.column("key"))
                yield ObjectsListed(task.job, task.index, found)
        if ending:
            task.ending, task.beyond = ending, beyond
        if ending or (task.first_key is not None and not has_begun):
            yield from self._settled(self._seams.moved(task))

    def _settled(self, events: Iterator[SeamEvent]) -> Iterator[Event]:
        """Count the ranges that are told as ended."""
        for event in events:
            if isinstance(event, RangeCompleted):
                job = event.job
                self._unsettled[job] -= 1
                if not self._unsettled[job]:
                    if job.versions and job not in self._met:
                        self._run(require_versions(self._lister, job.prefix, job.stats))
                    del self._unsettled[job]
            yield event

    def _retry_range(self, task: RangeTask, error: ScanError | MalformedResponse) -> None:
        """List a range again from after the last page that was good."""
        if isinstance(error, ScanError):
            if task.corrupt_pages >= MISPLACED_PAGES:
                raise error
            # If it is the answer to another request, the next one on its connection is, too.
            self._lister.reconnect()
        task.job.stats.failed(TransientError.MALFORMED)
        task.corrupt_pages += 1
        is_damaged = isinstance(error, MalformedResponse)
        if is_damaged and task.corrupt_pages >= self._lister.retry.malformed_attempts:
            raise retries_exhausted(
                error, TransientError.MALFORMED, task.corrupt_pages, self._lister.connection
            )
        task.pending_versions = None
        self._requeue(task)

    def _requeue(self, task: RangeTask) -> None:
        task.attempt += 1
        self._active.discard(task)
        self._waiting.appendleft(task)

    # What `SeamKeeper` has done.

    def list_again(self, task: RangeTask, after: str) -> None:
        """Go on with a range that was listed to its end, behind a key."""
        task.after, task.ending, task.beyond, task.is_gap = after, None, None, False
        self._requeue(task)

    def add_range(self, left: RangeTask, key_range: KeyRange, start_after: str) -> RangeTask:
        """List another range, right of one; it is told of by the caller."""
        job = left.job
        task = RangeTask(job, self._ranges[job], key_range, is_gap=False)
        task.start_after = task.after = start_after
        self._ranges[job] += 1
        self._unsettled[job] += 1
        left.insert_right(task)
        self._waiting.appendleft(task)
        return task

    def probe(self, left: RangeTask, right: ListedRange) -> None:
        """Ask what the range on the right begins with now, and call `SeamKeeper.probed`."""
        self._probes.append((left, right))

    async def _probe(self, left: RangeTask, right: ListedRange) -> None:
        job, generation = left.job, left.attempt
        after = right.key_range.after
        try:
            request = PageRequest(
                job.prefix,
                start_after=right.key_range.start_after if after >= job.prefix else "",
                versions=job.versions is not None,
            )
            page = await first_page(self._lister, request, job.stats)
            keys = page.objects.column("key")
            following = count_up_to(keys, after)
            now = Beyond(keys[following].as_py() if following < len(keys) else None)
            item = QueueItem(left, generation, probe=(right, now))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the reader raises or tells it
            item = QueueItem(left, generation, error=error)
        await self._queue.put(item)


def _reaches(objects: pa.RecordBatch, bound: str) -> bool:
    """Whether a record lies beyond a bound."""
    return bool(objects.num_rows) and objects.column("key")[-1].as_py() > bound


def _split_event(task: RangeTask, upper: RangeTask) -> RangeSplit:
    # Where it was split off at; it may have been narrowed from above since, not from below.
    return RangeSplit(task.job, task.index, upper.index, upper.key_range.after)
