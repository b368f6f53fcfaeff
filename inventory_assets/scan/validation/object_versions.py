"""Versions of objects: their order within a key, and the versions at a past time.

ListObjectVersions lists keys in order, and the versions and delete markers of a key newest first,
by the time of storing. LastModified does not give that order: a multipart upload has the time when
it was started, and several versions may have the same time. Source:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.decoding.page import VERSION_SCHEMA
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions and delete markers to list, instead of the current objects.

    Attributes:
        as_of: Only versions last modified by then; None for all.
    """

    as_of: datetime | None = None

    def as_of_view(self, objects: pa.RecordBatch) -> pa.RecordBatch:
        """The versions that existed at `as_of`; `is_latest` says which was the latest then.

        Args:
            objects: With `VERSION_SCHEMA`, each key with all its versions, newest first.
        """
        if self.as_of is None:
            return objects
        dates = objects.column("last_modified_date")
        kept = objects.filter(pc.less_equal(dates, pa.scalar(self.as_of, dates.type)))
        is_latest = pa.array(_are_first(kept.column("key")))
        index = VERSION_SCHEMA.get_field_index("is_latest")
        return kept.set_column(index, VERSION_SCHEMA.field(index), is_latest)


@dataclass(frozen=True, slots=True)
class OpenKey:
    """The versions of a key of which more may follow.

    A key may have millions, over thousands of pages. So each page is checked and copied once.

    Attributes:
        versions: At least one, with `VERSION_SCHEMA`, in a chunk for each page.
    """

    versions: pa.Table

    @property
    def key(self) -> str:
        """The key."""
        found: str = self.versions.column("key")[-1].as_py()
        return found

    def before(self, objects: pa.RecordBatch) -> pa.RecordBatch:
        """The objects that follow, after the last version so far, for `order_violation`."""
        last = self.versions.slice(self.versions.num_rows - 1)
        return pa.concat_batches([*last.to_batches(), objects])

    def is_repeated(self, objects: pa.RecordBatch, *, has_more: bool) -> bool:
        """Whether a version is listed twice, once all are known."""
        of_key = count_up_to(objects.column("key"), self.key)
        if has_more and of_key == objects.num_rows:
            return False
        ids = [*self.versions.column("version_id").chunks, objects.column("version_id")[:of_key]]
        found = pa.chunked_array(ids)
        return len(found.unique()) < len(found)

    def is_open_after(self, objects: pa.RecordBatch) -> bool:
        """Whether the objects that follow are versions of the key, too; or there are none."""
        return not objects.num_rows or objects.column("key")[-1].as_py() == self.key


def split_last_key(
    open_key: OpenKey | None, objects: pa.RecordBatch, *, has_more: bool
) -> tuple[pa.RecordBatch, OpenKey | None]:
    """Split off the versions of the last key if the listing goes on, as it may have more.

    Args:
        open_key: The versions before the objects that wait for these.
        objects: Objects that follow.
        has_more: Whether others may follow.

    Returns:
        The versions of all complete keys, and those that must wait for the next page.
    """
    if open_key and has_more and open_key.is_open_after(objects):
        page = pa.Table.from_batches([objects])
        return objects.slice(0, 0), OpenKey(pa.concat_tables([open_key.versions, page]))
    keys = objects.column("key")
    whole = pc.index(keys, keys[-1]).as_py() if has_more and len(keys) else len(keys)
    complete, rest = objects.slice(0, whole), objects.slice(whole)
    if open_key:
        complete = pa.concat_batches([*open_key.versions.to_batches(), complete])
    return complete, OpenKey(pa.Table.from_batches([rest])) if rest.num_rows else None


def order_violation(objects: pa.RecordBatch) -> str | None:
    """Describe how versions violate the order of a listing; None if they do not.

    Args:
        objects: With `VERSION_SCHEMA`; the first row is the newest version of its key.
    """
    keys = objects.column("key")
    if pc.any(pc.greater(keys[:-1], keys[1:])).as_py():
        return "out of byte order (or delete markers after all versions)"
    are_first = _are_first(keys)
    is_latest = objects.column("is_latest").to_numpy(zero_copy_only=False)
    if (is_latest & ~are_first).any():
        return "with an older version before the latest"
    shared = ~are_first
    shared[:-1] |= ~are_first[1:]
    several = pa.table(objects.select(["key", "version_id"]).filter(pa.array(shared)))
    if several.group_by(["key", "version_id"]).aggregate([]).num_rows < several.num_rows:
        return "with a version listed twice"
    return None


def _are_first(keys: pa.StringArray) -> _Flags:
    """Mark the first of equal keys, in ascending keys."""
    are_first = np.ones(len(keys), np.bool_)
    are_first[1:] = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
    return are_first
