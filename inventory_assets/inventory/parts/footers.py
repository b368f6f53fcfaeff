"""Combine the Parquet footers of row groups, each written as a separate file, into one footer.

Arrow returns the metadata of a row group only when a file is finished. So a separate writer writes
each row group, and the offsets in its footer are moved to the row group's actual position. Any
process can then finish the file at any time from the footers.

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
_CHUNK_OFFSETS, _META_DATA = (2, 4, 6), 3
_PAGE_OFFSETS = (9, 10, 11, 14)

_ONE_GROUP = bytes([1 << 4 | _LIST, 1 << 4 | _STRUCT])

Field = tuple[int, int, Any]
"""Number, type and value of a field; a structure is a list of them."""


class Footers:
    """The footer of a file to which row groups are appended.

    Attributes:
        rows: The number of rows in all row groups.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._file: list[Field] = []
        self._before, self._start = b"", 0
        """The bytes before the number of rows, equal for all row groups, and their length."""
        self._groups: list[bytes] = []

    def add(self, footer: bytes, at: int) -> None:
        """Append a row group.

        Args:
            footer: The footer of a file with this row group alone, without length and magic.
            at: The actual offset of the row group.
        """
        start = self._start if self._start and footer.startswith(self._before) else 0
        if not start:
            self._file, _ = _read_struct(footer, 0)
            start = _start_of_rows(footer)
            self._before, self._start = footer[:start], start
        rows, start = _read_value(_I64, footer, start)
        self.rows += rows
        # The head of a list with one structure follows, then the structure.
        if footer[start : start + 2] != _ONE_GROUP:
            raise ValueError("the footer is not that of one row group")
        relocated = _RelocatedGroup(footer, at - len(MAGIC))
        self._groups.append(relocated.group(start + 2, len(self._groups)))

    def whole(self) -> bytes:
        """The end of the file: footer, length and magic."""
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
    """The footer in the last bytes of a file."""
    (size,) = struct.unpack("<I", end[-8:-4])
    return end[-8 - size : -8]


def _start_of_rows(footer: bytes) -> int:
    """The offset of the number of rows in a footer."""
    at = number = 0
    while True:
        number, kind, at = _read_head(footer, at, number)
        if number == _NUM_ROWS:
            return at
        at = _after(kind, footer, at)


class _RelocatedGroup:
    """Copies a row group's metadata and adjusts the offsets in it.

    Decoding and encoding everything would cost several times as much.
    """

    def __init__(self, text: bytes, by: int) -> None:
        self._text = text
        self._by = by
        self._found = bytearray()
        self._copied = 0

    def group(self, at: int, ordinal: int) -> bytes:
        """The row group at offset `at`, with a new ordinal."""
        text, number = self._text, 0
        self._copied = at
        while text[at]:
            number, kind, at = _read_head(text, at, number)
            if number == _COLUMNS:
                size, at = _read_list_head(text, at)
                for _ in range(size):
                    at = self._fields(at, _CHUNK_OFFSETS)
            elif number == _GROUP_OFFSET:
                at = self._offset(at)
            elif number == _ORDINAL:
                end = _after(kind, text, at)
                self._replace(at, end, ordinal)
                at = end
            else:
                at = _after(kind, text, at)
        return bytes(self._found + text[self._copied : at + 1])

    def _fields(self, at: int, offsets: tuple[int, ...]) -> int:
        """Adjust offsets in a structure and in its column metadata; return where it ends."""
        text, number = self._text, 0
        while text[at]:
            number, kind, at = _read_head(text, at, number)
            if number in offsets:
                at = self._offset(at)
            elif number == _META_DATA and offsets is _CHUNK_OFFSETS:
                at = self._fields(at, _PAGE_OFFSETS)
            else:
                at = _after(kind, text, at)
        return at + 1

    def _offset(self, at: int) -> int:
        value, end = _read_value(_I64, self._text, at)
        if value:
            self._replace(at, end, value + self._by)
        return end

    def _replace(self, at: int, end: int, value: int) -> None:
        self._found += self._text[self._copied : at] + _zigzag(value)
        self._copied = end


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


def _read_head(text: bytes, at: int, last: int) -> tuple[int, int, int]:
    """Number and type of a field, and the offset of its value."""
    head = text[at]
    if head > 15:
        return last + (head >> 4), head & 15, at + 1
    value, at = _read_varint(text, at + 1)
    return (value >> 1) ^ -(value & 1), head, at


def _read_list_head(text: bytes, at: int) -> tuple[int, int]:
    size = text[at] >> 4
    return (size, at + 1) if size < 15 else _read_varint(text, at + 1)


def _after(kind: int, text: bytes, at: int) -> int:
    """The offset after a value."""
    if kind in (_I32, _I64, _I16):
        while text[at] > 0x7F:
            at += 1
        return at + 1
    if kind in (_TRUE, _FALSE):
        return at
    if kind == _BINARY:
        size, at = _read_varint(text, at)
        return at + size
    if kind == _STRUCT:
        number = 0
        while text[at]:
            number, of, at = _read_head(text, at, number)
            at = _after(of, text, at)
        return at + 1
    if kind == _LIST:
        of = text[at] & 15
        size, at = _read_list_head(text, at)
        for _ in range(size):
            at = _after(_BYTE if of in (_TRUE, _FALSE) else of, text, at)
        return at
    return _read_value(kind, text, at)[1]


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
