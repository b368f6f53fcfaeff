"""Walk many ranges at once: receivers that only receive, and one reader that decodes and checks.

A receiver is a thread that follows one range from page to page and hands every page over as it
came; what it needs for the next request it finds without decoding. The reader, whoever iterates,
decodes some pages a call, checks every assumption, and tells what was found. Between them stands a
short queue, so memory is bounded by the pages in it and one page a receiver, however fast the
store or slow the disk: who receives faster than is read, waits.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from inventory_assets.s3 import BucketLister, Cancelled, Fault, Page, PageRequest, Received, Tally
from inventory_assets.s3.columns import decode_pages
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.listing import exhausted
from inventory_assets.s3.pages import MAX_KEYS
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.evidence import (
    Ending,
    EvidenceLog,
    RangeEvidence,
    count_up_to,
    keys_ascend,
)
from inventory_assets.scan.ranges import KeyRange, ceiling

PAGES_A_CALL = 16
"""Pages decoded in one call; more save little (docs/benchmarks.md)."""

QUEUED_PAGES = 2 * PAGES_A_CALL
"""Pages that wait for the reader at most."""

LINGER_SECONDS = 0.02
"""How long the reader waits for more pages to decode with those at hand."""

GAP_PROBE_KEYS = 10
"""Keys asked for first where a range ends within the prefix.

Most gaps between shards are empty, and one key beyond the gap is proof enough."""

MAX_EMPTY_PAGES = 1000
"""Empty pages in a row that are taken for deleted keys still being skipped, and no loop."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class Walk:
    """Ranges that are listed on one account: they fail together.

    Attributes:
        prefix: What all keys of the ranges start with.
        ranges: Disjoint and in key order.
        tally: Where requests and faults are counted.
        began_at: When its first request was about to be sent.
        over: Whether it has failed or was given up; nothing more is told of it.
    """

    prefix: str
    ranges: Sequence[KeyRange]
    tally: Tally = field(default_factory=Tally)
    began_at: datetime | None = None
    over: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Objects of the range at `index` of a walk, after all found in it before.

    Attributes:
        objects: A batch with `OBJECT_SCHEMA`, not empty.
    """

    walk: Walk
    index: int
    objects: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Ended:
    """The range at `index` of a walk is listed whole."""

    walk: Walk
    index: int
    evidence: RangeEvidence


@dataclass(frozen=True, slots=True)
class Failed:
    """A walk cannot go on; the other walks do."""

    walk: Walk
    error: Exception


class _Piece:
    """A range being listed. The receiver that holds it asks, the reader reads.

    Attributes:
        after: Up to where the reader has read; listing starts over from here after a damaged page.
        generation: How often it has been started over; pages of earlier generations are void.
        damaged: Damaged pages in a row.
    """

    def __init__(self, walk: Walk, index: int) -> None:
        self.walk = walk
        self.index = index
        self.key_range = walk.ranges[index]
        # Before the prefix there is nothing to start after.
        begins_inside = self.key_range.after >= walk.prefix
        self.after = self.key_range.start_after if begins_inside else ""
        self.generation = 0
        self.damaged = 0
        self.empty_pages = 0
        self.evidence = EvidenceLog([self.key_range])


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What a receiver hands over: a page, or why there is none.

    Attributes:
        ending: How the range ends with this page, or None where it goes on.
        error: What ended the range.
    """

    piece: _Piece
    generation: int
    received: Received | None = None
    ending: Ending | None = None
    error: BaseException | None = None

    @property
    def is_last(self) -> bool:
        """Whether the receiver has let go of the range; without a page or error, as told to."""
        return self.received is None or self.ending is not None


