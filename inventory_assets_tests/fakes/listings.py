"""ListObjectsV2 responses rendered as S3 renders them: the oracle of the page decoder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pyarrow as pa

from inventory_assets.s3.decoding.page import OBJECT_SCHEMA

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing, as a test says it; `modified` is milliseconds since 1970."""

    key: str
    size: int = 0
    modified: int = 1_700_000_000_123
    e_tag: str | None = "0123456789abcdef0123456789abcdef"
    storage_class: str | None = "STANDARD"
    checksums: tuple[str, ...] = ()
    owner: str | None = None

    def row(self) -> dict[str, object]:
        """The row that `OBJECT_SCHEMA` makes of it."""
        return {
            "key": self.key,
            "size": self.size,
            "last_modified_date": _EPOCH + timedelta(milliseconds=self.modified),
            "e_tag": self.e_tag,
            "storage_class": self.storage_class,
            "checksum_algorithm": ",".join(self.checksums) or None,
            "object_owner": self.owner,
        }


def objects_of(keys: Iterable[str], sizes: Mapping[str, int] | None = None) -> pa.RecordBatch:
    """A batch with `OBJECT_SCHEMA` and nothing but ordinary fields besides the keys.

    Args:
        keys: The keys.
        sizes: Of some of them; the size of others is the length of their key.
    """
    rows = [Listed(key, size=(sizes or {}).get(key, len(key))).row() for key in keys]
    return pa.RecordBatch.from_pylist(rows, schema=OBJECT_SCHEMA)


def rendered_objects(objects: pa.RecordBatch) -> list[str]:
    """The `<Contents>` of a batch with `OBJECT_SCHEMA`."""
    return [
        f"<Contents>{''.join(contents_fields(_listed(row)))}</Contents>"
        for row in objects.to_pylist()
    ]


def _listed(row: dict[str, Any]) -> Listed:
    return Listed(
        key=row["key"],
        size=row["size"],
        modified=(row["last_modified_date"] - _EPOCH) // timedelta(milliseconds=1),
        e_tag=row["e_tag"],
        storage_class=row["storage_class"],
        checksums=tuple((row["checksum_algorithm"] or "").split(","))
        if row["checksum_algorithm"]
        else (),
        owner=row["object_owner"],
    )


def timestamp(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def element(name: str, text: str | None) -> str:
    """An element, or nothing where `text` is None."""
    return "" if text is None else f"<{name}>{xml_text(text)}</{name}>"


def xml_text(text: str) -> str:
    return escape(text, {'"': "&#34;", "\r": "&#13;"})


def contents_fields(listed: Listed, url_encoded: bool = True) -> list[str]:
    """The rendered fields of one `<Contents>`, in S3's order."""
    quoted = None if listed.e_tag is None else f'"{listed.e_tag}"'
    return [
        element("Key", quote_plus(listed.key, safe="/") if url_encoded else listed.key),
        element("LastModified", timestamp(listed.modified)),
        element("ETag", quoted),
        *(element("ChecksumAlgorithm", name) for name in listed.checksums),
        element("Size", str(listed.size)),
        "" if listed.owner is None else f"<Owner>{element('ID', listed.owner)}</Owner>",
        element("StorageClass", listed.storage_class),
    ]


def listing(*contents: str, truncated: str | None = "false", extra: str = "") -> bytes:
    """A url-encoded result around rendered `<Contents>` and whatever else stands in it."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<ListBucketResult{NAMESPACE}><Name>b</Name><EncodingType>url</EncodingType>"
        f"{element('IsTruncated', truncated)}{extra}{''.join(contents)}</ListBucketResult>"
    ).encode()


def contents(*fields: str) -> str:
    return f"<Contents>{''.join(fields)}</Contents>"


def render(
    objects: Sequence[Listed], common_prefixes: Sequence[str] = (), token: str | None = None
) -> bytes:
    """A whole response, url-encoded; truncated where there is a token."""
    prefixes = [
        f"<CommonPrefixes>{element('Prefix', quote_plus(prefix, safe='/'))}</CommonPrefixes>"
        for prefix in common_prefixes
    ]
    return listing(
        *(contents(*contents_fields(listed)) for listed in objects),
        *prefixes,
        truncated="true" if token else "false",
        extra=element("NextContinuationToken", token),
    )
