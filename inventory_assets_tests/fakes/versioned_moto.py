"""A moto server that lists versions as S3 does, with times of versions that a test sets.

moto keeps versions, but lists them in another way than S3: all delete markers come after all
versions, the first version after a key marker is left out, and versions of the same millisecond
come oldest first. So this module renders the listing from moto's data: keys in byte order, the
newest version of a key first, and a key marker without a version skips all versions of its key
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3 import responses
from moto.s3.models import FakeDeleteMarker, S3Backend, s3_backends

from inventory_assets_tests.fakes.listings import NAMESPACE, element


def backend() -> S3Backend:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


class VersionedBucket:
    """A bucket of this process's moto that keeps versions.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.keep_versions()

    @classmethod
    def new(cls, name: str) -> "VersionedBucket":
        """Make a bucket."""
        backend().create_bucket(name, "us-east-1")
        return cls(name)

    def keep_versions(self, status: str = "Enabled") -> None:
        backend().put_bucket_versioning(self.name, status)

    def put(self, at: datetime, key: str, body: bytes) -> str:
        """Put an object at a time; the id of its version."""
        version = backend().put_object(self.name, key, body)
        self._date(key, at)
        return str(version.version_id)

    def delete(self, at: datetime, key: str) -> None:
        """Put a delete marker at a time; moto makes none where there was never an object."""
        if key in backend().get_bucket(self.name).keys:
            backend().delete_object(self.name, key)
            self._date(key, at)

    def delete_for_good(self, key: str, version_id: str) -> None:
        """Erase a version."""
        backend().delete_object(self.name, key, version_id=version_id)

    def _date(self, key: str, at: datetime) -> None:
        newest = backend().get_bucket(self.name).keys.getlist(key)[-1]
        newest.last_modified = at.replace(tzinfo=None)


@contextmanager
def listing_versions_as_s3_does() -> Iterator[None]:
    """Until the end of the block, moto lists versions so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(responses.S3Response, "list_object_versions", _list_object_versions)
        yield


def _list_object_versions(response: Any) -> tuple[int, dict[str, str], str]:
    def asked(name: str, default: str = "") -> str:
        return str(response.querystring.get(name, [default])[0])

    marker = asked("key-marker"), asked("version-id-marker")
    size = int(asked("max-keys", "1000"))
    there = [
        (key, version, number == 0)
        for key, version, number in _versions(response.bucket_name)
        if key.startswith(asked("prefix"))
    ]
    if marker[1]:
        places = [n for n, row in enumerate(there) if (row[0], _id(row[1])) == marker]
        there = there[places[0] + 1 :]
    elif marker[0]:
        there = [row for row in there if row[0] > marker[0]]
    page, has_more = there[:size], len(there) > size
    is_encoded = asked("encoding-type") == "url"

    def shown(key: str) -> str:
        return quote_plus(key, safe="/") if is_encoded else key

    markers = ""
    if has_more:
        markers = element("NextKeyMarker", shown(page[-1][0]))
        markers += element("NextVersionIdMarker", _id(page[-1][1]))
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult{NAMESPACE}>'
        f"{element('Name', response.bucket_name)}{element('Prefix', shown(asked('prefix')))}"
        f"{element('MaxKeys', str(size))}"
        f"{element('EncodingType', 'url') if is_encoded else ''}"
        f"{element('IsTruncated', 'true' if has_more else 'false')}{markers}"
        f"{''.join(_rendered(shown(key), each, latest) for key, each, latest in page)}"
        "</ListVersionsResult>"
    )
    return 200, {"content-type": "application/xml"}, body


def _versions(bucket: str) -> Iterator[tuple[str, Any, int]]:
    """Each version with its key, and how many of the key are newer."""
    keys = backend().get_bucket(bucket).keys
    for key in sorted(keys, key=str.encode):
        for number, version in enumerate(reversed(keys.getlist(key))):
            yield key, version, number


def _id(version: Any) -> str:
    return str(version.version_id or "null")


def _rendered(key: str, version: Any, is_latest: bool) -> str:
    is_marker = isinstance(version, FakeDeleteMarker)
    fields = element("Key", key) + element("VersionId", _id(version))
    fields += element("IsLatest", "true" if is_latest else "false")
    fields += element("LastModified", version.last_modified.isoformat("T", "milliseconds") + "Z")
    if not is_marker:
        fields += element("ETag", version.etag) + element("Size", str(version.size))
        fields += element("StorageClass", version.storage_class)
    name = "DeleteMarker" if is_marker else "Version"
    return f"<{name}>{fields}<Owner><ID>owner</ID></Owner></{name}>"
