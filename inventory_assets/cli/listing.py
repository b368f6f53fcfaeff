"""`inventory list` and `inventory resume`: a bucket as sorted Parquet files in a folder."""

import argparse
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.bucket_arguments import (
    BUCKET_OPTIONS,
    add_bucket,
    given_arguments,
    given_key_order,
    moment_or_day,
    open_bucket,
    positive,
)
from inventory_assets.cli.joining import (
    add_join,
    check_join,
    open_shared_store,
    shared_place,
    shared_summary,
)
from inventory_assets.cli.output import add_summary_format, print_json
from inventory_assets.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inventory_assets.inventory.listing.listing_observer import ListingObserver
    from inventory_assets.inventory.manifest.unreadable_records import UnreadableRecords
    from inventory_assets.s3.list_client import ListClient
    from inventory_assets.scan.engine.progress import Report
    from inventory_assets.scan.validation.object_versions import Versions

_REMEMBERED = (
    *BUCKET_OPTIONS,
    "concurrency",
    "concurrency_policy",
    "processes",
    "encodings",
    "versions",
    "as_of",
)
"""The names of the options that are stored with a listing, for `inventory resume`."""

RECORDS_SET_ASIDE = 3
"""The exit code of a listing that is complete except for records that could not be decoded."""

_SHOWN_RECORDS, _SHOWN_CHARACTERS = 3, 200
"""The number of unreadable records that are shown, and the characters of each."""


def add_list(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `list`."""
    parser = commands.add_parser(
        "list",
        help="list a bucket into sorted Parquet files",
        description="List a bucket into sorted Parquet files, without Dagster. Credentials come "
        "from boto3's chain: the environment, profiles, roles. To continue a listing that was "
        "interrupted, repeat the command, or run `inventory resume FOLDER`.",
    )
    _add_arguments(parser)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", metavar="FOLDER", type=Path, help="folder to list into")
    place.add_argument(
        "--join",
        metavar="s3://BUCKET/PREFIX",
        type=shared_place,
        help="list together with all processes, on any machine, that are started with the same "
        "arguments; the result is there",
    )
    add_join(parser)
    add_summary_format(parser)
    parser.set_defaults(run=_list, resume=False)


def add_resume(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `resume`."""
    parser = commands.add_parser(
        "resume",
        help="continue an interrupted listing",
        description="Continue the interrupted `inventory list` into FOLDER with the same options. "
        "Credentials are not stored: they are looked up again.",
    )
    parser.add_argument("out", metavar="FOLDER", type=Path, help="folder of the listing")
    add_summary_format(parser)
    parser.set_defaults(run=_resume)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bucket(parser, help="bucket and prefix to list")
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=positive,
        default=32,
        help="maximum requests in flight (32)",
    )
    parser.add_argument(
        "--concurrency-policy",
        choices=["adaptive", "pid", "fixed"],
        default="adaptive",
        help="how to adjust the number of requests in flight (adaptive)",
    )
    parser.add_argument(
        "--processes", metavar="N", type=positive, default=1, help="processes to list with (1)"
    )
    parser.add_argument(
        "--encodings",
        choices=["compact", "plain"],
        default="compact",
        help="encodings of the files: plain for readers without delta encodings (compact)",
    )
    parser.add_argument(
        "--versions", action="store_true", help="list all versions and delete markers"
    )
    parser.add_argument(
        "--as-of",
        metavar="TIME",
        type=moment_or_day,
        help="list the versions of a time in ISO 8601, or of the end of a date (UTC); versions "
        "deleted since are missing",
    )


