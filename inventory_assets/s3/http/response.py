"""Complete responses of S3, and error responses."""

import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.page import ErrorDocument
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.foreign_responses import ForeignResponse, foreign_response
from inventory_assets.s3.http.connection import AsyncHttpConnection
from inventory_assets.s3.http.sigv4 import Credentials

EXPIRED_CREDENTIALS = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
UNKNOWN_CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "InvalidSecurity",
        "UnrecognizedClientException",
    }
)
CLOCK_SKEW_CODE = "RequestTimeTooSkewed"
ANOTHER_REGION = "IllegalLocationConstraintException"
"""S3's code for a bucket in another region; the response does not name the region."""

_T = TypeVar("_T")
_ENDPOINT = re.compile(rb"<Endpoint>([A-Za-z0-9.:/_-]{1,255})</Endpoint>")
_SECONDS = re.compile(r"\d{1,18}(\.\d{0,9})?", re.ASCII)
_YEARS = range(2000, 2200)
"""Plausible years of a server's clock; dates beyond are ignored."""


@value
class RequestContext:
    """The settings with which a request was sent; other threads may have replaced them since.

    Attributes:
        region: The region of the endpoint.
        skew: The clock correction: server time minus local time.
        credentials: The signing credentials; None for anonymous requests.
    """

    region: str
    skew: timedelta
    credentials: Credentials | None


@value
class Response:
    """A complete response.

    Attributes:
        status: The HTTP status.
        headers: The headers, with lower-case names.
        body: The body, at most `MAX_RESPONSE_BYTES`.
        context: The settings of the request.
        connection: The connection over which it arrived, or None.
    """

    status: int
    headers: Mapping[str, str]
    body: bytearray
    context: RequestContext
    connection: AsyncHttpConnection | None = field(default=None, repr=False, compare=False)


class ErrorResponse(Exception):
    """S3 sent an error document, or a status other than 200.

    Attributes:
        status: The HTTP status.
        code: The S3 error code, or the status if there is none.
        message: The S3 error message.
        region: The bucket's region according to S3, or None.
        endpoint: The bucket's endpoint according to S3, or None.
        location: The target of a redirect, or None.
        date: The server's time, or None.
        foreign: Set if the response is not from S3; None if it is, or has no body.
        retry_after: The seconds of `Retry-After`; 0 if absent.
        context: The settings of the request.
    """

    def __init__(self, response: Response, document: ErrorDocument | None = None) -> None:
        self.status = response.status
        self.foreign: ForeignResponse | None = None
        if document is None and response.body:
            self.foreign = foreign_response(response.headers, response.body)
        if document is None and not self.foreign:
            with suppress(MalformedResponse):
                found = decode_page(bytes(response.body))
                document = found if isinstance(found, ErrorDocument) else None
        self.code = document.code if document else str(response.status)
        self.message = document.message if document else ""
        self.region = response.headers.get("x-amz-bucket-region") or (
            document.region if document else None
        )
        endpoint = _ENDPOINT.search(response.body) if document else None
        self.endpoint = endpoint[1].decode() if endpoint else None
        self.location = response.headers.get("location")
        self.date = _date(response.headers.get("date"))
        self.retry_after = seconds_of(response.headers.get("retry-after"), self.date)
        self.context = response.context
        said = self.message or (f"with {self.foreign.what}" if self.foreign else "")
        super().__init__(f"{self.code}: {said}" if said else self.code)


class UnexpectedResponse(MalformedResponse):
    """A response of status 200 that is no listing.

    The request is repeated, as the response may have been damaged on the way. If the same response
    arrives twice, it was not damaged, and the error is permanent.

    Attributes:
        foreign: Set if the response is not from S3; None if it is a damaged listing.
        signature: Equal for responses that are unexpected in the same way.
    """

    def __init__(self, response: Response, error: MalformedResponse) -> None:
        self.foreign = foreign_response(response.headers, response.body)
        self.signature: object = self.foreign or (len(response.body), zlib.crc32(response.body))
        words = f"found {self.foreign.what}" if self.foreign else str(error)
        if not self.foreign and _OF_VERSION_1.search(response.body[:_HEAD_BYTES]):
            words += " (it is a response of ListObjects, version 1)"
        super().__init__(words)


def decoded(response: Response, read: Callable[[bytearray], _T | ErrorDocument]) -> _T:
    """Decode the body of a response.

    Raises:
        ErrorResponse: The status is not 200, or the body is an error document.
        UnexpectedResponse: The body is no listing.
    """
    if response.status != 200:
        raise ErrorResponse(response)
    try:
        found = read(response.body)
    except MalformedResponse as error:
        raise UnexpectedResponse(response, error) from None
    if isinstance(found, ErrorDocument):
        raise ErrorResponse(response, found)
    return found


def lacks_versions(body: bytearray) -> str | None:
    """How a response to ListObjectVersions shows that the store lists no versions, or None."""
    start = body[:_HEAD_BYTES]
    if b"<ListBucketResult" in start:
        return "answers a request for versions with current objects alone"
    is_empty = b"<ListVersionsResult" in start and not _OF_VERSIONS.search(body)
    if is_empty and _END_OF_VERSIONS.search(body):  # else it was cut off on the way
        return "answers a request for versions with an empty document"
    return None


_HEAD_BYTES = 512
"""The first bytes, which contain the root element's name."""

_OF_VERSION_1 = re.compile(rb"<(?:[\w.-]+:)?(?:Next)?Marker\b")
_END_OF_VERSIONS = re.compile(rb"</ListVersionsResult\s*>|<ListVersionsResult\b[^<>]*/>")
_OF_VERSIONS = re.compile(rb"<(?:[\w.-]+:)?(?:IsTruncated|Version|DeleteMarker|CommonPrefixes)\b")


def seconds_of(retry_after: str | None, server_time: datetime | None) -> float:
    """The seconds of a `Retry-After` header; 0 if it is absent or invalid.

    Args:
        retry_after: Seconds, or a date (RFC 9110, section 10.2.3).
        server_time: The `Date` header, to which a date is relative; None for this machine's time.
    """
    text = (retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    moment = _date(text)
    if moment is None:
        return 0.0
    return max(0.0, (moment - (server_time or datetime.now(UTC))).total_seconds())


def _date(text: str | None) -> datetime | None:
    with suppress(ValueError, TypeError, OverflowError, IndexError):
        moment = parsedate_to_datetime(text or "")
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        return moment if moment.year in _YEARS else None
    return None
