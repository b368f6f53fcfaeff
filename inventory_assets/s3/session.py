"""Open boto3 for one bucket: credentials, endpoint rules, region and TLS settings are botocore's.

For listings botocore's own retries are off: one loop decides what is tried again
(`list_client.ListClient`), so that every fault is counted once and no second controller reacts to
throttling. For single objects (`object_client.py`) they are on.
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
    """boto3, opened for one connection.

    Attributes:
        session: Knows the credentials, and refreshes them.
        client: Knows the endpoint rules.
        ca_bundle: The file of certificate authorities that the AWS configuration names, or None.
    """

    session: boto3.session.Session
    client: "S3Client"
    ca_bundle: str | None


def open_boto_session(
    connection: BucketConfig, region: str | None = None, attempts: int = 1
) -> BotoSession:
    """Open boto3 for `connection`; no request is sent, but a profile or role is looked up.

    Args:
        connection: The bucket and how to reach it.
        region: The bucket's region where that has turned out to be another than configured.
        attempts: How often the client sends a request at most.

    Raises:
        UnsupportedBucket: The bucket is a directory bucket, which does not list in key order.
        CredentialsMissing: The profile does not exist, or nothing is there to assume a role with.
        RequestRejected: The endpoint, the region or the AWS configuration is unusable.
    """
    refuse_user_information(connection.endpoint_url, connection)
    if connection.bucket.endswith("--x-s3"):
        raise UnsupportedBucket(
            f"{connection.display_name}: directory buckets (names ending in --x-s3) do not list "
            "in key "
            "order and are not supported; inventory a general purpose bucket instead"
        )
    try:
        session = open_session(connection)
        boto_session = boto3.session.Session(
            botocore_session=session,
            aws_access_key_id=connection.access_key,
            aws_secret_access_key=connection.secret_key,
        )
        # What ~/.aws/config says of the style stands, unless the connection says otherwise.
        style = connection.addressing_style
        client = boto_session.client(
            "s3",
            region_name=region or session_region(session, connection),
            endpoint_url=connection.endpoint_url,
            config=Config(
                signature_version=UNSIGNED if connection.anonymous else None,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                # Uploads carry Content-MD5, which every store knows; newer checksums not all do.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3=None if style == "auto" else {"addressing_style": style},
            ),
        )
        refuse_user_information(client.meta.endpoint_url, connection)
        return BotoSession(boto_session, client, session.get_config_variable("ca_bundle"))
    except CredentialsFailed as trouble:
        raise trouble.error_response from None
    except ConfigParseError as error:
        raise RequestRejected(f"{connection.display_name}: {config_words(error)}") from None
    except (ProfileNotFound, PartialCredentialsError, CredentialRetrievalError) as error:
        is_named = isinstance(error, ProfileNotFound)
        remedy = f"; {NAME_A_PROFILE}" if is_named else ""
        raise CredentialsMissing(
            f"{connection.display_name}: cannot open a session: {one_line(error)}{remedy}"
        ) from None
    except (BotoCoreError, ValueError) as error:
        raise RequestRejected(
            f"{connection.display_name}: cannot open a session: {one_line(error)}; check the "
            "endpoint, the "
            "region and the AWS configuration"
        ) from None


def refuse_user_information(url: str | None, connection: BucketConfig) -> None:
    """Refuse an endpoint with a user name or password, which messages and files would repeat.

    Raises:
        RequestRejected: It has one.
    """
    if url and "@" in url:
        raise RequestRejected(
            f"{connection.display_name}: the endpoint holds a user name or password, expected "
            "none; "
            "credentials come from boto3's chain: the environment, profiles, roles"
        )
