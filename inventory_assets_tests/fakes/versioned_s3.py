"""A model of a bucket with versions and its past contents: the oracle of versions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

import pyarrow as pa
from hypothesis import strategies as st

from inventory_assets.s3.decoding.page import VERSION_SCHEMA, ErrorDocument, Page, versions_markers
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.listings import NAMESPACE, element, timestamp
from inventory_assets_tests.fakes.model_s3 import ModelS3

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an object, or a delete marker: one that has no size.

    `modified` is milliseconds since 1970.
    """

    key: str
    version_id: str
    modified: int
    size: int | None
    is_latest: bool = False

    @property
    def e_tag(self) -> str | None:
        return None if self.size is None else f"{self.size:032x}"

    def row(self) -> dict[str, object]:
        """The row that `VERSION_SCHEMA` makes of it."""
        return {
            "key": self.key,
            "version_id": self.version_id,
            "is_latest": self.is_latest,
            "is_delete_marker": self.size is None,
            "size": self.size,
            "last_modified_date": EPOCH + timedelta(milliseconds=self.modified),
            "e_tag": self.e_tag,
            "storage_class": None if self.size is None else "STANDARD",
            "checksum_algorithm": None,
            "object_owner": "owner",
        }

    def rendered(self, *, url_encoded: bool = True) -> str:
        """In S3's format."""
        name = "DeleteMarker" if self.size is None else "Version"
        fields = [
            element("Key", quote_plus(self.key, safe="/") if url_encoded else self.key),
            element("VersionId", self.version_id),
            element("IsLatest", "true" if self.is_latest else "false"),
            element("LastModified", timestamp(self.modified)),
        ]
        if self.size is not None:
            fields += [
                element("ETag", f'"{self.e_tag}"'),
                element("Size", str(self.size)),
                element("StorageClass", "STANDARD"),
            ]
        return f"<{name}>{''.join(fields)}<Owner><ID>owner</ID></Owner></{name}>"


def batch_of(versions: Iterable[Version]) -> pa.RecordBatch:
    """A batch with `VERSION_SCHEMA`."""
    return pa.RecordBatch.from_pylist([each.row() for each in versions], VERSION_SCHEMA)


def rendered(
    versions: Iterable[Version], next_marker: Version | None = None, *, url_encoded: bool = True
) -> bytes:
    """A ListVersionsResult."""
    markers = ""
    if next_marker:
        key = next_marker.key
        markers = element("NextKeyMarker", quote_plus(key, safe="/") if url_encoded else key)
        markers += element("NextVersionIdMarker", next_marker.version_id)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<ListVersionsResult{NAMESPACE}><Name>b</Name><KeyMarker></KeyMarker>"
        f"{'<EncodingType>url</EncodingType>' if url_encoded else ''}"
        f"{element('IsTruncated', 'true' if next_marker else 'false')}{markers}"
        f"{''.join(each.rendered(url_encoded=url_encoded) for each in versions)}"
        "</ListVersionsResult>"
    ).encode()


@dataclass(slots=True)
class History:
    """What was done to a bucket, one thing after the other.

    Attributes:
        versions: Of each key, the newest first.
    """

    versions: dict[str, list[Version]] = field(default_factory=dict)
    _count: int = 0

    def put(self, key: str, modified: int, size: int | None) -> None:
        """Put an object, or a delete marker where there is no size."""
        self._count += 1
        version = Version(key, f"v{self._count}", modified, size)
        self.versions.setdefault(key, []).insert(0, version)

    def put_null(self, key: str, modified: int, size: int | None) -> None:
        """Put a version while the bucket keeps none; it replaces the one put so before."""
        there = [each for each in self.versions.get(key, []) if each.version_id != "null"]
        self.versions[key] = [Version(key, "null", modified, size), *there]

    def listed(self, as_of: int | None = None) -> list[Version]:
        """All versions at a time, in the order of a listing, by a simple loop."""
        found = []
        for key in sorted(self.versions, key=str.encode):
            there = [each for each in self.versions[key] if as_of is None or each.modified <= as_of]
            found += [
                Version(each.key, each.version_id, each.modified, each.size, number == 0)
                for number, each in enumerate(there)
            ]
        return found

    def current(self, as_of: int | None = None) -> dict[str, Version]:
        """The current objects of that time, by key."""
        latest = (each for each in self.listed(as_of) if each.is_latest)
        return {each.key: each for each in latest if each.size is not None}


@st.composite
def histories(draw: st.DrawFn, keys: str = "ab/-\U0010ffff", most: int = 30) -> History:
    """Histories of a few keys; LastModified is mostly, and not always, in the order of storing."""
    names = st.text(keys, min_size=1, max_size=2)
    history = History()
    step = st.tuples(names, st.integers(-3, 9), st.none() | st.integers(0, 99), st.integers(0, 5))
    for number, (key, shift, size, kind) in enumerate(draw(st.lists(step, max_size=most))):
        put = history.put_null if kind == 0 else history.put
        put(key, max(0, 10 * (number // 2) + shift), size)
    return history


class VersionedS3(ModelS3):
    """Lists a history page by page, in the bytes that S3 would send.

    Args:
        history: What was done to the bucket.
        page_size: Versions in a page at most.
        damaged: Numbers of those requests for versions that are answered with a damaged page.
    """

    def __init__(self, history: History, page_size: int = 3, damaged: Sequence[int] = ()) -> None:
        super().__init__(history.current(), page_size)
        self._listed = history.listed()
        self._damaged = damaged
        self._answered = 0

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        if not request.versions:
            return await super().fetch_raw_page(request, stats, body)
        body[:] = self._body(request, stats)
        received = peek_page(body)
        assert isinstance(received, RawPage)
        self._answered += 1
        if self._answered - 1 in self._damaged:
            body[:] = body.replace(b"<IsLatest>", b"<IsLatest>&")
        return received

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        if not request.versions:
            return super().list_page_sync(request, stats)
        page = decode_page(self._body(request, stats))
        assert not isinstance(page, ErrorDocument)
        return page

    def _body(self, request: PageRequest, stats: RequestStats) -> bytes:
        stats.sent()
        self.requests.append(request)
        there = [each for each in self._listed if each.key.startswith(request.prefix)]
        if request.token:
            markers = versions_markers(request.token)
            places = [n for n, each in enumerate(there) if (each.key, each.version_id) == markers]
            there = there[places[0] + 1 :]
        elif request.start_after:
            there = [each for each in there if each.key > request.start_after]
        size = min(self._page_size, request.max_keys)
        return rendered(there[:size], there[size - 1] if len(there) > size else None)
