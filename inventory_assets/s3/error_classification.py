"""Classify errors of urllib3, botocore and S3: transient, or permanent with a message."""

import re
import ssl
from http.client import BadStatusLine, HTTPException, RemoteDisconnected

from botocore import exceptions as boto
from urllib3 import exceptions as http

from inventory_assets.errors import machine_words
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.credential_errors import Identity, no_credentials
from inventory_assets.s3.credentials import CredentialsFailed, open_session
from inventory_assets.s3.error_advice import ErrorDetails, rejected, versions_unsupported
from inventory_assets.s3.error_wording import code_of, one_line, status_of
from inventory_assets.s3.errors import (
    CredentialsMissing,
    MachineExhausted,
    MalformedResponse,
    MisplacedResponse,
    RequestRejected,
    S3Error,
    TlsFailure,
    TransientError,
    UnusableResponse,
)
from inventory_assets.s3.http.http1_parser import ProtocolError
from inventory_assets.s3.http.response import ErrorResponse, UnexpectedResponse

__all__ = [
    "Repetition",
    "classify",
    "code_of",
    "one_line",
    "status_of",
    "to_user_error",
    "versions_unsupported",
]

_THROTTLED = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
)
_SERVER = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "OperationAborted"})
_PERMANENT_STATUSES = frozenset({501, 505, 506, 508, 510, 511})
"""Permanent server errors, such as "not implemented" and "authentication required"."""

_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")

# Permanent handshake failures: message and remedy to OpenSSL's names of the error.
_TLS_REMEDIES = {
    "the other side does not speak TLS; use http:// if the endpoint is meant to be plain, or "
    "correct its port": (
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "HTTP_REQUEST",
    ),
    "the other side supports no TLS version or cipher that this machine allows; update it": (
        "UNSUPPORTED_PROTOCOL",
        "PROTOCOL_VERSION",
        "HANDSHAKE_FAILURE",
        "INSUFFICIENT_SECURITY",
    ),
    "the other side asks for a client certificate, which is not supported": (
        "CERTIFICATE_REQUIRED",
        "BAD_CERTIFICATE",
        "ALERT_UNKNOWN_CA",
        "CERTIFICATE_UNKNOWN",
    ),
    "the other side does not know this host's name; correct the endpoint": ("UNRECOGNIZED_NAME",),
}
_UNTRUSTED = ("CERTIFICATE", "certificate", "hostname")
_AUTHORITY = "if the endpoint has a private certificate authority, name its file in AWS_CA_BUNDLE"


class Repetition:
    """Detects two consecutive attempts with the same unexpected response bytes."""

    def __init__(self) -> None:
        self._last: object = None

    def is_repeated(self, error: Exception) -> bool:
        """Record the error of an attempt; return whether the one before failed in the same way."""
        signature = _signature_of(error)
        is_repeated = signature is not None and signature == self._last
        self._last = signature
        return is_repeated


def classify(error: BaseException) -> TransientError | None:
    """The kind of transient error, or None if a retry cannot help."""
    match error:
        case CredentialsFailed():
            return classify(error.error)
        case MalformedResponse():
            return TransientError.MALFORMED
        case ErrorResponse():
            return _classify_response(error.code, error.status)
        case boto.ClientError():
            return _classify_response(code_of(error), status_of(error))
        case boto.MetadataRetrievalError():
            return TransientError.UNREACHABLE
        case boto.HTTPClientError() | boto.ConnectionError() | http.HTTPError() | HTTPException():
            return _classify_network(error)
        case ConnectionError() | TimeoutError() | ssl.SSLError():
            return _classify_network(error)
        case _:
            return None


def _classify_network(error: BaseException) -> TransientError | None:
    tunnel = _tunnel_status(error)
    match error:
        case http.LocationValueError() | boto.InvalidProxiesConfigError():
            return None
        case _ if any(map(machine_words, _causes(error))) or (tunnel and tunnel < 500):
            return None
        case boto.SSLError() | ssl.SSLError() | http.ProxyError() if _is_distrust(error):
            return None
        # NewConnectionError is a subclass of urllib3's ConnectTimeoutError: match it first.
        case (
            boto.EndpointConnectionError()
            | boto.ProxyConnectionError()
            | http.NewConnectionError()
            | http.ProxyError()
        ):
            refused_port = any(
                isinstance(cause, ConnectionRefusedError) for cause in _causes(error)
            )
            return TransientError.REFUSED if refused_port else TransientError.UNREACHABLE
        case boto.ConnectTimeoutError() | boto.ReadTimeoutError():
            return TransientError.TIMED_OUT
        case http.TimeoutError() | TimeoutError():
            return TransientError.TIMED_OUT
        case _:
            return TransientError.RESET


