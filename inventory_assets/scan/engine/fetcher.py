"""Request the pages of one range, one after the other."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from inventory_assets.s3.decoding.page import MAX_KEYS
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.decoding.xml_tree import Body
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.store_profile import StartAfter
from inventory_assets.scan.engine.page_queue import PageReceived, SeamProbed
from inventory_assets.scan.engine.range_latencies import RangeTimes
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.first_page import first_page
from inventory_assets.scan.keyspace.key_range import LEAST_CHARACTER, MAX_KEY_BYTES
from inventory_assets.scan.keyspace.sorted_keys import count_up_to
from inventory_assets.scan.validation.order_proof import OrderProof
from inventory_assets.scan.validation.page_validation import next_position
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets.scan.validation.seams import Beyond, ListedRange

GAP_PROBE_KEYS = 10
"""Maximum keys of the first page of a gap between shards: most gaps are empty, and one key beyond a
gap proves that."""


class Fetcher:
    """Requests pages without decoding them: a byte search finds what the next request needs.

    It writes `RangeTask.fetch`.

    Args:
        lister: The bucket.

    Attributes:
        repeats_start: Whether the store lists the key of StartAfter again.
    """

    def __init__(self, lister: PageSource) -> None:
        self.repeats_start = lister.profile.start_after is StartAfter.INCLUSIVE
        self._lister = lister
        self._display_name = lister.bucket_config.display_name
        self._order = OrderProof(lister)
        self._buffers: list[bytearray] = []
        """Memory for pages, for reuse."""

    def learn_repeated_start(self) -> None:
        """Record that the store lists the key of StartAfter again."""
        self.repeats_start = True

    def recycle(self, bodies: Iterable[Body]) -> None:
        """Reuse the memory of pages to which nothing refers any more."""
        self._buffers += [body for body in bodies if isinstance(body, bytearray)]

    async def pages(self, task: RangeTask) -> AsyncIterator[PageReceived]:
        """Request the pages of a range, from the last key read.

        Ends early if the job fails or the range is restarted.

        Raises:
            KeysOutOfOrder: The store does not list in byte order.
            ListingStuck: The store repeats a token, or sends neither a token nor a key.
            S3Error: A request failed permanently.
        """
        job, attempt = task.job, task.attempt
        token, after = task.read.resume_token, self._first_start_after(task)
        clock = asyncio.get_running_loop().time
        while not (job.state.failed or task.attempt != attempt):
            request = PageRequest(
                job.prefix,
                start_after=after or "",
                token=token,
                max_keys=GAP_PROBE_KEYS if task.is_gap and token is None else MAX_KEYS,
                versions=job.versions is not None,
            )
            asked_at = clock()
            raw_page = await self._lister.fetch_raw_page(request, job.stats, self._buffer())
            task.fetch.times.add(clock() - asked_at)
            if _needs_order(task, request) and raw_page.last_key is not None:
                await self._order.prove(job.prefix, request.start_after, job.stats)
            ending = _advance(task, raw_page) if task.attempt == attempt else None
            if ending:
                _end_times(task)
            yield PageReceived(task, attempt, raw_page, request, ending)
            if ending:
                return
            token, after = next_position(
                request, raw_page, self._lister.profile, self._display_name
            )

    async def probe(self, left: RangeTask, right: ListedRange) -> SeamProbed:
        """Request the current first key of the range on the right of a seam.

        Raises:
            S3Error: A request failed permanently.
        """
        job, attempt, after = left.job, left.attempt, right.key_range.after
        request = PageRequest(
            job.prefix,
            start_after=right.key_range.start_after if after >= job.prefix else "",
            versions=job.versions is not None,
        )
        page = await first_page(self._lister, request, job.stats)
        keys = page.objects.column("key")
        following = count_up_to(keys, after)
        shown = Beyond(keys[following].as_py() if following < len(keys) else None)
        return SeamProbed(left, attempt, right, shown)

    def _first_start_after(self, task: RangeTask) -> str:
        """The StartAfter of the first request.

        A page with only the repeated key of StartAfter does not confirm an end. To confirm one on
        such a store, the request starts after the next possible key.
        """
        after = task.read.after
        confirms_end = bool(task.rows) and task.seam.asked_rows == task.rows
        if self.repeats_start and confirms_end and not task.job.versions:
            behind = after + LEAST_CHARACTER
            return behind if len(behind.encode()) <= MAX_KEY_BYTES else after
        return after

    def _buffer(self) -> bytearray:
        return self._buffers.pop() if self._buffers else bytearray()


def _needs_order(task: RangeTask, request: PageRequest) -> bool:
    """Whether it depends on the store's order that no key is lost before the page.

    At the start of a shard, discovery has checked that.
    """
    is_start = request.start_after == task.start_after and not task.has_arbitrary_start
    return not request.token and bool(request.start_after) and not is_start


def _end_times(task: RangeTask) -> None:
    """Count how long the pages of a range took that ends."""
    job, fetch = task.job, task.fetch
    # The lower bound of a job's first range lies before its prefix.
    job.latencies.add(fetch.times, max(task.key_range.after, job.prefix), fetch.cursor)
    fetch.times = RangeTimes()


def _advance(task: RangeTask, raw_page: RawPage) -> Ending | None:
    """Advance the cursor of a range; return how the range ends with this page, or None."""
    last_key = raw_page.last_key
    if last_key is not None:
        # A damaged page must not move it back: keys that were listed are never split off.
        task.fetch.advance(max(task.fetch.cursor, last_key))
        if last_key > task.key_range.until:
            return Ending.BOUND_REACHED
    return None if raw_page.is_truncated else Ending.LISTED_TO_END
