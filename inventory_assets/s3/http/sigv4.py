"""Sign page requests with AWS Signature Version 4, with a tenth of botocore's CPU time.

A page request is a GET without a body whose query is already canonical, so the canonical request
is a few joined lines. The signing key is derived once a day.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

from inventory_assets.fast_values import value

ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = sha256(b"").hexdigest()
_RESERVED = re.compile(r"[^A-Za-z0-9_.~-]+")


@value
class Credentials:
    """An access key; temporary credentials have a session token."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)


def encoded_query(parameters: Mapping[str, str]) -> str:
    """A query string in canonical form: sorted by name, names and values encoded."""
    # In functions called for each request, lists take less time than generators.
    pairs = sorted([(_encoded(name), _encoded(value)) for name, value in parameters.items()])
    return "&".join([f"{name}={value}" for name, value in pairs])


def signed_headers(
    credentials: Credentials,
    region: str,
    service: str,
    when: datetime,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
) -> dict[str, str]:
    """The headers of a signed GET.

    Args:
        credentials: The signing credentials.
        region: The region of the credential scope.
        service: The service of the credential scope: `s3`, or that of an access point.
        when: The time of the request, UTC.
        host: The Host header, with the port unless it is the scheme's default.
        path: The encoded path.
        query: From `encoded_query`.
        headers: Other headers to sign, with lower-case names.

    Returns:
        `headers` and those of the signature.
    """
    # Four times faster than strftime.
    day = f"{when.year:04}{when.month:02}{when.day:02}"
    timestamp = f"{day}T{when.hour:02}{when.minute:02}{when.second:02}Z"
    all_headers = {
        **headers,
        "host": host,
        "x-amz-content-sha256": _NO_BODY,
        "x-amz-date": timestamp,
    }
    if credentials.token:
        all_headers["x-amz-security-token"] = credentials.token
    names = sorted(all_headers)
    lines = "".join([f"{name}:{' '.join(all_headers[name].split())}\n" for name in names])
    signed = ";".join(names)
    request = f"GET\n{path}\n{query}\n{lines}\n{signed}\n{_NO_BODY}"
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, day, region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    all_headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return all_headers


@lru_cache(maxsize=64)
def _encoded(text: str) -> str:
    # A token has few characters to encode, while urllib would look at each by itself.
    return _RESERVED.sub(lambda found: _quoted(found[0]), text)


@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    return quote(text, safe="")


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for word in (day, region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
