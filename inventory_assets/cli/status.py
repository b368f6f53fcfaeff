"""`inventory status`: how every source is, on one screen, and as an exit code for monitoring."""

import argparse
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from inventory_assets.errors import printable
from inventory_assets.units import human_bytes, human_change, human_usd

if TYPE_CHECKING:
    from inventory_assets.config import Config, Source
    from inventory_assets.inventory.source_status import SourceStatus

NOT_FINE = 1
"""The exit code if a source is too old, held, or has no inventory."""

ERROR = 2

MAX_AGE = "36h"
"""The age at which Dagster's freshness policy fails, too."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def add_status(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "status",
        help="show how every source is",
        description="Show how every source is: its newest date and the age of its state, held "
        "dates, interrupted releases, oddities, growth, the cost of its listing, and unfinished "
        "listings. All of it is read from the store of the results; runs of Dagster "
        "that have no checkpoint yet are not known. The exit code is 1 if a source is too old, has "
        "no inventory, or has a date that is held or whose release was interrupted.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", nargs="?", help="only this source of the configuration"
    )
    parser.add_argument(
        "--max-age",
        metavar="AGE",
        type=_age,
        default=_age(MAX_AGE),
        help=f"a newest state older than AGE is too old: 90m, 36h or 2d ({MAX_AGE})",
    )
    parser.add_argument(
        "--format", choices=["text", "json"], default="text", help="text, or one JSON document"
    )
    parser.set_defaults(run=_status, error_exit_code=ERROR)


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write it as 90m, 36h or 2d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _status(options: argparse.Namespace) -> int:
    from inventory_assets.config import load_config
    from inventory_assets.inventory.growth.bounds import GrowthBounds
    from inventory_assets.inventory.source_status import status_of
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.wiring.results import open_results

    config = load_config()
    store, now = open_results(config.store), datetime.now(UTC)
    documents = []
    for source in _sources(config, options.source):
        layout = Layout(source.bucket, source.folder_name)
        bounds = GrowthBounds(**source.growth.model_dump(exclude={"severity"}))
        status = status_of(store, layout, bounds)
        documents.append(_document(source, status, now, options.max_age))
    if options.format == "json":
        whole = {"checked_at": now.isoformat(timespec="seconds"), "sources": documents}
        print(json.dumps(whole, indent=1))
    else:
        print("\n\n".join("\n".join(_lines(each)) for each in documents))
    return 0 if all(each["state"] == "fine" for each in documents) else NOT_FINE


def _sources(config: "Config", name: str | None) -> "list[Source]":
    from inventory_assets.cli.inventory_argument import source_and_day

    return [source_and_day(config, name)[0]] if name else [*config.sources.values()]


def _document(
    source: "Source", status: "SourceStatus", now: datetime, max_age: timedelta
) -> dict[str, Any]:
    """What the JSON document has of a source; the text shows the same."""
    newest, baseline = status.newest, status.baseline
    age = now - newest.listed_at if newest else None
    if status.held or status.unfinished_releases:
        state = "held"
    elif age is None:
        state = "missing"
    else:
        state = "old" if age > max_age else "fine"
    return {
        "source": source.name,
        "bucket": source.bucket,
        "state": state,
        "newest": {
            "date": str(newest.day),
            "listed_at": newest.listed_at.isoformat(timespec="seconds"),
            "age_seconds": round((now - newest.listed_at).total_seconds()),
            "objects": newest.objects,
            "bytes": newest.object_bytes,
            "requests": newest.requests,
            "estimated_usd": _usd(source, newest.requests),
            "released_by": newest.release.released_by if newest.release else None,
            "released_because": newest.release.because if newest.release else None,
        }
        if newest
        else None,
        "baseline": {
            "date": str(baseline.day),
            "objects_change": newest.objects - baseline.objects,
            "bytes_change": newest.object_bytes - baseline.object_bytes,
        }
        if newest and baseline
        else None,
        "held": [
            {
                "date": str(each.day),
                "since": each.held_since.isoformat(timespec="seconds"),
                "because": each.sentences,
            }
            for each in status.held
        ],
        "unfinished_releases": [
            {
                "date": str(each.manifest.day),
                "released_at": release.released_at.isoformat(timespec="seconds"),
                "released_by": release.released_by,
                "released_because": release.because,
            }
            for each in status.unfinished_releases
            if (release := each.manifest.release)
        ],
        "odd": list(status.odd),
        "unfinished": [
            {
                "date": str(each.day),
                "listings": each.listings,
                "last_checkpoint_age_seconds": round(
                    (now - each.last_checkpoint_at).total_seconds()
                )
                if each.last_checkpoint_at
                else None,
            }
            for each in status.unfinished
        ],
    }


def _usd(source: "Source", requests: int) -> float:
    from inventory_assets.wiring.prices import prices_of

    return round(prices_of(source).listing_usd(requests), 6)


def _lines(found: dict[str, Any]) -> list[str]:
    newest, baseline = found["newest"], found["baseline"]
    lines = [f"{found['source']}: {found['state']}"]
    if newest is None:
        lines.append("  newest      none; no date is published")
    else:
        cost = human_usd(newest["estimated_usd"])
        lines += [
            f"  newest      {newest['date']}, the state of {_human_age(newest['age_seconds'])} ago",
            f"  holds       {newest['objects']:,} objects, {human_bytes(newest['bytes'])}",
            f"  cost        {newest['requests']:,} requests, {cost} (estimated)",
        ]
        if newest["released_by"]:
            lines.append(
                f"  released    by {newest['released_by']}, because: {newest['released_because']}"
            )
    if baseline:
        lines.append(
            f"  growth      {baseline['objects_change']:+,} objects, "
            f"{human_change(baseline['bytes_change'])} since {baseline['date']}"
        )
    lines += [f"  odd         {sentence}" for sentence in found["odd"]]
    for held in found["held"]:
        lines += [
            f"  held        {held['date']}, since {held['since']}",
            *(f"              {sentence}" for sentence in held["because"]),
            f'              inventory release {found["source"]}@{held["date"]} --because "..."',
        ]
    for each in found["unfinished_releases"]:
        name, day = found["source"], each["date"]
        who = f"by {each['released_by']} at {each['released_at']}"
        lines += [
            f"  released    {day}, {who}; it is not published yet",
            f"              the sensor {name}_releases finishes it in a few minutes, or run",
            f'              inventory release {name}@{day} --because "..."',
        ]
    for each in found["unfinished"]:
        age = each["last_checkpoint_age_seconds"]
        when = "unknown when" if age is None else f"{_human_age(age)} ago"
        lines.append(
            f"  unfinished  {each['date']}: {each['listings']:,} listing(s), last checkpoint {when}"
        )
    return [printable(line) for line in lines]


def _human_age(seconds: int) -> str:
    for unit, length in (("days", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= length:
            return f"{seconds // (length // 2)} {unit}"
    return f"{max(seconds, 0)} s"
