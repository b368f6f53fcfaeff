"""Usage in the export format of ncdu, to browse it in a terminal.

The format is version 1.0 of https://dev.yorhel.nl/ncdu/jsonfmt. A prefix is a directory. What a
prefix holds besides the prefixes beneath it is shown as one file for current objects, and one for
noncurrent versions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from inventory_assets.errors import printable

_EMPTY = "(no name)"
"""The name of a directory without one, such as the second one of `a//b`; ncdu needs a name."""


@dataclass(slots=True)
class _Open:
    """A prefix whose end is not written yet, with what no prefix beneath it holds."""

    prefix: str
    current_objects: int
    current_bytes: int
    noncurrent_objects: int
    noncurrent_bytes: int

    def subtract(self, other: "_Open") -> None:
        self.current_objects -= other.current_objects
        self.current_bytes -= other.current_bytes
        self.noncurrent_objects -= other.noncurrent_objects
        self.noncurrent_bytes -= other.noncurrent_bytes

    def end(self) -> str:
        """The files of the directory, and its end."""
        files = [
            (f"({self.current_objects:,} objects)", self.current_objects, self.current_bytes),
            (
                f"({self.noncurrent_objects:,} noncurrent versions)",
                self.noncurrent_objects,
                self.noncurrent_bytes,
            ),
        ]
        return "".join(f",\n{_item(name, size)}" for name, count, size in files if count) + "]"


def ncdu_document(prefixes: pa.Table, name: str, version: str, created_at: int) -> Iterator[str]:
    """The document, in pieces of text.

    Args:
        prefixes: A table with `PREFIX_SCHEMA`.
        name: The name of the whole.
        version: The version of this program.
        created_at: The time, in seconds since 1970.
    """
    about = {"progname": "inventory", "progver": version, "timestamp": created_at}
    yield f"[1,0,{json.dumps(about)}"
    path: list[_Open] = []
    for batch in prefixes.select(["prefix", *_Open.__slots__[1:]]).to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            found = _Open(**row)
            while path and not found.prefix.startswith(path[-1].prefix):
                yield path.pop().end()
            label = name
            if path:
                label = found.prefix[len(path[-1].prefix) : -1] or _EMPTY
                path[-1].subtract(found)
            yield f",\n[{_item(label, 0)}"
            path.append(found)
    while path:
        yield path.pop().end()
    yield "]\n"


def _item(name: str, size: int) -> str:
    # ncdu shows what it does not know as it is, so nothing may control the terminal.
    item = {"name": printable(name), "asize": size, "dsize": size}
    return json.dumps(item if size else {"name": item["name"]}, ensure_ascii=False)
