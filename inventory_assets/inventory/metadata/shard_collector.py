"""Collect the metadata of shards: carry what is known, ask for the rest, publish the record."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.metadata.answer_rows import Asked
from inventory_assets.inventory.metadata.asking import (
    LASTING_ERRORS,
    AskRule,
    RequestBudget,
    by_hour,
    hours_of,
)
from inventory_assets.inventory.metadata.fetch_log import FetchLog
from inventory_assets.inventory.metadata.fetching import SLICE_ROWS, Fetcher, Slice
from inventory_assets.inventory.metadata.known_rows import KnownRows, SortedFile
from inventory_assets.inventory.metadata.metadata_files import (
    MetadataPart,
    MetadataWriter,
    read_metadata_rows,
)
from inventory_assets.inventory.metadata.schema import IDENTITY_COLUMNS, METADATA_SCHEMA
from inventory_assets.inventory.metadata.shard_metadata import (
    METADATA,
    ShardMetadata,
    files_that_differ,
    metadata_etag,
    newest_metadata,
)
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.storage.commit import commit
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.object_answer import ObjectAnswer
from inventory_assets.scan.keyspace.key_range import KeyRange

ERRORS_PROBED = 10
"""Objects that are asked for to learn whether permissions have changed."""

_EVERYTHING = (KeyRange.of_prefix(""),)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What is known of a shard, and what is to be asked.

    Attributes:
        snapshot: The content of the shard on the date.
        rule: Which answers are worth asking again.
        known: Records with answers that may be carried, the newest first.
        shared: The metadata of parts that needs no work, by the key of the part.
        log: The answers of unfinished runs.
        expected_etag: The ETag of the record when the work began.
    """

    snapshot: Snapshot
    rule: AskRule
    known: tuple[ShardMetadata, ...]
    shared: Mapping[str, MetadataPart]
    log: FetchLog
    expected_etag: str

    def with_errors_again(self) -> "ShardPlan":
        """The plan that asks again for all objects whose answers are not complete."""
        shared = {key: part for key, part in self.shared.items() if not part.errors}
        return replace(self, rule=replace(self.rule, errors_again=True), shared=shared)

    @property
    def parts(self) -> list[Part]:
        """The parts of the snapshot whose metadata is written."""
        return [part for part in self.snapshot.parts if part.key not in self.shared]

    @property
    def files(self) -> list[SortedFile]:
        """The files with rows that may be carried."""
        of_records = [
            SortedFile(part.file, part.first_key, part.last_key)
            for record in self.known
            for part in record.parts
        ]
        return [*self.log.files, *of_records]


