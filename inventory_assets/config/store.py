"""Where the results go: a folder, or a bucket and how to access it."""

import re
from pathlib import Path
from typing import Annotated

from inventory_assets.config.field_forms import FORMS, AddressingStyle, EndpointUrl, form
from inventory_assets.config.strict import StrictTable as _Table
from inventory_assets.config.wording import describe_value

DEFAULT_STORE = "data/inventory"
EXAMPLE_STORE = "s3://acme-inventories/daily"
_S3_SCHEME = "s3://"
_PREFIX = r"[A-Za-z0-9!_.=/-]{0,300}"


class StoreAccess(_Table):
    """How to access the bucket of `store`."""

    endpoint_url: EndpointUrl = None
    """The URL of an S3-compatible store; without it, AWS."""
    region: Annotated[str | None, form("region")] = None
    """The bucket's region; without it, that of the AWS configuration."""
    profile: Annotated[str | None, form("profile")] = None
    """The AWS profile to take credentials from."""
    addressing_style: AddressingStyle = "auto"
    """Whether the bucket's name is in the path or the host name of the URL; 'auto' chooses."""


class StoreBucket(StoreAccess):
    """A bucket for results."""

    bucket: str
    """The bucket's name."""
    prefix: str
    """The prefix of all keys of results, without a slash at either end."""


def is_bucket(store: str) -> bool:
    """Whether results go to a bucket, not to a folder."""
    return store.startswith(_S3_SCHEME)


def check_store(store: str) -> None:
    """Check the field `store`.

    Raises:
        ValueError: It is neither the path of a folder nor the URL of a bucket.
    """
    if is_bucket(store):
        what, why = _invalid_bucket(store)
    elif "://" in store:
        what, why = f"the address {store.partition('://')[0]}://...", "only S3 is known"
    elif not store.strip() or store.startswith("~") or "\0" in store:
        what, why = describe_value(store), "one that is not empty and not in '~'"
    else:
        return
    if why:
        raise ValueError(
            f"found {what}, expected the path of a folder, or s3:// with a bucket and a prefix: "
            f'{why}; write for example store = "{DEFAULT_STORE}" or "{EXAMPLE_STORE}"'
        )


def resolved_store(store: str, access: StoreAccess | None, folder: Path) -> Path | StoreBucket:
    """The place of the results; a relative path is resolved against `folder`."""
    if not is_bucket(store):
        return folder / store
    bucket, _, prefix = store.removeprefix(_S3_SCHEME).partition("/")
    return StoreBucket(bucket=bucket, prefix=prefix.strip("/"), **dict(access or StoreAccess()))


def _invalid_bucket(store: str) -> tuple[str, str]:
    """The printable part of an s3:// URL, and what is wrong with it; two "" if it is valid."""
    bucket, _, prefix = store.removeprefix(_S3_SCHEME).partition("/")
    pattern, _, words = FORMS["bucket"]
    if not re.fullmatch(pattern, bucket) or ".." in bucket:
        # The text may contain a user name and password, so it is not shown.
        return f"the address {_S3_SCHEME}...", f"a bucket's name has {words}"
    if bucket.endswith(("--x-s3", "--xa-s3")):
        return describe_value(store), "directory buckets are not supported; name another bucket"
    segments = prefix.strip("/").split("/")
    if not re.fullmatch(_PREFIX, prefix) or {".", ".."} & set(segments) or "//" in prefix:
        words = "at most 300 letters, digits, '/' between names, and characters of '-_.=!'"
        return f"the address {_S3_SCHEME}{bucket}/...", f"a prefix has {words}, and no name '..'"
    return "", ""
