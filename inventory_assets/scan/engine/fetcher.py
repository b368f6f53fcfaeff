"""Request the pages of one range, one after the other."""

from collections.abc import AsyncIterator, Iterable

from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.decoding.xml_decoder import MAX_KEYS
from inventory_assets.s3.decoding.xml_tree import Body
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.store_profile import StartAfter
from inventory_assets.scan.engine.page_queue import PageReceived, SeamProbed
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.keyspace.key_range import LEAST_CHARACTER, MAX_KEY_BYTES
from inventory_assets.scan.keyspace.sorted_keys import count_up_to
from inventory_assets.scan.store_probe import first_page
from inventory_assets.scan.validation.order_proof import OrderProof
from inventory_assets.scan.validation.page_validation import next_place
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets.scan.validation.seams import Beyond, ListedRange

GAP_PROBE_KEYS = 10
"""Keys asked for first where a range ends within the prefix.

Most gaps between shards are empty, and one key beyond the gap proves that."""


class Fetcher:
    """Requests pages, without decoding them: what the next request needs is found by byte search.

    It writes `RangeTask.fetch` of the range whose pages it requests.

    Args:
        lister: The bucket.

    Attributes:
        repeats_start: Whether the store was seen to list the key that a request begins after.
    """

    def __init__(self, lister: PageSource) -> None:
        self.repeats_start = lister.profile.start_after is StartAfter.INCLUSIVE
        self._lister = lister
        self._display_name = lister.connection.display_name
        self._order = OrderProof(lister)
        self._buffers: list[bytearray] = []
        """Memory for pages, to be used again."""

    def learn_repeated_start(self) -> None:
        """The store was seen to list the key that a request begins after."""
        self.repeats_start = True

    def recycle(self, bodies: Iterable[Body]) -> None:
        """Use the memory of pages again that nothing refers to any more."""
        self._buffers += [body for body in bodies if isinstance(body, bytearray)]

    async def pages(self, task: RangeTask) -> AsyncIterator[PageReceived]:
        """Request a range from where it was read to, page by page.

        It ends early where the job fails or the range is started over.

        Raises:
            KeysOutOfOrder: The store does not list in byte order.
            ListingStuck: The store repeats a token, or names no place to go on from.
            S3Error: A request failed for good.
        """
        job, attempt = task.job, task.attempt
        token, after = task.read.resume_token, self._first_start_after(task)
        while not (job.state.failed or task.attempt != attempt):
            request = PageRequest(
                job.prefix,
                start_after=after or "",
                token=token,
                max_keys=GAP_PROBE_KEYS if task.is_gap and token is None else MAX_KEYS,
                versions=job.versions is not None,
            )
            raw_page = await self._lister.fetch_raw_page(request, job.stats, self._buffer())
            if _needs_order(task, request) and raw_page.last_key is not None:
                await self._order.prove(job.prefix, request.start_after, job.stats)
            ending = _advance(task, raw_page) if task.attempt == attempt else None
            yield PageReceived(task, attempt, raw_page, request, ending)
            if ending:
                return
            token, after = next_place(request, raw_page, self._lister.profile, self._display_name)

    async def probe(self, left: RangeTask, right: ListedRange) -> SeamProbed:
        """Ask what the range on the right of a seam begins with now.

        Raises:
            S3Error: A request failed for good.
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

        A store that repeats the key of StartAfter, and shows nothing else, confirms no end; so
        where an end is to be confirmed, the request begins right behind that key.
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
    """Whether only the store's order tells that no key is lost before the page.

    Where a shard begins, discovery has checked that.
    """
    is_start = request.start_after == task.start_after and not task.has_arbitrary_start
    return not request.token and bool(request.start_after) and not is_start


def _advance(task: RangeTask, raw_page: RawPage) -> Ending | None:
    """Move the cursor of a range; return how the range ends with the page, or None."""
    last_key = raw_page.last_key
    if last_key is not None:
        # A damaged page must not move it back: what was listed already is never split off.
        task.fetch.advance(max(task.fetch.cursor, last_key))
        if last_key > task.key_range.until:
            return Ending.BOUND_REACHED
    return None if raw_page.is_truncated else Ending.LISTED_TO_END
