"""The findings of records, computed row by row without a bound of memory."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]

_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{name}{number}" for name in ("com", "lpt") for number in "0123456789\xb9\xb2\xb3"
}
_CONTROL = {*map(chr, range(32)), *map(chr, range(127, 160))}
_ESCAPED_BY_HIVE = {*map(chr, range(1, 32)), *"\x7f\"#'*:?\\{[]^"}


@dataclass
class Counted:
    """What is counted of one finding."""

    totals: Counter[tuple[str, int]] = field(default_factory=Counter)
    bytes: Counter[tuple[str, int]] = field(default_factory=Counter)
    prefixes: Counter[str] = field(default_factory=Counter)
    prefix_bytes: Counter[str] = field(default_factory=Counter)
    keys: dict[str, None] = field(default_factory=dict)

    def add(self, key: str, size: int, storage_class: str) -> None:
        bounds = (1, 2**10, 2**14, 2**17, 2**20, 2**24, 2**27, 2**30, 2**34)
        kind = storage_class, sum(size >= bound for bound in bounds)
        self.totals[kind] += 1
        self.bytes[kind] += size
        parts = key.split("/")
        for count in range(len(parts)):
            prefix = "".join(f"{part}/" for part in parts[:count])
            self.prefixes[prefix] += 1
            self.prefix_bytes[prefix] += size
        self.keys.setdefault(key)


def counted_findings(rows: Sequence[Row]) -> dict[str, Counted]:
    """What is counted of each finding in records in key order."""
    found: dict[str, Counted] = defaultdict(Counted)
    for key, versions in groupby(rows, lambda row: row["key"]):
        every = list(versions)
        for number, row in enumerate(every):
            if row.get("is_delete_marker"):
                if all(later["is_delete_marker"] for later in every[number:]):
                    size = len(key.encode())
                    found["markers_that_hide_nothing"].add(key, size, "STANDARD")
                continue
            of_row = row["size"] or 0, row["storage_class"] or "UNKNOWN"
            if not row.get("is_latest", True):
                found["noncurrent_versions"].add(key, *of_row)
            for kind in kinds_of(key):
                found[kind].add(key, *of_row)
    return dict(found)


def kinds_of(key: str) -> Iterator[str]:
    """Why a key hurts."""
    names = key.split("/")
    if names[0] == "" or "" in names[1:-1]:
        yield "empty_segments"
    if {".", ".."} & set(names):
        yield "dot_segments"
    if _CONTROL & set(key):
        yield "control_characters"
    if any(name.endswith((" ", ".")) for name in names if name not in {".", ".."}):
        yield "trailing_spaces_or_dots"
    is_device = any(name.partition(".")[0].lower() in _DEVICES for name in names)
    if is_device or set(key) & {*'<>:"\\|?*'}:
        yield "invalid_in_windows"
    partitions = [name.partition("=") for name in names[:-1] if "=" in name]
    if any(not (column and value) for column, _, value in partitions):
        yield "broken_hive_partitions"
    if any(
        column and value and (_is_unescaped(value) or _ESCAPED_BY_HIVE & set(column))
        for column, _, value in partitions
    ):
        yield "unescaped_for_hive"


def _is_unescaped(value: str) -> bool:
    digits = {*"0123456789abcdefABCDEF"}
    after = value.split("%")[1:]
    is_broken = any(len(text) < 2 or not set(text[:2]) <= digits for text in after)
    return is_broken or bool((_ESCAPED_BY_HIVE | {"="}) & set(value))


def folders(rows: Sequence[Row]) -> tuple[Counter[str], Counter[str]]:
    """Objects and bytes directly in each prefix, of all versions."""
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for row in rows:
        if not row.get("is_delete_marker"):
            folder = row["key"][: row["key"].rfind("/") + 1]
            objects[folder] += 1
            sizes[folder] += row["size"] or 0
    return objects, sizes


def top(objects: Counter[str], sizes: Counter[str], count: int) -> dict[str, tuple[int, int]]:
    """The prefixes with most objects and those with most bytes."""
    names = {
        name
        for counts in (objects, sizes)
        for name in sorted(objects, key=lambda name: (-counts[name], name))[:count]
    }
    return {name: (objects[name], sizes[name]) for name in names}


def with_dictionary(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its storage class as a part is read."""
    index = batch.schema.get_field_index("storage_class")
    encoded = batch.column(index).dictionary_encode()
    return batch.set_column(index, "storage_class", encoded)
