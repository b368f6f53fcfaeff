"""Open boto3 for one bucket: botocore provides credentials, endpoints, regions and TLS settings.

For listings, botocore's retries are off: `list_client.ListClient` retries, so that each transient
error is counted once and only one component reacts to throttling. For single objects
(`object_client.py`) they are on.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ConfigParseError,
    CredentialRetrievalError,
    PartialCredentialsError,
    ProfileNotFound,
)

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.credential_errors import NAME_A_PROFILE, config_words
from inventory_assets.s3.credentials import CredentialsFailed, open_session, session_region
from inventory_assets.s3.error_wording import one_line
from inventory_assets.s3.errors import CredentialsMissing, RequestRejected, UnsupportedBucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class BotoSession:
    """boto3, opened for one bucket.

    Attributes:
        session: Provides and refreshes the credentials.
        client: Resolves endpoints.
        ca_bundle: The `ca_bundle` of the AWS configuration, or None.
    """

    session: boto3.session.Session
    client: "S3Client"
    ca_bundle: str | None


def open_boto_session(
    bucket_config: BucketConfig, region: str | None = None, attempts: int = 1
) -> BotoSession:
    """Open boto3 for `bucket_config`. No request is sent; the profile or role is looked up.

    Args:
        bucket_config: The bucket and how to reach it.
        region: The bucket's region, if it differs from the configured one.
        attempts: Maximum attempts per request.

    Raises:
        UnsupportedBucket: The bucket is a directory bucket, which does not list in key order.
        CredentialsMissing: There is no such profile, or no credentials to assume the role with.
        RequestRejected: The endpoint, the region or the AWS configuration is unusable.
    """
    refuse_user_information(bucket_config.endpoint_url, bucket_config)
    if bucket_config.bucket.endswith("--x-s3"):
        raise UnsupportedBucket(
            f"{bucket_config.display_name}: directory buckets (names ending in --x-s3) do not list "
            "in key order and are not supported; inventory a general purpose bucket instead"
        )
    try:
        session = open_session(bucket_config)
        boto_session = boto3.session.Session(
            botocore_session=session,
            aws_access_key_id=bucket_config.access_key,
            aws_secret_access_key=bucket_config.secret_key,
        )
        # "auto" leaves the addressing style to ~/.aws/config.
        style = bucket_config.addressing_style
        client = boto_session.client(
            "s3",
            region_name=region or session_region(session, bucket_config),
            endpoint_url=bucket_config.endpoint_url,
            config=Config(
                signature_version=UNSIGNED if bucket_config.anonymous else None,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                # Uploads carry Content-MD5, which all stores support, unlike newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3=None if style == "auto" else {"addressing_style": style},
            ),
        )
        refuse_user_information(client.meta.endpoint_url, bucket_config)
        return BotoSession(boto_session, client, session.get_config_variable("ca_bundle"))
    except CredentialsFailed as error:
        raise error.user_error from None
    except ConfigParseError as error:
        raise RequestRejected(f"{bucket_config.display_name}: {config_words(error)}") from None
    except (ProfileNotFound, PartialCredentialsError, CredentialRetrievalError) as error:
        is_named = isinstance(error, ProfileNotFound)
        remedy = f"; {NAME_A_PROFILE}" if is_named else ""
        raise CredentialsMissing(
            f"{bucket_config.display_name}: cannot open a session: {one_line(error)}{remedy}"
        ) from None
    except (BotoCoreError, ValueError) as error:
        raise RequestRejected(
            f"{bucket_config.display_name}: cannot open a session: {one_line(error)}; check the "
            "endpoint, the region and the AWS configuration"
        ) from None


def refuse_user_information(url: str | None, bucket_config: BucketConfig) -> None:
    """Reject an endpoint URL with a user name or password, which messages and files would show.

    Raises:
        RequestRejected: The URL has one.
    """
    if url and "@" in url:
        raise RequestRejected(
            f"{bucket_config.display_name}: the endpoint's URL contains a user name or "
            "password; remove it: credentials come from the environment, profiles or roles"
        )
