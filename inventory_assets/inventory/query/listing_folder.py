"""The parts of a folder that `inventory list` wrote, from the footers of its files."""

from itertools import pairwise
from pathlib import Path
from shlex import quote

import pyarrow as pa
import pyarrow.parquet as pq

from inventory_assets.inventory.errors import CorruptRecord, InventoryNotFound
from inventory_assets.inventory.folder_listing.folder_lock import is_interrupted
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, VERSION_RECORD_SCHEMA
from inventory_assets.inventory.storage.local_store import LocalStore


def parts_of_listing(store: LocalStore, folder: Path) -> tuple[tuple[Part, ...], pa.Schema]:
    """The parts of a folder, in key order, and the schema of their records.

    Args:
        store: The store at the folder.
        folder: The folder.

    Raises:
        InventoryNotFound: It has no Parquet files, or its listing is not finished.
        CorruptRecord: The files do not belong to one sorted listing.
    """
    # Checked before and after reading the names, as a listing may rename its files meanwhile.
    was_unfinished = is_interrupted(folder)
    names = [path.name for path in sorted(folder.glob("*.parquet"))]
    if was_unfinished or is_interrupted(folder):
        raise InventoryNotFound(
            f"{folder} holds a listing that is not finished; wait for the process that writes "
            f"it, or finish it with `inventory resume {quote(str(folder))}`"
        )
    if not names:
        raise InventoryNotFound(
            f"{folder} holds no Parquet files; name a folder that `inventory list` wrote, a "
            "source's folder, or a date's folder in it"
        )
    parts = [part for name in names if (part := _part_of(store, name))]
    for left, right in pairwise(parts):
        if left.last_key >= right.first_key:
            raise CorruptRecord(
                f"{folder}: {right.key} does not come after {left.key}, so these are not the "
                "files of one listing; list the bucket again into a folder of its own"
            )
    return tuple(parts), pq.read_schema(store.path(names[0]))


def _part_of(store: LocalStore, name: str) -> Part | None:
    """A part from the footer of a file; None if it has no records."""
    path = store.path(name)
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise CorruptRecord(
            f"{path} is not a Parquet file ({error}); list the bucket again"
        ) from None
    if not metadata.num_rows:
        return None
    column = RECORD_SCHEMA.get_field_index("key")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    names = metadata.schema.to_arrow_schema().names
    is_ours = names in (RECORD_SCHEMA.names, VERSION_RECORD_SCHEMA.names)
    keys = [group.column(column).statistics for group in groups] if is_ours else []
    if not keys or not all(keys):
        raise CorruptRecord(
            f"{path} is not a file of a listing; name a folder that `inventory list` wrote"
        )
    return Part(
        key=name,
        rows=metadata.num_rows,
        object_bytes=0,
        file_bytes=path.stat().st_size,
        md5="",
        first_key=keys[0].min,
        last_key=keys[-1].max,
        classes=(),
    )
