"""How a command is told which bucket is meant, and where it is."""

import argparse
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inventory_assets.s3.bucket_config import BucketConfig


def add_bucket(parser: argparse.ArgumentParser, **url: Any) -> None:
    """Add the arguments that name a bucket: `url` (bucket and prefix), its endpoint and region.

    Args:
        parser: The command's.
        url: What `add_argument` is told of the URL besides.
    """
    parser.add_argument("url", metavar="s3://BUCKET[/PREFIX]", type=_bucket_and_prefix, **url)
    parser.add_argument(
        "--endpoint-url", metavar="URL", type=_endpoint, help="of an S3-compatible store"
    )
    parser.add_argument("--region", metavar="R")
    parser.add_argument(
        "--anonymous",
        "--no-sign-request",
        action="store_true",
        help="send no credentials, as public buckets allow",
    )
    parser.add_argument(
        "--requester-pays",
        action="store_true",
        help="pay for the requests, where the bucket's owner does not",
    )


def connection_of(options: argparse.Namespace, **others: Any) -> "BucketConfig":
    """How to reach the bucket that the arguments name.

    Args:
        options: The arguments of `add_bucket`, parsed.
        others: What the connection is told besides.
    """
    from inventory_assets.s3.bucket_config import BucketConfig

    return BucketConfig(
        options.url[0],
        endpoint_url=options.endpoint_url,
        region=options.region,
        anonymous=options.anonymous,
        requester_pays=options.requester_pays,
        **others,
    )


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def seconds(text: str) -> int:
    """A whole number of seconds, perhaps none."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of seconds")
    return int(text)


def moment(text: str) -> datetime:
    """A time of ISO 8601; this machine's zone where it names none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time of ISO 8601, such as 2026-11-22T01:00Z"
        ) from None
    return found if found.tzinfo else found.astimezone()


def moment_or_day(text: str) -> datetime:
    """A time as `moment` takes it; of a date alone its end, in UTC."""
    from inventory_assets.inventory.listing.listable_dates import end_of

    try:
        return end_of(date.fromisoformat(text), "UTC")
    except ValueError:
        return moment(text)


def _endpoint(url: str) -> str:
    # What stands before the "@" is not repeated: argparse would print it otherwise.
    if "@" in url:
        raise argparse.ArgumentTypeError(
            "found a user name or password, expected none; secrets do not belong in a URL: remove "
            "it, and use the environment or the AWS credential chain (a profile, a role)"
        )
    return url


def _bucket_and_prefix(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise argparse.ArgumentTypeError(f"{url!r} is not of the form s3://BUCKET[/PREFIX]")
    return bucket, prefix
