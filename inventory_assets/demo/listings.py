"""Listings of the demo bucket that moto lacks: versions, unfinished uploads and their parts.

moto lists all delete markers after all versions, copies every version of the bucket for each page,
and shows each upload as started in 2010. These listings are as S3's: keys in byte order, versions
newest first, and pages
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from inventory_assets.demo.values import DemoMarker, DemoUpload, DemoVersion

_MAX_KEYS = 1_000
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_OWNER = "<Owner><ID>demo</ID></Owner>"


class VersionListing:
    """All versions of a bucket, from which pages are cut.

    Args:
        bucket: The name of the bucket.
        versions: The versions of each key, newest first, sorted by key.
    """

    def __init__(self, bucket: str, versions: Mapping[str, Sequence[DemoVersion]]) -> None:
        self._bucket = bucket
        self._rows = [
            (each, is_latest)
            for of_key in versions.values()
            for each, is_latest in zip(of_key, [True, *[False] * (len(of_key) - 1)], strict=True)
        ]
        self._keys = [each.key.encode() for each, _ in self._rows]

    def page(self, query: Mapping[str, str]) -> str:
        """The response to a ListObjectVersions request without a delimiter.

        Args:
            query: The parameters of the request.
        """
        prefix = query.get("prefix", "").encode()
        limit = min(int(query.get("max-keys", _MAX_KEYS)), _MAX_KEYS)
        begin = max(bisect_left(self._keys, prefix), self._after(query))
        end = begin
        while end < len(self._keys) and self._keys[end].startswith(prefix) and end - begin <= limit:
            end += 1
        is_truncated = end - begin > limit
        shown = self._rows[begin : begin + limit] if is_truncated else self._rows[begin:end]
        is_encoded = query.get("encoding-type") == "url"
        texts = [
            ("Name", self._bucket),
            ("Prefix", _name(query.get("prefix", ""), is_encoded)),
            ("KeyMarker", _name(query.get("key-marker", ""), is_encoded)),
            ("VersionIdMarker", query.get("version-id-marker", "")),
            ("MaxKeys", str(limit)),
            *([("EncodingType", "url")] if is_encoded else []),
            ("IsTruncated", "true" if is_truncated else "false"),
        ]
        if is_truncated:
            last, _ = shown[-1]
            texts.append(("NextKeyMarker", _name(last.key, is_encoded)))
            texts.append(("NextVersionIdMarker", last.version_id))
        rows = "".join(_version(each, is_latest, is_encoded) for each, is_latest in shown)
        return _document("ListVersionsResult", texts, rows)

    def _after(self, query: Mapping[str, str]) -> int:
        """The first row after the markers; a key marker alone skips all versions of its key."""
        marker, version_id = query.get("key-marker", "").encode(), query.get("version-id-marker")
        begin, end = bisect_left(self._keys, marker), bisect_right(self._keys, marker)
        if version_id:
            for at in range(begin, end):
                if self._rows[at][0].version_id == version_id:
                    return at + 1
        return end if marker else 0


def uploads_page(bucket: str, uploads: Sequence[DemoUpload], query: Mapping[str, str]) -> str:
    """The response to a ListMultipartUploads request: all uploads of a prefix, sorted by key."""
    is_encoded = query.get("encoding-type") == "url"
    prefix = query.get("prefix", "")
    rows = [
        _element(
            "Upload",
            [
                ("Key", _name(upload.key, is_encoded)),
                ("UploadId", upload.upload_id),
                ("StorageClass", "STANDARD"),
                ("Initiated", _time(upload.initiated)),
            ],
        )
        for upload in uploads
        if upload.key.startswith(prefix)
    ]
    texts = [
        ("Bucket", bucket),
        ("Prefix", _name(prefix, is_encoded)),
        ("MaxUploads", str(_MAX_KEYS)),
        *([("EncodingType", "url")] if is_encoded else []),
        ("IsTruncated", "false"),
    ]
    return _document("ListMultipartUploadsResult", texts, "".join(rows))


def parts_page(bucket: str, upload: DemoUpload) -> str:
    """The response to a ListParts request: all parts of an upload."""
    rows = [
        _element("Part", [("PartNumber", str(number)), ("Size", str(size))])
        for number, size in enumerate(upload.parts, start=1)
    ]
    texts = [
        ("Bucket", bucket),
        ("Key", upload.key),
        ("UploadId", upload.upload_id),
        ("StorageClass", "STANDARD"),
        ("MaxParts", str(_MAX_KEYS)),
        ("IsTruncated", "false"),
    ]
    return _document("ListPartsResult", texts, "".join(rows))


def _version(version: DemoVersion, is_latest: bool, is_encoded: bool) -> str:
    texts = [
        ("Key", _name(version.key, is_encoded)),
        ("VersionId", version.version_id),
        ("IsLatest", "true" if is_latest else "false"),
        ("LastModified", _time(version.last_modified)),
    ]
    if isinstance(version, DemoMarker):
        return _element("DeleteMarker", texts, _OWNER)
    texts += [
        ("ETag", f'"{version.e_tag}"'),
        ("Size", str(version.size)),
        ("StorageClass", version.storage_class),
    ]
    if version.checksum_algorithm:
        texts.append(("ChecksumAlgorithm", version.checksum_algorithm))
    return _element("Version", texts, _OWNER)


def _document(name: str, texts: Iterable[tuple[str, str]], rows: str) -> str:
    return _XML + _element(name, texts, rows, attributes=f" {_NAMESPACE}")


def _element(
    name: str, texts: Iterable[tuple[str, str]], more: str = "", attributes: str = ""
) -> str:
    fields = "".join(f"<{each}>{escape(text)}</{each}>" for each, text in texts)
    return f"<{name}{attributes}>{fields}{more}</{name}>"


def _name(key: str, is_encoded: bool) -> str:
    return quote_plus(key, safe="/") if is_encoded else key


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"
