"""Decode ListObjectsV2 responses in columns, without a Python object per key.

The response of a well-behaved store is regular: every `<Contents>` holds the same few elements, in
plain ASCII, its key percent-encoded. This decoder finds every `<` at once, groups the objects by
their layout, *proves* tag by tag that all objects of a group have it, and takes the values from
between the tags. What it cannot prove of a response (an entity in a key, a comment, control or
non-ASCII characters, attributes, repeated elements, too many layouts) it leaves to
`pages.decode_page`, whose result it equals, by test.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.pages import (
    MAX_RESPONSE_BYTES,
    OBJECT_SCHEMA,
    ErrorDocument,
    Page,
    decode_page,
)

_Bytes = npt.NDArray[np.uint8]
_Positions = npt.NDArray[np.int64]

_OPEN, _CLOSE = b"<Contents>", b"</Contents>"
_COLUMNS = {
    "Key": "key",
    "Size": "size",
    "LastModified": "last_modified_date",
    "ETag": "e_tag",
    "StorageClass": "storage_class",
    "ChecksumAlgorithm": "checksum_algorithm",
    "Owner/ID": "object_owner",
}
_REQUIRED = frozenset({"key", "size", "last_modified_date"})
_QUOTES = (b"&quot;", b"&#34;", b'"')
_MAX_LAYOUTS = 32
_MAX_TAG_BYTES = 64
_MAX_SIZE_DIGITS = 18

_HEX = np.full(256, 255, np.uint8)
for _digits, _first in ((b"0123456789", 0), (b"ABCDEF", 10), (b"abcdef", 10)):
    _HEX[np.frombuffer(_digits, np.uint8)] = np.arange(_first, _first + len(_digits))


class _Irregular(Exception):
    """Not provably regular: no error, only work for the plain decoder."""


def decode_columns(body: bytes) -> Page | ErrorDocument:
    """Decode a response body: `decode_page(body)` in result and in error, only faster."""
    try:
        return _decode(body)
    except _Irregular:
        return decode_page(body)


def _decode(body: bytes) -> Page:
    first, last = body.find(_OPEN), body.rfind(_CLOSE)
    if first < 0 or last < first or len(body) > MAX_RESPONSE_BYTES:
        raise _Irregular
    stop = last + len(_CLOSE)
    around = body[:first] + body[stop:]
    try:
        frame = decode_page(around)
    except MalformedResponse:
        raise _Irregular from None  # the plain decoder says where in the whole
    if isinstance(frame, ErrorDocument) or frame.objects.num_rows:
        raise _Irregular
    objects = _Block(body, first, stop).objects(url_encoded=frame.url_encoded)
    return replace(frame, objects=objects)


class _Block:
    """The `<Contents>` of a response, one after the other."""

    def __init__(self, body: bytes, start: int, stop: int) -> None:
        # Padded, so that a tag may be looked for at any position.
        self._body = body[start:stop] + b" " * (_MAX_TAG_BYTES + 8)
        self._bytes: _Bytes = np.frombuffer(self._body, np.uint8)
        # Eight bytes from every position on, as one number: tags are compared by these.
        self._words = np.ndarray((len(self._body) - 7,), np.dtype("<u8"), self._body, strides=(1,))
        self._tags: _Positions = np.flatnonzero(self._bytes == ord("<"))
        self._check_characters()

    def objects(self, *, url_encoded: bool) -> pa.RecordBatch:
        spans = self._spans()
        e_tag = spans.get("e_tag")
        entities = np.count_nonzero(self._bytes == ord("&"))
        if e_tag is not None:
            entities -= self._unquote(*e_tag)
        if entities or not spans.keys() >= _REQUIRED:
            raise _Irregular
        if any((spans[name][0] < 0).any() for name in _REQUIRED):
            raise _Irregular
        texts = {name: self._texts(*span) for name, span in spans.items()}
        count = len(texts["key"])
        arrays = []
        for field in OBJECT_SCHEMA:
            text = texts.get(field.name)
            if text is None:
                arrays.append(pa.nulls(count, field.type))
            elif field.name == "key":
                arrays.append(_decoded(text) if url_encoded else text)
            elif field.name == "size":
                arrays.append(_sizes(text))
            elif field.name == "last_modified_date":
                arrays.append(_times(text))
            else:
                arrays.append(text)
        return pa.RecordBatch.from_arrays(arrays, schema=OBJECT_SCHEMA)

    def _check_characters(self) -> None:
        data = self._bytes
        if data.min() < ord(" ") or data.max() > ord("~"):
            raise _Irregular
        if np.count_nonzero(data == ord(">")) != len(self._tags):
            raise _Irregular

    def _spans(self) -> dict[str, tuple[_Positions, _Positions]]:
        """Where each column's values start and stop; -1 where an object has none."""
        words = self._words[self._tags]
        opens = np.flatnonzero(words == _word(_OPEN[:8]))
        if not len(opens) or opens[0] or not self._stands(_OPEN, self._tags[opens]).all():
            raise _Irregular
        counts = np.diff(opens, append=len(self._tags))
        spans: dict[str, tuple[_Positions, _Positions]] = {}
        for rows, layout in self._layouts(opens, counts):
            for column, (tag, offset) in layout.items():
                if column not in spans:
                    nowhere = np.full(len(opens), -1, np.int64)
                    spans[column] = (nowhere, nowhere.copy())
                starts, stops = spans[column]
                first = opens[rows] + tag
                starts[rows] = self._tags[first] + offset
                stops[rows] = self._tags[first + 1]
        return spans

    def _layouts(
        self, opens: _Positions, counts: _Positions
    ) -> Iterator[tuple[_Positions, dict[str, tuple[int, int]]]]:
        """Groups of objects with one layout: their rows, and where the values of columns stand."""
        found = 0
        for count in np.unique(counts):
            rows = np.flatnonzero(counts == count)
            while len(rows):
                found += 1
                if found > _MAX_LAYOUTS:
                    raise _Irregular
                first = opens[rows]
                tags = self._tag_texts(int(first[0]), int(count))
                same = np.ones(len(rows), bool)
                for index, tag in enumerate(tags):
                    same &= self._stands(tag, self._tags[first + index])
                yield rows[same], _layout(tags)
                rows = rows[~same]

    def _tag_texts(self, first: int, count: int) -> list[bytes]:
        starts = self._tags[first : first + count].tolist()
        tags = [self._body[start : self._body.index(b">", start) + 1] for start in starts]
        if max(map(len, tags)) > _MAX_TAG_BYTES:
            raise _Irregular
        return tags

    def _stands(self, text: bytes, positions: _Positions) -> npt.NDArray[np.bool_]:
        """Whether `text` stands at each of the positions."""
        if len(text) < 8:
            mask = np.uint64((1 << 8 * len(text)) - 1)
            short: npt.NDArray[np.bool_] = (self._words[positions] & mask) == _word(text)
            return short
        same: npt.NDArray[np.bool_] = self._words[positions] == _word(text[:8])
        for offset in [*range(8, len(text) - 8, 8), len(text) - 8]:
            same &= self._words[positions + offset] == _word(text[offset : offset + 8])
        return same

    def _unquote(self, starts: _Positions, stops: _Positions) -> int:
        """Narrow the ETags' spans to what is between their quotes; return the entities passed."""
        rows = np.flatnonzero(starts >= 0)
        start, stop = starts[rows], stops[rows]
        text = self._body[start[0] : stop[0]]
        quote = next((quote for quote in _QUOTES if text.startswith(quote)), b"")
        if quote:
            start, stop = start + len(quote), stop - len(quote)
            if (start >= stop).any() or not (
                self._stands(quote, start - len(quote)).all() and self._stands(quote, stop).all()
            ):
                raise _Irregular
        if (start >= stop).any():
            raise _Irregular
        ends = np.concatenate((self._bytes[start], self._bytes[stop - 1]))
        if (ends == ord('"')).any():
            raise _Irregular
        starts[rows], stops[rows] = start, stop
        return 2 * len(rows) if quote.startswith(b"&") else 0

    def _texts(self, starts: _Positions, stops: _Positions) -> pa.StringArray:
        """The texts of spans, null where there is none."""
        absent = starts < 0
        some_absent = bool(absent.any())
        if some_absent:
            # An empty span where the one before ended keeps the offsets ascending.
            starts, stops = starts.copy(), stops.copy()
            stops[absent] = 0
            stops = np.maximum.accumulate(stops)
            starts[absent] = stops[absent]
        if (starts[~absent] >= stops[~absent]).any() if some_absent else (starts >= stops).any():
            raise _Irregular
        offsets = np.empty(2 * len(starts), np.int32)
        offsets[0::2], offsets[1::2] = starts, stops
        # Every other token is a value; `take` copies them out of the response's buffer.
        tokens = pa.StringArray.from_buffers(
            len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(self._body)
        )
        wanted = np.arange(0, len(offsets), 2)
        indices = pa.array(wanted, mask=absent) if some_absent else pa.array(wanted)
        return tokens.take(indices)


