"""Errors of requests to S3.

`TransientError` lists the kinds of errors that are retried; they are counted and shown in the
asset's metadata. `S3Error` and its subclasses are raised when a retry cannot help.
"""

from enum import StrEnum

from inventory_assets.errors import InventoryError


class TransientError(StrEnum):
    """The kinds of errors that are retried and counted."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed out"
    RESET = "reset"
    THROTTLED = "throttled"
    SERVER_ERROR = "server error"
    MALFORMED = "malformed"


class S3Error(InventoryError):
    """A request to S3 failed permanently."""


class BucketNotFound(S3Error):
    """The bucket does not exist at this endpoint."""


class AccessDenied(S3Error):
    """The credentials are valid, but may not list this bucket."""


class CredentialsRefused(S3Error):
    """The endpoint rejects the access key or signature, or the credentials have expired."""


class CredentialsMissing(S3Error):
    """boto3's credential chain found no credentials."""


class TlsFailure(S3Error):
    """The endpoint's certificate or TLS handshake could not be trusted."""


class UnsupportedBucket(S3Error):
    """Buckets of this kind do not list in key order."""


class VersionsUnsupported(S3Error):
    """The store does not list versions."""


class RequestRejected(S3Error):
    """The request cannot succeed as it is configured; no other class is more specific."""


class MalformedResponse(S3Error):
    """A response is not a complete, well-formed listing."""


class MisplacedResponse(MalformedResponse):
    """A response belongs to another request."""


class UnusableResponse(S3Error):
    """A request received the same unusable response bytes twice."""


class MachineExhausted(S3Error):
    """The machine's limit of open files, memory or disk space is reached."""


class RetriesExhausted(S3Error):
    """A transient error persisted until the retry budget ended.

    Attributes:
        fault: The kind of the last error.
    """

    def __init__(self, message: str, fault: TransientError) -> None:
        super().__init__(message)
        self.fault = fault

    def __reduce__(self) -> tuple[type["RetriesExhausted"], tuple[str, TransientError]]:
        return type(self), (str(self), self.fault)  # pickled between processes
