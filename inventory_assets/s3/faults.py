"""Tell passing trouble from lasting trouble, whatever shape urllib3 or botocore give it."""

import ssl
from http.client import HTTPException

from botocore import exceptions as boto
from urllib3 import exceptions as http

from inventory_assets.s3.answers import EXPIRED_CREDENTIALS, SKEWED, Refusal
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
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
)
_ELSEWHERE = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "307"})
_MESSAGE_LIMIT = 300


def fault_of(error: Exception) -> Fault | None:
    """The kind of passing trouble that `error` is, or None where a retry cannot help."""
    match error:
        case MalformedResponse():
            return Fault.MALFORMED
        case Refusal():
            return _fault_of_answer(error.code, error.status)
        case boto.ClientError():
            return _fault_of_answer(code_of(error), status_of(error))
        case boto.HTTPClientError() | boto.ConnectionError() | http.HTTPError() | HTTPException():
            return _fault_of_network(error)
        case ConnectionError() | TimeoutError() | ssl.SSLError():
            return _fault_of_network(error)
        case _:
            return None


def _fault_of_network(error: Exception) -> Fault | None:
    match error:
        case http.LocationValueError():
            return None
        case boto.SSLError() | ssl.SSLError() | http.ProxyError() if _is_distrust(error):
            return None
        # urllib3 derives "no connection" from "timed out while connecting": it comes first.
        case (
            boto.EndpointConnectionError()
            | boto.ProxyConnectionError()
            | http.NewConnectionError()
            | http.ProxyError()
        ):
            refused = any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))
            return Fault.REFUSED if refused else Fault.UNREACHABLE
        case boto.ConnectTimeoutError() | boto.ReadTimeoutError():
            return Fault.TIMED_OUT
        case http.TimeoutError() | TimeoutError():
            return Fault.TIMED_OUT
        case _:
            return Fault.RESET


def brief(error: Exception) -> str:
    """What an error says, as one harmless line."""
    return _brief_text(str(error))


def final_error(error: Exception, connection: Connection, action: str = "s3:ListBucket") -> S3Error:
    """What to tell the user about trouble that a retry cannot help.

    Args:
        error: The trouble.
        connection: The bucket.
        action: What must be allowed.
    """
    where = connection.where
    match error:
        case Refusal():
            return _final_answer(error.code, error.status, error.message, connection, action)
        case boto.ClientError() if error.operation_name == "AssumeRole":
            return CredentialsRefused(
                f"{where}: the role {connection.role_arn} cannot be assumed; check its name, its "
                f"trust policy and external id ({_said(code_of(error), _words(error))})"
            )
        case boto.ClientError():
            return _final_answer(
                code_of(error), status_of(error), _words(error), connection, action
            )
        case boto.SSLError() | http.ProxyError() | OSError():
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


def _fault_of_answer(code: str, status: int) -> Fault | None:
    if code in _THROTTLED or status in (429, 503):
        return Fault.THROTTLED
    if code in ("RequestTimeout", "408"):
        return Fault.TIMED_OUT
    if code in _SERVER or status >= 500:
        return Fault.SERVER_ERROR
    return None


def _said(code: str, message: str) -> str:
    words = _brief_text(message)
    return f"the endpoint said {code}" + (f": {words}" if words else "")


def _final_answer(
    code: str, status: int, message: str, connection: Connection, action: str
) -> S3Error:
    where, said = connection.where, _said(code or str(status), message)
    if code == "NoSuchBucket":
        return BucketNotFound(
            f"{where}: there is no such bucket; check its name, region and endpoint"
        )
    if code in EXPIRED_CREDENTIALS:
        return CredentialsRefused(f"{where}: the credentials have expired; renew them ({said})")
    if code in _UNKNOWN_CREDENTIALS:
        return CredentialsRefused(
            f"{where}: the endpoint refuses the credentials; check the access key and its secret "
            f"({said})"
        )
    if status == 407:
        return RequestRejected(
            f"{where}: the proxy refuses the request; check the user and password in HTTP_PROXY "
            f"({said})"
        )
    if code == SKEWED:
        return CredentialsRefused(
            f"{where}: this machine's clock differs too much from the endpoint's; set it ({said})"
        )
    if code in _ELSEWHERE:
        return RequestRejected(
            f"{where}: the bucket is in another region than {connection.region or 'the default'}; "
            f"set the source's region ({said})"
        )
    if status == 403 or code in ("AccessDenied", "AllAccessDisabled", "403"):
        return AccessDenied(
            f"{where}: listing is not allowed; grant {action} on arn:aws:s3:::"
            f"{connection.bucket} to these credentials ({said})"
        )
    return RequestRejected(f"{where}: the request was rejected; {said}")


def code_of(error: boto.ClientError) -> str:
    """S3's code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: boto.ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _words(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


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


def _is_distrust(error: Exception) -> bool:
    """Whether TLS failed for good: an untrusted certificate, or a peer that speaks no TLS."""
    text = str(error)
    lasting = ("CERTIFICATE", "certificate", "WRONG_VERSION", "UNSUPPORTED_PROTOCOL", "hostname")
    distrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))
    return distrusted or any(word in text for word in lasting)


def _brief_text(text: str) -> str:
    """A server's words, as one harmless line."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= _MESSAGE_LIMIT else line[:_MESSAGE_LIMIT] + "…"
