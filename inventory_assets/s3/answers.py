"""What comes back from S3, whole: answers, and refusals that say what to do otherwise."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.pages import ErrorDocument, decode_page
from inventory_assets.s3.signing import Credentials

EXPIRED_CREDENTIALS = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
SKEWED = "RequestTimeTooSkewed"
_SECONDS = re.compile(r"\d{1,18}(\.\d{0,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sent:
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
        sent: What it answers.
    """

    status: int
    headers: Mapping[str, str]
    body: bytearray
    sent: Sent


class Refusal(Exception):
    """S3 answered with an error document, or with a status other than 200.

    Attributes:
        status: The HTTP status.
        code: S3's code, or the status where the answer names none.
        message: S3's words.
        region: The region that S3 says the bucket is in, or None.
        date: The server's time, or None.
        retry_after: Seconds after which the server wants to be asked again; 0 where it names none.
        sent: What was refused.
    """

    def __init__(self, response: Response, document: ErrorDocument | None = None) -> None:
        self.status = response.status
        if document is None:
            with suppress(MalformedResponse):
                found = decode_page(bytes(response.body))
                document = found if isinstance(found, ErrorDocument) else None
        self.code = document.code if document else str(response.status)
        self.message = document.message if document else ""
        self.region = response.headers.get("x-amz-bucket-region") or (
            document.region if document else None
        )
        self.date = _date(response.headers.get("date"))
        self.retry_after = seconds_of(response.headers.get("retry-after"), self.date)
        self.sent = response.sent
        super().__init__(f"{self.code}: {self.message}" if self.message else self.code)


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
    with suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text or "")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
