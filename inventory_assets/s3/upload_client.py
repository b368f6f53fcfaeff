"""List the unfinished multipart uploads of one bucket, and the sizes of their parts.

boto3 sends the requests, as for `object_client.py`. Pages follow each other by key and upload id;
each must lie after the one before, so that a store that repeats or loses its place is noticed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from botocore import exceptions as boto

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.record_fields import key_bytes
from inventory_assets.s3.error_classification import code_of, one_line, status_of, to_user_error
from inventory_assets.s3.errors import MalformedResponse, S3Error
from inventory_assets.s3.session import open_boto_session

ATTEMPTS = 6
"""Maximum attempts per request."""

ACTION = "s3:ListBucketMultipartUploads"

_UNSUPPORTED_STATUSES = (405, 501)
_UNSUPPORTED = frozenset({"NotImplemented", "XNotImplemented", "MethodNotAllowed"})
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403", "Forbidden"})
_GONE = frozenset({"NoSuchUpload", "NoSuchKey", "404"})


class UploadsUnavailable(S3Error):
    """The store does not list uploads, or does not allow it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload.

    Attributes:
        key: The key of the object that it would make.
        upload_id: Its id.
        initiated: When it was started.
        storage_class: The storage class of its parts; None where the store names none.
    """

    key: str
    upload_id: str
    initiated: datetime
    storage_class: str | None


@dataclass(frozen=True, slots=True)
class UploadSize:
    """What the parts of an upload showed.

    Attributes:
        bytes: The bytes of its parts; None if they are not known.
        requests: The requests that were sent.
        is_gone: Whether the upload was completed or aborted meanwhile.
    """

    bytes: int | None
    requests: int
    is_gone: bool = False


class UploadSource(Protocol):
    """What a survey of uploads needs of a bucket; `UploadClient` is the one over HTTP."""

    def pages(self, prefix: str) -> Iterator[list[Upload]]:
        """The uploads of keys with a prefix, by key in byte order, a page at a time."""

    def size(self, upload: Upload, requests: int) -> UploadSize:
        """The bytes of an upload's parts, asked with at most so many requests."""


