"""Combine the Parquet footers of row groups, each written as a separate file, into one footer.

Arrow returns the metadata of a row group only when a file is finished. So a separate writer writes
each row group, and the offsets in its footer are moved to the row group's actual position. Any
process can then finish the file at any time from the footers.

Sources: the compact protocol of Thrift (https://github.com/apache/thrift/blob/master/doc/specs/
thrift-compact-protocol.md) and Parquet's footer (https://github.com/apache/parquet-format/blob/
master/src/main/thrift/parquet.thrift).
"""

import struct

MAGIC = b"PAR1"

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

# Fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_NUM_ROWS = 3
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_CHUNK_OFFSETS, _META_DATA = (2, 4, 6), 3
_PAGE_OFFSETS = (9, 10, 11, 14)

_NUMBERS = (_I32, _I64, _I16)

_SIZES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}
"""Bytes of the values of a fixed size. A boolean field has its value in the type."""

_ONE_GROUP = bytes([1 << 4 | _LIST, 1 << 4 | _STRUCT])
"""The header of the field with the row groups, a list of one structure."""


class Footers:
    """The footer of a file to which row groups are appended.

    Attributes:
        rows: The number of rows in all row groups.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._before = b""
        """The bytes before the number of rows, which are the same for all row groups."""
        self._rest = b""
        """The bytes after the row groups."""
        self._groups: list[bytes] = []

    def add(self, footer: bytes, at: int) -> None:
        """Append a row group.

        Args:
            footer: The footer of a file with this row group alone, without length and magic.
            at: The actual offset of the row group, in bytes.

        Raises:
            ValueError: The footer is not that of one row group.
        """
        is_known = self._before != b"" and footer.startswith(self._before)
        start_of_rows = len(self._before) if is_known else _start_of_rows(footer)
        rows, start = _read_number(footer, start_of_rows)
        self.rows += rows
        # The header of a list with one structure follows, then the structure.
        if footer[start : start + 2] != _ONE_GROUP:
            raise ValueError("the footer is not that of one row group")
        relocated = _RelocatedGroup(footer, at - len(MAGIC))
        group, end = relocated.group(start + 2, len(self._groups))
        self._groups.append(group)
        if not is_known:
            self._before, self._rest = footer[:start_of_rows], footer[end:]

    def whole(self) -> bytes:
        """The end of the file: footer, length and magic."""
        groups = _ONE_GROUP[:1] + _list_head(_STRUCT, len(self._groups)) + b"".join(self._groups)
        text = self._before + _zigzag(self.rows) + groups + self._rest
        return text + struct.pack("<I", len(text)) + MAGIC


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

    Args:
        text: A footer.
        by: The number of bytes to add to each offset.
    """

    def __init__(self, text: bytes, by: int) -> None:
        self._text = text
        self._by = by
        self._found = bytearray()
        self._copied = 0

    def group(self, at: int, ordinal: int) -> tuple[bytes, int]:
        """Copy the row group at an offset; return the copy and the offset of its end.

        Args:
            at: The offset of the row group in the footer.
            ordinal: The number of the row group in the new file.
        """
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
        return bytes(self._found + text[self._copied : at + 1]), at + 1

    def _fields(self, at: int, offsets: tuple[int, ...]) -> int:
        """Adjust the fields `offsets` of a structure and of its column metadata; return its end."""
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
        value, end = _read_number(self._text, at)
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


def _read_number(text: bytes, at: int) -> tuple[int, int]:
    value, at = _read_varint(text, at)
    return (value >> 1) ^ -(value & 1), at


def _read_head(text: bytes, at: int, last: int) -> tuple[int, int, int]:
    """The number and the type of a field, and the offset of its value.

    Args:
        text: The footer.
        at: The offset of the field.
        last: The number of the field before it in the structure; 0 for the first.
    """
    head = text[at]
    if head > 15:
        return last + (head >> 4), head & 15, at + 1
    number, at = _read_number(text, at + 1)
    return number, head, at


def _read_list_head(text: bytes, at: int) -> tuple[int, int]:
    size = text[at] >> 4
    return (size, at + 1) if size < 15 else _read_varint(text, at + 1)


def _after(kind: int, text: bytes, at: int) -> int:
    """The offset after a value of the type `kind` at the offset `at`."""
    if kind in _NUMBERS:
        while text[at] > 0x7F:
            at += 1
        return at + 1
    if kind in _SIZES:
        return at + _SIZES[kind]
    if kind == _BINARY:
        size, at = _read_varint(text, at)
        return at + size
    if kind == _STRUCT:
        while head := text[at]:
            # If the header of a field does not hold its number, the number follows.
            at = _after(head & 15, text, at + 1 if head > 15 else _after(_I16, text, at + 1))
        return at + 1
    if kind in (_LIST, _SET):
        of = text[at] & 15
        size, at = _read_list_head(text, at)
        for _ in range(size):  # in a list, a boolean is a byte
            at = _after(_BYTE if of in (_TRUE, _FALSE) else of, text, at)
        return at
    raise ValueError(f"the footer holds a value of the type {kind}, which Parquet does not use")


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


def _list_head(of: int, size: int) -> bytes:
    return bytes([size << 4 | of]) if size < 15 else bytes([0xF0 | of]) + _varint(size)
