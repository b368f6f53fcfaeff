"""The arguments that name a bucket, and the options to connect to it.

The options have the names of a source's fields in the configuration.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inventory_assets.s3.bucket_config import BucketConfig
    from inventory_assets.s3.list_client import ListClient
    from inventory_assets.s3.request_observer import RequestObserver
    from inventory_assets.scan.keyspace.key_order import KeyOrder

BUCKET_OPTIONS = (
    "endpoint_url",
    "region",
    "profile",
    "role_arn",
    "external_id",
    "anonymous",
    "requester_pays",
    "addressing_style",
    "key_order",
    "max_outage",
)
"""The names of the options that `add_bucket` adds. None of them has a default."""


def add_bucket(parser: argparse.ArgumentParser, **url: Any) -> None:
    """Add the argument `url` (bucket and prefix) and the options to connect to the bucket.

    Args:
        parser: The command's.
        url: More arguments of `add_argument` for the URL.
    """
    parser.add_argument("url", metavar="s3://BUCKET[/PREFIX]", type=bucket_and_prefix, **url)
    add_bucket_options(parser)


def add_bucket_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to connect to a bucket."""
    parser.set_defaults(usage_error=parser.error)
    group = parser.add_argument_group("the bucket")
    group.add_argument(
        "--endpoint-url", metavar="URL", type=endpoint, help="endpoint of an S3-compatible store"
    )
    group.add_argument(
        "--region", metavar="REGION", type=in_form("region"), help="region of the bucket"
    )
    group.add_argument(
        "--profile",
        metavar="NAME",
        type=in_form("profile"),
        help="AWS profile to take credentials from",
    )
    group.add_argument(
        "--role-arn", metavar="ARN", type=in_form("role_arn"), help="IAM role to assume"
    )
    group.add_argument(
        "--external-id",
        metavar="ID",
        type=in_form("external_id"),
        help="external ID that the role's trust policy requires",
    )
    group.add_argument(
        "--anonymous",
        "--no-sign-request",
        action="store_true",
        help="send unsigned requests, as public buckets allow",
    )
    group.add_argument(
        "--requester-pays", action="store_true", help="accept that you pay for the requests"
    )
    group.add_argument(
        "--addressing-style",
        choices=["auto", "path", "virtual"],
        help="name the bucket in the path or in the host name (auto)",
    )
    group.add_argument(
        "--key-order",
        choices=["auto", "bytes", "directory"],
        help="order in which the store lists keys (auto: detect it)",
    )
    group.add_argument(
        "--max-outage",
        metavar="SECONDS",
        type=_seconds,
        help="how long to retry a failing request (300)",
    )


def open_bucket(
    options: argparse.Namespace, observer: "RequestObserver | None" = None, **others: Any
) -> "ListClient":
    """A client for the bucket that the arguments name; this sends no request.

    If the options exclude each other, the process exits as for wrong usage.

    Args:
        options: The parsed arguments of `add_bucket`.
        observer: Is told of every request; None for nobody.
        others: More fields of `BucketConfig`.
    """
    from inventory_assets.s3.list_client import ListClient
    from inventory_assets.s3.retries import RetryPolicy

    is_default = options.max_outage is None
    retry = RetryPolicy() if is_default else RetryPolicy(outage_seconds=options.max_outage)
    return ListClient(_bucket_config(options, **others), retry, observer=observer)


def given_key_order(options: argparse.Namespace) -> "KeyOrder | None":
    """The order that `--key-order` names; None to detect it."""
    from inventory_assets.scan.keyspace.key_order import KeyOrder

    return None if options.key_order in {None, "auto"} else KeyOrder(options.key_order)


def given_arguments(options: argparse.Namespace, names: Iterable[str]) -> Iterator[str]:
    """The command-line arguments for the options that were given.

    Args:
        options: The parsed arguments.
        names: The names of the options, as attributes of `options`.
    """
    for name in names:
        value, flag = getattr(options, name), f"--{name.replace('_', '-')}"
        if value is True:
            yield flag
        elif isinstance(value, datetime):
            yield f"{flag}={value.isoformat()}"
        elif value is not None and value is not False:
            yield f"{flag}={value}"


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def moment(text: str) -> datetime:
    """Parse a time in ISO 8601; the default time zone is that of this machine."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time in ISO 8601, such as 2026-11-22T01:00Z"
        ) from None
    return found if found.tzinfo else found.astimezone()


def moment_or_day(text: str) -> datetime:
    """Parse a time as `moment` does, or a date, which means its end in UTC."""
    from inventory_assets.inventory.listing.listable_dates import end_of

    try:
        return end_of(date.fromisoformat(text), "UTC")
    except ValueError:
        return moment(text)


def _bucket_config(options: argparse.Namespace, **others: Any) -> "BucketConfig":
    from inventory_assets.s3.bucket_config import BucketConfig

    if options.external_id and not options.role_arn:
        options.usage_error("--external-id is for a role: add --role-arn, or leave it out")
    identity = ("profile", "role_arn")
    if options.anonymous and any(getattr(options, name) for name in identity):
        options.usage_error(
            "--anonymous sends no credentials: leave it out, or leave out --profile and --role-arn"
        )
    return BucketConfig(
        options.url[0],
        endpoint_url=options.endpoint_url,
        region=options.region,
        profile=options.profile,
        role_arn=options.role_arn,
        external_id=options.external_id,
        anonymous=options.anonymous,
        requester_pays=options.requester_pays,
        addressing_style=options.addressing_style or "auto",
        **others,
    )


def _seconds(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return int(text)


def in_form(field: str) -> Callable[[str], str]:
    """A parser that accepts what the configuration accepts for a field of a source."""

    def parse(text: str) -> str:
        # The tables import pydantic, which would delay the help.
        from inventory_assets.config.field_forms import FORMS
        from inventory_assets.config.wording import describe_value

        pattern, example, words = FORMS[field]
        if not re.search(pattern, text):
            raise argparse.ArgumentTypeError(
                f"found {describe_value(text)}, expected {words}, such as {example}"
            )
        return text

    return parse


def endpoint(url: str) -> str:
    """Parse the URL of an endpoint, which must hold no secret."""
    # argparse would print the text of a ValueError's argument, and with it the password.
    if "@" in url:
        raise argparse.ArgumentTypeError(
            "found a user name or password, expected none; secrets do not belong in a URL: remove "
            "it, and use the environment or the AWS credential chain (a profile, a role)"
        )
    return url


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Parse the URL of a bucket, perhaps with a prefix."""
    scheme, separator, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise argparse.ArgumentTypeError(f"{url!r} is not of the form s3://BUCKET[/PREFIX]")
    return bucket, prefix
