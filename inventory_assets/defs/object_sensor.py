"""A sensor that starts runs for new objects of a source, each object once.

Each tick starts the runs that the tick before has planned, and plans the next ones. A plan is a
window of keys between two inventories, and is in the sensor's cursor before any of its runs is
requested. So if a tick dies, the next one requests exactly the same runs with the same run keys,
whatever was published meanwhile, and Dagster starts those that are missing.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from inventory_assets.defs.source.resources import InventoryStore
from inventory_assets.inventory.query.change_cursor import (
    ChangeCursor,
    InventoryState,
    Step,
    parse_cursor,
)
from inventory_assets.inventory.query.change_feed import ChangeFeed, ChangeStep
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.scan.keyspace.key_range import KeyRange

_LAST_KEY = KeyRange.of_prefix("").until

_COLUMNS = ["bucket", "key", "version_id", "e_tag", "size"]


class NewObject(dg.Config):
    """An object that was created or modified.

    Attributes:
        bucket: Its bucket.
        key: Its key. This is text that others have chosen: escape it wherever it is used.
        version_id: Its version; None where the source does not list versions.
        e_tag: Its ETag, without quotes; None where the store shows none.
        size: Its size in bytes.
    """

    bucket: str
    key: str
    version_id: str | None = None
    e_tag: str | None = None
    size: int


class NewObjects(dg.Config):
    """The configuration of a run for new objects, in key order.

    Attributes:
        source: The name of the source.
        date: The date of the inventory in which they are new, in ISO format.
        objects: The objects.
    """

    source: str
    date: str
    objects: list[NewObject]


def new_objects_sensor(
    source: Layout,
    *,
    target: Any,
    op: str,
    name: str | None = None,
    prefix: str = "",
    pattern: str | None = None,
    per: Literal["object", "batch"] = "batch",
    batch_size: int = 500,
    max_runs_per_tick: int = 20,
    max_seconds_per_tick: float = 20,
    existing: bool = False,
    minimum_interval_seconds: int = 60,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
) -> dg.SensorDefinition:
    """A sensor that starts a run for each new object of a source, or for each batch of them.

    New are the objects that are created or modified from one inventory to the next, as
    `ChangeFeed` reads them: each once, also if dates are missed or published again. The runs of a
    tick are requested by the tick after it, so that a tick that dies loses and repeats none.

    Args:
        source: The source, such as `Layout("acme-logs", "logs")`. Its store is taken from the
            resource `<source>_store`.
        target: The job or assets to run, without partitions.
        op: The op or asset of them that has `config: NewObjects`.
        name: The name of the sensor; by default `<source>_new_objects`.
        prefix: Only keys with this prefix.
        pattern: Only keys in which this regular expression (RE2) matches somewhere.
        per: Whether a run has one object, or a batch of them.
        batch_size: Objects in a batch. All of them are in the run's configuration.
        max_runs_per_tick: Maximum runs that a tick requests.
        max_seconds_per_tick: A tick that reads for longer continues in the next tick.
        existing: Whether the first runs are for all objects of the newest inventory; otherwise
            the sensor begins with what is new after it.
        minimum_interval_seconds: Seconds between two ticks.
        default_status: Whether the sensor runs as soon as it is loaded.

    Raises:
        dagster.DagsterInvalidDefinitionError: The pattern is no regular expression, or a limit is
            not positive.
    """
    _check(pattern, batch_size, max_runs_per_tick)
    size = 1 if per == "object" else batch_size
    store_resource = f"{source.source}_store"

    @dg.sensor(
        name=name or f"{source.source}_new_objects",
        target=target,
        minimum_interval_seconds=minimum_interval_seconds,
        required_resource_keys={store_resource},
        default_status=default_status,
        description=f"Start runs for new objects of {source.bucket}.",
    )
    def new_objects(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        store: InventoryStore = getattr(context.resources, store_resource)
        deadline = time.monotonic() + max_seconds_per_tick
        feed = ChangeFeed(store.open(), source)
        if context.cursor:
            position = _Position.from_json(context.cursor, source)
        elif existing:
            position = _Position(source.base)
        else:
            newest = feed.newest_cursor()
            if newest is None:
                return dg.SensorResult(
                    skip_reason=f"no change log of {source.source} was published yet"
                )
            position = _Position(source.base, newest.state)
        requests = list(_requests(feed, op, position))
        choice = _Choice(prefix, pattern, size)
        planned = _plan(feed, position.past_window(), choice, size * max_runs_per_tick, deadline)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else _reason(planned),
            cursor=planned.to_json(),
        )

    return new_objects


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which objects have runs, and how many objects a run has."""

    prefix: str
    pattern: str | None
    size: int


@dataclass(frozen=True, slots=True)
class _Window:
    """The keys whose runs the next tick requests.

    Attributes:
        until: The last key.
        choice: The choice with which they were planned; later ones do not change them.
    """

    until: str
    choice: _Choice


