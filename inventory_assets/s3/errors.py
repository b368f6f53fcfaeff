"""What can go wrong between this project and an S3 endpoint, named for what the user can do.

`TransientError` is the vocabulary of *passing* trouble: it is retried, counted by kind and shown in
the asset's metadata. `S3Error` and its children are what remains when a retry cannot help.
"""

from enum import StrEnum

from inventory_assets.errors import InventoryError


class TransientError(StrEnum):
    """The kinds of passing trouble that are retried and counted."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed out"
    RESET = "reset"
    THROTTLED = "throttled"
    SERVER_ERROR = "server error"
    MALFORMED = "malformed"


class S3Error(InventoryError):
    """A request to S3 failed for good."""


class BucketNotFound(S3Error):
    """The bucket does not exist at this endpoint."""


class AccessDenied(S3Error):
    """The credentials are valid, but may not list this bucket."""


class CredentialsRefused(S3Error):
    """The endpoint knows neither the access key nor the signature, or they have expired."""


class CredentialsMissing(S3Error):
    """boto3's credential chain found nothing to sign with."""


class TlsFailure(S3Error):
    """The endpoint's certificate or TLS handshake could not be trusted."""


class UnsupportedBucket(S3Error):
    """A kind of bucket whose listing cannot carry a sorted inventory."""


class VersionsUnsupported(S3Error):
    """The store does not list versions."""


class RequestRejected(S3Error):
    """What was asked for cannot be had so; no other class describes why."""


class MalformedResponse(S3Error):
    """A response is not a well-formed, complete ListObjectsV2 result."""


class MisplacedAnswer(MalformedResponse):
    """A response repeats another request than the one it came for."""


class UnusableAnswer(S3Error):
    """The same request is answered with the same unusable bytes again."""


class MachineExhausted(S3Error):
    """Nothing is left of what this machine allows a process to make requests with."""


class RetriesExhausted(S3Error):
    """Passing trouble did not pass within the allowed attempts.

    Attributes:
        fault: The kind of the last trouble met.
    """

    def __init__(self, message: str, fault: TransientError) -> None:
        super().__init__(message)
        self.fault = fault

    def __reduce__(self) -> tuple[type["RetriesExhausted"], tuple[str, TransientError]]:
        return type(self), (str(self), self.fault)  # it may come from another process
