"""What comes back from S3, whole: answers, and refusals that say what to do otherwise."""

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
        self.sent = response.sent
        super().__init__(f"{self.code}: {self.message}" if self.message else self.code)


def _date(text: str | None) -> datetime | None:
    with suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(text or "")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
