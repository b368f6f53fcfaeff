"""Take snapshots: list shards, write their parts, prove them complete, publish them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.assembling import ROWS_IN_MEMORY, Assembly, RowBudget
from inventory_assets.inventory.checkpoints import Journal, identity_of
from inventory_assets.inventory.errors import EvidenceBroken, versions_in_directories
from inventory_assets.inventory.evidence import broken_rules
from inventory_assets.inventory.facts import Manifest
from inventory_assets.inventory.fingerprint import Fingerprint, joined
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.manifests import newest_manifest
from inventory_assets.inventory.naming import file_stem
from inventory_assets.inventory.parts import Part, is_there, read_records
from inventory_assets.inventory.sharing import Pieces, intervals_of, marks_of, shared_with
from inventory_assets.inventory.snapshots import Snapshot, publish_snapshot, snapshot_version
from inventory_assets.inventory.store import Store
from inventory_assets.s3 import BucketLister
from inventory_assets.scan import (
    DirectoryOrderWalk,
    Ended,
    Event,
    EvidenceLog,
    Failed,
    Found,
    KeyOrder,
    KeyRange,
    KeysOutOfOrder,
    RangeEvidence,
    Scan,
    Shard,
    Split,
    Versions,
    Walk,
)
from inventory_assets.scan.engine import utc_now
from inventory_assets.scan.progress import Report, to_nobody
from inventory_assets.scan.splitting import evenly

DIRECTORY_SHARDS_AT_ONCE = 8
"""Shards listed at the same time where each is listed one request after the other."""

BETWEEN_CUTS = timedelta(minutes=1)
"""How often such a listing ends its file, so that no more is lost when it is killed."""


def say_nothing(_sentence: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A snapshot to take, of some versions, or of the current objects."""

    day: date
    shard: Shard
    versions: Versions | None = None


