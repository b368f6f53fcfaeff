"""The sensors of a source: for new prefixes, and for automation conditions."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from threading import Timer

import dagster as dg
from pydantic import TypeAdapter

from inventory_assets.defs.assets.shards import rows_of_newest_manifest, shard_bounds
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.inventory.errors import CursorRefused
from inventory_assets.inventory.listing.shard_registry import (
    known_key_order,
    record_prefixes,
    shard_key,
)
from inventory_assets.inventory.listing.shard_retirement import remove_retirements
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.inventory.storage.prefix_encoding import REMAINDER
from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import StoreProfile
from inventory_assets.scan.errors import NamesMisread, TooManyShards
from inventory_assets.scan.key_encoding import corrected
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_search import PrefixSearch, RowsUnder
from inventory_assets.scan.search_position import SearchPosition

NEW_SHARDS_PER_TICK = 20
"""Maximum runs per tick; further prefixes wait for the next tick."""

REQUESTS_PER_TICK = 500
"""A tick that has sent as many leaves the rest of the search to the next tick."""

SECONDS_PER_TICK = 20.0
"""Likewise after this time; Dagster ends a tick after 60 s."""

TICK_OUTAGE_SECONDS = 10
"""How long a tick retries a failing request; the next tick tries it again."""

SILENCE_SECONDS = 40.0
"""After this time, the requests of a tick that are still without an answer are ended."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    """What the sensor for new prefixes keeps from tick to tick.

    Attributes:
        source: The folder of the source in the store.
        prefix: The prefix of the source.
        depth: The depth of its shards.
        position: Where the search stands; None between two searches.
        new: The new prefixes that this search has found. Once it has ended, the next ticks start
            their runs.
    """

    source: str
    prefix: str
    depth: int
    position: SearchPosition | None = None
    new: tuple[str, ...] = ()

    @classmethod
    def of(cls, assets: SourceAssets) -> "_Cursor":
        """The cursor before the first search."""
        return cls(assets.layout.base, assets.source.prefix, assets.source.shards.depth)

    @classmethod
    def from_json(cls, text: str, expected: "_Cursor") -> "_Cursor":
        """Read a cursor.

        Raises:
            CursorRefused: It is no cursor of this sensor, or that of another source or depth.
        """
        try:
            found = _CURSOR.validate_json(text)
        except ValueError:
            raise CursorRefused(f"{text[:80]!r} is no cursor of this sensor") from None
        places = [f"{each.source!r} with the prefix {each.prefix!r}" for each in (found, expected)]
        if places[0] != places[1]:
            raise CursorRefused(
                f"the cursor belongs to the source {places[0]}, and this sensor searches "
                f"{places[1]}"
            )
        if found.depth != expected.depth:
            raise CursorRefused(
                f"the cursor belongs to a search with shards.depth = {found.depth}, and it is "
                f"{expected.depth} now"
            )
        return found

    def to_json(self) -> str:
        return _CURSOR.dump_json(self).decode()


_CURSOR = TypeAdapter(_Cursor)


def build_new_prefix_sensor(assets: SourceAssets) -> dg.SensorDefinition:
    """The sensor that adds a shard for each new prefix, and lists only these.

    A tick searches on where the one before ended, within a bound of requests and of time. The
    prefixes that a search has found are in the cursor before the next tick adds their partitions
    and requests their runs. So a tick that dies is repeated, with the same run keys, and Dagster
    starts each run once.
    """

    @dg.sensor(
        name=f"{assets.source.name}_new_prefixes",
        job_name=assets.listing_job,
        minimum_interval_seconds=assets.source.schedule.sensor_interval_seconds,
        required_resource_keys=assets.resource_keys,
        description=f"Find new prefixes of {assets.source.bucket}, and list only these.",
    )
    def new_prefixes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not assets.source.shards.depth:
            return dg.SkipReason("shards.depth is 0: the remainder covers all prefixes")
        work = assets.bind(context.resources, context.instance)
        is_searched = known_key_order(work.store, work.layout) is not None
        if not work.shard_keys or (work.shard_keys == (REMAINDER,) and not is_searched):
            # All prefixes would be new, each with its own run; the schedule lists them in one run.
            return dg.SkipReason(
                "no shards are known yet; materialize `shards`, or wait for the daily schedule"
            )
        cursor = _Cursor.of(assets)
        notice = ""
        try:
            cursor = _Cursor.from_json(context.cursor, cursor) if context.cursor else cursor
        except CursorRefused as error:
            notice = f"the search starts anew: {error}; "
        if cursor.new and cursor.position is None:
            return _start_runs(work, cursor)
        cursor, outcome = _search_on(work, cursor)
        return dg.SensorResult(skip_reason=f"{notice}{outcome}", cursor=cursor.to_json())

    return new_prefixes


def build_automation_sensor(
    source: SourceAssets, assets: Sequence[dg.AssetsDefinition]
) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the automation conditions of the source's assets.

    It is running by default, and covers no other asset of the code location.
    """
    return dg.AutomationConditionSensorDefinition(
        f"{source.source.name}_automation",
        target=dg.AssetSelection.assets(*assets),
        default_status=dg.DefaultSensorStatus.RUNNING,
        # A backfill has one run for all shards in a row; without one, each shard has its own.
        emit_backfills=True,
        minimum_interval_seconds=30,
    )


