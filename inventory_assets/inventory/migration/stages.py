"""Which files of a store are copied, and in which order.

A reader of the destination must never find a record whose files are missing. So data files come
first, then the records of shards, then those of dates, and last what makes a date complete.
"""

import re
from datetime import date
from enum import StrEnum

from inventory_assets.inventory.listing.shared_work import SHARED_KINDS
from inventory_assets.inventory.storage.layout import (
    FileKind,
    ParsedPath,
    parse_path,
    path_in_source,
)
from inventory_assets.inventory.storage.tombstones import marked_key

STAGES: tuple[tuple[FileKind, ...], ...] = (
    (
        FileKind.DATA,
        FileKind.CHANGED_RECORDS,
        FileKind.USAGE_DATA,
        FileKind.PART_USAGE,
        FileKind.PART_FINDINGS,
        FileKind.METADATA_DATA,
        FileKind.FETCHED_METADATA,
    ),
    (
        FileKind.DISCOVERY,
        FileKind.LONG_PREFIX,
        FileKind.RETIREMENT,
        FileKind.SNAPSHOT,
        FileKind.CHECKPOINT,
        FileKind.SHARD_RUN,
        FileKind.CHANGES,
        FileKind.METADATA,
        FileKind.SUPERSEDED,
    ),
    (FileKind.MANIFEST,),
    (FileKind.SYMLINK, FileKind.S3_MANIFEST),
    (FileKind.CHECKSUM,),
    (FileKind.CHANGE_LOG,),
    (
        FileKind.CHANGE_LOG_SYMLINK,
        # A hold names the version of the manifest that is copied before it.
        FileKind.HELD,
        FileKind.DATE_RUN,
        FileKind.USAGE,
        FileKind.HYGIENE,
        FileKind.LIFECYCLE,
        FileKind.REPORT,
        FileKind.EXPORT,
    ),
)
"""The kinds of files in the order of copying. `SOURCE` is copied before all of them."""

_STAGE_OF = {kind: number for number, kinds in enumerate(STAGES) for kind in kinds}

_NAMED_BY_SHA256 = frozenset(
    (FileKind.DATA, FileKind.CHANGED_RECORDS, FileKind.USAGE_DATA, FileKind.METADATA_DATA)
)
_SHA256 = re.compile(r"[0-9a-f]{64}(?=\.)")


class LeftOut(StrEnum):
    """Why a file is not copied."""

    TOMBSTONE = "tombstones: collections write them anew"
    ICEBERG = (
        "files of Iceberg tables, which name the places of files: materialize iceberg_tables for "
        "the dates that the tables are to have"
    )
    SHARED = (
        "records of listings that runs share at present: wait until they are done, or list these "
        "shards again"
    )
    UNKNOWN = "files of no kind that this version knows"


def stage_of(key: str) -> int | LeftOut:
    """The number of the stage in which a file is copied, or why it is not.

    Args:
        key: The key of a file in the folder of a source.
    """
    if marked_key(key) is not None:
        return LeftOut.TOMBSTONE
    path = path_in_source(key)
    if path.startswith("iceberg/"):
        return LeftOut.ICEBERG
    parsed = parse_path(path)
    if parsed is None:
        return LeftOut.UNKNOWN
    if parsed.kind in SHARED_KINDS:
        return LeftOut.SHARED
    return _STAGE_OF.get(parsed.kind, LeftOut.UNKNOWN)


def kind_of(key: str) -> FileKind | None:
    """The kind of a file; None for one of no known kind."""
    parsed = _parsed(key)
    return parsed.kind if parsed else None


def day_of(key: str) -> date | None:
    """The date of a file; None for one of no date."""
    parsed = _parsed(key)
    return parsed.day if parsed else None


def _parsed(key: str) -> ParsedPath | None:
    return parse_path(path_in_source(key))


def sha256_in(key: str) -> str | None:
    """The SHA-256 of the content of a file, if its name has it; None otherwise."""
    found = _SHA256.match(key.rpartition("/")[2]) if kind_of(key) in _NAMED_BY_SHA256 else None
    return found.group() if found else None
