"""Read and write the objects of one bucket: the path of results, not that of listings.

boto3 sends the requests, so that credentials, endpoints, proxies and certificate authorities are
those of the listing. botocore's standard mode retries what can pass; bodies that break off while
they are received, which it does not see, are asked for again here.
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
"""Times that a request is sent at most."""

UPLOAD_BYTES = 16 * 2**20
"""Bytes of a file held in memory, and sent by one request; larger files go in several."""

UPLOADS = 10_000
"""Parts of a multipart upload at most
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
"""With which stores say that a condition does not hold
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html); 304 is what HTTP
has for reads."""


class ObjectRequestFailed(S3Error):
    """An object could not be read or written; the message says which, why, and what to do.

    Attributes:
        status: The HTTP status of the answer; None where there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class PreconditionFailed(ObjectRequestFailed):
    """The object is not, or no longer, what the request made a condition."""


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """What S3 tells of an object.

    Attributes:
        size: Its bytes.
        etag: Its ETag, without quotes.
        digest: The SHA-256 that it was uploaded with, hexadecimal, or None.
    """

    size: int
    etag: str
    digest: str | None


class ObjectClient:
    """The objects of a bucket, by key. Every method raises `ObjectRequestFailed`.

    ETags are passed without their quotes, as stores differ in where they put them.

    Args:
        connection: The bucket and how to reach it.

    Raises:
        S3Error: The connection cannot be opened.
    """

    def __init__(self, connection: BucketConfig) -> None:
        self.connection = connection
        opened = open_boto_session(connection, attempts=ATTEMPTS)
        self._client: Any = opened.client

    @property
    def partition(self) -> str:
        """AWS's partition of the region, as ARNs name it: `aws`, `aws-cn` and so on."""
        return str(self._client.meta.partition)

    def url(self, key: str) -> str:
        """The object's address, as readers of S3 write it."""
        return f"s3://{self.connection.bucket}/{key}"

    def head(self, key: str) -> ObjectMetadata | None:
        """What S3 tells of an object, or None where there is none."""
        with self._translate_errors("read", key):
            try:
                answer = self._client.head_object(Bucket=self.connection.bucket, Key=key)
            except boto.ClientError as error:
                if code_of(error) in _MISSING:
                    return None
                raise
        etag = _bare(answer.get("ETag"))
        if not etag:
            raise ObjectRequestFailed(
                f"cannot read {self.url(key)}: the endpoint does not send its ETag, without which "
                "a change cannot be noticed; keep results on another store, or in a folder"
            )
        metadata: Mapping[str, str] = answer.get("Metadata", {})
        return ObjectMetadata(answer["ContentLength"], etag, metadata.get(_DIGEST))

    def read(self, key: str) -> bytes | None:
        """The bytes of an object, or None where there is none."""
        with self._translate_errors("read", key):
            try:
                return self._body(key, {})[0]
            except boto.ClientError as error:
                if code_of(error) in _MISSING:
                    return None
                raise

    def read_range(self, key: str, etag: str, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop` of the object with this ETag.

        Raises:
            PreconditionFailed: The object has another ETag. It is compared here, since not every
                store understands, or heeds, If-Match.
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
        """The names right under a folder (which ends in `/`, or is empty), in the store's order."""
        with self._translate_errors("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.connection.bucket, Prefix=folder, Delimiter="/"
            )
            for page in pages:
                keys = [each["Key"] for each in page.get("Contents", ())]
                keys += [each["Prefix"] for each in page.get("CommonPrefixes", ())]
                for key in keys:
                    name = key.removeprefix(folder).removesuffix("/")
                    if name:  # a folder may have an object of its own
                        yield name

    def list_objects(self, folder: str) -> Iterator[tuple[str, int]]:
        """All objects in a folder (which ends in `/`), at any depth, by key: their bytes."""
        with self._translate_errors("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.connection.bucket, Prefix=folder
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    if not each["Key"].endswith("/"):  # a folder may have an object of its own
                        yield each["Key"], each["Size"]

    def written_at(self, folder: str) -> dict[str, datetime]:
        """All objects in a folder (which ends in `/`), by key: when they were last written."""
        with self._translate_errors("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.connection.bucket, Prefix=folder
            )
            return {
                each["Key"]: each["LastModified"]
                for page in pages
                for each in page.get("Contents", ())
            }

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._translate_errors("remove", key):
            self._client.delete_object(Bucket=self.connection.bucket, Key=key)

    def write(
        self,
        key: str,
        data: bytes,
        condition: Mapping[str, str] | None = None,
        digest: str | None = None,
    ) -> str:
        """Make `data` an object by one request, whole or not at all.

        Args:
            key: Which object.
            data: Its content.
            condition: From `ConditionalWrites`; None to replace whatever is there.
            digest: The SHA-256 of `data`, to be kept with it.

        Returns:
            Its ETag.

        Raises:
            PreconditionFailed: What is there is not what may be replaced; nothing was written.
        """
        with self._translate_errors("write", key):
            try:
                answer = self._client.put_object(
                    Bucket=self.connection.bucket,
                    Key=key,
                    Body=data,
                    ContentMD5=_md5(data),
                    **_metadata(digest),
                    **(condition or {}),
                )
            except boto.ClientError as error:
                if condition and _may_be_a_condition(error):
                    raise self._changed(f"cannot write {self.url(key)}", error) from None
                raise
            etag = _bare(answer.get("ETag"))
        if not etag and (metadata := self.head(key)):
            etag = metadata.etag
        return etag

    def write_file(self, key: str, file: Path, digest: str | None = None) -> None:
        """Make a file an object, whole or not at all, with at most `UPLOAD_BYTES` in memory.

        A larger file takes a multipart upload, which is aborted if it cannot be completed. There is
        no condition on it: some stores do not heed one when an upload is completed.
        """
        size = file.stat().st_size
        if size <= UPLOAD_BYTES:
            self.write(key, file.read_bytes(), digest=digest)
            return
        with self._translate_errors("write", key):
            self._upload(key, file, max(UPLOAD_BYTES, -(-size // UPLOADS)), digest)

    def _upload(self, key: str, file: Path, part_bytes: int, digest: str | None) -> None:
        place = {"Bucket": self.connection.bucket, "Key": key}
        answer = self._client.create_multipart_upload(**place, **_metadata(digest))
        place["UploadId"] = answer["UploadId"]
        parts: list[dict[str, object]] = []
        try:
            with file.open("rb") as source:
                while data := source.read(part_bytes):
                    number = len(parts) + 1
                    answer = self._client.upload_part(
                        **place, PartNumber=number, Body=data, ContentMD5=_md5(data)
                    )
                    parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
        except BaseException:
            # What an abort leaves undone the bucket's lifecycle removes; the first error is told.
            with suppress(boto.ClientError, boto.BotoCoreError):
                self._client.abort_multipart_upload(**place)
            raise

    def _body(self, key: str, wanted: Mapping[str, str]) -> tuple[bytes, str]:
        """What GetObject sends, and its ETag."""
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._client.get_object(Bucket=self.connection.bucket, Key=key, **wanted)
            try:
                with answer["Body"] as body:
                    return bytes(body.read()), _bare(answer.get("ETag"))
            except _BROKEN_OFF:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def _translate_errors(self, action: str, key: str) -> Iterator[None]:
        """Say what boto's errors mean for the object at hand."""
        try:
            yield
        except (boto.ClientError, boto.BotoCoreError, *_BROKEN_OFF) as error:
            failure = self._failure(action, key, error)
        else:
            return
        raise failure  # without a cause: boto's errors may hold what was sent

    def _failure(self, action: str, key: str, error: Exception) -> S3Error:
        what = f"cannot {action} {self.url(key)}"
        if isinstance(error, boto.ClientError):
            if status_of(error) == 404 and code_of(error) == "NoSuchKey":
                return self._changed(what, error)
            if status_of(error) == 403 and code_of(error) in ("AccessDenied", "403", "Forbidden"):
                return ObjectRequestFailed(
                    f"{what}: it is not allowed (the endpoint said {code_of(error)}); grant these "
                    "credentials s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, "
                    "s3:DeleteObject and s3:AbortMultipartUpload on what is in it",
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
                f"{what}: {fault or 'the answer broke off'} at each of {ATTEMPTS} attempts "
                f"({one_line(error)}); try again when the endpoint is well",
                status_of(error) if isinstance(error, boto.ClientError) else None,
            )
        final = to_user_error(error, self.connection)
        status = status_of(error) if isinstance(error, boto.ClientError) else None
        return ObjectRequestFailed(f"{what}: {final}", status)

    @staticmethod
    def _changed(what: str, error: boto.ClientError) -> PreconditionFailed:
        said = f"the endpoint said {code_of(error)}"
        return PreconditionFailed(
            f"{what}: it was changed in the meantime ({said})", status_of(error)
        )


def _may_be_a_condition(error: boto.ClientError) -> bool:
    return status_of(error) in _CONDITION_STATUSES and code_of(error) != "NoSuchBucket"


def _bare(etag: str | None) -> str:
    """An ETag without its quotes, and without the mark of a weak one, which proxies add."""
    return (etag or "").removeprefix("W/").strip('"')


def _metadata(digest: str | None) -> dict[str, object]:
    return {"Metadata": {_DIGEST: digest}} if digest else {}


def _md5(data: bytes) -> str:
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
