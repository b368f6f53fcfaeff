"""The records of shared listings of shards, as collection and `inventory status` see them.

`inventory/shared_listing` writes them. What reads them only to keep or remove files need not know
how participants share a listing.
"""

import json
from dataclasses import dataclass
from typing import Any

from inventory_assets.inventory.storage.layout import FileKind, path_in_source
from inventory_assets.inventory.storage.record_type import FileType, JsonFile, References
from inventory_assets.inventory.storage.store import Store

SHARED_FORMAT = 1
"""The format of the records; increment it when participants could misunderstand each other."""

SHARED_KINDS = (
    FileKind.SHARED_LISTING,
    FileKind.SHARED_RANGE,
    FileKind.SHARED_CHECKPOINT,
    FileKind.SHARED_SUMMARY,
    FileKind.SHARED_WISH,
)
"""The kinds of these files, in the order of their removal."""

_REMEDY = "materialize object_listing for {day} and this shard again"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RangeFile(FileType):
    """The record of some ranges, which names parts once they are listed."""

    def references_in(self, data: bytes) -> References:
        result = _document(data).get("result")
        try:
            return References([part["key"] for part in result["parts"]] if result else [], None)
        except (KeyError, TypeError) as error:
            raise ValueError("the record is damaged") from error


SHARED_LISTING = JsonFile(
    kind=FileKind.SHARED_LISTING,
    title="shared listing",
    remedy=_REMEDY,
    written_at="begun_at",
    formats=(SHARED_FORMAT,),
)

SHARED_RANGE = _RangeFile(
    kind=FileKind.SHARED_RANGE, title="range of a shared listing", remedy=_REMEDY
)


def listing_id_of(key: str) -> str | None:
    """The shared listing to which a file belongs; None for the record of the listing itself."""
    _, _, *names = path_in_source(key).split("/")
    return names[0] if len(names) > 1 else None


def present_listings(store: Store, folder: str) -> dict[str, str]:
    """The ids of the shared listings whose records lie in a folder, with the keys of the records.

    Raises:
        CorruptRecord: A record is damaged.
        StoreError: The store cannot be read.
    """
    found: dict[str, str] = {}
    for name in store.list_names(folder):
        data = store.read(f"{folder}/{name}") if name.endswith(".json") else None
        try:
            identity = None if data is None else _document(data)["id"]
        except (ValueError, KeyError):
            raise SHARED_LISTING.unreadable(store, f"{folder}/{name}") from None
        if identity is not None:
            found[identity] = f"{folder}/{name}"
    return found


def _document(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: It is none.
    """
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("the record is damaged")  # noqa: TRY004 - as for any other damage
    return document
