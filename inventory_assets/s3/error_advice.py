"""Translate error responses of S3 into errors that tell the user what to do."""

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
    "this machine's clock differs too much from the endpoint's; correct it",
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
_EXPLICIT_DENY = "with an explicit deny"
_DENYING_POLICIES = {
    "resource-based policy": "the bucket's policy",
    "identity-based policy": "a policy of the user or role",
    "permissions boundary": "the permissions boundary of the user or role",
    "session policy": "the policy of the session",
    "service control policy": "a service control policy of the organization",
    "resource control policy": "a resource control policy of the organization",
    "VPC endpoint policy": "the policy of the VPC endpoint",
}
"""The policies that AWS names in the message of a denial, and where a user finds them.
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
_OF_VERSIONS = "s3:ListBucketVersions"
_NO_VERSIONS = frozenset(
    {"NotImplemented", "MethodNotAllowed", "InvalidArgument", "XNotImplemented", "InvalidRequest"}
)


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """The relevant content of an error response.

    Attributes:
        status: The HTTP status.
        code: The S3 error code, or the status.
        message: The S3 error message.
        region: The bucket's region according to the response.
        asked: The region of the request, or None.
        endpoint: The bucket's endpoint according to the response.
        location: The target of a redirect.
        foreign: Set if the response is not from S3.
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
        """From the response to a page request."""
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
        """From an error of boto."""
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        code = code_of(error) or str(status_of(error))
        region = headers.get("x-amz-bucket-region")
        return cls(status_of(error), code, words_of(error), region)

    @property
    def words(self) -> str:
        """Code and message, to end a sentence in parentheses."""
        return said(self.code, self.message)


def rejected(details: ErrorDetails, bucket_config: BucketConfig, action: str) -> S3Error:
    """The error for the user.

    Args:
        details: The error response.
        bucket_config: The bucket.
        action: The IAM action that the request needs.
    """
    kind, words = _advice(details, bucket_config, action)
    return kind(f"{bucket_config.display_name}: {words}")


def versions_unsupported(bucket_config: BucketConfig, reason: str) -> VersionsUnsupported:
    """The error for a store that does not list versions.

    Args:
        bucket_config: The bucket.
        reason: The evidence, to follow "the store".
    """
    return VersionsUnsupported(
        f"{bucket_config.display_name}: the store {reason}, so it lists no versions; set versions "
        "= false, or leave out --versions"
    )


def _advice(
    details: ErrorDetails, bucket_config: BucketConfig, action: str
) -> tuple[type[S3Error], str]:
    words = details.words
    if details.status == 407:
        return RequestRejected, (
            f"the proxy refuses the request; check the user and password in HTTP_PROXY ({words})"
        )
    if details.code in _BY_CODE:
        kind, text = _BY_CODE[details.code]
        return kind, f"{text} ({words})"
    if (
        details.location
        and 300 <= details.status < 400
        and not details.region
        and not details.endpoint
    ):
        redirected = redirect_words(details.location, bucket_config.endpoint_url)
        return RequestRejected, f"{redirected} (status {details.status})"
    if details.code in _ELSEWHERE:
        return RequestRejected, _elsewhere(details, bucket_config)
    if action == _OF_VERSIONS and (details.status in (405, 501) or details.code in _NO_VERSIONS):
        return VersionsUnsupported, (
            f"the store refuses a request for versions, so it lists no versions ({words}); set "
            "versions = false, or leave out --versions"
        )
    if details.foreign:
        return RequestRejected, (
            f"the response is not from S3: it is {details.foreign.what}, with the status "
            f"{details.status}; {details.foreign.remedy}"
        )
    if details.status == 403 or details.code in _DENIED:
        return AccessDenied, _denied(bucket_config, action, details)
    if 200 < details.status < 300:
        return RequestRejected, (
            f"the response is not from S3: its status is {details.status}, which no listing has; "
            f"{OTHER_PORT}"
        )
    return RequestRejected, f"the request was rejected; {words}"


def _elsewhere(details: ErrorDetails, bucket_config: BucketConfig) -> str:
    asked = details.asked or bucket_config.region or "the default"
    if details.region and details.region != asked:
        return (
            f"the bucket is in the region {one_line_text(details.region)}, but the request went to "
            f"{asked}; set --region (in the configuration: region) ({details.words})"
        )
    if details.code == ANOTHER_REGION:
        return (
            f"the bucket is not in the region {asked}, and the endpoint does not name its region; "
            f"set --region (in the configuration: region) ({details.words})"
        )
    if details.code == "AuthorizationHeaderMalformed":
        return (
            f"the endpoint does not accept the signature's region ({asked}) or access key, and "
            f"names no other region; check both ({details.words})"
        )
    named = f", {one_line_text(details.endpoint)}" if details.endpoint else ""
    if bucket_config.endpoint_url:
        return (
            f"the bucket has another endpoint{named}, although {asked} is its region; leave out "
            "--endpoint-url, or correct the endpoint (in the configuration: endpoint_url) "
            f"({details.words})"
        )
    return (
        f"the bucket has another endpoint{named}, not that of its region, {asked}; give that "
        f"endpoint with --endpoint-url, or another region ({details.words})"
    )


def _denied(bucket_config: BucketConfig, action: str, details: ErrorDetails) -> str:
    words = details.words
    if _EXPLICIT_DENY in details.message:
        reason = details.message.partition(_EXPLICIT_DENY)[2]
        policies = (words for name, words in _DENYING_POLICIES.items() if name in reason)
        return (
            "listing is denied explicitly, which no grant overrides; change the statement of "
            f"{next(policies, 'the policy')} that denies {action} on "
            f"arn:aws:s3:::{bucket_config.bucket} ({words})"
        )
    if bucket_config.anonymous:
        return (
            f"the bucket may not be listed anonymously ({words}); leave out --anonymous (in the "
            f"configuration: anonymous) and give credentials that are allowed {action}"
        )
    payer = (
        ""
        if bucket_config.requester_pays
        else "; if it is a Requester Pays bucket, add --requester-pays (in the configuration: "
        "requester_pays = true)"
    )
    return (
        f"listing is not allowed; grant {action} on arn:aws:s3:::{bucket_config.bucket} to these "
        f"credentials ({words}){payer}"
    )
