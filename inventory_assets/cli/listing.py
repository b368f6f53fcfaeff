"""`inventory list` and `inventory resume`: a bucket as sorted Parquet files in a folder."""

import argparse
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inventory_assets.cli.buckets import add_bucket, moment_or_day, positive, seconds

_REMEMBERED = {
    name: f"--{name.replace('_', '-')}"
    for name in ("endpoint_url", "region", "concurrency", "processes", "max_outage")
}
"""By name, the options with which an unfinished listing was asked for."""


def add_list(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `list`."""
    parser = commands.add_parser(
        "list",
        help="list a bucket into sorted Parquet files",
        description="List a bucket into sorted Parquet files, without Dagster. Credentials come "
        "from boto3's chain: the environment, profiles, roles. What was stopped or killed is gone "
        "on with when the same command is given again, or `inventory resume FOLDER`.",
    )
    _add_arguments(parser)
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    parser.set_defaults(run=_list)


def add_resume(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `resume`."""
    parser = commands.add_parser(
        "resume",
        help="go on with a listing that was stopped or killed",
        description="Go on with the `inventory list` into a folder that was stopped or killed, "
        "with the options it was given. Credentials are looked for anew.",
    )
    parser.add_argument("out", metavar="FOLDER", type=Path)
    parser.set_defaults(run=_resume)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bucket(parser)
    parser.add_argument(
        "--concurrency", metavar="N", type=positive, default=32, help="requests at once (32)"
    )
    parser.add_argument(
        "--processes", metavar="N", type=positive, default=1, help="that share the work (1)"
    )
    parser.add_argument(
        "--max-outage",
        metavar="SECONDS",
        type=seconds,
        default=300,
        help="for which a store that fails is tried again (300)",
    )
    parser.add_argument(
        "--versions", action="store_true", help="list all versions and delete markers"
    )
    parser.add_argument(
        "--as-of",
        metavar="TIME",
        type=moment_or_day,
        help="list the versions that were there at a time, in ISO 8601, or at the end of a date "
        "(UTC), but for what was deleted for good since",
    )


def _resume(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.listing_folder import unfinished_listing

    again = argparse.ArgumentParser()
    _add_arguments(again)
    return _list(again.parse_args(unfinished_listing(options.out), options))


def _list(options: argparse.Namespace) -> int:
    from inventory_assets.cli.live_line import following
    from inventory_assets.inventory.listing_folder import is_unfinished, list_into_folder
    from inventory_assets.s3.connection import Connection
    from inventory_assets.s3.listing import BucketLister, RetryPolicy
    from inventory_assets.scan.progress import ProgressMeter
    from inventory_assets.scan.versions import Versions

    # What is imported stays; to look through it again and again costs a fiftieth of the CPU.
    gc.freeze()
    bucket, prefix = options.url
    versions = Versions(options.as_of) if options.versions or options.as_of else None
    lister = BucketLister(
        Connection(
            bucket,
            endpoint_url=options.endpoint_url,
            region=options.region,
            max_in_flight=options.concurrency,
        ),
        RetryPolicy(outage_seconds=options.max_outage),
    )
    meter = ProgressMeter(lambda: lister.in_flight)
    try:
        with following(meter, sys.stderr):
            listing = list_into_folder(
                lister,
                prefix,
                options.out,
                options.processes,
                _say,
                meter.note,
                asked_for=[*_asked_for(options)],
                versions=versions,
            )
    except KeyboardInterrupt:
        is_kept = is_unfinished(options.out)
        raise KeyboardInterrupt(
            "the same command goes on with what was done" if is_kept else "nothing was listed yet"
        ) from None
    finally:
        lister.close()
    what = "versions" if versions else "objects"
    print(
        f"{listing.rows:,} {what} of {listing.object_bytes:,} bytes in {len(listing.files)} "
        f"file(s) under {options.out}, with {listing.requests:,} requests"
    )
    for fault, count in listing.faults.items():
        print(f"{count:,} times {fault}, tried again")
    return 0


def _asked_for(options: argparse.Namespace) -> Iterator[str]:
    """The arguments that ask for the same listing once more."""
    for name, flag in _REMEMBERED.items():
        value: Any = getattr(options, name)
        if value is not None:
            yield f"{flag}={value}"
    if options.versions:
        yield "--versions"
    if options.as_of:
        yield f"--as-of={options.as_of.isoformat()}"
    yield "--"
    yield "s3://" + "/".join(options.url)


def _say(sentence: str) -> None:
    print(f"inventory: {sentence}", file=sys.stderr, flush=True)
