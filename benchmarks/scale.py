"""Listing 1 to 100 billion objects on 1 to 1,000 workers: `python -m benchmarks.scale`.

It prints tables in Markdown. `simulation` runs the real engine and limiter on a virtual clock,
beside measurements and beside the model; the other tables are the model's. docs/scale.md has the
tables, and what follows from them.
"""

import argparse
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from benchmarks.scale_model import (
    DAY,
    Bucket,
    Costs,
    Division,
    Estimate,
    Fleet,
    Limit,
    estimate,
    overload_workers,
)
from benchmarks.scale_records import (
    MAX_PARTITIONS,
    PAGE_BYTES,
    WINDOW_DAYS,
    history_of,
    measure,
    records_of,
    writes_per_second,
)
from benchmarks.scale_store import WRITE_RATE, StoreLimits
from benchmarks.scale_stories import STORIES
from inventory_assets.inventory.pricing.price_table import load_prices
from inventory_assets.units import human_bytes, human_usd

BILLION = 10**9
OBJECTS = tuple(BILLION * count for count in (1, 3, 10, 30, 100))
WORKERS = (1, 4, 16, 64, 250, 1_000)
READY = StoreLimits(partitions=256)
"""A bucket that has been under such loads, and so has a partition for each of 256 prefixes."""


def simulation() -> Iterator[str]:
    """The model beside simulations, and these beside measurements."""
    yield from head(
        "bucket and machines, 10 M objects or more",
        *("measured, s", "simulated, s", "of measured", "model, s", "of simulated"),
        *("requests per page", "503s", "ranges", "failures"),
    )
    for story in STORIES:
        outcomes = story.simulated()
        seconds = fmean(each.seconds for each in outcomes)
        computed = story.computed().seconds
        requests = fmean(each.requests for each in outcomes)
        refused = fmean(each.refused for each in outcomes)
        of_measured = f"{seconds / story.measured:.2f}" if story.measured else ""
        yield row(
            story.name,
            f"{story.measured:.1f}" if story.measured else "",
            f"{seconds:.1f}",
            of_measured,
            f"{computed:.1f}",
            f"{computed / seconds:.2f}",
            f"{(requests - refused) / outcomes[0].pages:.3f}",
            f"{refused / requests:.1%}",
            f"{fmean(each.ranges for each in outcomes):,.0f}",
            f"{fmean(each.failures for each in outcomes):.1f}",
        )


def listing() -> Iterator[str]:
    """Time by objects and workers."""
    yield from head(
        "objects",
        *("workers", "in flight, all", "ready bucket", "requests/s", "limited by"),
        *("one partition at first", "limited by", "partitions at last"),
    )
    for objects in OBJECTS:
        for workers in WORKERS:
            bucket, fleet = Bucket(objects, shards=max(256, workers * 4)), Fleet.of_sources(workers)
            ready, cold = estimate(bucket, fleet, READY), estimate(bucket, fleet)
            yield row(
                billions(objects),
                f"{workers:,}",
                f"{fleet.in_flight:,}",
                told(ready),
                f"{ready.requests / ready.seconds:,.0f}",
                ready.limited_by,
                told(cold),
                cold.limited_by,
                f"{cold.partitions}",
            )


def shares() -> Iterator[str]:
    """Time by the largest shard, for both ways to divide a bucket."""
    yield from head("objects, workers", "largest shard", "runs", "limited by", "join", "limited by")
    for objects, workers in ((10 * BILLION, 16), (100 * BILLION, 64)):
        for largest in (0.0, 0.1, 0.3, 0.7, 1.0):
            bucket = Bucket(objects, 256, largest)
            cells: list[str] = []
            for division in Division:
                fleet = Fleet(workers, min(64 * workers, 1024), division=division)
                found = estimate(bucket, fleet, READY)
                cells += [told(found), found.limited_by]
            name = f"{billions(objects)}, {workers}"
            yield row(name, f"{largest:.0%}" if largest else "equal", *cells)


