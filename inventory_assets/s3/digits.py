"""Read numbers and times out of the bytes of a block, eight digits at a time.

Eight bytes in a row are one word, the first of them its lowest byte. So a few operations on columns
of words prove every digit, and do what a loop over characters would.

Source: the pairwise sums of Daniel Lemire, "Quickly parsing eight digits", 2018
(https://lemire.me/blog/2018/10/03/quickly-parsing-eight-digits/).
"""

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

_ZEROS = 0x3030303030303030
_HIGH_BITS = 0x8080808080808080
_OVER_NINE = 0x7676767676767676
"""Added to a byte of at most 127, it sets the high bit just where the byte is over nine."""

_KEPT = np.array([(1 << 64) - (1 << (64 - 8 * count)) for count in range(9)], np.uint64)
"""By how many, the last bytes of a word."""


class Irregular(Exception):
    """Not provably regular: no error, only work for the plain decoder."""


def read_sizes(text: bytearray, starts: Positions, stops: Positions) -> pa.Int64Array:
    """Decimal numbers of at most `MAX_DIGITS` digits.

    Args:
        text: Bytes, all below 128, where the numbers are, and as many more on either side.
        starts: Where the numbers begin.
        stops: Where they end, each behind its beginning.

    Raises:
        Irregular: One has another character, or too many.
    """
    widths = stops - starts
    if widths.max() > MAX_DIGITS:
        raise Irregular
    totals = np.zeros(len(widths), np.uint64)
    high, low = _words(text, stops - MAX_DIGITS, MAX_DIGITS)
    for place, words in ((0, low), (8, high)):
        digits = (words ^ _ZEROS) & _KEPT[np.clip(widths - place, 0, 8)]
        if ((digits + _OVER_NINE) & _HIGH_BITS).any():
            raise Irregular
        pairs = (digits * 10 + (digits >> 8)) & 0x00FF00FF00FF00FF
        fours = (pairs * 100 + (pairs >> 16)) & 0x0000FFFF0000FFFF
        totals += ((fours * 10_000 + (fours >> 32)) & 0xFFFFFFFF) * 10**place
    return pa.Array.from_buffers(pa.int64(), len(totals), [None, pa.py_buffer(totals)])


def read_times(text: bytearray, starts: Positions, stops: Positions) -> pa.TimestampArray:
    """Times of one form, in milliseconds, UTC.

    Args:
        text: Bytes, all below 128, where the times are, and some after.
        starts: Where the times begin.
        stops: Where they end.

    Raises:
        Irregular: One has another form, or there is no such day or time.
    """
    width = int(stops[0] - starts[0])
    if width not in TIME_WIDTHS or (stops - starts != width).any():
        raise Irregular
    date, clock, rest = (
        _digits(words, form)
        for words, form in zip(_words(text, starts, _TIME_BYTES), _forms(width), strict=True)
    )
    # Each byte with a digit, ten times, and the one after it: of two digits, their number.
    pairs = date * 10 + (date >> 8)
    years = (pairs & 0xFF) * 100 + (pairs >> 16 & 0xFF)
    months = pairs >> 40 & 0xFF
    pairs = clock * 10 + (clock >> 8)
    days, hours, minutes = pairs & 0xFF, pairs >> 24 & 0xFF, pairs >> 48 & 0xFF
    pairs = rest * 10 + (rest >> 8)
    seconds = pairs >> 8 & 0xFF
    for values, least, greatest in (
        (years, _FIRST_YEAR, _LAST_YEAR),
        (months, 1, 12),
        (days, 1, 31),
        (hours, 0, 23),
        (minutes, 0, 59),
        (seconds, 0, 59),
    ):
        if values.min() < least or values.max() > greatest:
            raise Irregular
    begins = _days_before_months()
    month = ((years - _FIRST_YEAR) * 12 + (months - 1)).view(np.int64)
    day = begins[month] + days.view(np.int64) - 1
    if (day >= begins[month + 1]).any():
        raise Irregular
    time: Words = ((hours * 60 + minutes) * 60 + seconds) * 1000
    if width > TIME_WIDTHS[0]:
        time = time + (pairs >> 32 & 0xFF) * 10 + (rest >> 48 & 0xFF)
    moments = day * 86_400_000 + time.view(np.int64)
    return pa.Array.from_buffers(
        pa.timestamp("ms", tz="UTC"), len(moments), [None, pa.py_buffer(moments)]
    )


def _words(text: bytearray, positions: Positions, width: int) -> Words:
    """By eight bytes, what stands at some positions, as rows of words."""
    # Items of just that size, one at every position, are copied at once.
    items = np.ndarray((len(text) - width + 1,), f"V{width}", text, strides=(1,))
    return items[positions].view("<u8").reshape(-1, width // 8).T.copy()


def _digits(words: Words, form: bytes) -> Words:
    """The digits at the places where a form has a zero; elsewhere it must be as the form is."""
    mask = (1 << 8 * len(form)) - 1
    over_nine = bytes(0x76 if byte == ord("0") else 0x7F for byte in form)
    digits: Words = np.bitwise_xor(
        words & np.uint64(mask), np.uint64(int.from_bytes(form, "little"))
    )
    if ((digits + int.from_bytes(over_nine, "little")) & (_HIGH_BITS & mask)).any():
        raise Irregular
    return digits


@cache
def _forms(width: int) -> tuple[bytes, ...]:
    (form,) = (form for form in _TIME if len(form) == width)
    return tuple(form[at : at + 8] for at in range(0, width, 8))


@cache
def _days_before_months() -> npt.NDArray[np.int64]:
    """By months since the first year, the day since 1970 with which the month begins."""
    months = np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)
