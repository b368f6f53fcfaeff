"""The layout of an object's tags: the columns of the values, and the separators around them.

Stores write millions of objects with the same few tags, so layouts are cached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from inventory_assets.s3.decoding.swar_parsing import NotVectorizable

E_TAG = b"<ETag>"

_COLUMNS = {
    "Key": "key",
    "Size": "size",
    "LastModified": "last_modified_date",
    "ETag": "e_tag",
    "StorageClass": "storage_class",
    "ChecksumAlgorithm": "checksum_algorithm",
    "Owner/ID": "object_owner",
    "VersionId": "version_id",
    "IsLatest": "is_latest",
}


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The layout of consecutive objects with identical tags.

    Attributes:
        value_fields: For each leaf element: the index of its tag, the offset of its value from the
            start of that tag, and the number of bytes between its value and the next tag.
        selected_columns: Column name to index in `value_fields`.
        separators: The text after each value; the last one reaches to the first value of the next
            object.
        entities: The number of entities in the separators of one object.
    """

    value_fields: tuple[tuple[int, int, int], ...]
    selected_columns: Mapping[str, int]
    separators: tuple[bytes, ...]
    entities: int

    def tokens(self, count: int) -> pa.StringArray:
        """The separators of `count` objects, each preceded by an empty text."""
        # A power of two, so that batches of all sizes share a few cached arrays.
        tiled = _tiled_tokens(self.separators, 1 << (count - 1).bit_length())
        return tiled.slice(0, 2 * len(self.separators) * count)


@lru_cache(maxsize=8)
def layout_of(tags: tuple[bytes, ...], quote: bytes) -> RecordLayout:
    """The layout of objects with these tags.

    Args:
        tags: The tags of one object.
        quote: The quote on either side of the ETag.

    Raises:
        NotVectorizable: See `columns_of`.
    """
    columns = {opening: name for name, (opening, _) in columns_of(tags).items()}
    leaves = [at for at in range(len(tags) - 1) if tags[at + 1] == b"</" + tags[at][1:]]
    quotes = [quote if columns.get(at) == "e_tag" else b"" for at in leaves]
    separators = [
        trail
        + b"".join(tags[at + 1 : after] if after > at else tags[at + 1 :] + tags[:after])
        + tags[after]
        + lead
        for at, trail, after, lead in zip(
            leaves, quotes, leaves[1:] + leaves[:1], quotes[1:] + quotes[:1], strict=True
        )
    ]
    return RecordLayout(
        value_fields=tuple(
            (at, len(tags[at]) + len(lead), len(lead))
            for at, lead in zip(leaves, quotes, strict=True)
        ),
        selected_columns={columns[at]: index for index, at in enumerate(leaves) if at in columns},
        separators=tuple(separators),
        entities=sum(text.count(b"&") for text in separators),
    )


def columns_of(tags: Sequence[bytes]) -> dict[str, tuple[int, int]]:
    """Column name to the index of its opening tag within an object and the length of that tag.

    Raises:
        NotVectorizable: The tags are not properly nested, or are not those of one object.
    """
    layout: dict[str, tuple[int, int]] = {}
    path: list[bytes] = []
    for index, tag in enumerate(tags):
        name = tag[1:-1]
        if name.startswith(b"/"):
            if not path or path.pop() != name[1:]:
                raise NotVectorizable
        elif not name.isalnum():
            raise NotVectorizable
        else:
            if index and not path:
                raise NotVectorizable
            path.append(name)
            column = _COLUMNS.get(b"/".join(path[1:]).decode())
            if column is None:
                continue
            is_leaf = index + 1 < len(tags) and tags[index + 1] == b"</" + name + b">"
            if column in layout or not is_leaf:
                raise NotVectorizable
            layout[column] = (index, len(tag))
    if path:
        raise NotVectorizable
    return layout


@lru_cache(maxsize=4)
def _tiled_tokens(separators: tuple[bytes, ...], count: int) -> pa.StringArray:
    """The texts of `separators`, `count` times, each preceded by an empty text."""
    lengths = np.zeros((count, 2 * len(separators)), np.int32)
    lengths[:, 1::2] = [len(text) for text in separators]
    offsets = np.concatenate(([0], np.cumsum(lengths.ravel()))).astype(np.int32)
    text = pa.py_buffer(b"".join(separators) * count)
    return pa.StringArray.from_buffers(lengths.size, pa.py_buffer(offsets), text)
