"""Decode responses of listings in columns, without a Python object per key.

The response of a well-behaved store is regular: every `<Contents>` holds the same few elements, in
plain ASCII, its key percent-encoded. `blocks.Block` finds the values of a few responses at once,
and *proves* every tag around them; here they become numbers, times and decoded keys. What cannot be
proved of a response (an entity in a key, a comment, control or
non-ASCII characters, attributes, repeated elements, too many layouts) it leaves to
`pages.decode_page`, whose result it equals, by test.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.blocks import CLOSE, OPEN, Block, Scratch
from inventory_assets.s3.digits import Irregular
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.pages import (
    MAX_RESPONSE_BYTES,
    NULL_VERSION,
    OBJECT_SCHEMA,
    VERSION_SCHEMA,
    Body,
    ErrorDocument,
    Page,
    decode_page,
)

_Bytes = npt.NDArray[np.uint8]

# Text that stands for itself between tags of its own, whatever is before and after.
_NEXT, _ECHO = (
    re.compile(rb"(?<=<%s>)[!-%%'-;=?-~]+(?=</%s>)" % (name, name))
    for name in (b"NextContinuationToken", b"ContinuationToken")
)
_SOME_TOKEN = b"(some-token)"

_VERSION, _MARKER = b"<Version>", b"<DeleteMarker>"
_END_OF_VERSIONS, _END_BYTES = b"</ListVersionsResult>", 64
_REQUIRED_OF_VERSIONS = frozenset({"key", "is_latest", "last_modified_date"})
_NONE_KNOWN: Mapping[str, pa.Array] = {}

_HEX = np.full(256, 255, np.uint8)
for _digits, _first in ((b"0123456789", 0), (b"ABCDEF", 10), (b"abcdef", 10)):
    _HEX[np.frombuffer(_digits, np.uint8)] = np.arange(_first, _first + len(_digits))


def decode_columns(body: Body) -> Page | ErrorDocument:
    """Decode a response body: `decode_page(body)` in result and in error, only faster."""
    try:
        (page,) = _decode([body], Scratch())
    except Irregular:
        return decode_page(body)
    return page


def decode_pages(bodies: Sequence[Body], scratch: Scratch) -> list[Page | ErrorDocument]:
    """Decode several bodies at once, which costs less than one after the other.

    Args:
        bodies: Of responses.
        scratch: Memory to work in; one for each thread.

    Raises:
        MalformedResponse: One of them is no complete listing; which, decoding each alone tells.
    """
    try:
        return list(_decode(bodies, scratch)) if bodies else []
    except Irregular:
        return [decode_columns(body) for body in bodies]


def _decode(bodies: Sequence[Body], scratch: Scratch) -> list[Page]:
    frames: list[Page] = []
    tokens: list[str | None] = []
    blocks: list[memoryview] = []
    for body in bodies:
        first, stop = _objects_in(body)
        if first < 0 or stop < first or len(body) > MAX_RESPONSE_BYTES:
            raise Irregular
        try:
            frame, token = _frame(bytes(body[:first] + body[stop:]))
        except MalformedResponse:
            raise Irregular from None  # the plain decoder says where in the whole
        if isinstance(frame, ErrorDocument) or frame.objects.num_rows:
            raise Irregular
        frames.append(frame)
        tokens.append(token)
        blocks.append(memoryview(body)[first:stop])
    if len({(frame.url_encoded, frame.objects.num_columns) for frame in frames}) > 1:
        raise Irregular
    if frames[0].objects.schema == VERSION_SCHEMA:
        # Most pages have no delete markers; then all objects have one layout, as a rule.
        has_markers = any(_MARKER in bytes(block) for block in blocks)
        names = (_VERSION, _MARKER) if has_markers else (_VERSION,)
        block = Block(blocks, scratch, names, _REQUIRED_OF_VERSIONS)
        values = block.values()
        objects = _versions(values, block.begin_with(_MARKER), url_encoded=frames[0].url_encoded)
    else:
        block = Block(blocks, scratch)
        objects = _objects(block.values(), url_encoded=frames[0].url_encoded)
    starts = np.searchsorted(block.opens, np.cumsum([0, *map(len, blocks)])).tolist()
    return [
        Page(
            _alone(objects.slice(start, stop - start)),
            frame.common_prefixes,
            frame.is_truncated,
            token,
            frame.url_encoded,
        )
        for frame, token, (start, stop) in zip(frames, tokens, pairwise(starts), strict=True)
    ]


def _frame(text: bytes) -> tuple[Page | ErrorDocument, str | None]:
    """What is around the objects, and the token; decoded once where only tokens differ."""
    found = _NEXT.search(text)
    if found:
        alike = _ECHO.sub(b"", text[: found.start()] + _SOME_TOKEN + text[found.end() :], 1)
        frame = _decoded_frame(alike)
        if isinstance(frame, Page) and frame.next_token == _SOME_TOKEN.decode():
            return frame, found[0].decode()
    frame = decode_page(text)
    return frame, frame.next_token if isinstance(frame, Page) else None


_decoded_frame = lru_cache(maxsize=8)(decode_page)


def _alone(objects: pa.RecordBatch) -> pa.RecordBatch:
    """A copy, so that who keeps one page does not keep in memory all that came with it."""
    return pa.ipc.read_record_batch(objects.serialize(), objects.schema)


def _objects_in(body: Body) -> tuple[int, int]:
    """Where the objects of a response begin, and where they end."""
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


def _versions(
    values: dict[str, pa.Array], are_markers: npt.NDArray[np.bool_], *, url_encoded: bool
) -> pa.RecordBatch:
    size = values.get("size")
    has_size = np.zeros(len(are_markers), np.bool_)
    if size is not None:
        has_size = size.is_valid().to_numpy(zero_copy_only=False)
    if (has_size == are_markers).any():
        raise Irregular
    ids = values.get("version_id", pa.nulls(len(are_markers), pa.string()))
    is_latest = pc.equal(values["is_latest"], "true")
    if not pc.all(pc.or_(is_latest, pc.equal(values["is_latest"], "false"))).as_py():
        raise Irregular
    known = {
        "version_id": pc.fill_null(ids, NULL_VERSION),
        "is_latest": is_latest,
        "is_delete_marker": pa.array(are_markers),
    }
    return _objects(values, url_encoded=url_encoded, schema=VERSION_SCHEMA, known=known)


def _objects(
    values: dict[str, pa.Array],
    *,
    url_encoded: bool,
    schema: pa.Schema = OBJECT_SCHEMA,
    known: Mapping[str, pa.Array] = _NONE_KNOWN,
) -> pa.RecordBatch:
    count = len(values["key"])
    arrays = []
    for field in schema:
        if field.name in known:
            arrays.append(known[field.name])
            continue
        value = values.get(field.name)
        if value is None:
            arrays.append(pa.nulls(count, field.type))
        elif field.name == "key":
            arrays.append(_decoded(value) if url_encoded else value)
        else:
            arrays.append(value)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


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
            raise Irregular
        high, low = _HEX[data[escapes + 1]], _HEX[data[escapes + 2]]
        if max(high.max(), low.max()) > 15:
            raise Irregular
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
        raise Irregular from None
