"""The `inventory` command: lists buckets without Dagster, and opens what was published."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from inventory_assets.cli.buckets import add_bucket, positive
from inventory_assets.cli.diff import add_diff
from inventory_assets.cli.export import add_export
from inventory_assets.cli.live_line import following
from inventory_assets.cli.query import add_query
from inventory_assets.cli.verify import add_verify
from inventory_assets.errors import InventoryError

INTERRUPTED = 130
"""The exit code of a command that was told to stop, as shells have it."""

READER_LEFT = 141
"""The exit code of a command whose output nobody reads any more, as shells have it (SIGPIPE)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0 where it succeeded, 1 or more with one line if not."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would write what is left once more on its way out, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except (InventoryError, OSError) as error:
        print(f"inventory: {error}", file=sys.stderr)
        return int(getattr(options, "trouble", 1))
    except KeyboardInterrupt:
        message = "inventory: stopped; the same command goes on with what was done"
        print(message, file=sys.stderr, flush=True)
        # A usual exit would wait for the requests under way, however long the store takes.
        os._exit(INTERRUPTED)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inventory", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="inventory the embedded bucket for two days, through Dagster"
    )
    demo.set_defaults(run=_demo)

    listing = commands.add_parser(
        "list",
        help="list a bucket into sorted Parquet files",
        description="List a bucket into sorted Parquet files, without Dagster. Credentials come "
        "from boto3's chain: the environment, profiles, roles. What was stopped or killed is gone "
        "on with when the same command is given again.",
    )
    add_bucket(listing)
    listing.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    listing.add_argument(
        "--concurrency", metavar="N", type=positive, default=32, help="requests at once (32)"
    )
    listing.add_argument(
        "--processes", metavar="N", type=positive, default=1, help="that share the work (1)"
    )
    listing.set_defaults(run=_list)

    add_export(commands)
    add_query(commands)
    add_diff(commands)
    add_verify(commands)
    return parser


def _demo(_options: argparse.Namespace) -> int:
    from inventory_assets.tour import run_tour

    run_tour(Path.cwd())
    return 0


def _list(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.listing_folder import list_into_folder
    from inventory_assets.s3 import BucketLister, Connection
    from inventory_assets.scan.progress import ProgressMeter

    bucket, prefix = options.url
    lister = BucketLister(
        Connection(
            bucket,
            endpoint_url=options.endpoint_url,
            region=options.region,
            max_in_flight=options.concurrency,
        )
    )
    meter = ProgressMeter(lambda: lister.in_flight)
    # Of what other processes do nothing is told.
    stream = sys.stderr if options.processes == 1 else None
    try:
        with following(meter, stream):
            listing = list_into_folder(
                lister, prefix, options.out, options.processes, _say, meter.note
            )
    finally:
        lister.close()
    print(
        f"{listing.rows:,} objects of {listing.object_bytes:,} bytes in {len(listing.files)} "
        f"file(s) under {options.out}, with {listing.requests:,} requests"
    )
    for fault, count in listing.faults.items():
        print(f"{count:,} times {fault}, tried again")
    return 0


def _say(sentence: str) -> None:
    print(f"inventory: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
