"""The record of what a folder of results belongs to: a bucket, a prefix in it, and its endpoint.

The folder of a source in the store has the names of its bucket and of the source. Two projects that
share a store, or buckets of one name on two stores, could choose the same folder; their shards and
dates would mix. The first search for prefixes that succeeds writes the record; every search and
listing compares it first.
"""

from contextlib import suppress
from dataclasses import dataclass

from inventory_assets.inventory.errors import ConflictError, OtherSource
from inventory_assets.inventory.storage.commit import commit
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import NO_ETAG, Store


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What is inventoried in a folder of results.

    Attributes:
        bucket: The name of the bucket.
        prefix: The prefix of the source.
        endpoint_url: The URL of the store of the bucket; None for AWS.
    """

    bucket: str
    prefix: str
    endpoint_url: str | None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix} at {self.endpoint_url or 'AWS'}"


SOURCE = RecordType(
    kind=FileKind.SOURCE,
    title="record of a source",
    remedy="remove it if its folder belongs to the source, and list again",
    model=SourceRecord,
)


def require_source(store: Store, layout: Layout, source: SourceRecord) -> None:
    """Check that the folder of the results belongs to a source, or to none yet.

    Raises:
        OtherSource: It belongs to another source.
        CorruptRecord: The record is damaged.
    """
    key = layout.source_record
    found = SOURCE.read(store, key)
    if found is None or found == source:
        return
    is_moved = (found.bucket, found.prefix) == (source.bucket, source.prefix)
    alternative = (
        f"if it is the same bucket at a new address, remove {store.where(key)}"
        if is_moved
        else "to start afresh, remove that folder"
    )
    raise OtherSource(
        f"{store.where(layout.base)} holds the inventories of {found}, and this source is "
        f"{source}; their dates would mix: give this source another name, or its project another "
        f"store; or, {alternative}"
    )


def claim_source(store: Store, layout: Layout, source: SourceRecord) -> None:
    """Give a folder that belongs to no source yet to a source, whose bucket was reached.

    Raises:
        OtherSource: It belongs to another source.
        CorruptRecord: The record is damaged.
    """
    key = layout.source_record
    if SOURCE.read(store, key) is None:
        with suppress(ConflictError):  # another first listing has written it
            commit(store, SOURCE.file(key, source), NO_ETAG)
    require_source(store, layout, source)
