from collections.abc import Callable, Iterable
from datetime import UTC
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import AccessDenied, MalformedResponse, S3Error
from inventory_assets.s3.upload_client import UploadClient, UploadSize, UploadsUnavailable
from inventory_assets_tests.fakes.upload_store import HeldUpload, UploadStore

CONFIG = BucketConfig("bucket")


def client_of(store: UploadStore) -> UploadClient:
    return UploadClient(CONFIG, store)


def listed(store: UploadStore, prefix: str = "") -> list[tuple[str, str]]:
    pages = client_of(store).pages(prefix)
    return [(upload.key, upload.upload_id) for page in pages for upload in page]


@given(
    keys=st.lists(st.text(min_size=1, max_size=3), max_size=12),
    page_size=st.integers(1, 5),
    prefix=st.sampled_from(["", "a", "\x00"]),
)
def test_all_uploads_are_listed_once_in_pages_of_any_size(
    keys: list[str], page_size: int, prefix: str
) -> None:
    held = [HeldUpload(key, f"id-{number}") for number, key in enumerate(keys)]
    found = listed(UploadStore(held, page_size), prefix)
    expected = {(each.key, each.upload_id) for each in held if each.key.startswith(prefix)}
    assert len(found) == len(expected)
    assert set(found) == expected
    assert [key for key, _ in found] == sorted((key for key, _ in found), key=str.encode)


class _Stuck(UploadStore):
    """A store that ignores markers."""

    def list_multipart_uploads(self, **request: Any) -> Any:
        return super().list_multipart_uploads(Bucket=request["Bucket"], Prefix=request["Prefix"])


def test_a_store_that_ignores_markers_is_noticed() -> None:
    store = _Stuck([HeldUpload("a", "1"), HeldUpload("b", "2")], page_size=1)
    with pytest.raises(MalformedResponse, match="multipart_uploads = false"):
        listed(store)
    assert len(store.requests) == 2


class _Unsorted(UploadStore):
    def list_multipart_uploads(self, **request: Any) -> Any:
        answer = dict(super().list_multipart_uploads(**request))
        return answer | {"Uploads": answer["Uploads"][::-1]}


def test_uploads_that_are_not_in_byte_order_are_noticed() -> None:
    with pytest.raises(MalformedResponse, match="lists 'a' after 'b'"):
        listed(_Unsorted([HeldUpload("a", "1"), HeldUpload("b", "2")]))


class _Empty(UploadStore):
    def list_multipart_uploads(self, **_request: Any) -> Any:
        self.requests.append("uploads")
        return {"Bucket": "bucket", "IsTruncated": True, "NextKeyMarker": ""}


def test_empty_pages_without_end_are_noticed() -> None:
    with pytest.raises(MalformedResponse):
        listed(_Empty([]))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("NotImplemented", 501),
        ("Any", 501),
        ("MethodNotAllowed", 405),
        ("AccessDenied", 403),
    ],
)
def test_a_store_without_uploads_is_told_from_one_that_fails(code: str, status: int) -> None:
    with pytest.raises(UploadsUnavailable, match="s3:ListBucketMultipartUploads"):
        listed(UploadStore([], error=code, status=status))


def test_another_error_is_one_of_the_bucket() -> None:
    with pytest.raises(S3Error, match="no such bucket") as found:
        listed(UploadStore([], error="NoSuchBucket", status=404))
    assert not isinstance(found.value, UploadsUnavailable | AccessDenied)


class _Ignorant(UploadStore):
    """A store that ignores `?uploads`, and lists objects."""

    def list_multipart_uploads(self, **_request: Any) -> Any:
        return {"IsTruncated": False}


def test_a_listing_of_objects_is_no_listing_of_uploads() -> None:
    with pytest.raises(UploadsUnavailable, match="another listing"):
        listed(_Ignorant([]))


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(2, UploadSize(None, 2)), (3, UploadSize(15, 3)), (9, UploadSize(15, 3))],
)
def test_the_size_is_that_of_all_parts_or_unknown(requests: int, expected: UploadSize) -> None:
    upload = HeldUpload("a", "1", parts=(1, 2, 3, 4, 5))
    client = client_of(UploadStore([upload], parts_of_page=2))
    (found,) = next(client.pages())
    assert client.size(found, requests) == expected


def test_an_upload_that_has_ended_is_gone() -> None:
    client = client_of(UploadStore([HeldUpload("a", "1")], gone=frozenset("1")))
    (found,) = next(client.pages())
    assert client.size(found, 5) == UploadSize(None, 1, is_gone=True)


def test_uploads_over_http_have_their_keys_and_sizes(
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
) -> None:
    config = moto_bucket([])
    client: Any = boto3.client(
        "s3",
        endpoint_url=config.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    for key, size in (("a b+c/ü", 5 * 2**20), ("other", 0)):
        made = client.create_multipart_upload(Bucket=config.bucket, Key=key)
        if size:
            client.upload_part(
                Bucket=config.bucket,
                Key=key,
                UploadId=made["UploadId"],
                PartNumber=1,
                Body=bytes(size),
            )
    uploads = UploadClient(config)
    found = [upload for page in uploads.pages() for upload in page]
    assert [upload.key for upload in found] == ["a b+c/ü", "other"]
    assert [uploads.size(upload, 1).bytes for upload in found] == [5 * 2**20, 0]
    assert {upload.initiated.tzinfo for upload in found} == {UTC}
    assert [upload.key for page in uploads.pages("oth") for upload in page] == ["other"]
