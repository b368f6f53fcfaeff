"""Tell passing trouble from lasting trouble, whatever shape botocore gives it."""

import ssl

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from inventory_assets.s3.connection import Connection
from inventory_assets.s3.errors import (
    AccessDenied,
    BucketNotFound,
    CredentialsMissing,
    CredentialsRefused,
    Fault,
    MalformedResponse,
    RequestRejected,
    S3Error,
    TlsFailure,
)

_THROTTLED = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
)
_SERVER = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "OperationAborted"})
_UNKNOWN_CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "InvalidSecurity",
        "UnrecognizedClientException",
    }
)
_EXPIRED_CREDENTIALS = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
)
_MESSAGE_LIMIT = 300


def fault_of(error: Exception) -> Fault | None:
    """The kind of passing trouble that `error` is, or None where a retry cannot help."""
    match error:
        case MalformedResponse():
            return Fault.MALFORMED
        case boto.ClientError():
            return _fault_of_response(error)
        case boto.SSLError():
            return None if _is_distrust(error) else Fault.RESET
        case boto.ConnectTimeoutError() | boto.ReadTimeoutError():
            return Fault.TIMED_OUT
        case boto.EndpointConnectionError() | boto.ProxyConnectionError():
            refused = any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))
            return Fault.REFUSED if refused else Fault.UNREACHABLE
        case boto.HTTPClientError() | HTTPError():
            return Fault.RESET
        case _:
            return None


def brief(error: Exception) -> str:
    """What an error says, as one harmless line."""
    return _brief_text(str(error))


def final_error(error: Exception, connection: Connection) -> S3Error:
    """What to tell the user about trouble that a retry cannot help."""
    where = connection.where
    match error:
        case boto.ClientError():
            return _final_response(error, connection)
        case boto.SSLError():
            return TlsFailure(
                f"{where}: the TLS connection cannot be trusted: {brief(error)}; if the endpoint "
                "has a private certificate authority, name its file in AWS_CA_BUNDLE"
            )
        case boto.ProfileNotFound():
            return CredentialsMissing(f"{where}: {error}; name a profile that exists")
        case _ if isinstance(error, _NO_CREDENTIALS):
            return CredentialsMissing(
                f"{where}: no usable AWS credentials: {brief(error)}; set AWS_PROFILE, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached, or "
                "set anonymous = true for a public bucket"
            )
        case _:
            return RequestRejected(f"{where}: the request could not be made: {brief(error)}")


def _fault_of_response(error: boto.ClientError) -> Fault | None:
    code, status = _code(error), _status(error)
    if code in _THROTTLED or status in (429, 503):
        return Fault.THROTTLED
    if code in ("RequestTimeout", "408"):
        return Fault.TIMED_OUT
    if code in _SERVER or status >= 500:
        return Fault.SERVER_ERROR
    return None


def _final_response(error: boto.ClientError, connection: Connection) -> S3Error:
    where, code, status = connection.where, _code(error), _status(error)
    words = _brief_text(error.response["Error"].get("Message", ""))
    said = f"the endpoint said {code or status}" + (f": {words}" if words else "")
    if error.operation_name == "AssumeRole":
        return CredentialsRefused(
            f"{where}: the role {connection.role_arn} cannot be assumed; check its name, its trust "
            f"policy and external id ({said})"
        )
    if code == "NoSuchBucket":
        return BucketNotFound(
            f"{where}: there is no such bucket; check its name, region and endpoint"
        )
    if code in _EXPIRED_CREDENTIALS:
        return CredentialsRefused(f"{where}: the credentials have expired; renew them ({said})")
    if code in _UNKNOWN_CREDENTIALS:
        return CredentialsRefused(
            f"{where}: the endpoint refuses the credentials; check the access key and its secret "
            f"({said})"
        )
    if code == "RequestTimeTooSkewed":
        return CredentialsRefused(
            f"{where}: this machine's clock differs too much from the endpoint's; set it ({said})"
        )
    if code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "301"):
        return RequestRejected(
            f"{where}: the bucket is in another region than {connection.region or 'the default'}; "
            f"set the source's region ({said})"
        )
    if status == 403 or code in ("AccessDenied", "AllAccessDisabled", "403"):
        return AccessDenied(
            f"{where}: listing is not allowed; grant s3:ListBucket on arn:aws:s3:::"
            f"{connection.bucket} to these credentials ({said})"
        )
    return RequestRejected(f"{where}: the request was rejected; {said}")


def _code(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what botocore wrapped in it, and their causes."""
    found: list[BaseException] = []
    pending: list[object] = [error, getattr(error, "kwargs", {}).get("error")]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
    return found


def _is_distrust(error: boto.SSLError) -> bool:
    """Whether TLS failed for good: an untrusted certificate, or a peer that speaks no TLS."""
    text = str(error)
    lasting = ("CERTIFICATE", "certificate", "WRONG_VERSION", "UNSUPPORTED_PROTOCOL", "hostname")
    distrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))
    return distrusted or any(word in text for word in lasting)


def _brief_text(text: str) -> str:
    """A server's words, as one harmless line."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= _MESSAGE_LIMIT else line[:_MESSAGE_LIMIT] + "…"
