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
from inventory_assets.s3.decoding.page_peek import Received
from inventory_assets.s3.decoding.tag_scanner import Scratch
from inventory_assets.s3.decoding.xml_decoder import MAX_KEYS, Page
from inventory_assets.s3.errors import Fault, MalformedResponse
from inventory_assets.s3.list_client import BucketLister, exhausted
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import StartAfter
from inventory_assets.scan.engine.events import Ended, Event, Failed, Found, Split, Walk
from inventory_assets.scan.engine.page_queue import Deliveries, Delivery
from inventory_assets.scan.engine.range_task import (
    PAGES_BEFORE_SPLIT,
    PAGES_WORTH_A_SPLIT,
    Piece,
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
from inventory_assets.scan.validation.object_versions import whole_keys
from inventory_assets.scan.validation.order_proof import OrderProof
from inventory_assets.scan.validation.page_validation import (
    MAX_EMPTY_PAGES,
    agree,
    belongs_elsewhere,
    check_keys,
    decoded_pages,
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


class Scan:
    """The objects of some walks, in no order among ranges, in key order within each.

    Iterated once, by one thread; no thread outlives the iteration. One that is left early, by an
    error or otherwise, cancels the lister.

    Args:
        lister: The bucket.
        walks: Begun in this order, as many ranges at a time as requests may be in flight just then.
        now: The clock.
    """

    def __init__(
        self,
        lister: BucketLister,
        walks: Sequence[Walk],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._lister = lister
        self._where = lister.connection.where
        self._now = now
        self._waiting = deque(
            Piece(walk, index, key_range)
            for walk in walks
            for index, key_range in enumerate(walk.ranges)
        )
        self._unsettled = {walk: len(walk.ranges) for walk in walks if walk.ranges}
        """By walk, ranges that are not told as ended."""
        self._ranges = Counter({walk: len(walk.ranges) for walk in walks})
        self._seams = SeamKeeper(self, self._where)
        neighbours: dict[Walk, list[ListedRange]] = {
            walk: [KnownRange(evidence) for evidence in walk.known] for walk in walks
        }
        for piece in self._waiting:
            # Where another run has stopped, nothing is known of either.
            is_edge = ceiling_of(piece.key_range.after) is not None or not piece.start_after
            piece.is_made_up = bool(piece.walk.known) or not is_edge
            neighbours[piece.walk].append(piece)
        for ranges in neighbours.values():
            link(sorted(ranges, key=lambda each: each.key_range))
        self._at_work: set[Piece] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._promised = 0
        """Ranges that splits under way were asked for."""
        self._splitter = Splitter(lister)
        self._order = OrderProof(lister)
        self._is_inclusive = lister.profile.start_after is StartAfter.INCLUSIVE
        """Whether the store was seen to list the key that was asked after."""
        self._probes: deque[tuple[Piece, ListedRange]] = deque()
        """Seams to be probed: a range, and the one on its right."""
        self._scratch = Scratch()
        self._buffers: list[bytearray] = []
        self._deliveries = Deliveries()
        self._misread: NamesMisread | None = None
        self._met: set[Walk] = set()
        """Walks in which anything was found."""
        self._closed = False
        if lister.profile.start_after is not StartAfter.IGNORED:
            for piece in [*self._waiting]:
                cuts = [cut for cut in piece.walk.cuts if cut in piece.key_range]
                self._waiting.extend(reversed(self._cut(piece, cuts)))

    def __iter__(self) -> Iterator[Event]:
        """Tell what is found, as it is found.

        A walk ends with a `Failed`, or with an `Ended` for each of its ranges, those split off
        included. `Failed` tells of `KeysOutOfOrder` (a page does not ascend, or goes back behind
        the page before it), `SeamDisagrees` (ranges contradict each other where they meet),
        `KeyOutsideRequest`, `ListingStuck` (a token is repeated, or empty pages do not end) and
        `S3Error`.

        Raises:
            Cancelled: `lister.cancel` was called.
        """
        with asyncio.Runner() as runner:
            # Not by the runner's own `run`, which sets and resets signal handlers for every batch.
            self._run = runner.get_loop().run_until_complete
            try:
                while self._unsettled:
                    yield from self._read(self._run(self._take()))
            except BaseException:
                self._lister.cancel()
                raise
            finally:
                self._closed = True  # the runner cancels the tasks that are left

    # The receivers' side.

    @property
    def _allowed(self) -> int:
        """How many ranges may be listed at once: as many as requests may be in flight now.

        More would wait for each other, and each has a file open and rows in memory.
        """
        return self._lister.in_flight[1]

    def _employ(self) -> None:
        """Begin what can be begun, while fewer are at work than may be."""
        while not self._closed and (free := self._allowed - len(self._tasks)) > 0:
            work: Coroutine[None, None, None]
            if self._probes:
                work = self._probe(*self._probes.popleft())
            elif self._waiting:
                piece = self._waiting.popleft()
                piece.walk.began_at = piece.walk.began_at or self._now()
                work = self._receive(piece)
            elif victims := self._victims(free - self._promised):
                victim = victims[0]
                victim.goes_on = False  # nobody else splits it meanwhile
                wanted = -(-(free - self._promised) // len(victims))
                worth = self._splitter.pages_left(victim) / PAGES_WORTH_A_SPLIT - 1
                wanted = max(1, int(min(wanted, worth)))
                self._promised += wanted
                work = self._split(victim, wanted)
            else:
                return
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._employ()

    async def _receive(self, piece: Piece) -> None:
        generation = piece.generation
        ending: Ending | None = None
        try:
            async for received, ending, request in self._pages(piece, generation):
                await self._deliveries.put(
                    Delivery(piece, generation, received, ending=ending, request=request)
                )
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the reader raises or tells it
            await self._deliveries.put(Delivery(piece, generation, error=error))
        else:
            if ending is None:
                await self._deliveries.put(Delivery(piece, generation))
        if piece.generation == generation:
            self._at_work.discard(piece)

    def _victims(self, count: int) -> list[Piece]:
        """Up to `count` ranges that are worth splitting, those with most left first."""
        if count <= 0 or self._lister.profile.start_after is StartAfter.IGNORED:
            return []
        # No estimate is good enough to leave nearly all idle.
        few = len(self._tasks) * IDLE_BY_ONE <= self._allowed
        left = {
            piece: self._splitter.pages_left(piece)
            for piece in self._at_work
            if piece.pages >= (PAGES_BEFORE_SPLIT if few else piece.patience)
            and piece.goes_on
            and not piece.walk.over
        }
        worthwhile = [piece for piece in left if few or left[piece] >= PAGES_WORTH_A_SPLIT]
        return sorted(worthwhile, key=left.__getitem__, reverse=True)[:count]

    async def _split(self, victim: Piece, wanted: int) -> None:
        """Take away up to `wanted` upper parts of a range, and leave them to whoever is free."""
        try:
            places = await self._splitter.places(victim, wanted)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the range itself will meet it
            places = []
        self._promised -= wanted
        victim.pages = 0
        if victim not in self._at_work:
            return
        victim.goes_on = True
        until = victim.key_range.until
        places = [place for place in places if victim.cursor < place < until]
        if places:
            self._waiting.extendleft(self._cut(victim, places, is_trial=True))
        else:
            victim.vain += 1

    def _cut(self, victim: Piece, places: Sequence[str], *, is_trial: bool = False) -> list[Piece]:
        """Make ranges of their own of what lies after some places; the uppermost comes first.

        Args:
            victim: Keeps what lies before the first place.
            places: Within it, ascending.
            is_trial: Whether how they turn out says if the victim is worth splitting again.
        """
        walk, until = victim.walk, victim.key_range.until
        parts: list[Piece] = []
        if walk not in self._unsettled:
            return parts  # it is over
        for after, upto in reversed([*pairwise([*places, until])]):
            if after == until:
                continue
            parent = victim if is_trial else None
            piece = Piece(walk, self._ranges[walk], KeyRange(after, upto), parent, is_gap=False)
            piece.is_made_up = True
            self._ranges[walk] += 1
            self._unsettled[walk] += 1
            victim.insert_right(piece)
            self._deliveries.add(Delivery(victim, victim.generation, upper=piece))
            parts.append(piece)
        if parts:
            victim.key_range = KeyRange(victim.key_range.after, places[0])
            victim.is_gap = False
        return parts

    async def _pages(
        self, piece: Piece, generation: int
    ) -> AsyncIterator[tuple[Received, Ending | None, PageRequest]]:
        """The pages of a range, each with how it ends the range and what it answers."""
        walk = piece.walk
        token, after = piece.resume_token, self._resume_after(piece)
        while not (self._closed or walk.over or piece.generation != generation):
            request = PageRequest(
                walk.prefix,
                start_after=after or "",
                token=token,
                max_keys=GAP_PROBE_KEYS if piece.is_gap and token is None else MAX_KEYS,
                versions=walk.versions is not None,
            )
            received = await self._lister.receive(request, walk.tally, self._buffer())
            if self._leaps(piece, request) and received.last_key is not None:
                await self._order.prove(walk.prefix, request.start_after, walk.tally)
            ending = self._note(piece, generation, received)
            yield received, ending, request
            if ending:
                return
            token, after = next_place(request, received, self._lister.profile, self._where)

    def _resume_after(self, piece: Piece) -> str:
        """Where a range begins, or goes on when its end is to be confirmed.

        A store that lists the key asked after first, and would show nothing else, confirms no end.
        """
        is_asked = bool(piece.rows) and piece.asked_rows == piece.rows
        if self._is_inclusive and is_asked and not piece.walk.versions:
            behind = piece.after + LEAST_CHARACTER
            return behind if len(behind.encode()) <= MAX_KEY_BYTES else piece.after
        return piece.after

    @staticmethod
    def _leaps(piece: Piece, request: PageRequest) -> bool:
        """Whether a page begins where only the store's order says what comes before it.

        Where a shard begins, discovery has found out.
        """
        is_start = request.start_after == piece.start_after and not piece.is_made_up
        return not request.token and bool(request.start_after) and not is_start

    def _buffer(self) -> bytearray:
        """Memory for a page, used before if possible."""
        try:
            return self._buffers.pop()
        except IndexError:
            return bytearray()

    def _note(self, piece: Piece, generation: int, received: Received) -> Ending | None:
        """Take note of a page just received; whether and how the range ends with it."""
        if piece.generation != generation:
            return None  # the page is void
        last_key = received.last_key
        if last_key is not None:
            piece.pages += 1
            # Never back, whatever a damaged page says: what was told of is not split off.
            piece.reach(max(piece.cursor, last_key))
            self._splitter.received(piece)
        ending: Ending | None = None
        if last_key is not None and last_key > piece.key_range.until:
            ending = Ending.BOUND_REACHED
        elif not received.is_truncated:
            ending = Ending.LISTED_TO_END
        if piece.parent and (ending or last_key is not None):
            # Where little was to be had, the next attempt waits twice as long.
            piece.parent.vain = piece.price + 1 if ending else 0
            piece.parent = None
        if ending:
            self._at_work.discard(piece)
        elif piece not in self._at_work:
            self._at_work.add(piece)
            piece.goes_on = True
        elif piece.goes_on and piece.pages >= PAGES_BEFORE_SPLIT:
            self._employ()
        return ending

    # The reader's side.

    async def _take(self) -> list[Delivery]:
        self._employ()
        if not self._tasks and self._deliveries.is_empty:
            raise RuntimeError("the ranges of a scan wait for each other")
        return await self._deliveries.take()

    def _read(self, deliveries: Sequence[Delivery]) -> Iterator[Event]:
        bodies = [delivery.received.body for delivery in deliveries if delivery.received]
        decoded = decoded_pages(bodies, self._scratch, self._lister.profile.encoding)
        if all(isinstance(page, Page) for page in decoded):
            # Not where one was damaged: its error may still look into them.
            self._buffers += [body for body in bodies if isinstance(body, bytearray)]
        pages = iter(decoded)
        for delivery in deliveries:
            page = next(pages) if delivery.received else None
            if delivery.upper is not None:
                if not delivery.piece.walk.over:
                    yield _told_of(delivery.piece, delivery.upper)
            elif delivery.generation == delivery.piece.generation:
                yield from self._heed(delivery, page)

    def _heed(self, delivery: Delivery, page: Page | MalformedResponse | None) -> Iterator[Event]:
        walk = delivery.piece.walk
        if not walk.over:
            try:
                if delivery.probe:
                    yield from self._settled(self._seams.probed(delivery.piece, *delivery.probe))
                else:
                    yield from self._page(delivery, page)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001 - the caller is told, whatever it is
                walk.over = True
                yield Failed(walk, error)
        if walk.over:
            self._unsettled.pop(walk, None)

    def _page(self, delivery: Delivery, page: Page | MalformedResponse | None) -> Iterator[Event]:
        piece = delivery.piece
        if delivery.error is not None:
            raise delivery.error
        if page is None or delivery.received is None:
            raise RuntimeError("a range was let go of that nobody gave up")
        if self._misread:
            raise self._misread
        if isinstance(page, MalformedResponse):
            self._start_over(piece, page)
            return
        try:
            objects = self._checked(delivery, page)
        except (MalformedResponse, KeysOutOfOrder, KeyOutsideRequest) as error:
            is_elsewhere = belongs_elsewhere(page, piece.key_range, piece.after, piece.page_starts)
            if isinstance(error, ScanError) and not is_elsewhere:
                raise
            self._start_over(piece, error)
            return
        if page.ambiguous:
            self._check_names(piece, page)
        if page.unreadable and not self._set_aside(piece, page):
            self._requeue(piece)
            return
        yield from self._believed(piece, page, objects, delivery.ending)

    def _believed(
        self, piece: Piece, page: Page, objects: pa.RecordBatch, ending: Ending | None
    ) -> Iterator[Event]:
        """Go on with a page of which all is proved."""
        piece.damaged = 0
        piece.evidence.page()
        if page.objects.num_rows:
            piece.page_starts.append(page.objects.column("key")[0].as_py())
        if ending is Ending.BOUND_REACHED and not _reaches(objects, piece.key_range.until):
            # Only a record that cannot be read lies beyond; a seam takes one that can.
            yield from self._found(piece, objects, None)
            self.list_again(piece, page.last_key or piece.after)
            return
        yield from self._found(piece, objects, ending)
        is_empty = not (page.objects.num_rows or page.unreadable or ending)
        piece.empty_pages = piece.empty_pages + 1 if is_empty else 0
        if piece.empty_pages > MAX_EMPTY_PAGES:
            raise ListingStuck(
                f"{self._where}: the store sent {piece.empty_pages} empty pages in a row"
            )

    def _checked(self, delivery: Delivery, page: Page) -> pa.RecordBatch:
        """The objects of a page, with those held back before it, once all is proved of them."""
        piece = delivery.piece
        if delivery.received and not agree(page, delivery.received):
            raise MalformedResponse("the ends of the response contradict it")
        if page.common_prefixes:
            raise MalformedResponse("the page holds common prefixes, which were not asked for")
        objects = without_repeated(page.objects, delivery.request, piece.after)
        if objects.num_rows < page.objects.num_rows and not self._is_inclusive:
            self._is_inclusive, piece.asked_rows = True, -1  # which confirms no end
        if self._lister.profile.start_after is StartAfter.IGNORED:
            # What is asked again begins before it, where nothing can be asked behind a key.
            objects = objects.slice(count_up_to(objects.column("key"), piece.after))
            piece.resume_token = delivery.request.token if delivery.request else None
        if piece.held is not None:
            objects = pa.concat_batches([piece.held, objects])
        check_keys(objects, piece.walk.prefix, piece.after, self._where)
        return objects

    @staticmethod
    def _set_aside(piece: Piece, page: Page) -> bool:
        """Take note of a page's unreadable records; return whether they are believed.

        A kind that was not met before is believed once the page came twice: it may be damage.
        """
        tally = piece.walk.tally
        inside = [
            each
            for each in page.unreadable
            if not each.sort_key or each.sort_key in piece.key_range
        ]
        texts = {each.text for each in inside}
        if not tally.unreadable.has_met(inside) and not texts <= piece.doubted:
            piece.doubted |= texts
            piece.held = None
            return False
        tally.set_aside(inside)
        return True

    def _check_names(self, piece: Piece, page: Page) -> None:
        """Ask, while others go on listing, whether names are read as they are meant."""
        try:
            self._run(check_names(self._lister, page, piece.walk.tally))
        except NamesMisread as error:
            self._misread = error  # by all walks
            raise

    def _found(
        self, piece: Piece, objects: pa.RecordBatch, ending: Ending | None
    ) -> Iterator[Event]:
        """Tell what a page holds of its range, and note what it shows beyond."""
        versions = piece.walk.versions
        if versions:
            # A key is handed on whole, so that nothing after this need know that it has versions.
            objects, piece.held = whole_keys(objects, goes_on=not ending)
        keys = objects.column("key")
        inside = count_up_to(keys, piece.key_range.until)
        # A shortened StartAfter may let keys of the range on the left through.
        before = count_up_to(keys, piece.key_range.after)
        piece.after = keys[-1].as_py() if len(keys) else piece.after
        beyond = Beyond(keys[inside].as_py() if inside < len(keys) else None)
        has_begun = piece.first_key is not None
        if inside > before:
            self._met.add(piece.walk)
            found = objects.slice(before, inside - before)
            piece.first_key = piece.first_key or keys[before].as_py()
            piece.last_key = piece.after if inside == len(keys) else keys[inside - 1].as_py()
            piece.rows += found.num_rows
            found = versions.state(found) if versions else found
            if found.num_rows:
                piece.evidence.rows(found.column("key"))
                yield Found(piece.walk, piece.index, found)
        if ending:
            piece.ending, piece.beyond = ending, beyond
        if ending or (piece.first_key is not None and not has_begun):
            yield from self._settled(self._seams.moved(piece))

    def _settled(self, events: Iterator[SeamEvent]) -> Iterator[Event]:
        """Count the ranges that are told as ended."""
        for event in events:
            if isinstance(event, Ended):
                walk = event.walk
                self._unsettled[walk] -= 1
                if not self._unsettled[walk]:
                    if walk.versions and walk not in self._met:
                        self._run(require_versions(self._lister, walk.prefix, walk.tally))
                    del self._unsettled[walk]
            yield event

    def _start_over(self, piece: Piece, error: ScanError | MalformedResponse) -> None:
        """List a range again from after the last page that was good."""
        if isinstance(error, ScanError):
            if piece.damaged >= MISPLACED_PAGES:
                raise error
            # If it is the answer to another request, the next one on its connection is, too.
            self._lister.reconnect()
        piece.walk.tally.failed(Fault.MALFORMED)
        piece.damaged += 1
        is_damaged = isinstance(error, MalformedResponse)
        if is_damaged and piece.damaged >= self._lister.retry.malformed_attempts:
            raise exhausted(error, Fault.MALFORMED, piece.damaged, self._lister.connection)
        piece.held = None
        self._requeue(piece)

    def _requeue(self, piece: Piece) -> None:
        piece.generation += 1
        self._at_work.discard(piece)
        self._waiting.appendleft(piece)

    # What `SeamKeeper` has done.

    def list_again(self, piece: Piece, after: str) -> None:
        """Go on with a range that was listed to its end, behind a key."""
        piece.after, piece.ending, piece.beyond, piece.is_gap = after, None, None, False
        self._requeue(piece)

    def add_range(self, left: Piece, key_range: KeyRange, start_after: str) -> Piece:
        """List another range, right of one; it is told of by the caller."""
        walk = left.walk
        piece = Piece(walk, self._ranges[walk], key_range, is_gap=False)
        piece.start_after = piece.after = start_after
        self._ranges[walk] += 1
        self._unsettled[walk] += 1
        left.insert_right(piece)
        self._waiting.appendleft(piece)
        return piece

    def probe(self, left: Piece, right: ListedRange) -> None:
        """Ask what the range on the right begins with now, and call `SeamKeeper.probed`."""
        self._probes.append((left, right))

    async def _probe(self, left: Piece, right: ListedRange) -> None:
        walk, generation = left.walk, left.generation
        after = right.key_range.after
        try:
            request = PageRequest(
                walk.prefix,
                start_after=right.key_range.start_after if after >= walk.prefix else "",
                versions=walk.versions is not None,
            )
            page = await first_page(self._lister, request, walk.tally)
            keys = page.objects.column("key")
            following = count_up_to(keys, after)
            now = Beyond(keys[following].as_py() if following < len(keys) else None)
            delivery = Delivery(left, generation, probe=(right, now))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the reader raises or tells it
            delivery = Delivery(left, generation, error=error)
        await self._deliveries.put(delivery)


def _reaches(objects: pa.RecordBatch, bound: str) -> bool:
    """Whether a record lies beyond a bound."""
    return bool(objects.num_rows) and objects.column("key")[-1].as_py() > bound


def _told_of(piece: Piece, upper: Piece) -> Split:
    # Where it was split off at; it may have been narrowed from above since, not from below.
    return Split(piece.walk, piece.index, upper.index, upper.key_range.after)
