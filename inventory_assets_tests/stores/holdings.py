"""The true content of a bucket: the oracle of all tests in this package."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)

Row = tuple[Any, ...]
"""What is compared of an object: key, version, whether it is the latest and whether a delete
marker (where versions are listed), size, time, ETag."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, a version of one, or a delete marker.

    Attributes:
        key: Its key; bytes that are no UTF-8 stand as surrogates.
        size: In bytes.
        modified: Its LastModified.
        e_tag: Its ETag; None where the store has none.
        version_id: Its version.
        is_latest: Whether it is the latest version.
        is_delete_marker: Whether it is a delete marker.
        written: By element, other text than would follow; None leaves the element out.
    """

    key: str
    size: int = 0
    modified: datetime = EPOCH
    e_tag: str | None = "0" * 32
    version_id: str = "null"
    is_latest: bool = True
    is_delete_marker: bool = False
    written: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        """The bytes of the key."""
        return raw(self.key)

    def row(self, *, with_versions: bool) -> Row:
        """The rows of a correct inventory."""
        fields: Row = (self.size, self.modified, self.e_tag)
        if self.is_delete_marker:
            fields = (None, self.modified, None)
        if not with_versions:
            return (self.key, *fields)
        return (self.key, self.version_id, self.is_latest, self.is_delete_marker, *fields)


def raw(key: str) -> bytes:
    """The bytes of a key."""
    return key.encode("utf-8", "surrogateescape")


def held(key: str, number: int = 0, **other: Any) -> StoredObject:
    """An object whose fields follow from its number."""
    fields: dict[str, Any] = {
        "size": number,
        "modified": EPOCH + timedelta(seconds=number),
        "e_tag": hashlib.md5(raw(key), usedforsecurity=False).hexdigest(),
    }
    return StoredObject(key, **{**fields, **other})


def objects(keys: Iterable[str]) -> list[StoredObject]:
    """An object for each key."""
    return [held(key, number) for number, key in enumerate(keys)]


def folders(names: Iterable[str], keys: int) -> list[StoredObject]:
    """The same number of objects under each name."""
    return objects(f"{name}k{number:05}" for name in names for number in range(keys))


def versions(keys: Iterable[str], each: int = 2) -> list[StoredObject]:
    """Some versions of each key, newest first."""
    return [
        held(key, number, version_id=f"v{number}.{age}", is_latest=not age)
        for number, key in enumerate(keys)
        for age in range(each)
    ]


def truth(holdings: Iterable[StoredObject], *, with_versions: bool = False) -> list[Row]:
    """The rows of a right inventory: in byte order, the versions of a key as they are given."""
    rows = sorted(holdings, key=lambda each: each.raw)
    if not with_versions:
        rows = [each for each in rows if each.is_latest and not each.is_delete_marker]
    return [each.row(with_versions=with_versions) for each in rows]


def listed(folder: Path, *, with_versions: bool = False) -> list[Row]:
    """The rows of the files of a folder, in the order of the files."""
    of_versions = ["version_id", "is_latest", "is_delete_marker"] if with_versions else []
    columns = ["key", *of_versions, "size", "last_modified_date", "e_tag"]
    rows: list[Row] = []
    for file in sorted(folder.glob("*.parquet")):
        table = pq.read_table(file, columns=columns)
        rows += zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    return rows


def difference(found: list[Row], expected: list[Row]) -> str:
    """The difference of an inventory from the truth; "" without any."""
    if found == expected:
        return ""
    lost, made_up = set(expected) - set(found), set(found) - set(expected)
    doubled = len(found) - len(set(found))
    words = [f"{len(found):,} rows for {len(expected):,}"]
    if lost:
        words.append(f"{len(lost):,} lost, as {min(lost, key=lambda row: row[0])[0]!a}")
    if made_up:
        words.append(f"{len(made_up):,} made up, as {min(made_up, key=lambda row: row[0])[0]!a}")
    if doubled:
        words.append(f"{doubled:,} doubled")
    if len(words) == 1:
        words.append("out of order")
    return "; ".join(words)
