"""Decode and validate received pages, and yield events."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers
from inventory_assets.s3.errors import MalformedResponse, TransientError
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.retries import retries_exhausted
from inventory_assets.s3.store_profile import StartAfter
from inventory_assets.scan.engine.events import (
    Event,
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeCutShort,
    RangeSplit,
)
from inventory_assets.scan.engine.fetcher import Fetcher
from inventory_assets.scan.engine.page_queue import (
    FetchStopped,
    PageReceived,
    QueueItem,
    RangeSplitOff,
    SeamProbed,
)
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.engine.scheduler import Scheduler
from inventory_assets.scan.engine.seam_keeper import SeamEvent, SeamKeeper
from inventory_assets.scan.errors import NamesMisread
from inventory_assets.scan.key_encoding import check_names
from inventory_assets.scan.keyspace.sorted_keys import count_up_to
from inventory_assets.scan.store_probe import require_versions
from inventory_assets.scan.validation.object_versions import split_last_key
from inventory_assets.scan.validation.page_validation import (
    MisplacedPage,
    PageContext,
    ValidPage,
    check_empty_pages,
    decoded_pages,
    next_position,
    validate_page,
)
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets.scan.validation.seams import Beyond

MISPLACED_PAGES = 3
"""Maximum consecutive retries of a page that may be the response to another request: a proxy
confuses responses now and then, but a store that lists in another order does so every time."""

Run = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine to its end; the workers continue meanwhile."""


