"""How a command is told which bucket is meant, and where it is."""

import argparse
from datetime import date, datetime
from typing import Any


def add_bucket(parser: argparse.ArgumentParser, **url: Any) -> None:
    """Add the arguments that name a bucket: `url` (bucket and prefix), its endpoint and region.

    Args:
        parser: The command's.
        url: What `add_argument` is told of the URL besides.
    """
    parser.add_argument("url", metavar="s3://BUCKET[/PREFIX]", type=_bucket_and_prefix, **url)
    parser.add_argument("--endpoint-url", metavar="URL", help="of an S3-compatible store")
    parser.add_argument("--region", metavar="R")


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
    from inventory_assets.inventory.dates import end_of

    try:
        return end_of(date.fromisoformat(text), "UTC")
    except ValueError:
        return moment(text)


def _bucket_and_prefix(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise argparse.ArgumentTypeError(f"{url!r} is not of the form s3://BUCKET[/PREFIX]")
    return bucket, prefix