def _layout(tags: list[bytes]) -> dict[str, tuple[int, int]]:
    """By column, which tag opens its element, and how long that tag is."""
    layout: dict[str, tuple[int, int]] = {}
    path: list[bytes] = []
    for index, tag in enumerate(tags):
        name = tag[1:-1]
        if name.startswith(b"/"):
            if not path or path.pop() != name[1:]:
                raise _Irregular
        elif not name.isalnum():
            raise _Irregular
        else:
            if index and not path:
                raise _Irregular
            path.append(name)
            column = _COLUMNS.get(b"/".join(path[1:]).decode())
            if column is None:
                continue
            is_leaf = index + 1 < len(tags) and tags[index + 1] == b"</" + name + b">"
            if column in layout or not is_leaf:
                raise _Irregular
            layout[column] = (index, len(tag))
    if path:
        raise _Irregular
    return layout


def _parts(text: pa.StringArray) -> tuple[_Bytes, npt.NDArray[np.int32]]:
    """The bytes of a fresh array without nulls, and the offsets into them."""
    _validity, offsets, data = text.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(text) + 1)
    return np.frombuffer(data, np.uint8, int(bounds[-1])), bounds


def _decoded(text: pa.StringArray) -> pa.StringArray:
    """Percent-decode keys, once; a plus is a space."""
    data, bounds = _parts(text)
    escapes = np.flatnonzero(data == ord("%"))
    if not len(escapes) and not (data == ord("+")).any():
        return text
    data = np.where(data == ord("+"), np.uint8(ord(" ")), data)
    if len(escapes):
        ends = bounds[np.searchsorted(bounds, escapes, side="right")]
        if (escapes + 2 >= ends).any():
            raise _Irregular
        high, low = _HEX[data[escapes + 1]], _HEX[data[escapes + 2]]
        if max(high.max(), low.max()) > 15:
            raise _Irregular
        data[escapes] = (high << 4) | low
        kept = np.ones(len(data), bool)
        kept[escapes + 1] = kept[escapes + 2] = False
        data = data[kept]
        bounds = (bounds - 2 * np.searchsorted(escapes, bounds)).astype(np.int32)
    decoded = pa.StringArray.from_buffers(len(text), pa.py_buffer(bounds), pa.py_buffer(data))
    _validated(decoded)
    return decoded


def _validated(text: pa.StringArray) -> None:
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        raise _Irregular from None


def _sizes(text: pa.StringArray) -> pa.Array:
    data, bounds = _parts(text)
    if data.min() < ord("0") or data.max() > ord("9"):
        raise _Irregular
    if np.diff(bounds).max() > _MAX_SIZE_DIGITS:
        raise _Irregular
    return pc.cast(text, pa.int64())


def _times(text: pa.StringArray) -> pa.Array:
    """`2026-11-22T03:04:05Z`, or with `.678`; every character proved, the values by Arrow."""
    data, bounds = _parts(text)
    width = int(bounds[1])
    if width not in (20, 24) or (np.diff(bounds) != width).any():
        raise _Irregular
    table = data.reshape(-1, width)
    punctuation = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":", width - 1: "Z"}
    if width == 24:
        punctuation[19] = "."
    for column in range(width):
        digits = table[:, column]
        if column in punctuation:
            if (digits != ord(punctuation[column])).any():
                raise _Irregular
        elif digits.min() < ord("0" if column else "1") or digits.max() > ord("9"):
            raise _Irregular
    try:
        return pc.cast(text, pa.timestamp("ms", tz="UTC"))
    except pa.ArrowInvalid:
        raise _Irregular from None


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))