class Reader:
    """Reads the pages of all ranges, in the order in which they were received.

    It writes `read`, `first_key`, `last_key`, `rows` and `beyond` of `RangeTask`.

    Args:
        lister: The bucket.
        scheduler: Restarts ranges.
        fetcher: Reuses the memory of pages; is told whether the store lists StartAfter itself.
        run: Runs a coroutine that sends requests.
    """

    def __init__(
        self, lister: PageSource, scheduler: Scheduler, fetcher: Fetcher, run: Run
    ) -> None:
        self._lister = lister
        self._display_name = lister.bucket_config.display_name
        self._scheduler = scheduler
        self._fetcher = fetcher
        self._run = run
        self._seams = SeamKeeper(scheduler, self._display_name)
        self._decode_buffers = DecodeBuffers()
        self._misread: NamesMisread | None = None
        """The error once a name was decoded wrongly; it applies to all jobs."""
        self._jobs_with_keys: set[ListingJob] = set()

    def read(self, items: Sequence[QueueItem]) -> Iterator[Event]:
        """Decode and validate a batch, and yield its events.

        Raises:
            Cancelled: The lister was cancelled.
        """
        bodies = [item.raw_page.body for item in items if isinstance(item, PageReceived)]
        decoded = decoded_pages(bodies, self._decode_buffers, self._lister.profile.encoding)
        if all(isinstance(page, Page) for page in decoded):
            # The error of a damaged page may still refer to its body.
            self._fetcher.recycle(bodies)
        pages = iter(decoded)
        for item in items:
            if isinstance(item, RangeSplitOff):
                if not item.task.job.state.failed:
                    yield _split_event(item)
                continue
            if isinstance(item, RangeCutShort):
                if not item.job.state.failed:
                    yield item
                continue
            page = next(pages) if isinstance(item, PageReceived) else None
            if item.attempt == item.task.attempt:
                yield from self._guarded(item.task.job, item, page)

    def _guarded(
        self,
        job: ListingJob,
        item: PageReceived | FetchStopped | SeamProbed,
        page: Page | MalformedResponse | None,
    ) -> Iterator[Event]:
        """Yield the events of an item, until its job fails or is abandoned."""
        if not job.state.failed:
            try:
                for event in self._events(item, page):
                    yield event
                    if job.state.failed:  # the caller has abandoned it
                        break
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001 - reported to the caller
                job.state.failed = True
                yield JobFailed(job, error)
        if job.state.failed:
            self._scheduler.drop_job(job)

    def _events(
        self,
        item: PageReceived | FetchStopped | SeamProbed,
        page: Page | MalformedResponse | None,
    ) -> Iterable[Event]:
        if isinstance(item, SeamProbed):
            return self._counted(self._seams.on_probed(item.task, item.right, item.shown))
        if isinstance(item, FetchStopped):
            raise item.error or RuntimeError("a range was not listed to its end")
        if page is None:
            raise RuntimeError("a page was received but not decoded")
        return self._read_page(item, page)

    def _read_page(self, item: PageReceived, page: Page | MalformedResponse) -> Iterable[Event]:
        if self._misread:
            raise self._misread
        task, read = item.task, item.task.read
        context = PageContext(
            item.request,
            item.raw_page,
            task.key_range,
            read.after,
            read.page_starts,
            read.open_key,
        )
        try:
            valid = validate_page(page, context, self._lister.profile, self._display_name)
        except MalformedResponse as error:
            self._retry_damaged(task, error)
            return ()
        except MisplacedPage as misplaced:
            self._note_resume_token(item)
            self._retry_misplaced(task, misplaced)
            return ()
        if valid.repeats_start and not self._fetcher.repeats_start:
            # A page with only that key may have been mistaken for the end.
            self._fetcher.learn_repeated_start()
            self._seams.distrust_end(task)
        self._note_resume_token(item)
        if valid.page.ambiguous:
            self._check_names(task, valid.page)
        if valid.page.unreadable and not self._set_aside(task, valid.page):
            self._scheduler.retry(task)
            return ()
        return self._accept(item, valid)

    def _accept(self, item: PageReceived, valid: ValidPage) -> Iterator[Event]:
        """Yield the events of a valid page."""
        task, page = item.task, valid.page
        read = task.read
        read.evidence.page()
        if page.objects.num_rows:
            read.page_starts.append(
                valid.first_key or ""
                if valid.objects is page.objects and read.open_key is None
                else page.objects.column("key")[0].as_py()
            )
        ending, before = _ending_with_key(item, valid), read.after
        had_keys = task.first_key is not None
        found = self._found(item, valid, ending)
        self._note_resume_token(item, has_first_version=read.after > before)
        if ending or read.after > before:  # else a restart requests this page again
            read.corrupt_pages = 0
        if found.num_rows:
            read.evidence.rows(found.column("key"))
            yield ObjectsListed(task.job, task.index, found)
        if ending or (task.first_key is not None and not had_keys):
            yield from self._counted(self._seams.update(task))
        is_repeated = not ending and page.last_key is not None and page.last_key <= before
        has_records = bool(page.objects.num_rows or page.unreadable) and not is_repeated
        read.empty_pages = 0 if has_records or ending else read.empty_pages + 1
        check_empty_pages(read.empty_pages, self._display_name)
        if item.ending and not ending:
            read.resume_token, after = next_position(
                item.request, item.raw_page, self._lister.profile, self._display_name
            )
            # The record may be one of several versions of its key.
            last_key = read.after if task.job.versions else page.last_key
            self._seams.list_again(task, last_key or after)

    def _found(self, item: PageReceived, valid: ValidPage, ending: Ending | None) -> pa.RecordBatch:
        """Return the objects of a page that lie in its range, and note what lies beyond."""
        task = item.task
        job, read, key_range = task.job, task.read, task.key_range
        objects, first, last = valid.objects, valid.first_key, valid.last_key
        keys = objects.column("key")
        if job.versions:
            # An event has all versions of a key, so its receivers can ignore page boundaries. If a
            # record beyond the range cannot be read, the keys before it are complete all the same.
            objects, read.open_key = split_last_key(
                read.open_key, objects, has_more=not item.ending
            )
            keys = objects.column("key")
            first, last = (keys[0].as_py(), keys[-1].as_py()) if len(keys) else (None, None)
        read.after = read.after if last is None else last
        before, inside = 0, len(keys)
        if first is not None and last is not None:
            # A shortened StartAfter may let keys of the range on the left through.
            before = count_up_to(keys, key_range.after) if first <= key_range.after else 0
            inside = count_up_to(keys, key_range.until) if last > key_range.until else inside
        if ending:
            read.ending = ending
            task.beyond = Beyond(keys[inside].as_py() if inside < len(keys) else None)
        if inside <= before:
            return objects.slice(0, 0)
        self._jobs_with_keys.add(job)
        task.first_key = task.first_key or (keys[before].as_py() if before else first)
        task.last_key = last if inside == len(keys) else keys[inside - 1].as_py()
        task.rows += inside - before
        if inside - before < len(keys):
            objects = objects.slice(before, inside - before)
        return job.versions.as_of_view(objects) if job.versions else objects

    def _counted(self, events: Iterator[SeamEvent]) -> Iterator[Event]:
        """Forward events, and count the completed ranges."""
        for event in events:
            if isinstance(event, RangeCompleted):
                job = event.job
                is_last = self._scheduler.complete_range(job)
                if is_last and job.versions and job not in self._jobs_with_keys:
                    self._run(require_versions(self._lister, job.prefix, job.stats))
            yield event

    def _check_names(self, task: RangeTask, page: Page) -> None:
        """Verify the decoding of names.

        Raises:
            NamesMisread: The store encodes keys differently from its profile.
        """
        try:
            self._run(check_names(self._lister, page, task.job.stats))
        except NamesMisread as error:
            self._misread = error
            raise

    @staticmethod
    def _set_aside(task: RangeTask, page: Page) -> bool:
        """Record the unreadable records of a page; return False to request the page again.

        A new kind of unreadable record may be damage, so it must occur in the repeated page, too.
        Records beyond the range count too (each once in a job), as no seam compares them.
        """
        stats, read = task.job.stats, task.read
        inside = [
            each
            for each in page.unreadable
            if not each.sort_key
            or each.sort_key in task.key_range
            or any(each.sort_key in key_range for key_range in task.job.ranges)
        ]
        texts = {each.text for each in inside}
        if not stats.unreadable.knows_kinds_of(inside) and not texts <= read.unreadable_keys:
            read.unreadable_keys |= texts
            read.open_key = None
            return False
        stats.set_aside(inside)
        return True

    def _note_resume_token(self, item: PageReceived, *, has_first_version: bool = False) -> None:
        """Restart with the token of this page if the store ignores StartAfter, else without."""
        read = item.task.read
        if self._lister.profile.start_after is not StartAfter.IGNORED:
            read.resume_token = None
        elif has_first_version or read.open_key is None:  # else the page before is needed
            read.resume_token = item.request.token

    def _retry_damaged(self, task: RangeTask, error: MalformedResponse) -> None:
        """Restart a range after its last valid page.

        Raises:
            RetriesExhausted: `RetryPolicy.malformed_attempts` consecutive pages were damaged.
        """
        count = self._count_corrupt_page(task)
        if count >= self._lister.retry.malformed_attempts:
            raise retries_exhausted(
                error, TransientError.MALFORMED, count, self._lister.bucket_config
            )
        self._restart(task)

    def _retry_misplaced(self, task: RangeTask, misplaced: MisplacedPage) -> None:
        """Restart a range after its last valid page, over new connections.

        Raises:
            ScanError: `MISPLACED_PAGES` consecutive pages were retried.
        """
        if task.read.corrupt_pages >= MISPLACED_PAGES:
            raise misplaced.error from None
        # If responses on a connection are one request late, the next one is misplaced, too.
        self._lister.reconnect()
        self._count_corrupt_page(task)
        self._restart(task)

    @staticmethod
    def _count_corrupt_page(task: RangeTask) -> int:
        task.job.stats.failed(TransientError.MALFORMED)
        task.read.corrupt_pages += 1
        return task.read.corrupt_pages

    def _restart(self, task: RangeTask) -> None:
        task.read.open_key = None
        self._scheduler.retry(task)


def _ending_with_key(item: PageReceived, valid: ValidPage) -> Ending | None:
    """How a range ends with a page; None if the page has no readable key beyond the range.

    A seam is settled by a key that can be read, so a range whose page has only unreadable records
    beyond it ends with a later page, or with the last one.
    """
    until = item.task.key_range.until
    if item.ending is not Ending.BOUND_REACHED or (valid.last_key and valid.last_key > until):
        return item.ending
    return None if valid.page.is_truncated else Ending.LISTED_TO_END


def _split_event(item: RangeSplitOff) -> RangeSplit:
    # The lower bound is the boundary of the split; only the upper one may have changed since.
    task, upper = item.task, item.upper
    return RangeSplit(task.job, task.index, upper.index, upper.key_range.after)
