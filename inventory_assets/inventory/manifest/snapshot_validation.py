"""Validate a snapshot by its own evidence, and by its files."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, md5
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.manifest.snapshot import Snapshot, files_that_differ
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import tiling_violation
from inventory_assets.scan.keyspace.sorted_keys import keys_ascend
from inventory_assets.scan.validation.seams import seam_violations


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of a rule for a snapshot.

    Attributes:
        rule: The rule.
        violation: Where the snapshot violates it; None if it does not.
    """

    rule: str
    violation: str | None


def validate(snapshot: Snapshot) -> tuple[RuleResult, ...]:
    """Validate a snapshot by its evidence: tiling, counts, order, bounds, seams. Reads no files."""
    return (
        RuleResult("ranges tile the shard", _tiling(snapshot)),
        RuleResult("counts add up", _counts(snapshot)),
        RuleResult("keys ascend over all parts", _order(snapshot)),
        RuleResult("every key is inside the shard", _inside(snapshot)),
        RuleResult("seams agree", _seams(snapshot)),
    )


def failed_rules_of(snapshot: Snapshot) -> list[str]:
    """The rules that the evidence violates, each with the place."""
    return failed_rules(validate(snapshot))


def failed_rules(results: Iterable[RuleResult]) -> list[str]:
    """The rules that are violated, each with the place."""
    return [f"{result.rule}: {result.violation}" for result in results if result.violation]


def validate_files(store: Store, snapshot: Snapshot) -> tuple[RuleResult, ...]:
    """Validate the Parquet files of a snapshot: hash each file, and read every key."""
    differing = files_that_differ(store, snapshot.parts) or [
        part.key for part in snapshot.parts if _md5(store, part.key) != part.md5
    ]
    if differing:
        return (RuleResult("files are as published", f"{differing[0]} is missing or was altered"),)
    rows = 0
    last_key = ""
    disorder: str | None = None
    stray: str | None = None
    whole = snapshot.shard.ranges
    columns = ["key", "version_id"] if snapshot.versions else ["key"]
    for batch in read_records(store, snapshot.parts, whole, columns):
        keys = batch.column("key")
        first = keys[0].as_py()
        is_in_order = _versions_are_unique(batch) if snapshot.versions else keys_ascend(keys)
        if first <= last_key or not is_in_order:
            disorder = disorder or f"at or after {first!r}"
        last_key = keys[-1].as_py()
        rows += len(keys)
    if rows != snapshot.rows:
        stray = f"{rows:,} of {snapshot.rows:,} records lie within the shard's ranges"
    return (
        RuleResult("files are as published", None),
        RuleResult("records ascend and are unique", disorder),
        RuleResult("every record is inside the shard", stray),
    )


def _versions_are_unique(records: pa.RecordBatch) -> bool:
    """Whether no key descends and no version occurs twice. A key is never in two batches."""
    keys = records.column("key")
    rows = pa.table(records).group_by(["key", "version_id"]).aggregate([]).num_rows
    return rows == len(keys) and not pc.any(pc.greater(keys[:-1], keys[1:])).as_py()


def _md5(store: Store, key: str) -> str | None:
    file = store.open(key)
    if file is None:
        return None
    with file:
        return file_digest(file, partial(md5, usedforsecurity=False)).hexdigest()


def _tiling(snapshot: Snapshot) -> str | None:
    return tiling_violation([row.key_range for row in snapshot.evidence], snapshot.shard.ranges)


def _counts(snapshot: Snapshot) -> str | None:
    seen = sum(row.rows for row in snapshot.evidence)
    return None if seen == snapshot.rows else f"{seen:,} records listed, {snapshot.rows:,} written"


def _seams(snapshot: Snapshot) -> str | None:
    """The first seam whose next key after the left range is not the first key of the right one."""
    return next(iter(seam_violations(snapshot.evidence)), None)


def _order(snapshot: Snapshot) -> str | None:
    for part in snapshot.parts:
        is_one_key = part.first_key == part.last_key and not snapshot.versions
        if part.first_key > part.last_key or (part.rows > 1 and is_one_key):
            return f"{part.key} runs from {part.first_key!r} to {part.last_key!r}"
    for left, right in pairwise(snapshot.parts):
        if left.last_key >= right.first_key:
            return f"{right.first_key!r} comes after {left.last_key!r}"
    return None


def _inside(snapshot: Snapshot) -> str | None:
    for row in snapshot.evidence:
        for key in (row.first_key, row.last_key):
            if key is not None and key not in row.key_range:
                return f"{key!r} is outside its range"
    for part in snapshot.parts:
        for key in (part.first_key, part.last_key):
            if not snapshot.shard.covers(key):
                return f"{key!r} does not belong to {snapshot.shard.prefix!r}"
    return None
