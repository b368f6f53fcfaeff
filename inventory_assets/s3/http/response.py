"""What comes back from S3, whole: answers, and refusals that say what to do otherwise."""

import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from inventory_assets.s3.decoding.xml_decoder import ErrorDocument, decode_page
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
"""How S3 refuses a bucket of another region, which it does not name."""

_T = TypeVar("_T")
_ENDPOINT = re.compile(rb"<Endpoint>([A-Za-z0-9.:/_-]{1,255})</Endpoint>")
_SECONDS = re.compile(r"\d{1,18}(\.\d{0,9})?", re.ASCII)
_YEARS = range(2000, 2200)
"""In which a server's clock may be; no request can be sent at a time far beyond."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a request stood on, and what other threads may have replaced since.

    Attributes:
        region: The region that it was sent to.
        skew: What was added to this machine's time.
        credentials: Who asked; None where requests are not signed.
    """

    region: str
    skew: timedelta
    credentials: Credentials | None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole.

    Attributes:
        status: The HTTP status.
        headers: By their names in lower case.
        body: At most `MAX_RESPONSE_BYTES`.
        context: What it answers.
        connection: The connection that it came over; None where there is none.
    """

    status: int
    headers: Mapping[str, str]
    body: bytearray
    context: RequestContext
    connection: AsyncHttpConnection | None = field(default=None, repr=False, compare=False)


class ErrorResponse(Exception):
    """S3 answered with an error document, or with a status other than 200.

    Attributes:
        status: The HTTP status.
        code: S3's code, or the status where the answer names none.
        message: S3's words.
        region: The region that S3 says the bucket is in, or None.
        endpoint: The endpoint that S3 says the bucket is to be asked at, or None.
        location: Where the answer redirects to, or None.
        date: The server's time, or None.
        foreign: What the answer is, where it is none of S3's; None where it is, or has no body.
        retry_after: Seconds after which the server wants to be asked again; 0 where it names none.
        context: What was refused.
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
    """An answer of status 200 that is no listing.

    It is tried once more: something on the way may have damaged it. What comes the same way twice
    is not damaged, but how the other side answers.

    Attributes:
        foreign: What it is, where it is none of S3's; None where it is a damaged listing.
        mark: Equal for answers that are unexpected in the same way.
    """

    def __init__(self, response: Response, error: MalformedResponse) -> None:
        self.foreign = foreign_response(response.headers, response.body)
        self.mark: object = self.foreign or (len(response.body), zlib.crc32(response.body))
        words = f"found {self.foreign.what}" if self.foreign else str(error)
        if not self.foreign and _OF_VERSION_1.search(response.body[:_HEAD_BYTES]):
            words += " (the store answers as the old ListObjects does, version 1)"
        super().__init__(words)


def decoded(response: Response, read: Callable[[bytearray], _T | ErrorDocument]) -> _T:
    """What a reader makes of an answer's body.

    Raises:
        ErrorResponse: It is an error response.
        Unexpected: It is no listing.
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
    """How an answer to a request for versions shows that the store lists none, or None."""
    start = body[:_HEAD_BYTES]
    if b"<ListBucketResult" in start:
        return "answers a request for versions with current objects alone"
    if b"<ListVersionsResult" in start and not _OF_VERSIONS.search(body):
        return "answers a request for versions with an empty document"
    return None


_HEAD_BYTES = 512
"""In which the name of a response's outermost element stands."""

_OF_VERSION_1 = re.compile(rb"<(?:[\w.-]+:)?(?:Next)?Marker\b")
_OF_VERSIONS = re.compile(rb"<(?:[\w.-]+:)?(?:IsTruncated|Version|DeleteMarker|CommonPrefixes)\b")


def seconds_of(retry_after: str | None, server_time: datetime | None) -> float:
    """What a header `Retry-After` asks for; 0 where there is none, or none that makes sense.

    Args:
        retry_after: Its value: seconds, or a date (RFC 9110, section 10.2.3).
        server_time: What the server says that the time is, by which it means a date.
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
