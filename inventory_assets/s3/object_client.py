"""Read and write the objects of one bucket, for results; listings use `list_client.py`.

boto3 sends the requests, with the same credentials, endpoints, proxies and certificate authorities
as a listing. botocore's standard mode retries transient errors; this module retries truncated
bodies, which botocore does not retry.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

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

UPLOAD_BYTES = 16 * 2**20
"""Maximum bytes of one upload request, held in memory; larger files take a multipart upload."""

UPLOADS = 10_000
"""Maximum parts of a multipart upload
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_BROKEN_OFF = (
    boto.HTTPClientError,
    boto.IncompleteReadError,
    HTTPError,
    ConnectionError,
    TimeoutError,
)
_DIGEST = "sha256"


_CONDITION_STATUSES = (304, 404, 409, 412)
"""The statuses of stores for a condition that does not hold
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html); 304 is HTTP's
status for reads."""


class ObjectRequestFailed(S3Error):
    """An object could not be read or written; the message says which, why, and what to do.

    Attributes:
        status: The HTTP status; None without a response.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class PreconditionFailed(ObjectRequestFailed):
    """The object does not match the condition of the request."""


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """The metadata of an object from HeadObject.

    Attributes:
        size: Its size in bytes.
        etag: Its ETag, without quotes.
        digest: The SHA-256 stored with it, hexadecimal, or None.
    """

    size: int
    etag: str
    digest: str | None


class ObjectClient:
    """Reads and writes objects of a bucket by key. Every method raises `ObjectRequestFailed`.

    ETags are passed without quotes, as stores differ in quoting them.

    Args:
        bucket_config: The bucket and how to reach it.

    Raises:
        S3Error: The session cannot be opened.
    """

    def __init__(self, bucket_config: BucketConfig) -> None:
        self.bucket_config = bucket_config
        opened = open_boto_session(bucket_config, attempts=ATTEMPTS)
        self._client: Any = opened.client

    @property
    def partition(self) -> str:
        """The AWS partition for ARNs: `aws`, `aws-cn` and so on."""
        return str(self._client.meta.partition)

    def url(self, key: str) -> str:
        """The object's `s3://` URL."""
        return f"s3://{self.bucket_config.bucket}/{key}"

    def head(self, key: str) -> ObjectMetadata | None:
        """The metadata of an object, or None if it does not exist."""
        with self._translate_errors("read", key):
            try:
                answer = self._client.head_object(Bucket=self.bucket_config.bucket, Key=key)
            except boto.ClientError as error:
                if code_of(error) in _MISSING:
                    return None
                raise
        etag = _unquoted(answer.get("ETag"))
        if not etag:
            raise ObjectRequestFailed(
                f"cannot read {self.url(key)}: the endpoint does not send its ETag, which is "
                "needed to detect changes; keep results on another store, or in a folder"
            )
        metadata: Mapping[str, str] = answer.get("Metadata", {})
        return ObjectMetadata(answer["ContentLength"], etag, metadata.get(_DIGEST))

    def read(self, key: str) -> bytes | None:
        """The bytes of an object, or None if it does not exist."""
        with self._translate_errors("read", key):
            try:
                return self._body(key, {})[0]
            except boto.ClientError as error:
                if code_of(error) in _MISSING:
                    return None
                raise

    def read_range(self, key: str, etag: str, start: int, stop: int) -> bytes:
        """The bytes [start, stop) of the object with this ETag.

        Raises:
            PreconditionFailed: The object has another ETag. It is compared here, as not all stores
                support If-Match.
        """
        with self._translate_errors("read", key):
            data, found = self._body(key, {"Range": f"bytes={start}-{stop - 1}"})
            if found != etag:
                raise PreconditionFailed(
                    f"cannot read {self.url(key)}: it was changed in the meantime (its ETag is "
                    f"{found!r}, not {etag!r})"
                )
            if len(data) != stop - start:
                raise ObjectRequestFailed(
                    f"cannot read {self.url(key)}: the endpoint sent {len(data):,} bytes for "
                    f"{stop - start:,}; keep results on a store that serves ranges"
                )
            return data

    def list_names(self, folder: str) -> Iterator[str]:
        """The names directly in a folder ("" or ending in `/`), in the store's order."""
        with self._translate_errors("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_config.bucket, Prefix=folder, Delimiter="/"
            )
            for page in pages:
                keys = [each["Key"] for each in page.get("Contents", ())]
                keys += [each["Prefix"] for each in page.get("CommonPrefixes", ())]
                for key in keys:
                    name = key.removeprefix(folder).removesuffix("/")
                    if name:  # an object for the folder itself
                        yield name

    def list_objects(self, folder: str) -> Iterator[tuple[str, int]]:
        """Key and size in bytes of all objects in a folder (ending in `/`), at any depth."""
        with self._translate_errors("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_config.bucket, Prefix=folder
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    if not each["Key"].endswith("/"):  # an object for the folder itself
                        yield each["Key"], each["Size"]

    def written_at(self, folder: str) -> dict[str, datetime]:
        """Key to last modification time of all objects in a folder (ending in `/`)."""
        with self._translate_errors("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_config.bucket, Prefix=folder
            )
            return {
                each["Key"]: each["LastModified"]
                for page in pages
                for each in page.get("Contents", ())
            }

    def remove(self, key: str) -> None:
        """Remove an object, if it exists."""
        with self._translate_errors("remove", key):
            self._client.delete_object(Bucket=self.bucket_config.bucket, Key=key)

    def write(
        self,
        key: str,
        data: bytes,
        condition: Mapping[str, str] | None = None,
        digest: str | None = None,
    ) -> str:
        """Write an object atomically, by one request.

        Args:
            key: The key.
            data: Its content.
            condition: From `ConditionalWrites`; None to write unconditionally.
            digest: The SHA-256 of `data`, to be stored in the object's metadata.

        Returns:
            Its ETag.

        Raises:
            PreconditionFailed: The condition does not hold; nothing was written.
        """
        with self._translate_errors("write", key):
            try:
                answer = self._client.put_object(
                    Bucket=self.bucket_config.bucket,
                    Key=key,
                    Body=data,
                    ContentMD5=_md5(data),
                    **_metadata(digest),
                    **(condition or {}),
                )
            except boto.ClientError as error:
                if condition and _is_failed_condition(error):
                    raise self._changed(f"cannot write {self.url(key)}", error) from None
                raise
            etag = _unquoted(answer.get("ETag"))
        if not etag and (metadata := self.head(key)):
            etag = metadata.etag
        return etag

    def write_file(self, key: str, file: Path, digest: str | None = None) -> None:
        """Upload a file atomically, with at most `UPLOAD_BYTES` in memory.

        A larger file takes a multipart upload, which is aborted on failure. There is no `condition`
        parameter, as some stores ignore conditions when an upload is completed.
        """
        size = file.stat().st_size
        if size <= UPLOAD_BYTES:
            self.write(key, file.read_bytes(), digest=digest)
            return
        with self._translate_errors("write", key):
            self._upload(key, file, max(UPLOAD_BYTES, -(-size // UPLOADS)), digest)

    def _upload(self, key: str, file: Path, part_bytes: int, digest: str | None) -> None:
        upload = {"Bucket": self.bucket_config.bucket, "Key": key}
        answer = self._client.create_multipart_upload(**upload, **_metadata(digest))
        upload["UploadId"] = answer["UploadId"]
        parts: list[dict[str, object]] = []
        try:
            with file.open("rb") as source:
                while data := source.read(part_bytes):
                    number = len(parts) + 1
                    answer = self._client.upload_part(
                        **upload, PartNumber=number, Body=data, ContentMD5=_md5(data)
                    )
                    parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            # If the abort fails, the bucket's lifecycle removes the upload; raise the first error.
            with suppress(boto.ClientError, boto.BotoCoreError):
                self._client.abort_multipart_upload(**upload)
            raise

    def _body(self, key: str, options: Mapping[str, str]) -> tuple[bytes, str]:
        """The body and ETag of GetObject."""
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._client.get_object(Bucket=self.bucket_config.bucket, Key=key, **options)
            try:
                with answer["Body"] as body:
                    return bytes(body.read()), _unquoted(answer.get("ETag"))
            except _BROKEN_OFF:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def _translate_errors(self, action: str, key: str) -> Iterator[None]:
        """Raise boto's errors as `ObjectRequestFailed` for this object."""
        try:
            yield
        except (boto.ClientError, boto.BotoCoreError, *_BROKEN_OFF) as error:
            failure = self._failure(action, key, error)
        else:
            return
        raise failure  # without a cause: boto's errors may contain request data

    def _failure(self, action: str, key: str, error: Exception) -> S3Error:
        what = f"cannot {action} {self.url(key)}"
        if isinstance(error, boto.ClientError):
            if status_of(error) == 404 and code_of(error) == "NoSuchKey":
                return self._changed(what, error)
            if status_of(error) == 403 and code_of(error) in ("AccessDenied", "403", "Forbidden"):
                return ObjectRequestFailed(
                    f"{what}: it is not allowed (the endpoint said {code_of(error)}); grant these "
                    "credentials s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, "
                    "s3:DeleteObject and s3:AbortMultipartUpload on its objects",
                    status_of(error),
                )
        if isinstance(error, boto.NoCredentialsError):
            return ObjectRequestFailed(
                f"{what}: no AWS credentials were found; name a profile, set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or run where a role is attached"
            )
        fault = classify(error)
        if fault is not None or isinstance(error, boto.IncompleteReadError):
            return ObjectRequestFailed(
                f"{what}: {fault or 'the response broke off'} at each of {ATTEMPTS} attempts "
                f"({one_line(error)}); try again when the endpoint is available",
                status_of(error) if isinstance(error, boto.ClientError) else None,
            )
        final = to_user_error(error, self.bucket_config)
        status = status_of(error) if isinstance(error, boto.ClientError) else None
        return ObjectRequestFailed(f"{what}: {final}", status)

    @staticmethod
    def _changed(what: str, error: boto.ClientError) -> PreconditionFailed:
        said = f"the endpoint said {code_of(error)}"
        return PreconditionFailed(
            f"{what}: it was changed in the meantime ({said})", status_of(error)
        )


def _is_failed_condition(error: boto.ClientError) -> bool:
    return status_of(error) in _CONDITION_STATUSES and code_of(error) != "NoSuchBucket"


def _unquoted(etag: str | None) -> str:
    """An ETag without quotes and without the `W/` of weak ETags, which proxies add."""
    return (etag or "").removeprefix("W/").strip('"')


def _metadata(digest: str | None) -> dict[str, object]:
    return {"Metadata": {_DIGEST: digest}} if digest else {}


def _md5(data: bytes) -> str:
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
