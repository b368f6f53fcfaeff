"""The forms of text fields: buckets, endpoints, regions, profiles, roles, formats."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from inventory_assets.config.wording import NO_SECRETS

FORMS = {
    "bucket": (
        r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$",
        "acme-logs",
        "3 to 63 letters, digits, '.', '-' and '_', with a letter or digit at both ends",
    ),
    "endpoint_url": (
        r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$",
        "http://127.0.0.1:9000",
        "http:// or https://, a host, a port if needed, and no path",
    ),
    "region": (r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$", "eu-west-1", "letters, digits and '-'"),
    "profile": (r"\S", "prod", "the name of an AWS profile"),
    "role_arn": (
        r"^arn:[a-z0-9-]+:iam::[0-9A-Za-z]*:role/\S{1,512}$",
        "arn:aws:iam::123456789012:role/inventory",
        "the ARN of an IAM role",
    ),
    "external_id": (
        r"^[A-Za-z0-9+=,.@:/_-]{2,1224}$",
        "inventory-42",
        "2 to 1224 letters, digits and characters of '+=,.@:/_-'",
    ),
    "lifecycle": (r"\S", "lifecycle.json", 'the path of S3\'s rules as JSON, or "bucket"'),
    "prices": (r"\S", "prices.toml", "the path of a price table"),
    "files": (
        r"^((batch-operations|plain|spreadsheet)\.csv|csv|jsonl|parquet)(\.(gz|zst))?$",
        "csv.gz",
        "csv, jsonl or parquet, optionally followed by .gz or .zst; csv may follow a dialect",
    ),
}
"""For each field: the pattern of its text, an example, and a description of the pattern."""


def form(field: str) -> Any:
    """The pattern and the example of a field, for a type."""
    pattern, example, _ = FORMS[field]
    return Field(pattern=pattern, examples=[example])


def _holds_no_secret(url: object) -> object:
    if isinstance(url, str) and "@" in url:
        raise ValueError(f"found a user name or password, expected none; {NO_SECRETS}")
    return url


def _has_a_port_that_exists(url: str | None) -> str | None:
    port = re.search(r":(\d+)/?$", url or "")
    if port and not 1 <= int(port[1]) <= 65_535:
        raise ValueError(f"found port {port[1]}, expected 1 to 65535; correct the port")
    return url and url.rstrip("/")


EndpointUrl = Annotated[
    str | None,
    form("endpoint_url"),
    BeforeValidator(_holds_no_secret),
    AfterValidator(_has_a_port_that_exists),
]
AddressingStyle = Literal["auto", "path", "virtual"]
