"""Runs of shards, as values."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from inventory_assets.inventory.runs.cause import Cause
from inventory_assets.inventory.runs.figures import HeatCell, RunFigures, Timeline, TimeSpent
from inventory_assets.inventory.runs.regressions import RunSummary
from inventory_assets.inventory.runs.shard_run import ShardRun
from inventory_assets.s3.latency_histogram import LatencyHistogram, bucket_of
from inventory_assets.scan.engine.range_latencies import SlowRange
from inventory_assets_tests.inventory.samples import DAY, LAYOUT

BEGAN = datetime(2026, 5, 5, 1, tzinfo=UTC)


def figures(seconds: float = 30.0, **others: object) -> RunFigures:
    """The figures of a run at its limit."""
    buckets = int(seconds)
    given: dict[str, object] = {
        "seconds": seconds,
        "rows": 10_000,
        "requests": 12,
        "faults": {"throttled": 2},
        "latency": LatencyHistogram({bucket_of(0.1): 8, bucket_of(0.4): 2}),
        "maximum": 8,
        "mean_in_flight": 8.0,
        "spent": TimeSpent(at_maximum=seconds * 0.8, computing=seconds * 0.2),
        "timeline": Timeline(1.0, (2,) * buckets, (8.0,) * buckets, (8.0,) * buckets),
        "ranges": 3,
        "cells": (HeatCell(1, 0, 8), HeatCell(2, 1, 2)),
        "slowest": (SlowRange("a/<b>\x1b[31m/", 2, 0.8, 0.42),),
    }
    return RunFigures(**{**given, **others})  # type: ignore[arg-type]


def shard_run(
    prefix: str = "a/",
    after: float = 0.0,
    run_id: str = "one",
    found: RunFigures | None = None,
    finished_at: datetime | None = None,
) -> ShardRun:
    """The run of a shard that began some seconds after `BEGAN`."""
    found = found or figures()
    began = BEGAN + timedelta(seconds=after)
    ended = finished_at or began + timedelta(seconds=found.seconds)
    return ShardRun(LAYOUT.bucket, LAYOUT.source, DAY, prefix, run_id, began, ended, found)


def summary(
    seconds: float = 60.0,
    *,
    rows: int = 1_000_000,
    requests: int = 1000,
    errors: int = 0,
    p95: float | None = 0.1,
    by_cause: Mapping[Cause, float] | None = None,
) -> RunSummary:
    """A run of a shard that is compared with others."""
    spent = {Cause.LIMIT: seconds} if by_cause is None else dict(by_cause)
    return RunSummary("a/", seconds, rows, requests, errors, p95, Cause.LIMIT, spent)
