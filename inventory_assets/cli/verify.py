"""`inventory verify`: list a sample of a bucket again, and compare it with its inventory."""

import argparse
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.bucket_arguments import (
    BUCKET_OPTIONS,
    add_bucket,
    given_arguments,
    given_key_order,
    moment,
    moment_or_day,
    open_bucket,
    positive,
)
from inventory_assets.cli.inventory_argument import is_path, is_url, open_manifest
from inventory_assets.cli.output import add_summary_format, print_json
from inventory_assets.errors import printable
from inventory_assets.inventory.errors import NotVerifiable

if TYPE_CHECKING:
    from inventory_assets.inventory.query.dataset import Dataset
    from inventory_assets.inventory.verification.targets import VerificationTarget
    from inventory_assets.inventory.verification.verification import Verification
    from inventory_assets.s3.list_client import ListClient

AGREES, DIFFERS, ERROR = 0, 1, 2
"""Exit codes, like those of diff(1)."""

LONGEST_LISTING = timedelta(days=1)
"""The longest time between the start of a listing into a folder and its first file."""

CLOCK_MARGIN = timedelta(hours=1)
"""More than the clock of the machine that began a shared listing may be ahead of the bucket's."""

SEEDS = 2**32


def add_verify(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="compare a sample of a bucket with its inventory",
        description="List random ranges of an inventory again, a page each, and compare key, size, "
        "ETag and LastModified. Objects created, modified or deleted since the listing are only "
        "counted. The exit code is 0 if there are no other differences; 1 if an object older than "
        "the listing is missing from it or differs, if the store contradicts itself, or if most of "
        "the sample is gone; and 2 after an error.",
    )
    parser.add_argument(
        "inventory",
        metavar="INVENTORY",
        help="a source of the configuration (logs: its newest date), a date of it "
        "(logs@2026-11-22), the path of a folder that `inventory list` wrote, or the URL of "
        "`inventory list --join`",
    )
    add_bucket(parser, nargs="?", help="bucket and prefix that were listed into the folder")
    parser.add_argument(
        "--began",
        metavar="TIME",
        type=moment,
        help="time in ISO 8601 at which the listing into the folder began (a day before its first "
        "file was written)",
    )
    parser.add_argument(
        "--as-of", metavar="TIME", type=moment_or_day, help="the --as-of of the listing"
    )
    parser.add_argument(
        "--ranges", metavar="N", type=positive, help="number of ranges to list again (8)"
    )
    parser.add_argument(
        "--seed", metavar="S", help="draw the same ranges as the run that printed this seed"
    )
    add_summary_format(parser)
    parser.set_defaults(run=_verify, error_exit_code=ERROR)


