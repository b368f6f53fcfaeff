"""Decode list responses column by column, without a Python object per key.

Most responses are regular: every `<Contents>` has the same few elements in plain ASCII, with
percent-encoded keys. `PageBatch` locates the values of several responses at once and *proves* every
tag around them; this module converts them to numbers, times and decoded keys. Responses that cannot
be proved regular (an entity in a key, a comment, control or non-ASCII characters, attributes,
repeated elements, too many layouts) are decoded by `xml_decoder.decode_page`. Tests check that both
return the same result.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.decoding.page import (
    MAX_RESPONSE_BYTES,
    OBJECT_SCHEMA,
    VERSION_SCHEMA,
    Echo,
    ErrorDocument,
    Page,
    versions_token,
)
from inventory_assets.s3.decoding.record_fields import NULL_VERSION
from inventory_assets.s3.decoding.swar_parsing import NotVectorizable
from inventory_assets.s3.decoding.tag_scanner import CLOSE, OPEN, DecodeBuffers, PageBatch
from inventory_assets.s3.decoding.xml_decoder import (
    Envelope,
    decode_envelope,
    decode_page,
    next_token,
)
from inventory_assets.s3.decoding.xml_tree import Body
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.store_profile import KeyEncoding

_Bytes = npt.NDArray[np.uint8]

# Elements whose text needs no decoding.
_NEXT, _ECHO = (
    re.compile(rb"(?<=<%s>)[!-%%'-;=?-~]+(?=</%s>)" % (name, name))
    for name in (b"NextContinuationToken", b"ContinuationToken")
)
_SOME_TOKEN = b"(some-token)"

_VERSION, _MARKER = b"<Version>", b"<DeleteMarker>"
_END_OF_VERSIONS, _END_BYTES = b"</ListVersionsResult>", 64
_REQUIRED_OF_VERSIONS = frozenset({"key", "is_latest", "last_modified_date"})
_NONE_DERIVED: Mapping[str, pa.Array] = {}

_NOWHERE: npt.NDArray[np.intp] = np.empty(0, np.intp)

_HEX = np.full(256, 255, np.uint8)
for _digits, _first in ((b"0123456789", 0), (b"ABCDEF", 10), (b"abcdef", 10)):
    _HEX[np.frombuffer(_digits, np.uint8)] = np.arange(_first, _first + len(_digits))


def decode_columns(
    body: Body, encoding: KeyEncoding = KeyEncoding.DECLARED
) -> Page | ErrorDocument:
    """Decode a response body: like `decode_page`, with the same results and errors, but faster."""
    try:
        (page,) = _decode([body], DecodeBuffers(), encoding)
    except NotVectorizable:
        return decode_page(body, encoding)
    return page


def decode_pages(
    bodies: Sequence[Body], buffers: DecodeBuffers, encoding: KeyEncoding = KeyEncoding.DECLARED
) -> list[Page | ErrorDocument]:
    """Decode several bodies at once, which is faster than one after the other.

    Args:
        bodies: The response bodies.
        buffers: Working memory; each thread needs its own.
        encoding: How keys are encoded in them.

    Raises:
        MalformedResponse: One of them is no complete listing; decode each alone to find which.
    """
    try:
        return list(_decode(bodies, buffers, encoding)) if bodies else []
    except NotVectorizable:
        return [decode_columns(body, encoding) for body in bodies]


def _decode(bodies: Sequence[Body], buffers: DecodeBuffers, encoding: KeyEncoding) -> list[Page]:
    envelopes: list[tuple[Envelope, str | None, Echo]] = []
    blocks: list[memoryview] = []
    for body in bodies:
        first, stop = _objects_in(body)
        if first < 0 or stop < first or len(body) > MAX_RESPONSE_BYTES:
            raise NotVectorizable
        try:
            envelopes.append(_envelope(bytes(body[:first] + body[stop:]), encoding))
        except MalformedResponse:
            raise NotVectorizable from None  # the XML decoder reports the position
        blocks.append(memoryview(body)[first:stop])
    of_versions, url_encoded = envelopes[0][0].of_versions, envelopes[0][0].url_encoded
    if {(each.of_versions, each.url_encoded) for each, _, _ in envelopes} != {
        (of_versions, url_encoded)
    }:
        raise NotVectorizable
    if of_versions:
        # Most pages have no delete markers; then objects usually have a single layout.
        has_markers = any(_MARKER in bytes(block) for block in blocks)
        names = (_VERSION, _MARKER) if has_markers else (_VERSION,)
        batch = PageBatch(blocks, buffers, names, _REQUIRED_OF_VERSIONS)
        values = batch.values()
        derived = _version_columns(values, batch.begin_with(_MARKER))
    else:
        batch = PageBatch(blocks, buffers)
        values, derived = batch.values(), _NONE_DERIVED
    raw = _RawKeys(values["key"])
    if url_encoded:
        values["key"] = raw.decoded(envelopes[0][0].plus_is_space)
    objects = _objects(values, VERSION_SCHEMA if of_versions else OBJECT_SCHEMA, derived)
    starts = np.searchsorted(batch.record_starts, np.cumsum([0, *map(len, blocks)])).tolist()
    return [
        _page(*envelope, objects.slice(start, stop - start), raw, start)
        for envelope, (start, stop) in zip(envelopes, pairwise(starts), strict=True)
    ]


def _page(
    envelope: Envelope,
    token: str | None,
    echo: Echo,
    objects: pa.RecordBatch,
    raw: "_RawKeys",
    start: int,
) -> Page:
    last_version: str | None = None
    if envelope.of_versions and envelope.is_truncated and len(objects):
        key, version_id = objects.column("key")[-1], objects.column("version_id")[-1]
        last_version = versions_token(key.as_py(), version_id.as_py())
    try:
        envelope.check_count(len(objects))
        if envelope.of_versions:
            token = next_token(envelope, last_version)
    except MalformedResponse:
        raise NotVectorizable from None
    ambiguous: tuple[tuple[str, str], ...] = ()
    if rows := raw.ambiguous(start, start + len(objects)):
        keys = objects.column("key")
        ambiguous = tuple((keys[row - start].as_py(), raw.text[row].as_py()) for row in rows)
    return Page(
        _copied(objects),
        envelope.common_prefixes,
        envelope.is_truncated,
        token,
        envelope.url_encoded,
        envelope.unreadable,
        echo,
        ambiguous,
    )


def _envelope(text: bytes, encoding: KeyEncoding) -> tuple[Envelope, str | None, Echo]:
    """Decode the envelope; cached for envelopes that differ in their tokens alone.

    Returns:
        The envelope, perhaps with other tokens; the token of the next page; what is repeated.

    Raises:
        MalformedResponse: As `decode_envelope`.
        NotVectorizable: It is an error document.
    """
    found = _NEXT.search(text)
    if found:
        alike = text[: found.start()] + _SOME_TOKEN + text[found.end() :]
        repeated = _ECHO.search(alike)
        if repeated:
            alike = alike[: repeated.start()] + _SOME_TOKEN + alike[repeated.end() :]
        envelope = _decoded_envelope(alike, encoding)
        if isinstance(envelope, Envelope) and envelope.token == _SOME_TOKEN.decode():
            of, token = envelope.echo, found[0].decode()
            if not repeated:
                return envelope, token, of
            if of.token == _SOME_TOKEN.decode():
                again = repeated[0].decode()
                echo = Echo(of.name, of.prefix, of.start_after, again, of.max_keys, of.delimiter)
                return envelope, token, echo
    envelope = decode_envelope(text, encoding)
    if isinstance(envelope, ErrorDocument):
        raise NotVectorizable
    return envelope, envelope.token, envelope.echo


_decoded_envelope = lru_cache(maxsize=8)(decode_envelope)


def _copied(objects: pa.RecordBatch) -> pa.RecordBatch:
    """A copy, so that a page does not keep the memory of its whole batch alive."""
    return pa.ipc.read_record_batch(objects.serialize(), objects.schema)


def _objects_in(body: Body) -> tuple[int, int]:
    """The start and stop offset of the objects in a response; -1 if there are none."""
    if not bytes(body[-_END_BYTES:]).rstrip().endswith(_END_OF_VERSIONS):
        last = body.rfind(CLOSE)
        return body.find(OPEN), last + len(CLOSE) if last >= 0 else -1
    begins = [at for name in (_VERSION, _MARKER) if (at := body.find(name)) >= 0]
    ends = [
        at + len(name) + 1
        for name in (_VERSION, _MARKER)
        if (at := body.rfind(b"</" + name[1:])) >= 0
    ]
    return min(begins, default=-1), max(ends, default=-1)


def _version_columns(
    values: Mapping[str, pa.Array], are_markers: npt.NDArray[np.bool_]
) -> Mapping[str, pa.Array]:
    """The columns of a versions listing that are derived, not copied from the response."""
    size = values.get("size")
    has_size = np.zeros(len(are_markers), np.bool_)
    if size is not None:
        has_size = size.is_valid().to_numpy(zero_copy_only=False)
    if (has_size == are_markers).any():
        raise NotVectorizable
    ids = values.get("version_id", pa.nulls(len(are_markers), pa.string()))
    is_latest = pc.equal(values["is_latest"], "true")
    if not pc.all(pc.or_(is_latest, pc.equal(values["is_latest"], "false"))).as_py():
        raise NotVectorizable
    return {
        "version_id": pc.fill_null(ids, NULL_VERSION),
        "is_latest": is_latest,
        "is_delete_marker": pa.array(are_markers),
    }


def _objects(
    values: Mapping[str, pa.Array], schema: pa.Schema, derived: Mapping[str, pa.Array]
) -> pa.RecordBatch:
    count = len(values["key"])
    arrays = []
    for field in schema:
        value = derived.get(field.name, values.get(field.name))
        arrays.append(pa.nulls(count, field.type) if value is None else value)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _RawKeys:
    """Keys as in the responses, with the positions of "%", "+" and " ".

    Attributes:
        text: The keys; an array without nulls or offset.
    """

    def __init__(self, text: pa.StringArray) -> None:
        self.text = text
        _validity, offsets, data = text.buffers()
        self._bounds = np.frombuffer(offsets, np.int32, len(text) + 1)
        self._data: _Bytes = np.frombuffer(data, np.uint8, int(self._bounds[-1]))
        # Most keys have none of these, which are all less than a comma: one pass over all bytes.
        self._is_plain = not len(self._data) or int(self._data.min()) >= ord(",")
        self._escapes, self._pluses, self._spaces = (
            _NOWHERE if self._is_plain else np.flatnonzero(self._data == ord(character))
            for character in "%+ "
        )

    def ambiguous(self, start: int, stop: int) -> list[int]:
        """The rows in [start, stop) of the first key with "%", with "+" and with a space."""
        if self._is_plain:
            return []
        first, end = self._bounds[start], self._bounds[stop]
        found = set()
        for positions in (self._escapes, self._pluses, self._spaces):
            at = np.searchsorted(positions, first) if len(positions) else 0
            if at < len(positions) and positions[at] < end:
                found.add(int(np.searchsorted(self._bounds, positions[at], "right")) - 1)
        return sorted(found)

    def decoded(self, plus_is_space: bool) -> pa.StringArray:
        """Percent-decode the keys, once."""
        data, bounds, escapes = self._data, self._bounds, self._escapes
        has_spaces = plus_is_space and len(self._pluses)
        if not len(escapes) and not has_spaces:
            return self.text
        data = data.copy()
        if has_spaces:
            data[self._pluses] = ord(" ")
        if len(escapes):
            ends = bounds[np.searchsorted(bounds, escapes, side="right")]
            if (escapes + 2 >= ends).any():
                raise NotVectorizable
            high, low = _HEX[data[escapes + 1]], _HEX[data[escapes + 2]]
            if max(high.max(), low.max()) > 15:
                raise NotVectorizable
            data[escapes] = (high << 4) | low
            is_kept = np.ones(len(data), bool)
            is_kept[escapes + 1] = is_kept[escapes + 2] = False
            data = data[is_kept]
            bounds = (bounds - 2 * np.searchsorted(escapes, bounds)).astype(np.int32)
        keys = pa.StringArray.from_buffers(len(self.text), pa.py_buffer(bounds), pa.py_buffer(data))
        _validated(keys)
        return keys


def _validated(text: pa.StringArray) -> None:
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        raise NotVectorizable from None
