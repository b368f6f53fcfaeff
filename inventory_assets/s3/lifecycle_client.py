"""Read the lifecycle rules of one bucket.

boto3 sends the request, as for `object_client.py`.
"""

from collections.abc import Mapping
from typing import Any

from botocore import exceptions as boto

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.error_classification import (
    classify,
    code_of,
    one_line,
    status_of,
    to_user_error,
)
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.session import open_boto_session

ATTEMPTS = 6
"""Maximum attempts per request."""

ACTION = "s3:GetLifecycleConfiguration"

_INSTEAD = 'name a file of rules instead (--rules FILE; in the configuration: lifecycle = "FILE")'
_UNSUPPORTED_STATUSES = (405, 501)
_UNSUPPORTED = frozenset({"NotImplemented", "XNotImplemented", "MethodNotAllowed"})
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403", "Forbidden"})


class LifecycleUnavailable(S3Error):
    """The bucket has no lifecycle rules, or does not show them."""


def read_lifecycle(bucket_config: BucketConfig) -> Mapping[str, Any]:
    """The lifecycle rules of a bucket, as S3's JSON has them (GetBucketLifecycleConfiguration).

    Raises:
        LifecycleUnavailable: There are none, or the store does not show them.
        S3Error: Another error.
    """
    client: Any = open_boto_session(bucket_config, attempts=ATTEMPTS).client
    try:
        answer = client.get_bucket_lifecycle_configuration(Bucket=bucket_config.bucket)
    except (boto.ClientError, boto.BotoCoreError) as error:
        failure = _failure(bucket_config, error)
    else:
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    raise failure  # without a cause: boto's errors may contain request data


def _failure(bucket_config: BucketConfig, error: Exception) -> S3Error:
    where = bucket_config.display_name
    if isinstance(error, boto.ClientError):
        code, status = code_of(error), status_of(error)
        if code == "NoSuchLifecycleConfiguration":
            return LifecycleUnavailable(f"{where} has no lifecycle rules; {_INSTEAD}")
        if status in _UNSUPPORTED_STATUSES or code in _UNSUPPORTED:
            return LifecycleUnavailable(
                f"{where}: the store has no lifecycle rules (it said {code}); {_INSTEAD}"
            )
        if code in _DENIED:
            return LifecycleUnavailable(
                f"{where}: its lifecycle rules may not be read (the endpoint said {code}); grant "
                f"{ACTION} to these credentials, or {_INSTEAD}"
            )
    fault = classify(error)
    if fault is not None:
        return LifecycleUnavailable(
            f"{where}: its lifecycle rules could not be read: {fault} at each of {ATTEMPTS} "
            f"attempts ({one_line(error)}); try again when the endpoint is available"
        )
    return to_user_error(error, bucket_config, ACTION)