@dataclass(slots=True)
class _Tally:
    asked: int = 0
    carried: int = 0
    parts: dict[str, MetadataPart] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShardCollector:
    """Collects the metadata of the shards of one source.

    Attributes:
        client: Asks the bucket.
        store: The store of the results.
        layout: The layout of the source.
        now: The clock.
    """

    client: HeadClient
    store: Store
    layout: Layout
    now: Callable[[], datetime]

    def plan(self, snapshot: Snapshot) -> ShardPlan:
        """Find what is known of a shard.

        Args:
            snapshot: Its content on the date.

        Raises:
            CorruptRecord: A record is damaged.
        """
        prefix = snapshot.shard.prefix
        expected_etag = metadata_etag(self.store, self.layout, snapshot.day, prefix)
        rule = AskRule(snapshot.day, self.client.with_tags)
        known = newest_metadata(self.store, self.layout, snapshot.day, snapshot.shard)
        needed = {part.key for part in snapshot.parts}
        shared = {
            part.part: part
            for record in reversed(known)  # of a part that several have, the newest counts
            if record.with_tags or not rule.with_tags
            for part in record.parts
            if part.part in needed and not (part.unknown or part.again)
        }
        log = FetchLog(self.store, self.layout, prefix)
        return ShardPlan(snapshot, rule, tuple(known), shared, log, expected_etag)

    def unanswered(self, plans: Sequence[ShardPlan]) -> Counter[int]:
        """How many objects of shards are to be asked for, by the hour of their LastModified.

        Raises:
            CorruptRecord: A file is missing or damaged.
        """
        found: Counter[int] = Counter()
        for plan in plans:
            for _, rows in self._known_rows(plan):
                found += by_hour(hours_of(rows.filter(pa.array(plan.rule.unanswered(rows)))))
        return found

    def collect(self, plan: ShardPlan, budget: RequestBudget) -> ShardMetadata:
        """Ask for the objects of a shard, and publish its metadata.

        Args:
            plan: What is known.
            budget: Which objects may be asked for.

        Raises:
            S3Error: An error that concerns every object. What was answered is kept for a later run.
            ConflictError: Another run published the metadata of the shard in the meantime.
            StoreError: A file cannot be read or written.
        """
        tally = _Tally(parts=dict(plan.shared))
        tally.carried += sum(part.rows for part in plan.shared.values())
        before = self.client.stats.requests, Counter(self.client.stats.faults)
        fetcher = Fetcher(self.client, budget, plan.log, self.now)
        with closing(_PartFiles(self, plan, tally)) as files:
            fetcher.run(self._slices(plan, budget, tally), files.write)
            files.finish()
        snapshot = plan.snapshot
        faults = self.client.stats.faults - before[1]
        parts = [tally.parts[part.key] for part in snapshot.parts if part.key in tally.parts]
        earlier = {part.file for record in plan.known for part in record.parts}
        record = ShardMetadata(
            bucket=snapshot.bucket,
            source=snapshot.source,
            day=snapshot.day,
            shard=snapshot.shard,
            snapshot_fingerprint=snapshot.fingerprint,
            with_tags=self.client.with_tags,
            parts=tuple(parts),
            asked=tally.asked,
            carried=tally.carried,
            shared_parts=sum(part.file in earlier for part in parts),
            requests=self.client.stats.requests - before[0],
            faults={fault.value: count for fault, count in sorted(faults.items())},
            budget=budget.limit,
            created_at=self.now(),
        )
        key = self.layout.metadata(snapshot.day, snapshot.shard.prefix)

        def require_files() -> None:
            missing = files_that_differ(self.store, record)
            if missing:
                raise StoreError(
                    f"{self.store.where(missing[0])} was removed or altered meanwhile; materialize "
                    "object_metadata again"
                )

        commit(self.store, METADATA.file(key, record), plan.expected_etag, verify=require_files)
        plan.log.clear()
        return record

    def are_mended(self, plans: Sequence[ShardPlan], budget: RequestBudget) -> bool:
        """Whether an object is answered now that was denied, archived or refused before.

        Such errors end when permissions change, for many objects at once. So a few of the objects
        are asked for; if one is answered, all are worth asking again.

        Args:
            plans: What is known of the shards.
            budget: Is charged for the requests.

        Raises:
            S3Error: An error that concerns every object.
            CorruptRecord: A file is missing or damaged.
        """
        asked = [*islice(self._with_lasting_errors(plans), ERRORS_PROBED)]

        async def ask() -> list[ObjectAnswer]:
            reader = self.client.reader()
            try:
                return [await reader.read(a.key, a.version_id, a.e_tag) for a in asked]
            finally:
                reader.close()

        answers = asyncio.run(ask()) if asked else []
        budget.charge(sum(answer.requests for answer in answers))
        return any(answer.error is None for answer in answers)

    def _with_lasting_errors(self, plans: Sequence[ShardPlan]) -> Iterator[Asked]:
        """Objects whose errors only a change of permissions mends; a few of each file."""
        parts = {
            part.file: part
            for plan in plans
            for record in plan.known
            for part in record.parts
            if set(part.errors) & set(LASTING_ERRORS)
        }
        for part in parts.values():
            for rows in read_metadata_rows(self.store, part.file, [*IDENTITY_COLUMNS, "error"]):
                lasting = pc.is_in(rows.column("error"), value_set=pa.array(LASTING_ERRORS))
                found = rows.filter(lasting).slice(0, ERRORS_PROBED)
                times = found.column("last_modified_date").cast(pa.int64())
                for row, time in zip(found.to_pylist(), times.to_pylist(), strict=True):
                    yield Asked(row["key"], row["version_id"], row["e_tag"], time)
                if found.num_rows:
                    break

    def _slices(self, plan: ShardPlan, budget: RequestBudget, tally: _Tally) -> Iterator[Slice]:
        for part, rows in self._known_rows(plan):
            wanted = np.flatnonzero(plan.rule.unanswered(rows))
            hours = hours_of(rows.take(pa.array(wanted)))
            chosen = wanted[budget.chosen(hours)]
            tally.asked += len(chosen)
            tally.carried += rows.num_rows - rows.column("fetched_at").null_count
            is_known = np.asarray(rows.column("fetched_at").is_valid())
            tally.carried -= int(np.count_nonzero(is_known[chosen]))
            yield Slice(part, rows, chosen)

    def _known_rows(self, plan: ShardPlan) -> Iterator[tuple[str, pa.Table]]:
        """The rows of the records of each part that is written, as far as they are known."""
        with closing(KnownRows(self.store, plan.files)) as known:
            for part in plan.parts:
                columns = [*IDENTITY_COLUMNS, "is_delete_marker"]
                for batch in read_records(self.store, [part], _EVERYTHING, columns):
                    identities = _identities(batch)
                    for at in range(0, identities.num_rows, SLICE_ROWS):
                        yield part.key, known.rows_of(identities.slice(at, SLICE_ROWS))


class _PartFiles:
    """Writes slices to one file after the other, as they come from one part after the other."""

    def __init__(self, collector: ShardCollector, plan: ShardPlan, tally: _Tally) -> None:
        self._store, self._layout = collector.store, collector.layout
        self._rule = plan.rule
        self._tally = tally
        self._part = ""
        self._writer: MetadataWriter | None = None

    def write(self, found: Slice) -> None:
        if found.part != self._part:
            self.finish()
            self._part = found.part
            self._writer = MetadataWriter(self._store, self._layout, found.part).__enter__()
        if self._writer is not None:
            rows = found.rows()
            self._writer.write(rows, self._rule.again(rows))

    def finish(self) -> None:
        """Publish the current file."""
        if self._writer is not None:
            published = self._writer.publish()
            if published is not None:
                self._tally.parts[self._part] = published
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
            self._writer = None


def _identities(records: pa.RecordBatch) -> pa.Table:
    """The identity columns of the objects and versions among records."""
    if "is_delete_marker" in records.schema.names:
        records = records.filter(pc.invert(records.column("is_delete_marker")))
    columns = [
        records.column(name)
        if name in records.schema.names
        else pa.nulls(records.num_rows, METADATA_SCHEMA.field(name).type)
        for name in IDENTITY_COLUMNS
    ]
    schema = pa.schema([METADATA_SCHEMA.field(name) for name in IDENTITY_COLUMNS])
    return pa.Table.from_arrays(columns, schema=schema)