class UploadClient:
    """Lists the unfinished uploads of a bucket.

    Args:
        bucket_config: The bucket and how to reach it.
        client: boto3's client; None to open one.

    Raises:
        S3Error: The connection cannot be opened.
    """

    def __init__(self, bucket_config: BucketConfig, client: Any = None) -> None:
        self._bucket_config = bucket_config
        self._client: Any = client or open_boto_session(bucket_config, attempts=ATTEMPTS).client

    def pages(self, prefix: str = "") -> Iterator[list[Upload]]:
        """The uploads of keys with a prefix, by key in byte order, a page at a time.

        Raises:
            UploadsUnavailable: The store does not list uploads, or does not allow it.
            MalformedResponse: The pages do not follow each other.
            S3Error: Another error.
        """
        order = _Order(self._bucket_config.display_name)
        key_marker = id_marker = ""
        while True:
            answer = self._page(prefix, key_marker, id_marker)
            is_encoded = answer.get("EncodingType") == "url"
            uploads = [_upload(each, is_encoded) for each in answer.get("Uploads", ())]
            for upload in uploads:
                order.check(upload)
            if uploads:
                yield uploads
            if not answer.get("IsTruncated"):
                return
            key_marker = _decoded(answer.get("NextKeyMarker", ""), is_encoded)
            id_marker = answer.get("NextUploadIdMarker", "")
            order.check_markers(key_marker, id_marker)

    def size(self, upload: Upload, requests: int) -> UploadSize:
        """The bytes of an upload's parts.

        Args:
            upload: The upload.
            requests: At most so many requests are sent, each for a thousand parts; if there are
                more parts, the size is unknown.

        Raises:
            S3Error: The connection failed.
        """
        total, after = 0, 0
        for sent in range(1, requests + 1):
            try:
                answer = self._client.list_parts(
                    Bucket=self._bucket_config.bucket,
                    Key=upload.key,
                    UploadId=upload.upload_id,
                    PartNumberMarker=after,
                    **self._payer,
                )
            except boto.ClientError as error:
                if code_of(error) in _GONE:
                    return UploadSize(None, sent, is_gone=True)
                if _is_unavailable(error):
                    return UploadSize(None, sent)
                raise to_user_error(error, self._bucket_config, ACTION) from None
            except boto.BotoCoreError as error:
                raise to_user_error(error, self._bucket_config, ACTION) from None
            total += sum(part["Size"] for part in answer.get("Parts", ()))
            following = int(answer.get("NextPartNumberMarker") or 0)
            if not answer.get("IsTruncated"):
                return UploadSize(total, sent)
            if following <= after:
                return UploadSize(None, sent)
            after = following
        return UploadSize(None, requests)

    @property
    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self._bucket_config.requester_pays else {}

    def _page(self, prefix: str, key_marker: str, id_marker: str) -> Any:
        markers = {"KeyMarker": key_marker, "UploadIdMarker": id_marker} if key_marker else {}
        try:
            answer = self._client.list_multipart_uploads(
                Bucket=self._bucket_config.bucket,
                Prefix=prefix,
                EncodingType="url",
                **{name: text for name, text in markers.items() if text},
                **self._payer,
            )
        except boto.ClientError as error:
            if _is_unavailable(error):
                raise self._unavailable(f"refuses to list them ({one_line(error)})") from None
            raise to_user_error(error, self._bucket_config, ACTION) from None
        except boto.BotoCoreError as error:
            raise to_user_error(error, self._bucket_config, ACTION) from None
        if not {"Uploads", "Bucket", "MaxUploads"} & answer.keys():
            raise self._unavailable("answers with another listing")
        return answer

    def _unavailable(self, reason: str) -> UploadsUnavailable:
        return UploadsUnavailable(
            f"{self._bucket_config.display_name}: unfinished uploads are unknown, as the store "
            f"{reason}; grant {ACTION}, or set multipart_uploads = false"
        )


class _Order:
    """Checks that uploads are listed by key, each once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._key = b""
        self._ids: set[str] = set()
        self._markers = b"", ""

    def check(self, upload: Upload) -> None:
        key = upload.key.encode()
        if key < self._key or (key == self._key and upload.upload_id in self._ids):
            raise self._malformed(f"lists {upload.key!r} after {self._key.decode()!r}")
        if key > self._key:
            self._key, self._ids = key, set()
        self._ids.add(upload.upload_id)

    def check_markers(self, key_marker: str, id_marker: str) -> None:
        # Ids are in no order: of one key, the uploads are listed by the time of their start.
        markers = key_marker.encode(), id_marker
        if markers[0] < self._markers[0] or markers == self._markers:
            raise self._malformed("continues a listing of uploads at the same place again")
        self._markers = markers

    def _malformed(self, what: str) -> MalformedResponse:
        return MalformedResponse(
            f"{self._where}: the store {what}, so its unfinished uploads cannot be listed; set "
            "multipart_uploads = false"
        )


def _is_unavailable(error: boto.ClientError) -> bool:
    code, status = code_of(error), status_of(error)
    return code in _UNSUPPORTED | _DENIED or status in _UNSUPPORTED_STATUSES


def _upload(answer: Any, is_encoded: bool) -> Upload:
    initiated: datetime = answer["Initiated"]
    return Upload(
        key=_decoded(answer["Key"], is_encoded),
        upload_id=answer["UploadId"],
        initiated=initiated.astimezone(UTC),
        storage_class=answer.get("StorageClass"),
    )


def _decoded(text: str, is_encoded: bool) -> str:
    try:
        return key_bytes(text, is_encoded).decode()
    except UnicodeDecodeError:
        raise MalformedResponse(f"the key {text[:200]!r} of an upload is not UTF-8") from None