def failures() -> Iterator[str]:
    """Time by how often machines fail, and by what outlives them."""
    yield from head(
        "objects, workers",
        *("each fails once in", "failures in all", "without"),
        *("disk kept, runs", "disk kept, join", "whole parts, runs", "whole parts, join"),
    )
    for objects, workers in ((10 * BILLION, 16), (100 * BILLION, 64), (100 * BILLION, 1_000)):
        for hours in (1_000, 100, 10, 1, 0.25):
            bucket = Bucket(objects, shards=max(256, workers * 4))
            plain = Fleet.of_sources(workers)
            cells = [told(estimate(bucket, plain, READY))]
            count = 0.0
            for keeps_disk in (True, False):
                for division in Division:
                    fleet = Fleet(
                        workers,
                        plain.in_flight,
                        division=division,
                        failures_per_hour=1 / hours,
                        keeps_disk=keeps_disk,
                    )
                    found = estimate(bucket, fleet, READY)
                    count = count or found.failures
                    cells.append(told(found))
            name = f"{billions(objects)}, {workers:,}"
            yield row(name, f"{hours:g} h", f"{count:,.1f}", *cells)


def sizes() -> Iterator[str]:
    """Requests, price, files, records and memory by objects."""
    prices = load_prices()
    yield from head(
        "objects",
        *("requests", "received", "LIST price", "a month of days", "Parquet", "its price a month"),
        *("parts at first", "parts at most", "inventory.json", "manifest.json"),
        *("looking up all parts", "memory of a run"),
    )
    for objects in OBJECTS:
        found = records_of(objects, 256, 64)
        requests = round(estimate(Bucket(objects), Fleet(), READY).requests)
        price = prices.listing_usd(requests)
        standard = prices.of_class("STANDARD")
        gigabytes = found.parquet_bytes / 2**30
        storage = gigabytes * standard.average_usd_per_gb(gigabytes) if standard else math.nan
        yield row(
            billions(objects),
            f"{requests / 1e6:,.1f} M",
            human_bytes(requests * PAGE_BYTES),
            human_usd(price),
            human_usd(30 * price),
            human_bytes(round(found.parquet_bytes)),
            human_usd(storage),
            f"{found.parts:,}",
            f"{found.parts_later:,}",
            human_bytes(found.inventory_bytes),
            human_bytes(found.manifest_bytes),
            duration(found.merge_seconds),
            f"{found.memory_mb:,.0f} MB",
        )


def records() -> Iterator[str]:
    """The real records of dates in memory, measured."""
    yield from head(
        "shards",
        *("parts", "inventory.json, bytes a part", "manifest.json, bytes a part"),
        *("look-ups a part", "memory to read it, bytes a part", "CPU to merge, µs a part"),
    )
    for shards, each in ((2, 10_000), (256, 50), (1_000, 4)):
        found, parts = measure(each, shards), each * (shards - 1)
        yield row(
            f"{shards:,}",
            f"{parts:,}",
            f"{found.inventory_bytes / parts:.0f}",
            f"{found.manifest_bytes / parts:.0f}",
            f"{found.lookups / parts:.1f}",
            f"{found.memory_bytes / parts:,.0f}",
            f"{found.seconds / parts * 1e6:.0f}",
        )


def dagster() -> Iterator[str]:
    """Events and growth of the database by shards and runs."""
    yield from head(
        "shards",
        *("runs of the listing", "partitions", "events a day", "SQLite a day"),
        *("in the window of 31 days", "left of a year"),
    )
    for shards, runs in ((256, 1), (256, 16), (1_000, 16), (1_000, 64), (3_224, 64), (10_000, 64)):
        found = history_of(shards, runs)
        is_allowed = found.partitions <= MAX_PARTITIONS
        yield row(
            f"{shards:,}",
            f"{runs}",
            f"{found.partitions:,}{'' if is_allowed else ': refused'}",
            f"{found.events:,}",
            human_bytes(found.bytes_a_day),
            human_bytes(found.bytes_in_window),
            human_bytes(found.bytes_a_year),
        )


