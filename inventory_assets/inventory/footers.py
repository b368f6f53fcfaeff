"""Make one Parquet footer of those of its row groups, each written as if it were a file of its own.

Arrow tells what it knows of a row group only when it ends a file. So each row group is written by a
writer of its own, whose footer is moved to where the row group really lies; a file can then be
ended at any time, by any process, from what is known of its row groups.

Sources: the compact protocol of Thrift (https://github.com/apache/thrift/blob/master/doc/specs/
thrift-compact-protocol.md) and Parquet's footer (https://github.com/apache/parquet-format/blob/
master/src/main/thrift/parquet.thrift).
"""

import struct
from typing import Any

MAGIC = b"PAR1"

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

# Fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_NUM_ROWS, _ROW_GROUPS = 3, 4
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_CHUNK_OFFSET, _META_DATA, _INDEX_OFFSETS = 2, 3, (4, 6)
_PAGE_OFFSETS = (9, 10, 11, 14)

Field = tuple[int, int, Any]
"""Number, type and value of a field; a structure is a list of them."""


class Footers:
    """The footer of a file to which row groups are appended.

    Attributes:
        rows: In all row groups.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._file: list[Field] = []
        self._groups: list[bytes] = []

    def add(self, footer: bytes, at: int) -> None:
        """Append a row group.

        Args:
            footer: Of a file that holds it alone, without length and magic.
            at: Where it begins, rather than right after the magic.
        """
        document, _ = _read_struct(footer, 0)
        ((_, groups),) = [value for number, _, value in document if number == _ROW_GROUPS]
        (group,) = groups
        moved = _moved_group(group, at - len(MAGIC), len(self._groups))
        self._groups.append(_struct(moved))
        self._file = self._file or document
        self.rows += next(value for number, _, value in document if number == _NUM_ROWS)

    def whole(self) -> bytes:
        """What ends the file: footer, length and magic."""
        text, last = bytearray(), 0
        for number, kind, value in self._file:
            if number == _ROW_GROUPS:
                content = _list_head(_STRUCT, len(self._groups)) + b"".join(self._groups)
            else:
                content = _value(kind, self.rows if number == _NUM_ROWS else value)
            text += _field_head(number, kind, last) + content
            last = number
        text.append(0)
        return bytes(text) + struct.pack("<I", len(text)) + MAGIC


def footer_of(end: bytes) -> bytes:
    """The footer of a file, out of what it ends with, from wherever in it."""
    (size,) = struct.unpack("<I", end[-8:-4])
    return end[-8 - size : -8]


def _moved_group(group: list[Field], by: int, ordinal: int) -> list[Field]:
    moved = []
    for number, kind, value in group:
        if number == _COLUMNS:
            value = value[0], [_moved_chunk(chunk, by) for chunk in value[1]]  # noqa: PLW2901
        elif number == _GROUP_OFFSET and value:
            value += by  # noqa: PLW2901
        elif number == _ORDINAL:
            value = ordinal  # noqa: PLW2901
        moved.append((number, kind, value))
    return moved


def _moved_chunk(chunk: list[Field], by: int) -> list[Field]:
    moved = []
    for number, kind, value in chunk:
        if number == _META_DATA:
            value = _moved(value, _PAGE_OFFSETS, by)  # noqa: PLW2901
        moved.append((number, kind, value))
    return _moved(moved, (_CHUNK_OFFSET, *_INDEX_OFFSETS), by)


def _moved(fields: list[Field], offsets: tuple[int, ...], by: int) -> list[Field]:
    return [
        (number, kind, value + by if number in offsets and value else value)
        for number, kind, value in fields
    ]


# Reading.


def _read_varint(text: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = text[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _read_value(kind: int, text: bytes, at: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        value, at = _read_varint(text, at)
        return (value >> 1) ^ -(value & 1), at
    if kind == _BINARY:
        size, at = _read_varint(text, at)
        return text[at : at + size], at + size
    if kind == _STRUCT:
        return _read_struct(text, at)
    if kind in (_LIST, _SET):
        head = text[at]
        at += 1
        size, of = head >> 4, head & 15
        if size == 15:
            size, at = _read_varint(text, at)
        values = []
        for _ in range(size):
            value, at = _read_value(of, text, at)
            values.append(value)
        return (of, values), at
    if kind == _DOUBLE:
        return text[at : at + 8], at + 8
    if kind in (_TRUE, _FALSE, _BYTE):  # as an element of a list a boolean is a byte
        return text[at], at + 1
    raise ValueError(f"the footer holds a value of the type {kind}, which none of Parquet has")


def _read_struct(text: bytes, at: int) -> tuple[list[Field], int]:
    fields: list[Field] = []
    number = 0
    while head := text[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            value, at = _read_varint(text, at)
            number = (value >> 1) ^ -(value & 1)
        content: Any = None
        if kind not in (_TRUE, _FALSE):
            content, at = _read_value(kind, text, at)
        fields.append((number, kind, content))
    return fields, at + 1


# Writing.


def _varint(value: int) -> bytes:
    text = bytearray()
    while value > 0x7F:
        text.append(value & 0x7F | 0x80)
        value >>= 7
    text.append(value)
    return bytes(text)


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _field_head(number: int, kind: int, last: int) -> bytes:
    step = number - last
    return bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _zigzag(number)


def _list_head(of: int, size: int) -> bytes:
    return bytes([size << 4 | of]) if size < 15 else bytes([0xF0 | of]) + _varint(size)


def _value(kind: int, value: Any) -> bytes:
    if kind in (_I16, _I32, _I64):
        return _zigzag(value)
    if kind == _BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == _STRUCT:
        return _struct(value)
    if kind in (_LIST, _SET):
        of, values = value
        return _list_head(of, len(values)) + b"".join(_value(of, each) for each in values)
    return bytes(value) if kind == _DOUBLE else bytes([value])


def _struct(fields: list[Field]) -> bytes:
    text, last = bytearray(), 0
    for number, kind, value in fields:
        text += _field_head(number, kind, last)
        if kind not in (_TRUE, _FALSE):
            text += _value(kind, value)
        last = number
    text.append(0)
    return bytes(text)