def _classify_response(code: str, status: int) -> TransientError | None:
    if code in _THROTTLED or status in (429, 503):
        return TransientError.THROTTLED
    if code in ("RequestTimeout", "408"):
        return TransientError.TIMED_OUT
    if code in _SERVER or (status >= 500 and status not in _PERMANENT_STATUSES):
        return TransientError.SERVER_ERROR
    return None


def to_user_error(
    error: BaseException, bucket_config: BucketConfig, action: str = "s3:ListBucket"
) -> S3Error:
    """The error for the user, if a retry cannot help.

    Args:
        error: The permanent error, or a response that was unexpected twice.
        bucket_config: The bucket.
        action: The IAM action that the request needs.
    """
    kind: type[S3Error]
    match error:
        case CredentialsFailed():
            return error.user_error
        case ErrorResponse():
            return rejected(ErrorDetails.of_error_response(error), bucket_config, action)
        case boto.ClientError():
            return rejected(ErrorDetails.of_client_error(error), bucket_config, action)
        case boto.ProfileNotFound():
            kind, words = CredentialsMissing, f"{one_line(error)}; name a profile that exists"
        case _ if isinstance(error, _NO_CREDENTIALS):
            identity = Identity.of(open_session(bucket_config), bucket_config)
            kind, words = CredentialsMissing, no_credentials(identity)
        case MalformedResponse() | BadStatusLine():
            kind, words = _of_response(error)
        case _:
            kind, words = _of_connection(error)
    return kind(f"{bucket_config.display_name}: {words}")


def _of_response(error: MalformedResponse | BadStatusLine) -> tuple[type[S3Error], str]:
    """The error for a response that was unexpected in the same way twice."""
    match error:
        case UnexpectedResponse() if error.foreign:
            return RequestRejected, (
                f"the response is not from S3: it is {error.foreign.what}; {error.foreign.remedy}"
            )
        case MalformedResponse():
            return UnusableResponse, (
                "the endpoint sent the same unusable response twice: "
                f"{one_line(error)}; a proxy in between may damage it, or the store does not "
                "list as S3 does"
            )
        case ProtocolError() if error.is_tls:
            return RequestRejected, (
                "the endpoint requires TLS, but its URL has http://; use https://"
            )
        case _:
            return RequestRejected, (
                f"the response is not HTTP as S3 sends it: {one_line(error)}; correct the "
                "endpoint's scheme, host and port, or the proxy in between"
            )


def _of_connection(error: BaseException) -> tuple[type[S3Error], str]:
    """The error for a request that did not reach the endpoint."""
    if exhausted := next(filter(None, map(machine_words, _causes(error))), None):
        return MachineExhausted, exhausted
    tunnel = _tunnel_status(error)
    if tunnel == 407:
        return RequestRejected, (
            "the proxy asks for a user and password, or refuses those it was given; correct them "
            f"in HTTPS_PROXY ({one_line(_root(error))})"
        )
    if tunnel:
        return RequestRejected, (
            "the proxy does not let requests through to the endpoint; allow the endpoint in the "
            f"proxy, or name its host in NO_PROXY ({one_line(_root(error))})"
        )
    if isinstance(error, boto.SSLError | http.ProxyError | ssl.SSLError):
        return TlsFailure, (
            f"the TLS connection cannot be trusted: {one_line(error)}; {_tls_remedy(error)}"
        )
    return RequestRejected, f"the request could not be made: {one_line(error)}"


def _signature_of(error: Exception) -> object:
    """Equal for errors from the same bytes; None if there are no bytes to compare."""
    match error:
        case UnexpectedResponse():
            return error.signature
        case RemoteDisconnected() | MisplacedResponse():
            return None
        case MalformedResponse() | BadStatusLine():
            return type(error), str(error)
        case _:
            return None


def _tls_remedy(error: BaseException) -> str:
    text = str(error)
    for remedy, names in _TLS_REMEDIES.items():
        if any(name in text for name in names):
            return remedy
    return _AUTHORITY


def _tunnel_status(error: BaseException) -> int | None:
    """The status of a proxy that rejected CONNECT, or None."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and (found := _TUNNEL.search(str(cause))):
            return int(found[1])
    return None


def _root(error: BaseException) -> BaseException:
    """The most informative cause: the OSError with the proxy's status."""
    rejections = (each for each in _causes(error) if type(each) is OSError)
    return next(rejections, error)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, the one that botocore wrapped in it, and their causes."""
    found: list[BaseException] = []
    pending: list[object] = [error, getattr(error, "kwargs", {}).get("error")]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
            pending += [each for each in cause.args if isinstance(each, BaseException)]
    return found


def _is_distrust(error: BaseException) -> bool:
    """Whether TLS failed permanently: an untrusted certificate, or a peer without TLS."""
    text = str(error)
    permanent = [*_UNTRUSTED, *(name for names in _TLS_REMEDIES.values() for name in names)]
    distrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))
    return distrusted or any(word in text for word in permanent)