def bends() -> Iterator[str]:
    """At which number each limit is reached."""
    yield from head("what", "at which number")
    limits, fleet, costs = StoreLimits(), Fleet(), Costs()
    rate = limits.rate or 0.0
    pace = fleet.in_flight * costs.in_flight_used / limits.mean_latency
    cores = 1_000 / costs.cpu_seconds_per_million
    in_flight = cores * limits.mean_latency / costs.in_flight_used
    yield row("pages a second of one worker, 64 in flight", f"{pace:,.0f}")
    yield row("pages a second of a core", f"{cores:,.0f}")
    yield row("what one worker receives", f"{pace * PAGE_BYTES * 8 / 1e9:.1f} Gbit/s")
    yield row("in flight from which a core is the limit", f"{in_flight:,.0f}")
    yield row(
        "objects that one worker lists in a day",
        f"{pace / costs.requests_per_page * DAY / 1e6:.0f} billion",
    )
    yield row("workers that one partition feeds", f"{costs.rate_used * rate / pace:.1f}")
    yield row("in flight that one partition feeds", f"{rate * limits.mean_latency:,.0f}")
    yield row(
        "workers from which one request each is too much for one partition",
        f"{overload_workers(limits):,.0f}",
    )
    yield row(
        "share of the largest shard from which 16 runs wait for it",
        f"{cores / (16 * pace):.0%}",
    )
    yield row(
        "runs whose writes one partition of the results takes",
        f"{WRITE_RATE / writes_per_second(pace):,.0f}",
    )
    yield row(
        "parts whose look-ups take as long as 16 runs take for a billion objects",
        f"{_parts_as_slow_as_a_listing():,.0f}",
    )
    yield row("shards with a window of 31 days", f"{MAX_PARTITIONS // WINDOW_DAYS - 1:,}")
    for name, kept in (("the disk", True), ("whole parts", False)):
        often = _failures_that_double(kept)
        yield row(f"failures an hour that double the time of 16 runs, {name} kept", f"{often:.2f}")


def _parts_as_slow_as_a_listing() -> float:
    """Parts of a date, of which each is looked up when it is merged."""
    seconds = estimate(Bucket(BILLION), Fleet.of_sources(16), READY).seconds
    found = records_of(BILLION, 256, 64)
    return seconds / found.merge_seconds * found.parts_later


def _failures_that_double(keeps_disk: bool) -> float:
    """Failures of each machine, an hour, with which 16 runs take twice as long for ten billion."""
    bucket = Bucket(10 * BILLION)
    plain = estimate(bucket, Fleet(16, 1024), READY).seconds
    low, high = 0.0, 3_600.0
    for _ in range(40):
        middle = (low + high) / 2
        fleet = Fleet(16, 1024, failures_per_hour=middle, keeps_disk=keeps_disk)
        is_slower = estimate(bucket, fleet, READY).seconds > 2 * plain
        low, high = (low, middle) if is_slower else (middle, high)
    return high


def head(*cells: str) -> Iterator[str]:
    """The head of a table; the first column is text."""
    yield row(*cells)
    yield f"|---{'|--:' * (len(cells) - 1)}|"


def row(*cells: str | Limit) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def billions(objects: int) -> str:
    """A number of objects."""
    return f"{objects / BILLION:g} billion"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if not math.isfinite(seconds):
        return "never"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def told(found: Estimate) -> str:
    """The duration of a listing; bold where an interrupted one is too old to be continued."""
    text = duration(found.seconds)
    return f"**{text}**" if found.seconds > DAY else text


TABLES: Mapping[str, Callable[[], Iterator[str]]] = {
    each.__name__: each
    for each in (simulation, listing, shares, failures, sizes, records, dagster, bends)
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, each row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=TABLES, help="these tables")
    options = parser.parse_args(arguments)
    for name, table in TABLES.items():
        if options.only and name not in options.only:
            continue
        print(f"\n{name}: {(table.__doc__ or '').strip()}\n")
        started = time.process_time()
        for line in table():
            print(line, flush=True)
        print(f"\n{time.process_time() - started:.0f} CPU-seconds")


if __name__ == "__main__":
    logging.getLogger("inventory_assets").setLevel(logging.ERROR)  # simulated outages
    main()
