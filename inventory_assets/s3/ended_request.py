"""What an observer is told of a request, from its response or its error."""

from inventory_assets.s3.error_classification import classify
from inventory_assets.s3.http.response import Response
from inventory_assets.s3.request_observer import RequestEnd


def ended_request(
    operation: str,
    method: str,
    seconds: float,
    response: Response | None,
    error: Exception | None,
) -> RequestEnd:
    """The end of a request.

    Args:
        operation: The operation of the S3 API.
        method: The method of HTTP.
        seconds: How long it took.
        response: Its response; None without a complete one.
        error: What is wrong with it; None if it succeeded.
    """
    return RequestEnd(
        operation,
        method,
        seconds,
        status=response.status if response else None,
        response_bytes=len(response.body) if response else 0,
        request_id=response.headers.get("x-amz-request-id") if response else None,
        fault=classify(error) if error else None,
        is_success=error is None,
    )
