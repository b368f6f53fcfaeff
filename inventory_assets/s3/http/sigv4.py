"""Sign page requests with AWS Signature Version 4, as botocore does, for a tenth of its CPU.

A page request is always a GET without a body, its query already encoded and in order, so the
canonical request is a few joined lines; the signing key is derived once a day.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = sha256(b"").hexdigest()
_RESERVED = re.compile(r"[^A-Za-z0-9_.~-]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks; the session token is that of temporary credentials."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)


def encoded_query(parameters: Mapping[str, str]) -> str:
    """A query string that is its own canonical form: names in order, both sides encoded."""
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


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
    """The headers that a signed GET carries.

    Args:
        credentials: Who asks.
        region: The region of the credential scope.
        service: The service of the credential scope: `s3`, or what an access point wants.
        when: The time of the request, UTC.
        host: The Host header, with its port unless that is the scheme's own.
        path: The encoded path.
        query: From `encoded_query`.
        headers: What else is to be signed, by lower-case names.

    Returns:
        All of `headers`, and those of the signature.
    """
    # By hand, which takes a quarter of what strftime does.
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
    lines = "".join(f"{name}:{' '.join(all_headers[name].split())}\n" for name in names)
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
    return _RESERVED.sub(lambda found: quote(found[0], safe=""), text)


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for word in (day, region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