@dataclass(frozen=True, slots=True)
class _Position:
    """The cursor of a sensor.

    Attributes:
        source: The folder of the source in the store.
        state: The inventory whose objects have had their runs; None for none.
        target: The inventory that is compared with it; None between two steps.
        after: The last key between the two whose run was requested.
        window: What the next tick requests; None for nothing.
    """

    source: str
    state: InventoryState | None = None
    target: InventoryState | None = None
    after: str = ""
    window: _Window | None = None

    @classmethod
    def from_json(cls, text: str, source: Layout) -> "_Position":
        """Read a cursor.

        Raises:
            CursorRefused: It is the cursor of another source, or none.
        """
        kind, remedy = "a sensor of new objects", "reset the cursor of the sensor"
        return parse_cursor(_ADAPTER, text, source.base, kind, remedy)

    def to_json(self) -> str:
        return _ADAPTER.dump_json(self).decode()

    @property
    def step(self) -> Step | None:
        """What is read at present; None between two steps."""
        return Step(self.state, self.target) if self.target else None

    def past_window(self) -> "_Position":
        """The position once the runs of the window were requested."""
        if self.window is None:
            return self
        if self.window.until == _LAST_KEY:
            return _Position(self.source, self.target)
        return replace(self, after=self.window.until, window=None)


_ADAPTER = TypeAdapter(_Position)


def _plan(
    feed: ChangeFeed, position: _Position, choice: _Choice, limit: int, deadline: float
) -> _Position:
    """The position with the next window that has objects, as far as it is found in time."""
    while True:
        step = position.step
        if step is None:
            found = feed.next_step(ChangeCursor(position.source, position.state))
            if found is None:
                return position
            step = found.step
            position = replace(position, target=step.after)
        reader = _reader(feed, step)
        until, has_objects = _next_window(reader, position.after, choice, limit, deadline)
        position = replace(position, window=_Window(until, choice))
        if has_objects:
            return position
        position = position.past_window()
        if time.monotonic() >= deadline:
            return position


def _next_window(
    reader: ChangeStep, after: str, choice: _Choice, limit: int, deadline: float
) -> tuple[str, bool]:
    """The last key of the next window, and whether it has objects of the choice."""
    found = 0
    for batch in reader.created_batches(choice.prefix, after):
        chosen = _chosen(batch, choice)
        if found + chosen.num_rows >= limit:
            return str(chosen.column("key")[limit - found - 1]), True
        found += chosen.num_rows
        if time.monotonic() >= deadline:
            return str(batch.column("key")[-1]), found > 0
    return _LAST_KEY, found > 0


def _requests(feed: ChangeFeed, op: str, position: _Position) -> Iterator[dg.RunRequest]:
    """The runs of the window, in key order."""
    step, window = position.step, position.window
    if step is None or window is None:
        return
    objects = _objects(_reader(feed, step), position.after, window)
    while batch := list(islice(objects, window.choice.size)):
        yield _run_request(feed.layout, op, step, batch)


def _objects(reader: ChangeStep, after: str, window: _Window) -> Iterator[dict[str, Any]]:
    for batch in reader.created_batches(window.choice.prefix, after):
        for found in _chosen(batch, window.choice).select(_COLUMNS).to_pylist():
            if found["key"] > window.until:
                return
            yield found


def _reader(feed: ChangeFeed, step: Step) -> ChangeStep:
    return ChangeStep(feed.store, feed.layout, step)


def _chosen(batch: pa.RecordBatch, choice: _Choice) -> pa.RecordBatch:
    if choice.pattern is None:
        return batch
    return batch.filter(pc.match_substring_regex(batch.column("key"), choice.pattern))


def _run_request(
    source: Layout, op: str, step: Step, objects: Sequence[dict[str, Any]]
) -> dg.RunRequest:
    day = step.after.day.isoformat()
    states = [
        [str(state.day), state.manifest] if state else None for state in (step.before, step.after)
    ]
    # Keys may be long and have any characters: in the run's key they are hashed.
    identifying = json.dumps([source.base, states, objects[0]["key"], objects[-1]["key"]])
    config = {"source": source.source, "date": day, "objects": list(objects)}
    return dg.RunRequest(
        run_key=f"{day}|{hashlib.sha256(identifying.encode()).hexdigest()[:32]}",
        run_config={"ops": {op: {"config": config}}},
        tags={"inventory/source": source.source, "inventory/date": day},
    )


def _reason(position: _Position) -> str:
    if position.window and position.target:
        return f"planned runs for new objects of {position.target.day}; the next tick starts them"
    if position.target:
        return f"reading the inventory of {position.target.day}; the next tick continues"
    read = f" after {position.state.day}" if position.state else ""
    return f"no new objects{read}"


def _check(pattern: str | None, *limits: int) -> None:
    if min(limits) < 1:
        raise dg.DagsterInvalidDefinitionError(
            "batch_size and max_runs_per_tick must be at least 1"
        )
    try:
        pc.match_substring_regex(pa.array([""]), pattern or "")
    except pa.ArrowInvalid as error:
        raise dg.DagsterInvalidDefinitionError(
            f"pattern {pattern!r} is no regular expression: {error}"
        ) from None