def _resume(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.folder_listing.folder_records import interrupted_listing

    again = argparse.ArgumentParser()
    _add_arguments(again)
    options.resume, options.join = True, None
    return _list(again.parse_args(interrupted_listing(options.out), options))


def _list(options: argparse.Namespace) -> int:
    if (options.versions or options.as_of) and options.key_order == "directory":
        options.usage_error("--key-order directory cannot list versions: leave one of them out")
    if not options.resume:
        check_join(options)
    # Imports create many objects and no garbage; collections would take a tenth of the start time.
    gc.disable()
    from inventory_assets.cli.progress_line import show_progress
    from inventory_assets.s3.concurrency.policies import PolicyName
    from inventory_assets.scan.engine.progress import ProgressMeter
    from inventory_assets.telemetry.listing_telemetry import listing_telemetry
    from inventory_assets.telemetry.subject import subject_of

    list_bucket = _into_folder if options.join is None else _joined
    with listing_telemetry(lambda: subject_of(options.url[0], options.endpoint_url)) as telemetry:
        # Imported modules stay in memory; scanning them in every collection takes 2% of the CPU
        # time. Those of telemetry are among them.
        gc.freeze()
        gc.enable()
        lister = open_bucket(
            options,
            telemetry.requests,
            max_in_flight=options.concurrency,
            policy=PolicyName(options.concurrency_policy),
        )
        telemetry.watch(lambda: lister.in_flight)
        meter = ProgressMeter(lambda: lister.in_flight)
        try:
            with show_progress(meter, sys.stderr):
                summary, unreadable, place = list_bucket(
                    options, lister, telemetry.reported(meter.on_event), telemetry.listing
                )
        finally:
            lister.close()
    if options.format == "json":
        print_json(summary)
    else:
        _print(summary, _what(options))
    if unreadable.count:
        _warn(unreadable, place)
        return RECORDS_SET_ASIDE
    return 0


Listed = tuple[dict[str, object], "UnreadableRecords", str]
"""The summary of a listing, the records that could not be decoded, and where they are."""


def _into_folder(
    options: argparse.Namespace, lister: "ListClient", report: "Report", observer: "ListingObserver"
) -> Listed:
    from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
    from inventory_assets.inventory.folder_listing.folder_records import UNREADABLE
    from inventory_assets.inventory.storage.encodings import Encodings

    listing = list_into_folder(
        lister,
        options.url[1],
        options.out,
        options.processes,
        report,
        arguments=asked_for(options),
        versions=_versions(options),
        key_order=given_key_order(options),
        resume=options.resume,
        encodings=Encodings(options.encodings),
        observer=observer,
    )
    summary = {
        "folder": str(options.out),
        "files": [file.name for file in listing.files],
        _what(options): listing.rows,
        "bytes": listing.object_bytes,
        "requests": listing.requests,
        "retried": listing.faults,
        "unreadable": listing.unreadable.count,
    }
    return summary, listing.unreadable, str(options.out / UNREADABLE)


def _joined(
    options: argparse.Namespace, lister: "ListClient", report: "Report", observer: "ListingObserver"
) -> Listed:
    from inventory_assets.inventory.shared_listing.lease import LEASE_SECONDS
    from inventory_assets.inventory.shared_listing.listing_lifecycle import SharingOptions
    from inventory_assets.inventory.shared_listing.shared_listing import join_listing
    from inventory_assets.inventory.shared_listing.url_goal import UNREADABLE
    from inventory_assets.inventory.storage.encodings import Encodings

    store = open_shared_store(options)
    result = join_listing(
        lister,
        options.url[1],
        store,
        report,
        _versions(options),
        encodings=Encodings(options.encodings),
        key_order=given_key_order(options),
        observer=observer,
        options=SharingOptions(lease_seconds=options.join_lease or LEASE_SECONDS),
    )
    summary = shared_summary(result, _what(options), store.where(""))
    return summary, result.unreadable, store.where(UNREADABLE)


def _versions(options: argparse.Namespace) -> "Versions | None":
    from inventory_assets.scan.validation.object_versions import Versions

    return Versions(options.as_of) if options.versions or options.as_of else None


def _what(options: argparse.Namespace) -> str:
    return "versions" if options.versions or options.as_of else "objects"


def _print(summary: "Mapping[str, Any]", what: str) -> None:
    print(
        f"{summary[what]:,} {what} of {summary['bytes']:,} bytes in {len(summary['files'])} "
        f"file(s) under {summary['folder']}, with {summary['requests']:,} requests"
    )
    for fault, count in summary["retried"].items():
        print(f"{count:,} times {fault}, tried again")


def _warn(unreadable: "UnreadableRecords", place: str) -> None:
    """Print the first records that could not be decoded."""
    _say(
        f"{unreadable.count:,} record(s) of the listing could not be decoded: they are set aside "
        f"unchanged in {place}, and in no other file; the first are:"
    )
    for record in unreadable.first[:_SHOWN_RECORDS]:
        name = "" if record.key is None else f"{record.key[:_SHOWN_CHARACTERS]!a}: "
        _say(f"  {name}{record.reason}: {record.xml[:_SHOWN_CHARACTERS]!a}")


def asked_for(options: argparse.Namespace) -> list[str]:
    """The command-line arguments of the same listing, without its folder."""
    return [*given_arguments(options, _REMEMBERED), "--", "s3://" + "/".join(options.url)]


def _say(sentence: str) -> None:
    print(f"inventory: {printable(sentence)}", file=sys.stderr, flush=True)
