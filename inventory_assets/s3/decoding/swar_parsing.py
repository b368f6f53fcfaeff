"""Read numbers and times out of the bytes of a block, eight digits at a time.

Eight bytes in a row are one word, the first of them its lowest byte. So a few operations on columns
of words prove every digit, and do what a loop over characters would.

Source: the pairwise sums of Daniel Lemire, "Quickly parsing eight digits", 2018
(https://lemire.me/blog/2018/10/03/quickly-parsing-eight-digits/).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64] | npt.NDArray[np.int32]

MAX_DIGITS = 16
"""Of a size: two words."""

_TIME_BYTES = 24
TIME_WIDTHS = (20, _TIME_BYTES)
"""Characters of `2026-11-22T03:04:05Z`, and with `.678`."""

_TIME = b"0000-00-00T00:00:00.000Z", b"0000-00-00T00:00:00Z"
_FIRST_YEAR, _LAST_YEAR = 1000, 9999
_HIGHEST = {5: 12, 8: 31, 11: 23, 14: 59, 17: 59}
"""By the place in a time, the greatest month, day, hour, minute and second."""

_ZEROS = 0x3030303030303030
_HIGH_BITS = 0x8080808080808080
_OVER_NINE = 0x7676767676767676
"""Added to a byte of at most 127, it sets the high bit just where the byte is over nine."""

_KEPT = np.array(
    [
        [
            (1 << 64) - (1 << (64 - 8 * min(max(width - after, 0), 8)))
            for width in range(MAX_DIGITS + 1)
        ]
        for after in (8, 0)
    ],
    np.uint64,
)
"""By the width of a number, which bytes of its two words, each at the end of its word, are its."""


class NotVectorizable(Exception):
    """Not provably regular: no error, only work for the plain decoder."""


def read_sizes(text: bytearray, starts: Positions, stops: Positions) -> pa.Int64Array:
    """Decimal numbers of at most `MAX_DIGITS` digits.

    Args:
        text: Bytes, all below 128, where the numbers are, and as many more on either side.
        starts: Where the numbers begin.
        stops: Where they end, each behind its beginning.

    Raises:
        NotVectorizable: One has another character, or too many.
    """
    widths = stops - starts
    if widths.max() > MAX_DIGITS:
        raise NotVectorizable
    digits = (_words(text, stops - MAX_DIGITS, MAX_DIGITS) ^ _ZEROS) & _KEPT.take(widths, axis=1)
    if ((digits + _OVER_NINE) & _HIGH_BITS).any():
        raise NotVectorizable
    pairs = (digits * 10 + (digits >> 8)) & 0x00FF00FF00FF00FF
    fours = (pairs * 100 + (pairs >> 16)) & 0x0000FFFF0000FFFF
    high, low = (fours * 10_000 + (fours >> 32)) & 0xFFFFFFFF
    totals = high * 10**8 + low
    return pa.Array.from_buffers(pa.int64(), len(totals), [None, pa.py_buffer(totals)])


def read_times(text: bytearray, starts: Positions, stops: Positions) -> pa.TimestampArray:
    """Times of one form, in milliseconds, UTC.

    Args:
        text: Bytes, all below 128, where the times are, and some after.
        starts: Where the times begin.
        stops: Where they end.

    Raises:
        NotVectorizable: One has another form, or there is no such day or time.
    """
    width = int(stops[0] - starts[0])
    if width not in TIME_WIDTHS or (stops - starts != width).any():
        raise NotVectorizable
    form = _form(width)
    digits = (_words(text, starts, _TIME_BYTES) & form.mask) ^ form.text
    # Each byte with a digit, ten times, and the one after it: of two digits, their number.
    pairs = digits * 10 + (digits >> 8)
    if (((digits + form.over_nine) | (pairs + form.over_greatest)) & _HIGH_BITS).any():
        raise NotVectorizable
    date, clock, rest = pairs
    years = (date & 0xFF) * 100 + (date >> 16 & 0xFF)
    months = date >> 40 & 0xFF
    days, hours, minutes = clock & 0xFF, clock >> 24 & 0xFF, clock >> 48 & 0xFF
    seconds = rest >> 8 & 0xFF
    if years.min() < _FIRST_YEAR or not (months.min() and days.min()):
        raise NotVectorizable
    begins = _days_before_months()
    month = ((years - _FIRST_YEAR) * 12 + (months - 1)).view(np.int64)
    day = begins[month] + days.view(np.int64) - 1
    if (day >= begins[month + 1]).any():
        raise NotVectorizable
    time: Words = ((hours * 60 + minutes) * 60 + seconds) * 1000
    if width > TIME_WIDTHS[0]:
        time = time + (rest >> 32 & 0xFF) * 10 + (digits[2] >> 48 & 0xFF)
    moments = day * 86_400_000 + time.view(np.int64)
    return pa.Array.from_buffers(
        pa.timestamp("ms", tz="UTC"), len(moments), [None, pa.py_buffer(moments)]
    )


def _words(text: bytearray, positions: Positions, width: int) -> Words:
    """By eight bytes, what stands at some positions, as rows of words."""
    # Items of just that size, one at every position, are copied at once.
    items = np.ndarray((len(text) - width + 1,), f"V{width}", text, strides=(1,))
    return items[positions].view("<u8").reshape(-1, width // 8).T.copy()


@dataclass(frozen=True, slots=True)
class _Form:
    """How times of a width look, as columns of three words.

    Attributes:
        mask: The bytes that are looked at.
        text: The form, with zeros for digits.
        over_nine: Added to the bytes less the form, it sets the high bits of those that are over
            nine, or over nothing where no digit stands.
        over_greatest: Added to pairs of digits, it sets the high bits of months, days, hours,
            minutes and seconds that do not exist.
    """

    mask: Words
    text: Words
    over_nine: Words
    over_greatest: Words


@cache
def _form(width: int) -> _Form:
    (form,) = (form for form in _TIME if len(form) == width)

    def words(bytes_: Iterable[int]) -> Words:
        return np.frombuffer(bytes(bytes_).ljust(_TIME_BYTES, b"\0"), "<u8").reshape(-1, 1)

    limits = [_HIGHEST.get(place, 0x7F) for place in range(_TIME_BYTES)]
    return _Form(
        mask=words([0xFF] * width),
        text=words(form),
        over_nine=words(0x76 if byte == ord("0") else 0x7F for byte in form),
        over_greatest=words(0x7F - limit for limit in limits),
    )


@cache
def _days_before_months() -> npt.NDArray[np.int64]:
    """By months since the first year, the day since 1970 with which the month begins."""
    months = np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)