def _start_runs(work: SourceContext, cursor: _Cursor) -> dg.SensorResult:
    """Add the partitions of new prefixes, and request their runs.

    A prefix that was listed today or yesterday is not new: the schedule or a user added its shard.
    A prefix whose shard is retired is new again.
    """
    partitions, today = work.assets.partitions, work.assets.day_of(work.now())
    found, later = cursor.new[:NEW_SHARDS_PER_TICK], cursor.new[NEW_SHARDS_PER_TICK:]
    chosen = [prefix for prefix in found if not _is_listed(work, prefix, today)]
    record_prefixes(work.store, work.layout, chosen)
    keys = [shard_key(prefix, work.source.prefix) for prefix in chosen]
    added = [key for key in keys if key not in work.shard_keys]
    remove_retirements(work.store, work.layout, added)
    return dg.SensorResult(
        dynamic_partitions_requests=[partitions.shards.build_add_request(added)] if added else [],
        run_requests=[
            dg.RunRequest(run_key=f"{today}|{key}", partition_key=partitions.key(today, key))
            for key in keys
        ],
        skip_reason=None if keys else "the new prefixes were listed meanwhile",
        cursor=replace(cursor, new=later).to_json(),
    )


def _is_listed(work: SourceContext, prefix: str, today: date) -> bool:
    days = (today, today - timedelta(days=1))
    return any(read_snapshot(work.store, work.layout, day, prefix) for day in days)


def _search_on(work: SourceContext, cursor: _Cursor) -> tuple[_Cursor, str]:
    """Search for prefixes within the bounds of a tick; return the cursor and what came of it.

    Raises:
        S3Error: A request failed permanently.
        dagster.Failure: The bucket did not answer for the whole tick.
    """
    began = replace(cursor, position=None, new=())
    known = {REMAINDER, *work.shard_keys}
    lister = work.bucket.for_tick(TICK_OUTAGE_SECONDS).lister(work.now())
    try:
        with _cancelled_if_silent(lister):
            position = cursor.position or _start(work, work.profile(lister))
            search = PrefixSearch(
                lister, shard_bounds(work), _rows_of_others(work, known), position, RequestStats()
            )
            new = [*cursor.new, *_search_within_bounds(search, known, work.source.prefix)]
    except TooManyShards as error:
        return began, f"the remainder covers prefixes without a shard: {error}"
    except NamesMisread as error:
        # The prefixes that were found may have been misread, too.
        restart = _start(work, corrected(lister.profile, error))
        return replace(began, position=restart), f"the search starts anew: {error}"
    except Cancelled:
        raise dg.Failure(
            f"{lister.bucket_config.display_name}: no prefixes were listed within "
            f"{SILENCE_SECONDS:.0f} s; check that the endpoint can be reached and is not "
            "overloaded; the next tick tries it again"
        ) from None
    finally:
        lister.close()
    found = search.position.found
    if not search.is_done:
        reached = search.position.levels[-1]
        outcome = (
            f"{found:,} prefixes were found so far, {len(new):,} of them new; the next tick "
            f"searches on at {reached.after or reached.prefix!r}"
        )
        return replace(began, position=search.position, new=tuple(new)), outcome
    if not new:
        return began, f"no new prefix among {found:,}"
    outcome = f"new prefixes: {len(new):,} of {found:,}; the next tick starts their listings"
    return replace(began, new=tuple(new)), outcome


def _start(work: SourceContext, profile: StoreProfile) -> SearchPosition:
    # Runs determine the order; a level that contradicts it is not split.
    order = work.key_order() or KeyOrder.BYTES
    return SearchPosition.start(work.source.prefix, work.source.shards.depth, profile, order)


@contextmanager
def _cancelled_if_silent(lister: PageSource) -> Iterator[None]:
    """End the requests before Dagster ends the tick, which would lose what it has found."""
    timer = Timer(SILENCE_SECONDS, lister.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _search_within_bounds(search: PrefixSearch, known: set[str], source_prefix: str) -> list[str]:
    """Search until the bounds of a tick or the end; return the prefixes without a partition.

    Raises:
        Cancelled: The requests were ended before there was any progress.
    """
    began_at = search.position
    deadline = time.monotonic() + SECONDS_PER_TICK
    new: list[str] = []
    while not search.is_done:
        try:
            shard = search.step()
        except Cancelled:
            if search.position == began_at:
                raise
            break
        if shard is not None and shard_key(shard, source_prefix) not in known:
            new.append(shard)
        if search.stats.requests >= REQUESTS_PER_TICK or time.monotonic() >= deadline:
            break
    return new


def _rows_of_others(work: SourceContext, known: set[str]) -> RowsUnder:
    """The rows of prefixes that are no shards; the daily run splits shards that have grown."""
    rows_under = rows_of_newest_manifest(work)

    def rows_of_other(prefix: str) -> int | None:
        return None if shard_key(prefix, work.source.prefix) in known else rows_under(prefix)

    return rows_of_other
