"""Unfinished uploads in memory, with boto3's methods: the oracle of the upload client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from botocore.exceptions import ClientError


@dataclass(frozen=True)
class HeldUpload:
    """An unfinished upload of a fake store."""

    key: str
    upload_id: str
    initiated: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    parts: tuple[int, ...] = ()
    storage_class: str = "STANDARD"


@dataclass
class UploadStore:
    """A bucket with unfinished uploads, which is asked as boto3's client is.

    Attributes:
        uploads: What it holds.
        page_size: Uploads of a page.
        parts_of_page: Parts of a page.
        error: The code of the error that every listing gets; "" for none.
        gone: The ids of uploads that end before their parts are asked for.
        requests: The operations that were asked, in order.
    """

    uploads: list[HeldUpload]
    page_size: int = 1000
    parts_of_page: int = 1000
    error: str = ""
    status: int = 400
    gone: frozenset[str] = frozenset()
    requests: list[str] = field(default_factory=list)

    def list_multipart_uploads(self, **request: Any) -> Mapping[str, Any]:
        """By key in byte order, and of one key by the time of their start."""
        self.requests.append("uploads")
        if self.error:
            raise client_error(self.error, self.status)
        found = sorted(
            (each for each in self.uploads if each.key.startswith(request["Prefix"])),
            key=lambda each: (each.key.encode(), each.initiated, each.upload_id),
        )
        places = [(each.key, each.upload_id) for each in found]
        start = 0
        if "KeyMarker" in request:
            start = places.index((request["KeyMarker"], request["UploadIdMarker"])) + 1
        page = found[start : start + self.page_size]
        is_truncated = start + self.page_size < len(found)
        answer: dict[str, Any] = {
            "Bucket": request["Bucket"],
            "EncodingType": "url",
            "IsTruncated": is_truncated,
        }
        if page:
            answer["Uploads"] = [
                {
                    "Key": quote_plus(each.key),
                    "UploadId": each.upload_id,
                    "Initiated": each.initiated,
                    "StorageClass": each.storage_class,
                }
                for each in page
            ]
        if is_truncated:
            answer["NextKeyMarker"] = quote_plus(page[-1].key)
            answer["NextUploadIdMarker"] = page[-1].upload_id
        return answer

    def list_parts(self, **request: Any) -> Mapping[str, Any]:
        """The parts of an upload."""
        self.requests.append(request["UploadId"])
        if request["UploadId"] in self.gone:
            raise client_error("NoSuchUpload", 404)
        (upload,) = (each for each in self.uploads if each.upload_id == request["UploadId"])
        start = request["PartNumberMarker"]
        page = upload.parts[start : start + self.parts_of_page]
        end = start + len(page)
        return {
            "Parts": [{"Size": size} for size in page],
            "IsTruncated": end < len(upload.parts),
            "NextPartNumberMarker": end,
        }


def client_error(code: str, status: int) -> ClientError:
    """boto3's error for an error response."""
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "ListMultipartUploads")
