"""What an observer is told of each request: how it ended and how long it took, but not its keys."""

from typing import Protocol

from inventory_assets.fast_values import value
from inventory_assets.s3.errors import TransientError


@value
class RequestEnd:
    """A request that has ended; a repetition is another request.

    Attributes:
        operation: The operation of the S3 API, such as `ListObjectsV2`.
        method: The method of HTTP.
        seconds: The time from sending the request to its last byte and the first look at it.
        status: The HTTP status; None if there was no complete response.
        response_bytes: The size of the body.
        request_id: The store's name for the request (`x-amz-request-id`); None without one.
        fault: The transient error with which it ended; None if it succeeded or failed permanently.
        is_success: Whether it brought what was asked for.
    """

    operation: str
    method: str
    seconds: float
    status: int | None
    response_bytes: int
    request_id: str | None
    fault: TransientError | None
    is_success: bool


class RequestObserver(Protocol):
    """Is told of every request of a client, on the thread that sent it; it must not block."""

    def request_ended(self, end: RequestEnd, /) -> None:
        """Record a request that has ended."""
