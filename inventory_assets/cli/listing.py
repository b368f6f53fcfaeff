"""`inventory list` and `inventory resume`: a bucket as sorted Parquet files in a folder."""

import argparse
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.bucket_arguments import (
    add_bucket,
    connection_of,
    moment_or_day,
    positive,
    seconds,
)
from inventory_assets.errors import printable

if TYPE_CHECKING:
    from inventory_assets.inventory.manifest.unreadable_records import UnreadableRecords

_REMEMBERED = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "endpoint_url",
        "region",
        "concurrency",
        "processes",
        "max_outage",
        "encodings",
    )
}
"""By name, the options with which an unfinished listing was asked for."""


RECORDS_SET_ASIDE = 3
"""The exit code of a listing that is whole, but for records that could not be decoded."""

_SHOWN_RECORDS, _SHOWN_CHARACTERS = 3, 200
"""How much is shown of records that could not be decoded."""


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
    parser.set_defaults(run=_list, resume=False)


def add_resume(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `resume`."""
    parser = commands.add_parser(
        "resume",
        help="go on with a listing that was stopped or killed",
        description="Go on with the `inventory list` into a folder that was stopped or killed, "
        "with the options it was given, or give the files of one that is whole their names. "
        "Credentials are looked for anew.",
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
        "--encodings",
        choices=["compact", "plain"],
        default="compact",
        help="of the files: plain for readers that lack delta encodings (compact)",
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
    from inventory_assets.inventory.folder_listing.folder_records import interrupted_listing

    again = argparse.ArgumentParser()
    _add_arguments(again)
    options.resume = True
    return _list(again.parse_args(interrupted_listing(options.out), options))


def _list(options: argparse.Namespace) -> int:
    from inventory_assets.cli.progress_line import show_progress
    from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
    from inventory_assets.inventory.storage.encodings import Encodings
    from inventory_assets.s3.list_client import ListClient, RetryPolicy
    from inventory_assets.scan.engine.progress import ProgressMeter
    from inventory_assets.scan.validation.object_versions import Versions

    # What is imported stays; to look through it again and again costs a fiftieth of the CPU.
    gc.freeze()
    _, prefix = options.url
    versions = Versions(options.as_of) if options.versions or options.as_of else None
    lister = ListClient(
        connection_of(options, max_in_flight=options.concurrency),
        RetryPolicy(outage_seconds=options.max_outage),
    )
    meter = ProgressMeter(lambda: lister.in_flight)
    try:
        with show_progress(meter, sys.stderr):
            listing = list_into_folder(
                lister,
                prefix,
                options.out,
                options.processes,
                meter.on_event,
                asked_for=[*_asked_for(options)],
                versions=versions,
                resume=options.resume,
                encodings=Encodings(options.encodings),
            )
    finally:
        lister.close()
    what = "versions" if versions else "objects"
    print(
        f"{listing.rows:,} {what} of {listing.object_bytes:,} bytes in {len(listing.files)} "
        f"file(s) under {options.out}, with {listing.requests:,} requests"
    )
    for fault, count in listing.faults.items():
        print(f"{count:,} times {fault}, tried again")
    if listing.unreadable.count:
        _warn(listing.unreadable, options.out)
        return RECORDS_SET_ASIDE
    return 0


def _warn(unreadable: "UnreadableRecords", folder: Path) -> None:
    """Say which records are missing, as they could not be decoded."""
    from inventory_assets.inventory.folder_listing.folder_records import UNREADABLE

    _say(
        f"{unreadable.count:,} record(s) of the listing could not be decoded: they are set aside "
        f"in {folder / UNREADABLE} as they came, and in no other file; the first are:"
    )
    for record in unreadable.first[:_SHOWN_RECORDS]:
        name = "" if record.key is None else f"{record.key[:_SHOWN_CHARACTERS]!a}: "
        _say(f"  {name}{record.reason}: {record.xml[:_SHOWN_CHARACTERS]!a}")


def _asked_for(options: argparse.Namespace) -> Iterator[str]:
    """The arguments that ask for the same listing once more."""
    for name, flag in _REMEMBERED.items():
        value: Any = getattr(options, name)
        if value is not None:
            yield f"{flag}={value}"
    if options.anonymous:
        yield "--anonymous"
    if options.requester_pays:
        yield "--requester-pays"
    if options.versions:
        yield "--versions"
    if options.as_of:
        yield f"--as-of={options.as_of.isoformat()}"
    yield "--"
    yield "s3://" + "/".join(options.url)


def _say(sentence: str) -> None:
    print(f"inventory: {printable(sentence)}", file=sys.stderr, flush=True)