class _Taking:
    """A snapshot being taken.

    Attributes:
        wanted: Of what.
        journal: What of it is safe already.
        assembly: Where its objects go.
        tally: What it has cost.
        evidence: By number of the range, of those listed whole.
    """

    def __init__(
        self,
        wanted: Wanted,
        taker: "Taker",
        budget: RowBudget,
        walk: Walk,
        journal: Journal,
        baseline: Manifest | None,
    ) -> None:
        self.wanted = wanted
        self.journal = journal
        self.tally = walk.tally
        self.assembly = Assembly(
            taker.store,
            taker.layout,
            walk.ranges,
            budget,
            published=self._note,
            intervals=intervals_of(baseline.parts, wanted.shard.ranges) if baseline else (),
        )
        self._baseline = baseline
        self.evidence: dict[int, RangeEvidence] = {}
        self._kept = journal.kept
        self._ranges = len(walk.ranges)
        self._taker = taker
        self._started_at = self._kept.started_at or walk.began_at or taker.now()
        self._replacing = snapshot_version(
            taker.store, taker.layout, wanted.day, wanted.shard.prefix
        )

    def is_whole(self) -> bool:
        return len(self.evidence) == self._ranges

    def split(self, index: int, upper: int, at: str) -> None:
        self._ranges += 1
        self.assembly.split(index, upper, at)

    def end(self, index: int, evidence: RangeEvidence) -> None:
        self.evidence[index] = evidence
        self.assembly.end(index, evidence.key_range.until)

    def close(self) -> None:
        """Leave what is not published, but write down what is."""
        self.assembly.close()
        self.journal.flush(self.tally)

    def _note(self, key_range: KeyRange, parts: Sequence[Part]) -> None:
        self.journal.note(key_range, parts, self.tally)

    def _read_kept(self) -> Pieces:
        """The fingerprints of what is kept, each with its first key; its parts are read again."""
        found: Pieces = []
        for part in self._kept.parts:
            fingerprint = Fingerprint()
            everything = [KeyRange.of_prefix("")]
            for records in read_records(self._taker.store, [part], everything):
                fingerprint.update(records)
            found.append((part.first_key, fingerprint))
        return found

    def publish(self, key_order: KeyOrder) -> Snapshot:
        """Publish the snapshot, unless its evidence does not hold."""
        taker, shard = self._taker, self.wanted.shard
        kept = self._kept
        written = sorted([*self.assembly.finish(), *kept.parts], key=lambda part: part.first_key)
        read = self._read_kept()
        fingerprint = joined([*self.assembly.fingerprints(), *read])
        parts, shared = shared_with(
            self._baseline,
            shard,
            fingerprint,
            self.assembly.with_unchanged(written, read),
            partial(is_there, taker.store),
        )
        evidence = [*self.evidence.values(), *(stretch.evidence for stretch in kept.stretches)]
        faults = Counter({fault.value: count for fault, count in self.tally.faults.items()})
        faults.update(kept.faults)
        snapshot = Snapshot(
            bucket=taker.layout.bucket,
            source=taker.layout.source,
            day=self.wanted.day,
            shard=shard,
            started_at=self._started_at,
            finished_at=taker.now(),
            key_order=key_order,
            parts=tuple(parts),
            evidence=tuple(sorted(evidence, key=lambda each: each.key_range)),
            fingerprint=fingerprint,
            requests=self.tally.requests + kept.requests,
            response_bytes=self.tally.response_bytes + kept.response_bytes,
            faults=dict(sorted(faults.items())),
            shared=shared,
            versions=self.wanted.versions,
        )
        broken = broken_rules(snapshot)
        if broken:
            raise EvidenceBroken(
                f"{taker.lister.connection.where}: the listing of {shard.prefix!r} does not prove "
                f"that it is complete and was not published: {'; '.join(broken)}; list it again"
            )
        publish_snapshot(taker.store, taker.layout, snapshot, self._replacing)
        self.journal.clear()
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
        say: Told, in a sentence, what a user may want to know.
        report: Told every event, by whatever thread meets it.
    """

    lister: BucketLister
    store: Store
    layout: Layout
    key_order: KeyOrder | None = None
    now: Callable[[], datetime] = utc_now
    say: Callable[[str], None] = say_nothing
    report: Report = to_nobody

    def take(self, day: date, shard: Shard, versions: Versions | None = None) -> Snapshot:
        """List `shard` and publish what it holds as its snapshot of `day`.

        Raises:
            Exception: What `take_all` yields for it instead of a snapshot.
        """
        ((_, result),) = self.take_all([Wanted(day, shard, versions)])
        if isinstance(result, Exception):
            raise result
        return result

    def take_all(self, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, Snapshot | Exception]]:
        """List shards side by side, and publish each as soon as it is whole.

        What a run that did not finish has left safe of a shard is not listed again.

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
            if not isinstance(result, KeysOutOfOrder) or each.versions:
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
        walks: dict[Walk, tuple[Wanted, Journal]] = {}
        baselines: dict[date, Manifest | None] = {}
        for each, journal in self._journals(wanted, KeyOrder.BYTES):
            if each.day not in baselines:
                baselines[each.day] = newest_manifest(self.store, self.layout, each.day)
            baseline = baselines[each.day]
            ranges = journal.kept.missing(each.shard.ranges)
            marks = marks_of(baseline.parts if baseline else (), ranges)
            walk = Walk(
                each.shard.prefix,
                ranges,
                cuts=evenly(marks, self.lister.connection.max_in_flight),
                marks=marks,
                kept=journal.kept.rows,
                versions=each.versions,
            )
            if walk.ranges:
                walks[walk] = each, journal
                continue
            # It was stopped right before the end.
            with closing(_Taking(each, self, budget, walk, journal, baseline)) as taking:
                yield each, self._published(taking)
        at_work: dict[Walk, _Taking] = {}
        try:
            for event in Scan(self.lister, list(walks), self.now):
                self.report(event)
                walk = event.walk
                if walk not in at_work:
                    each, journal = walks[walk]
                    baseline = baselines[each.day]
                    at_work[walk] = _Taking(each, self, budget, walk, journal, baseline)
                taking = at_work[walk]
                try:
                    result = self._heed(event, taking)
                except (InventoryError, OSError) as error:  # it concerns this shard only
                    walk.over = True
                    result = error
                if result is not None:
                    if isinstance(result, KeysOutOfOrder | EvidenceBroken):
                        walks[walk][1].clear()  # what is wrong shall not be gone on with
                    at_work.pop(walk).close()
                    yield taking.wanted, result
        finally:
            for taking in at_work.values():
                taking.close()

    def _journals(
        self, wanted: Sequence[Wanted], key_order: KeyOrder
    ) -> Iterator[tuple[Wanted, Journal]]:
        names: dict[date, list[str]] = {}
        for each in wanted:
            folder, shard = self.layout.unfinished(each.day), each.shard
            if each.day not in names:
                names[each.day] = self.store.names(folder)
            identity = identity_of(
                self.lister.connection, shard.prefix, shard.excluded, key_order, each.versions
            )
            yield (
                each,
                Journal(
                    self.store,
                    folder,
                    file_stem(shard.prefix),
                    identity,
                    self.now,
                    partial(self._say_of, each),
                    names[each.day],
                ),
            )

    def _say_of(self, wanted: Wanted, sentence: str) -> None:
        self.say(f"{wanted.day}, {wanted.shard.prefix!r}: {sentence}")

    @staticmethod
    def _published(taking: _Taking) -> Snapshot | Exception:
        try:
            return taking.publish(KeyOrder.BYTES)
        except (InventoryError, OSError) as error:
            return error

    def _heed(self, event: Event, taking: _Taking) -> Snapshot | Exception | None:
        match event:
            case Found(index=index, objects=objects):
                taking.assembly.write(index, objects)
            case Split(index=index, upper=upper, at=at):
                taking.split(index, upper, at)
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
            pending = {
                pool.submit(self._take_by_directory, each, journal): each
                for each, journal in self._journals(wanted, KeyOrder.DIRECTORY)
            }
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

    def _take_by_directory(self, wanted: Wanted, journal: Journal) -> Snapshot:
        if wanted.versions:
            raise versions_in_directories(self.lister.connection.where)
        budget = RowBudget(ROWS_IN_MEMORY // DIRECTORY_SHARDS_AT_ONCE)
        prefix, ranges = wanted.shard.prefix, journal.kept.missing(wanted.shard.ranges)
        walk = Walk(prefix, ranges, began_at=self.now(), kept=journal.kept.rows)
        log = EvidenceLog(ranges)
        objects_of = DirectoryOrderWalk(self.lister, prefix, ranges, walk.tally, log)
        last_cut = self.now()
        baseline = newest_manifest(self.store, self.layout, wanted.day)
        with closing(_Taking(wanted, self, budget, walk, journal, baseline)) as taking:
            try:
                for objects in objects_of:
                    self._end_closed(log, taking, walk)
                    index = len(taking.evidence)
                    self.report(Found(walk, index, objects))
                    taking.assembly.write(index, objects)
                    if self.now() - last_cut >= BETWEEN_CUTS:
                        taking.assembly.cut(index)
                        last_cut = self.now()
                self._end_closed(log, taking, walk)
                return taking.publish(KeyOrder.DIRECTORY)
            except (KeysOutOfOrder, EvidenceBroken):
                journal.clear()  # what is wrong shall not be gone on with
                raise

    def _end_closed(self, log: EvidenceLog, taking: _Taking, walk: Walk) -> None:
        for index in range(len(taking.evidence), len(log.closed)):
            self.report(Ended(walk, index, log.closed[index]))
            taking.end(index, log.closed[index])
