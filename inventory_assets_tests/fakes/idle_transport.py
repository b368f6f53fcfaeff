"""What stands in for `Transport` without connections."""

from inventory_assets.s3.http.response import ErrorResponse, Response


class IdleTransport:
    """A `PageTransport` but for `get`: nothing is open, and no error changes later requests."""

    def adapt_to_error(self, _error_response: ErrorResponse) -> bool:
        return False

    def discard(self, _response: Response) -> None:
        """Each response has its own connection."""

    def abort(self) -> None:
        """Nothing is under way that would not end by itself."""

    def drop_idle(self) -> None:
        """There are no connections."""

    def close(self) -> None:
        """Nothing is open."""