def _verify(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.verification.verification import RANGES, verify

    # The seed need not be hard to guess.
    seed = options.seed or str(random.randrange(SEEDS))  # noqa: S311
    open_both = _of_folder if is_path(options.inventory) else _of_source
    inventory, lister = open_both(options)
    try:
        chance = random.Random(seed)  # noqa: S311
        found = verify(inventory, lister, chance, options.ranges or RANGES)
    finally:
        lister.close()
    if options.format == "json":
        print_json(_summary(found, inventory.rows, seed))
    else:
        _print_summary(found, inventory.rows, seed)
    for note in found.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    for problem in found.problems:
        print(printable(problem), file=sys.stderr)
    return DIFFERS if found.problems else AGREES


def _summary(found: "Verification", rows: int, seed: str) -> dict[str, object]:
    return {
        "agrees": not found.problems,
        "ranges": len(found.ranges),
        "prefixes": len(found.prefixes),
        "records_sampled": found.records,
        "records": rows,
        "requests": found.requests,
        "seed": seed,
        "findings": {str(finding): count for finding, count in found.counts.items()},
        "seemed_gone": found.seemed_gone,
        "asked_again": found.asked_again,
        "notes": [*found.notes],
        "problems": [*found.problems],
    }


def _print_summary(found: "Verification", rows: int, seed: str) -> None:
    counts = [(len(found.ranges), "range"), (len(found.prefixes), "prefix")]
    what = [f"{count:,} {name}{_ending(name, count)}" for count, name in counts if count]
    print(
        f"{' and '.join(what) or 'nothing'} with {found.records:,} of {rows:,} records "
        f"listed again, with {found.requests:,} requests (seed {printable(seed)})"
    )
    print(", ".join(f"{count:,} {finding}" for finding, count in found.counts.items()))
    if found.asked_again:
        print(
            f"{found.asked_again:,} of {found.seemed_gone:,} keys that seemed gone were requested "
            "again by name"
        )


def _ending(name: str, count: int) -> str:
    return "" if count == 1 else "es" if name.endswith("x") else "s"


def _of_source(options: argparse.Namespace) -> "tuple[VerificationTarget, ListClient]":
    """The inventory of a source, and a client for its bucket."""
    from inventory_assets.inventory.verification.targets import VerificationTarget
    from inventory_assets.wiring.source_access import open_source_bucket

    given = given_arguments(options, (*BUCKET_OPTIONS, "began", "as_of"))
    flags = [*(["the URL"] if options.url else []), *(text.partition("=")[0] for text in given)]
    if flags:
        raise NotVerifiable(
            f"the configuration has the settings for the bucket of a source: leave out "
            f"{', '.join(flags)}, or name a folder that `inventory list` wrote"
        )
    source, store, layout, manifest = open_manifest(options.inventory)
    inventory = VerificationTarget.of_manifest(store, layout, manifest)
    return inventory, open_source_bucket(source, datetime.now(UTC))


def _of_folder(options: argparse.Namespace) -> "tuple[VerificationTarget, ListClient]":
    """The inventory in a folder, and a client for the bucket that the command line names."""
    from inventory_assets.inventory.parts.schema import has_versions
    from inventory_assets.inventory.verification.targets import VerificationTarget, empty_between
    from inventory_assets.scan.keyspace.key_order import KeyOrder
    from inventory_assets.scan.prefix_discovery import discover
    from inventory_assets.scan.prefix_search import ShardBounds
    from inventory_assets.scan.validation.object_versions import Versions

    if not options.url:
        raise NotVerifiable(
            f"{options.inventory} does not say what was listed into it: add the URL and the "
            "options of the bucket that `inventory list` was given"
        )
    bucket, prefix = options.url
    listed, written_at = _listed(options.inventory)
    if listed.bucket not in {bucket, ""}:
        raise NotVerifiable(
            f"{options.inventory} holds objects of the bucket {listed.bucket!r}, not of {bucket!r}"
        )
    began_at = options.began or written_at
    lister = open_bucket(options)
    known = given_key_order(options)
    order = discover(lister, prefix, ShardBounds(depth=0), known).key_order
    # A store that lists in byte order now may have listed in another order then.
    if order is KeyOrder.DIRECTORY:
        known = order
    empty = empty_between(listed.parts, prefix)
    versions = Versions(options.as_of) if has_versions(listed.schema) else None
    return VerificationTarget(
        listed.store, listed.parts, prefix, began_at, empty, versions, known
    ), lister


def _listed(place: str) -> "tuple[Dataset, datetime]":
    """What was listed into a folder or a store, and a time before the listing began."""
    from inventory_assets.inventory.query.dataset import Dataset
    from inventory_assets.inventory.query.joined_listing import finished_listing, open_joined_store

    if is_url(place):
        store = open_joined_store(place)
        listing, _ = finished_listing(store)
        return Dataset.of_shared_listing(store), listing.begun_at - CLOCK_MARGIN
    listed = Dataset.of_listing(Path(place))
    return listed, _written_at(listed.paths) - LONGEST_LISTING


def _written_at(files: list[Path]) -> datetime:
    """The time when the first of the files was written; now if there are none."""
    seconds = min((file.stat().st_mtime for file in files), default=None)
    return datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
