"""Take snapshots: list shards, write their parts, prove them complete, publish them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.assembling import ROWS_IN_MEMORY, Assembly, RowBudget
from inventory_assets.inventory.errors import EvidenceBroken
from inventory_assets.inventory.evidence import broken_rules
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.snapshots import Snapshot, publish_snapshot, snapshot_version
from inventory_assets.inventory.store import Store
from inventory_assets.s3 import BucketLister, Tally
from inventory_assets.scan import (
    DirectoryOrderWalk,
    Ended,
    Event,
    EvidenceLog,
    Failed,
    Found,
    KeyOrder,
    KeysOutOfOrder,
    RangeEvidence,
    Scan,
    Shard,
    Split,
    Walk,
)
from inventory_assets.scan.engine import utc_now

DIRECTORY_SHARDS_AT_ONCE = 8
"""Shards listed at the same time where each is listed one request after the other."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A snapshot to take."""

    day: date
    shard: Shard


class _Taking:
    """A snapshot being taken.

    Attributes:
        wanted: Of what.
        assembly: Where its objects go.
        tally: What it has cost.
        evidence: By number of the range, of those listed whole.
    """

    def __init__(
        self,
        wanted: Wanted,
        taker: "Taker",
        budget: RowBudget,
        tally: Tally,
        started_at: datetime,
    ) -> None:
        self.wanted = wanted
        self.assembly = Assembly(taker.store, taker.layout, wanted.shard.ranges, budget)
        self.tally = tally
        self.evidence: dict[int, RangeEvidence] = {}
        self._ranges = len(wanted.shard.ranges)
        self._taker = taker
        self._started_at = started_at
        self._replacing = snapshot_version(
            taker.store, taker.layout, wanted.day, wanted.shard.prefix
        )

    def is_whole(self) -> bool:
        return len(self.evidence) == self._ranges

    def split(self, index: int, upper: int) -> None:
        self._ranges += 1
        self.assembly.split(index, upper)

    def end(self, index: int, evidence: RangeEvidence) -> None:
        self.evidence[index] = evidence
        self.assembly.end(index)

    def publish(self, key_order: KeyOrder) -> Snapshot:
        """Publish the snapshot, unless its evidence does not hold."""
        taker, shard = self._taker, self.wanted.shard
        parts = self.assembly.finish()
        snapshot = Snapshot(
            bucket=taker.layout.bucket,
            source=taker.layout.source,
            day=self.wanted.day,
            shard=shard,
            started_at=self._started_at,
            finished_at=taker.now(),
            key_order=key_order,
            parts=parts,
            evidence=tuple(sorted(self.evidence.values(), key=lambda each: each.key_range)),
            fingerprint=self.assembly.fingerprint(),
            requests=self.tally.requests,
            response_bytes=self.tally.response_bytes,
            faults={fault.value: count for fault, count in sorted(self.tally.faults.items())},
        )
        broken = broken_rules(snapshot)
        if broken:
            raise EvidenceBroken(
                f"{taker.lister.connection.where}: the listing of {shard.prefix!r} does not prove "
                f"that it is complete and was not published: {'; '.join(broken)}; list it again"
            )
        publish_snapshot(taker.store, taker.layout, snapshot, self._replacing)
        return snapshot


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes snapshots of one source's shards.

    Attributes:
        lister: The bucket.
        store: Where parts and snapshots are published.
        layout: Under which keys.
        key_order: How the store lists; None where that is still to be found out.
        now: The clock.
    """

    lister: BucketLister
    store: Store
    layout: Layout
    key_order: KeyOrder | None = None
    now: Callable[[], datetime] = utc_now

    def take(self, day: date, shard: Shard) -> Snapshot:
        """List `shard` and publish what it holds as its snapshot of `day`.

        Raises:
            Exception: What `take_all` yields for it instead of a snapshot.
        """
        ((_, result),) = self.take_all([Wanted(day, shard)])
        if isinstance(result, Exception):
            raise result
        return result

    def take_all(self, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, Snapshot | Exception]]:
        """List shards side by side, and publish each as soon as it is whole.

        Nothing of a shard is published unless its evidence holds. A store that turns out not to
        list in byte order is listed again in the way that is right for it, unless `key_order`
        forbids. Whoever leaves the iteration early cancels the lister.

        Yields:
            For each shard its snapshot, or the error for which there is none: `KeysOutOfOrder` (the
            store keeps to no order, or not to the one that `key_order` says), `EvidenceBroken`,
            `S3Error` or `StoreError`.
        """
        if self.key_order is KeyOrder.DIRECTORY:
            yield from self._take_by_directories(wanted)
            return
        again: list[Wanted] = []
        for each, result in self._take_by_ranges(wanted):
            if not isinstance(result, KeysOutOfOrder):
                yield each, result
            elif self.key_order is None:
                again.append(each)
            else:
                yield (
                    each,
                    KeysOutOfOrder(
                        f'{result}; the source says key_order = "{self.key_order}": remove that '
                        "line, and the order is found out"
                    ),
                )
        yield from self._take_by_directories(again)

    def _take_by_ranges(
        self, wanted: Sequence[Wanted]
    ) -> Iterator[tuple[Wanted, Snapshot | Exception]]:
        budget = RowBudget()
        walks = {Walk(each.shard.prefix, each.shard.ranges): each for each in wanted}
        at_work: dict[Walk, _Taking] = {}
        try:
            for event in Scan(self.lister, list(walks), self.now):
                walk = event.walk
                taking = at_work.get(walk)
                if taking is None:
                    started_at = walk.began_at or self.now()
                    taking = _Taking(walks[walk], self, budget, walk.tally, started_at)
                    at_work[walk] = taking
                try:
                    result = self._heed(event, taking)
                except (InventoryError, OSError) as error:  # it concerns this shard only
                    walk.over = True
                    result = error
                if result is not None:
                    at_work.pop(walk).assembly.close()
                    yield taking.wanted, result
        finally:
            for taking in at_work.values():
                taking.assembly.close()

    def _heed(self, event: Event, taking: _Taking) -> Snapshot | Exception | None:
        match event:
            case Found(index=index, objects=objects):
                taking.assembly.write(index, objects)
            case Split(index=index, upper=upper):
                taking.split(index, upper)
            case Ended(index=index, evidence=evidence):
                taking.end(index, evidence)
                if taking.is_whole():
                    return taking.publish(KeyOrder.BYTES)
            case Failed(error=InventoryError() | OSError() as error):
                return error
            case Failed(error=error):
                raise error
        return None

    def _take_by_directories(
        self, wanted: Sequence[Wanted]
    ) -> Iterator[tuple[Wanted, Snapshot | Exception]]:
        with ThreadPoolExecutor(DIRECTORY_SHARDS_AT_ONCE, thread_name_prefix="shard") as pool:
            pending = {pool.submit(self._take_by_directory, each): each for each in wanted}
            try:
                for future in as_completed(pending):
                    try:
                        yield pending[future], future.result()
                    except (InventoryError, OSError) as error:
                        yield pending[future], error
            except BaseException:
                self.lister.cancel()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _take_by_directory(self, wanted: Wanted) -> Snapshot:
        budget = RowBudget(ROWS_IN_MEMORY // DIRECTORY_SHARDS_AT_ONCE)
        taking = _Taking(wanted, self, budget, Tally(), self.now())
        log = EvidenceLog(wanted.shard.ranges)
        with closing(taking.assembly):
            for objects in DirectoryOrderWalk(self.lister, wanted.shard, taking.tally, log):
                self._end_closed(log, taking)
                taking.assembly.write(len(taking.evidence), objects)
            self._end_closed(log, taking)
            return taking.publish(KeyOrder.DIRECTORY)

    @staticmethod
    def _end_closed(log: EvidenceLog, taking: _Taking) -> None:
        for index in range(len(taking.evidence), len(log.closed)):
            taking.end(index, log.closed[index])
