"""The options of `inventory list --join`, and the store that they name."""

import argparse
from typing import TYPE_CHECKING

from inventory_assets.cli.bucket_arguments import bucket_and_prefix, endpoint, in_form, positive

if TYPE_CHECKING:
    from inventory_assets.inventory.shared_listing.listing_record import SharedResult
    from inventory_assets.inventory.storage.bucket_store import BucketStore

_OPTIONS = ("join_endpoint_url", "join_region", "join_profile", "join_lease")


def add_join(parser: argparse.ArgumentParser) -> None:
    """Add the options of a shared listing, beside `--join`."""
    group = parser.add_argument_group("a listing shared by several processes (--join)")
    group.add_argument(
        "--join-endpoint-url",
        metavar="URL",
        type=endpoint,
        help="endpoint of the store that --join names, if it is not AWS",
    )
    group.add_argument("--join-region", metavar="REGION", type=in_form("region"), help="its region")
    group.add_argument(
        "--join-profile",
        metavar="NAME",
        type=in_form("profile"),
        help="AWS profile to take the credentials for it from",
    )
    group.add_argument(
        "--join-lease",
        metavar="SECONDS",
        type=positive,
        help="how long a process may be silent before the others list its keys; that of the first "
        "process counts (60)",
    )


def shared_place(text: str) -> tuple[str, str]:
    """Parse the URL of a shared listing."""
    if "://" not in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is a folder, which several machines cannot share safely: name "
            "s3://BUCKET/PREFIX, or list into a folder with --out and --processes"
        )
    bucket, prefix = bucket_and_prefix(text)
    if not prefix.strip("/"):
        raise argparse.ArgumentTypeError(
            f"{text!r} names a whole bucket: add a prefix for this listing alone"
        )
    return bucket, prefix


def check_join(options: argparse.Namespace) -> None:
    """Exit as for wrong usage if the options of a shared listing contradict each other."""
    if options.join is None:
        for name in _OPTIONS:
            if getattr(options, name) is not None:
                options.usage_error(f"--{name.replace('_', '-')} is for --join: leave it out")
    elif options.processes > 1:
        options.usage_error(
            "--processes is for listings into a folder: start the command several times with "
            "--join instead"
        )


def open_shared_store(options: argparse.Namespace) -> "BucketStore":
    """The store that `--join` names.

    Raises:
        JoinRefused: It does not support conditional writes.
        StoreError: It cannot be used.
    """
    from inventory_assets.inventory.shared_listing.conditional_record import (
        require_conditional_writes,
    )
    from inventory_assets.inventory.storage.bucket_store import BucketStore
    from inventory_assets.s3.bucket_config import BucketConfig

    bucket, prefix = options.join
    store = BucketStore(
        BucketConfig(
            bucket,
            endpoint_url=options.join_endpoint_url,
            region=options.join_region,
            profile=options.join_profile,
        ),
        prefix,
    )
    require_conditional_writes(store, "list into a folder with --out and --processes")
    return store


def shared_summary(found: "SharedResult", what: str, place: str) -> dict[str, object]:
    """The summary of a shared listing, as of one into a folder."""
    return {
        "folder": place,
        "files": [part.key for part in found.parts],
        what: sum(part.rows for part in found.parts),
        "bytes": sum(part.object_bytes for part in found.parts),
        "requests": found.requests,
        "retried": dict(found.faults),
        "unreadable": found.unreadable.count,
    }
