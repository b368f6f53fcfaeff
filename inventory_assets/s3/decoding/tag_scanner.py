"""Locate the values in the objects of several responses at once, and prove each tag.

A few vectorised passes suffice: find every `<`, read the layout from the first object, and compare
the text between values with the expected separators. Objects of several layouts are grouped first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.decoding.record_layout import E_TAG, columns_of, layout_of
from inventory_assets.s3.decoding.swar_parsing import NotVectorizable, read_sizes, read_times

Positions = npt.NDArray[np.int64]
_Read = Callable[[bytearray, Positions, Positions], pa.Array]

OPEN, CLOSE = b"<Contents>", b"</Contents>"

_NUMBERS: Mapping[str, _Read] = {"size": read_sizes, "last_modified_date": read_times}
"""The parsers of columns other than text."""

_REQUIRED = frozenset({"key", "size", "last_modified_date"})
_QUOTES = (b"&quot;", b"&#34;", b'"')
_MAX_LAYOUTS = 32
_MAX_TAG_BYTES = 64
_MAX_HEAD_BYTES = 1024


class DecodeBuffers:
    """Working memory, reused for each batch: allocating it costs more time than the decoding.

    Results must be copied out before the next batch.

    Attributes:
        text: The bytes of a batch, padded.
        masks: A flag for each byte of a response.
        tags: Offsets of the tags of a batch.
        bounds: Start and stop offsets of its values.
    """

    def __init__(self) -> None:
        self.text = bytearray()
        self.masks = np.empty(0, np.bool_)
        self.tags = np.empty(0, np.int64)
        self.bounds = np.empty(0, np.int32)

    def reserve(self, text: int, response: int) -> None:
        """Make room for `text` bytes in total, and for the `response` bytes of the longest one."""
        if len(self.text) < text:
            # A new one, as arrays may still refer to the old one.
            self.text = bytearray(text + text // 4)
        if len(self.masks) < response:
            self.masks = np.empty(response + response // 4, np.bool_)

    def tags_for(self, count: int) -> Positions:
        """Make room for `count` tags, keeping the existing ones."""
        if len(self.tags) < count:
            self.tags = np.concatenate((self.tags, np.empty(count, np.int64)))
        return self.tags

    def bounds_for(self, count: int) -> npt.NDArray[np.int32]:
        """Make room for `count` bounds."""
        if len(self.bounds) < count:
            self.bounds = np.empty(count + count // 4, np.int32)
        return self.bounds[:count]


class PageBatch:
    """The concatenated objects of several responses.

    Args:
        bodies: The bytes of the objects in each response.
        buffers: Working memory; using it for another batch invalidates this one.
        names: The opening tags of objects: `<Contents>`, or those of versions.
        required: The columns in which every object has a value.

    Attributes:
        record_starts: The offset of each object.
    """

    def __init__(
        self,
        bodies: Sequence[memoryview],
        buffers: DecodeBuffers,
        names: Sequence[bytes] = (OPEN,),
        required: frozenset[str] = _REQUIRED,
    ) -> None:
        self._names, self._required = names, required
        self._length = sum(map(len, bodies))
        self._buffers = buffers
        # Padded with the first bytes, so that the last object is followed by an opening tag like
        # all others, and with spaces, so that a tag can be compared at any position.
        padding = bytes(bodies[0][:_MAX_HEAD_BYTES]) + b" " * (_MAX_TAG_BYTES + 8)
        buffers.reserve(self._length + len(padding), max(map(len, bodies)))
        self._body = buffers.text
        self._body[self._length : self._length + len(padding)] = padding
        self._bytes: npt.NDArray[np.uint8] = np.frombuffer(self._body, np.uint8, self._length)
        # Eight bytes from each position as one number; tags are compared by these.
        self._words = np.ndarray((len(self._body) - 7,), np.dtype("<u8"), self._body, strides=(1,))
        self._tags = self._find_tags(bodies)
        # XML forbids "]]>" in text; searching for one character first is a hundred times faster.
        if all(self._body.find(text, 0, self._length) >= 0 for text in (b"]", b"]]>")):
            raise NotVectorizable
        self.record_starts: Positions = self._tags[:0]

    def _find_tags(self, blocks: Sequence[memoryview]) -> Positions:
        """Copy the responses one by one, for cache locality, and find every `<`."""
        start = count = 0
        tags = self._buffers.tags
        for block in blocks:
            data = self._bytes[start : start + len(block)]
            data[:] = block
            # As signed numbers, control and non-ASCII characters are less than the space.
            if data.view(np.int8).min() < ord(" "):
                raise NotVectorizable
            mask = self._buffers.masks[: len(data)]
            found = np.flatnonzero(np.equal(data, ord("<"), out=mask))
            tags = self._buffers.tags_for(count + len(found))
            np.add(found, start, out=tags[count : count + len(found)])
            start += len(block)
            count += len(found)
        return tags[:count]

    def values(self) -> dict[str, pa.Array]:
        """The values of each column, null where an object has none; texts are not decoded.

        Raises:
            NotVectorizable: The responses cannot be proved regular.
        """
        is_of_one_kind = len(self._names) == 1
        return (self._uniform_values() if is_of_one_kind else None) or self._mixed_values()

    def begin_with(self, name: bytes) -> npt.NDArray[np.bool_]:
        """A mask of the objects with this opening tag; call `values` first."""
        return self._matches(name, self.record_starts)

    def _uniform_values(self) -> dict[str, pa.Array] | None:
        """The values of each column if all objects have one layout, else None.

        The separators between values are then the same for all objects, so comparing all
        separators at once proves every tag.
        """
        (name,) = self._names
        second = self._body.find(name, len(name), self._length)
        count = int(np.searchsorted(self._tags, second)) if second > 0 else len(self._tags)
        if len(self._tags) % count:
            return None
        tags = tuple(self._tag_texts(0, count))
        layout = layout_of(tags, self._quote(tags))
        positions = self._tags.reshape(-1, count)
        bounds = self._buffers.bounds_for(2 * len(layout.value_fields) * len(positions) + 1)
        table = bounds[:-1].reshape(len(positions), 2 * len(layout.value_fields))
        for leaf, (at, lead, trail) in enumerate(layout.value_fields):
            np.add(positions[:, at], lead, out=table[:, 2 * leaf], casting="unsafe")
            np.subtract(positions[:, at + 1], trail, out=table[:, 2 * leaf + 1], casting="unsafe")
        bounds[-1] = self._length + bounds[0]
        widths = table[:, 1::2] - table[:, 0::2]
        if widths.min() < 0 or bounds[0] > _MAX_HEAD_BYTES:
            return None
        tokens = pa.StringArray.from_buffers(
            len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(self._body)
        )
        alike = pc.sum(pc.equal(tokens, layout.tokens(len(positions)))).as_py()
        if alike - np.count_nonzero(widths == 0) != len(layout.value_fields) * len(positions):
            return None
        columns = layout.selected_columns
        empty = any(widths[:, leaf].min() == 0 for leaf in columns.values())
        if empty or not columns.keys() >= self._required:
            return None
        texts = {
            name: tokens.take(
                pa.array(np.arange(2 * leaf, len(tokens), 2 * len(layout.value_fields)))
            )
            for name, leaf in columns.items()
            if name not in _NUMBERS
        }
        if any(_holds(text, b"&") for text in texts.values()):
            return None
        if "e_tag" in texts and _holds(texts["e_tag"], b'"'):
            return None
        are_all_selected = len(columns) == len(layout.value_fields)
        # The other values may not contain an entity either.
        if not are_all_selected and self._entities() != layout.entities * len(positions):
            return None
        self.record_starts = positions[:, 0]
        numbers = {
            name: read(self._body, *table.T[2 * columns[name] : 2 * columns[name] + 2])
            for name, read in _NUMBERS.items()
        }
        return texts | numbers

    def _entities(self) -> int:
        """The number of entities."""
        return int(np.count_nonzero(self._bytes == ord("&")))

    def _quote(self, tags: Sequence[bytes]) -> bytes:
        """The quote before the first object's ETag, or b""."""
        if E_TAG not in tags:
            return b""
        start = int(self._tags[tags.index(E_TAG)]) + len(E_TAG)
        return next((quote for quote in _QUOTES if self._body.startswith(quote, start)), b"")

    def _mixed_values(self) -> dict[str, pa.Array]:
        """The values of each column if objects have several layouts."""
        spans = self._spans()
        e_tag = spans.get("e_tag")
        entities = self._entities()
        if e_tag is not None:
            entities -= self._unquote(*e_tag)
        if entities or not spans.keys() >= self._required:
            raise NotVectorizable
        if any((spans[name][0] < 0).any() for name in self._required):
            raise NotVectorizable
        return {
            name: self._numbers(_NUMBERS[name], *span) if name in _NUMBERS else self._texts(*span)
            for name, span in spans.items()
        }

    def _spans(self) -> dict[str, tuple[Positions, Positions]]:
        """Start and stop offsets of each column's values; -1 where an object has none."""
        words = self._words[self._tags]
        is_open = np.zeros(len(words), np.bool_)
        for name in self._names:
            alike = np.flatnonzero(words == _word(name[:8]))
            is_open[alike[self._matches(name, self._tags[alike])]] = True
        record_starts = np.flatnonzero(is_open)
        if not len(record_starts) or record_starts[0]:
            raise NotVectorizable
        self.record_starts = self._tags[record_starts]
        counts = np.diff(record_starts, append=len(self._tags))
        spans: dict[str, tuple[Positions, Positions]] = {}
        for rows, layout in self._layouts(record_starts, counts):
            for column, (tag, offset) in layout.items():
                if column not in spans:
                    nowhere = np.full(len(record_starts), -1, np.int64)
                    spans[column] = (nowhere, nowhere.copy())
                starts, stops = spans[column]
                first = record_starts[rows] + tag
                starts[rows] = self._tags[first] + offset
                stops[rows] = self._tags[first + 1]
        return spans

    def _layouts(
        self, starts: Positions, counts: Positions
    ) -> Iterator[tuple[Positions, dict[str, tuple[int, int]]]]:
        """Groups of objects with one layout: their rows, and `columns_of` their tags."""
        found = 0
        for count in np.unique(counts):
            rows = np.flatnonzero(counts == count)
            while len(rows):
                found += 1
                if found > _MAX_LAYOUTS:
                    raise NotVectorizable
                first = starts[rows]
                tags = self._tag_texts(int(first[0]), int(count))
                same = np.ones(len(rows), bool)
                for index, tag in enumerate(tags):
                    same &= self._matches(tag, self._tags[first + index])
                yield rows[same], columns_of(tags)
                rows = rows[~same]

    def _tag_texts(self, first: int, count: int) -> list[bytes]:
        starts = self._tags[first : first + count].tolist()
        tags = [bytes(self._body[start : self._body.index(b">", start) + 1]) for start in starts]
        if max(map(len, tags)) > _MAX_TAG_BYTES:
            raise NotVectorizable
        return tags

    def _matches(self, text: bytes, positions: Positions) -> npt.NDArray[np.bool_]:
        """A mask of the positions at which `text` begins."""
        if len(text) < 8:
            mask = np.uint64((1 << 8 * len(text)) - 1)
            short: npt.NDArray[np.bool_] = (self._words[positions] & mask) == _word(text)
            return short
        same: npt.NDArray[np.bool_] = self._words[positions] == _word(text[:8])
        for offset in [*range(8, len(text) - 8, 8), len(text) - 8]:
            same &= self._words[positions + offset] == _word(text[offset : offset + 8])
        return same

    def _unquote(self, starts: Positions, stops: Positions) -> int:
        """Remove the quotes from the ETags' spans; return the number of entities removed."""
        rows = np.flatnonzero(starts >= 0)
        start, stop = starts[rows], stops[rows]
        text = self._body[start[0] : stop[0]]
        quote = next((quote for quote in _QUOTES if text.startswith(quote)), b"")
        if quote:
            start, stop = start + len(quote), stop - len(quote)
            if (start >= stop).any() or not (
                self._matches(quote, start - len(quote)).all() and self._matches(quote, stop).all()
            ):
                raise NotVectorizable
        if (start >= stop).any():
            raise NotVectorizable
        ends = np.concatenate((self._bytes[start], self._bytes[stop - 1]))
        if (ends == ord('"')).any():
            raise NotVectorizable
        starts[rows], stops[rows] = start, stop
        return 2 * len(rows) if quote.startswith(b"&") else 0

    def _numbers(self, read: _Read, starts: Positions, stops: Positions) -> pa.Array:
        """Parse the spans, null where there is none."""
        rows = np.flatnonzero(starts >= 0)
        if (starts[rows] >= stops[rows]).any():
            raise NotVectorizable
        numbers = read(self._body, starts[rows], stops[rows])
        if len(rows) == len(starts):
            return numbers
        at = np.zeros(len(starts), np.int64)
        at[rows] = np.arange(len(rows))
        return numbers.take(pa.array(at, mask=starts < 0))

    def _texts(self, starts: Positions, stops: Positions) -> pa.StringArray:
        """The texts of spans, null where there is none."""
        absent = starts < 0
        some_absent = bool(absent.any())
        if some_absent:
            # An empty span at the end of the one before keeps the offsets ascending.
            starts, stops = starts.copy(), stops.copy()
            stops[absent] = 0
            stops = np.maximum.accumulate(stops)
            starts[absent] = stops[absent]
        if (starts[~absent] >= stops[~absent]).any() if some_absent else (starts >= stops).any():
            raise NotVectorizable
        offsets = np.empty(2 * len(starts), np.int32)
        offsets[0::2], offsets[1::2] = starts, stops
        # Every other token is a value; `take` copies them out of the working memory.
        tokens = pa.StringArray.from_buffers(
            len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(self._body)
        )
        wanted = np.arange(0, len(offsets), 2)
        indices = pa.array(wanted, mask=absent) if some_absent else pa.array(wanted)
        return tokens.take(indices)


def _holds(text: pa.StringArray, character: bytes) -> bool:
    """Whether a value contains a character; for an array without nulls or offset."""
    _validity, offsets, data = text.buffers()
    stop = int(np.frombuffer(offsets, np.int32, len(text) + 1)[-1])
    return bool((np.frombuffer(data, np.uint8, stop) == ord(character)).any())


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))
