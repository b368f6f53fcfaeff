"""What the tags of an object say: which value belongs to which column, and what stands between.

Stores write millions of objects with the same few tags, so what follows from them is remembered.
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
    """The layout of objects that all have the same tags, one after the other.

    Attributes:
        value_fields: Of each element without others inside: the number of its tag, how many bytes
            after the beginning of that its value begins, and how many before the next tag it ends.
        selected_columns: By column, the number of its leaf.
        separators: What stands between the values of the leaves; after the last one, what stands
            before the first value of the next object.
        entities: How many entities that is.
    """

    value_fields: tuple[tuple[int, int, int], ...]
    selected_columns: Mapping[str, int]
    separators: tuple[bytes, ...]
    entities: int

    def tokens(self, count: int) -> pa.StringArray:
        """The texts between values of so many objects, with an empty one before each."""
        # A power of two, so that blocks of any size share a few arrays.
        tiled = _tiled_tokens(self.separators, 1 << (count - 1).bit_length())
        return tiled.slice(0, 2 * len(self.separators) * count)


@lru_cache(maxsize=8)
def layout_of(tags: tuple[bytes, ...], quote: bytes) -> RecordLayout:
    """The layout of objects with these tags.

    Args:
        tags: Of one object.
        quote: What stands on either side of its ETag.

    Raises:
        NotVectorizable: As `columns_of`.
    """
    columns = {opening: name for name, (opening, _) in columns_of(tags).items()}
    leaves = [at for at in range(len(tags) - 1) if tags[at + 1] == b"</" + tags[at][1:]]
    quotes = [quote if columns.get(at) == "e_tag" else b"" for at in leaves]
    between = [
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
        selected_columns={columns[at]: place for place, at in enumerate(leaves) if at in columns},
        separators=tuple(between),
        entities=sum(text.count(b"&") for text in between),
    )


def columns_of(tags: Sequence[bytes]) -> dict[str, tuple[int, int]]:
    """By column, which tag of an object opens its element, and how long that tag is.

    Raises:
        NotVectorizable: The tags are not those of elements within each other, or of one object.
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
def _tiled_tokens(between: tuple[bytes, ...], count: int) -> pa.StringArray:
    """`count` times the texts of `separators`, with an empty text before each."""
    lengths = np.zeros((count, 2 * len(between)), np.int32)
    lengths[:, 1::2] = [len(text) for text in between]
    offsets = np.concatenate(([0], np.cumsum(lengths.ravel()))).astype(np.int32)
    text = pa.py_buffer(b"".join(between) * count)
    return pa.StringArray.from_buffers(lengths.size, pa.py_buffer(offsets), text)