class Scan:
    """The objects of some walks, in no order among ranges, in key order within each.

    Iterated once, by one thread; no thread outlives the iteration. One that is left early, by an
    error or otherwise, cancels the lister.

    Args:
        lister: The bucket.
        walks: Begun in this order, as many ranges at a time as requests may be in flight.
        now: The clock.
    """

    def __init__(
        self,
        lister: BucketLister,
        walks: Sequence[Walk],
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._lister = lister
        self._now = now
        self._waiting = deque(
            _Piece(walk, index) for walk in walks for index in range(len(walk.ranges))
        )
        self._unfinished = len(self._waiting)
        self._queue: deque[_Delivery] = deque()
        self._closed = False
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        """Tells receivers of a range to list, or that there will be none."""
        self._room = threading.Condition(lock)
        """Tells receivers of room in the queue."""
        self._arrived = threading.Condition(lock)
        """Tells the reader of a delivery."""

    def __iter__(self) -> Iterator[Found | Ended | Failed]:
        """Tell what is found, as it is found.

        A walk ends with a `Failed`, or with an `Ended` for each of its ranges. Errors told by
        `Failed`: `KeysOutOfOrder` (a page does not ascend, or goes back behind the page before
        it), `KeyOutsideRequest`, `ListingStuck` (a token is repeated, or empty pages do not end),
        `S3Error`.

        Raises:
            Cancelled: `lister.cancel` was called.
        """
        count = min(self._lister.connection.max_in_flight, self._unfinished)
        receivers = [
            threading.Thread(target=self._receive, name=f"receive-{number}", daemon=True)
            for number in range(count)
        ]
        try:
            for receiver in receivers:
                receiver.start()
            while self._unfinished:
                yield from self._read(self._take())
        except BaseException:
            self._lister.cancel()
            raise
        finally:
            with self._work:
                self._closed = True
                self._work.notify_all()
                self._room.notify_all()
            for receiver in receivers:
                if receiver.ident is not None:  # an interruption may come while they are started
                    receiver.join()

    # The receivers' side.

    def _receive(self) -> None:
        while (piece := self._next_piece()) is not None:
            generation = piece.generation
            ending: Ending | None = None
            try:
                for received, ending in self._pages(piece, generation):
                    self._put(_Delivery(piece, generation, received, ending))
            except BaseException as error:  # noqa: BLE001 - the reader raises or tells it
                self._put(_Delivery(piece, generation, error=error))
            else:
                if ending is None:
                    self._put(_Delivery(piece, generation))

    def _next_piece(self) -> _Piece | None:
        with self._work:
            while not self._closed and self._unfinished:
                if self._waiting:
                    piece = self._waiting.popleft()
                    piece.walk.began_at = piece.walk.began_at or self._now()
                    return piece
                self._work.wait()  # a range may yet have to be started over
            return None

    def _pages(self, piece: _Piece, generation: int) -> Iterator[tuple[Received, Ending | None]]:
        walk, until = piece.walk, piece.key_range.until
        token: str | None = None
        while not (self._closed or walk.over or piece.generation != generation):
            is_probe = token is None and until != ceiling(walk.prefix)
            request = PageRequest(
                walk.prefix,
                start_after=piece.after if token is None else "",
                token=token,
                max_keys=GAP_PROBE_KEYS if is_probe else MAX_KEYS,
            )
            received = self._lister.receive(request, walk.tally)
            if received.last_key is not None and received.last_key > until:
                yield received, Ending.BOUND_REACHED
                return
            if not received.is_truncated:
                yield received, Ending.LISTED_TO_END
                return
            yield received, None
            if received.next_token == token:
                raise ListingStuck(self._say(f"repeats the continuation token {token!r}"))
            token = received.next_token

    def _put(self, delivery: _Delivery) -> None:
        with self._room:
            while len(self._queue) >= QUEUED_PAGES and not self._closed:
                self._room.wait()
            self._queue.append(delivery)
            self._arrived.notify()

    # The reader's side.

    def _take(self) -> list[_Delivery]:
        with self._arrived:
            while not self._queue:
                self._arrived.wait()
            if len(self._queue) < PAGES_A_CALL and not self._queue[-1].is_last:
                # Pages decoded together cost less, and nobody waits for these.
                self._arrived.wait_for(lambda: len(self._queue) >= PAGES_A_CALL, LINGER_SECONDS)
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), PAGES_A_CALL))]
            self._room.notify(len(taken))
            return taken

    def _read(self, deliveries: Sequence[_Delivery]) -> Iterator[Found | Ended | Failed]:
        bodies = [delivery.received.body for delivery in deliveries if delivery.received]
        pages = iter(_decoded(bodies))
        for delivery in deliveries:
            page = next(pages) if delivery.received else None
            piece, walk = delivery.piece, delivery.piece.walk
            if delivery.generation != piece.generation:
                continue
            if not walk.over:
                try:
                    yield from self._page(delivery, page)
                except Cancelled:
                    raise
                except Exception as error:  # noqa: BLE001 - the caller is told, whatever it is
                    walk.over = True
                    yield Failed(walk, error)
            if delivery.is_last and delivery.generation == piece.generation:
                with self._work:
                    self._unfinished -= 1
                    if not self._unfinished:
                        self._work.notify_all()

    def _page(
        self, delivery: _Delivery, page: Page | MalformedResponse | None
    ) -> Iterator[Found | Ended]:
        piece = delivery.piece
        if delivery.error is not None:
            raise delivery.error
        if page is None or delivery.received is None:
            raise RuntimeError("a range was let go of that nobody gave up")
        if isinstance(page, MalformedResponse):
            self._start_over(piece, page)
            return
        if not _agree(page, delivery.received):
            self._start_over(piece, MalformedResponse("the ends of the response contradict it"))
            return
        piece.damaged = 0
        piece.evidence.page()
        self._check_keys(piece, page)
        keys = page.objects.column("key")
        inside = count_up_to(keys, piece.key_range.until)
        # A shortened StartAfter may let keys of the range on the left through.
        before = count_up_to(keys, piece.key_range.after)
        piece.after = keys[-1].as_py() if len(keys) else piece.after
        if inside > before:
            objects = page.objects.slice(before, inside - before)
            piece.evidence.rows(objects.column("key"))
            yield Found(piece.walk, piece.index, objects)
        if delivery.ending:
            piece.evidence.close(delivery.ending)
            yield Ended(piece.walk, piece.index, piece.evidence.closed[0])
        piece.empty_pages = 0 if len(keys) else piece.empty_pages + 1
        if piece.empty_pages > MAX_EMPTY_PAGES:
            raise ListingStuck(self._say(f"sent {piece.empty_pages} empty pages in a row"))

    def _start_over(self, piece: _Piece, error: MalformedResponse) -> None:
        """List a range again from after the last page that was good."""
        piece.walk.tally.failed(Fault.MALFORMED)
        piece.damaged += 1
        if piece.damaged >= self._lister.retry.attempts:
            raise exhausted(error, Fault.MALFORMED, piece.damaged, self._lister.connection)
        with self._work:
            piece.generation += 1
            self._waiting.appendleft(piece)
            self._work.notify()

    def _check_keys(self, piece: _Piece, page: Page) -> None:
        keys = page.objects.column("key")
        if not len(keys):
            return
        prefix = piece.walk.prefix
        first, last = keys[0].as_py(), keys[-1].as_py()
        if not keys_ascend(keys):
            raise KeysOutOfOrder(
                self._say(f"lists keys between {first!r} and {last!r} out of byte order")
            )
        if first <= piece.after:
            raise KeysOutOfOrder(self._say(f"lists {first!r} after {piece.after!r}"))
        if first < prefix or last > ceiling(prefix):
            raise KeyOutsideRequest(
                self._say(f"lists {first!r} to {last!r} when asked for prefix {prefix!r}")
            )

    def _say(self, what: str) -> str:
        return f"{self._lister.connection.where}: the store {what}"


def _decoded(bodies: Sequence[bytes]) -> list[Page | MalformedResponse]:
    """The pages, and errors in the place of those that are damaged."""
    try:
        found = decode_pages(bodies)
    except MalformedResponse as error:
        if len(bodies) == 1:
            return [error]
        return [page for body in bodies for page in _decoded([body])]
    return [
        page if isinstance(page, Page) else MalformedResponse(f"expected a page, found {page.code}")
        for page in found
    ]


def _agree(page: Page, received: Received) -> bool:
    """Whether the page is what its receiver took it for."""
    keys = page.objects.column("key")
    return (
        page.is_truncated == received.is_truncated
        and page.next_token == received.next_token
        and (keys[-1].as_py() if len(keys) else None) == received.last_key
    )
