"""Say what a refusal of S3 means, and what to do about it."""

from dataclasses import dataclass

from botocore import exceptions as boto

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.error_wording import code_of, one_line_text, said, status_of, words_of
from inventory_assets.s3.errors import (
    AccessDenied,
    BucketNotFound,
    CredentialsRefused,
    RequestRejected,
    S3Error,
    VersionsUnsupported,
)
from inventory_assets.s3.foreign_responses import OTHER_PORT, ForeignResponse, redirect_words
from inventory_assets.s3.http.response import (
    ANOTHER_REGION,
    CLOCK_SKEW_CODE,
    EXPIRED_CREDENTIALS,
    UNKNOWN_CREDENTIALS,
    ErrorResponse,
)

_ELSEWHERE = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        ANOTHER_REGION,
        "301",
        "307",
        "308",
    }
)
_NO_BUCKET = (BucketNotFound, "there is no such bucket; check its name, region and endpoint")
_EXPIRED = (CredentialsRefused, "the credentials have expired; renew them")
_UNKNOWN = (
    CredentialsRefused,
    "the endpoint refuses the credentials; check the access key and its secret",
)
_CLOCK = (
    CredentialsRefused,
    "this machine's clock differs too much from the endpoint's; set it",
)
_PATH_STYLE = (
    RequestRejected,
    (
        "the endpoint does not serve buckets by path; add --addressing-style virtual (in the "
        'configuration: addressing_style = "virtual"; in the profile of ~/.aws/config: '
        "addressing_style = virtual under s3)"
    ),
)
_BY_CODE: dict[str, tuple[type[S3Error], str]] = {
    "NoSuchBucket": _NO_BUCKET,
    **dict.fromkeys(EXPIRED_CREDENTIALS, _EXPIRED),
    **dict.fromkeys(UNKNOWN_CREDENTIALS, _UNKNOWN),
    CLOCK_SKEW_CODE: _CLOCK,
    **dict.fromkeys(("SecondLevelDomainForbidden", "PathStyleDomainForbidden"), _PATH_STYLE),
}
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403"})
_OF_VERSIONS = "s3:ListBucketVersions"
_NO_VERSIONS = frozenset(
    {"NotImplemented", "MethodNotAllowed", "InvalidArgument", "XNotImplemented", "InvalidRequest"}
)


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What a refusal says.

    Attributes:
        status: The HTTP status.
        code: S3's code, or the status.
        message: S3's words.
        region: The bucket's region, as the answer names it.
        asked: The region that was asked, where that is known.
        endpoint: The bucket's endpoint, as the answer names it.
        location: Where the answer redirects to.
        foreign: What the answer is, where it is none of S3's.
    """

    status: int
    code: str
    message: str
    region: str | None = None
    asked: str | None = None
    endpoint: str | None = None
    location: str | None = None
    foreign: ForeignResponse | None = None

    @classmethod
    def of_error_response(cls, error_response: ErrorResponse) -> "ErrorDetails":
        """What a refused page request was told."""
        return cls(
            error_response.status,
            error_response.code,
            error_response.message,
            error_response.region,
            error_response.context.region,
            error_response.endpoint,
            error_response.location,
            error_response.foreign,
        )

    @classmethod
    def of_client_error(cls, error: boto.ClientError) -> "ErrorDetails":
        """What a refused request of boto was told."""
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        code = code_of(error) or str(status_of(error))
        region = headers.get("x-amz-bucket-region")
        return cls(status_of(error), code, words_of(error), region)

    @property
    def words(self) -> str:
        """What was said, for the end of a sentence in parentheses."""
        return said(self.code, self.message)


def refused(what: ErrorDetails, connection: BucketConfig, action: str) -> S3Error:
    """What to tell the user about a refusal.

    Args:
        what: The refusal.
        connection: The bucket.
        action: What must be allowed.
    """
    kind, words = _explained(what, connection, action)
    return kind(f"{connection.display_name}: {words}")


def versions_unsupported(connection: BucketConfig, reason: str) -> VersionsUnsupported:
    """The error for a store that lists no versions.

    Args:
        connection: The bucket.
        reason: How the store shows it, after "the store".
    """
    return VersionsUnsupported(
        f"{connection.display_name}: the store {reason}, so it lists no versions; set versions "
        "= false, "
        "or leave out --versions"
    )


def _explained(
    what: ErrorDetails, connection: BucketConfig, action: str
) -> tuple[type[S3Error], str]:
    words = what.words
    if what.status == 407:
        return RequestRejected, (
            f"the proxy refuses the request; check the user and password in HTTP_PROXY ({words})"
        )
    if what.code in _BY_CODE:
        kind, text = _BY_CODE[what.code]
        return kind, f"{text} ({words})"
    if what.location and 300 <= what.status < 400 and not what.region and not what.endpoint:
        redirected = redirect_words(what.location, connection.endpoint_url)
        return RequestRejected, f"{redirected} (status {what.status})"
    if what.code in _ELSEWHERE:
        return RequestRejected, _elsewhere(what, connection)
    if action == _OF_VERSIONS and (what.status in (405, 501) or what.code in _NO_VERSIONS):
        return VersionsUnsupported, (
            f"the store refuses a request for versions, so it lists no versions ({words}); set "
            "versions = false, or leave out --versions"
        )
    if what.foreign:
        return RequestRejected, (
            f"what answers is not S3: it sends {what.foreign.what} with the status {what.status}; "
            f"{what.foreign.remedy}"
        )
    if what.status == 403 or what.code in _DENIED:
        return AccessDenied, _denied(connection, action, words)
    if 200 < what.status < 300:
        return RequestRejected, (
            f"what answers is not S3: it sends the status {what.status} where a listing was asked "
            f"for; {OTHER_PORT}"
        )
    return RequestRejected, f"the request was rejected; {words}"


def _elsewhere(what: ErrorDetails, connection: BucketConfig) -> str:
    asked = what.asked or connection.region or "the default"
    if what.region and what.region != asked:
        return (
            f"the bucket is in the region {one_line_text(what.region)}, and {asked} was asked; set "
            f"--region (in the configuration: region) ({what.words})"
        )
    if what.code == ANOTHER_REGION:
        return (
            f"the bucket is in another region than {asked}, which the endpoint does not name; set "
            f"--region (in the configuration: region) ({what.words})"
        )
    if what.code == "AuthorizationHeaderMalformed":
        return (
            f"the endpoint does not accept the signature's region ({asked}) or access key, and "
            f"names no other region; check both ({what.words})"
        )
    named = f", {one_line_text(what.endpoint)}" if what.endpoint else ""
    if connection.endpoint_url:
        return (
            f"the bucket is to be asked at another endpoint{named}, though {asked} is its region; "
            "leave out --endpoint-url, or correct the endpoint (in the configuration: "
            f"endpoint_url) ({what.words})"
        )
    return (
        f"the bucket is to be asked at another endpoint{named} than that of {asked}, its region; "
        f"give that endpoint with --endpoint-url, or another region ({what.words})"
    )


def _denied(connection: BucketConfig, action: str, words: str) -> str:
    if connection.anonymous:
        return (
            f"the bucket may not be listed anonymously ({words}); leave out --anonymous (in the "
            f"configuration: anonymous) and give credentials that are allowed {action}"
        )
    payer = (
        ""
        if connection.requester_pays
        else "; if its requesters pay, add --requester-pays (in the configuration: "
        "requester_pays = true)"
    )
    return (
        f"listing is not allowed; grant {action} on arn:aws:s3:::{connection.bucket} to these "
        f"credentials ({words}){payer}"
    )
