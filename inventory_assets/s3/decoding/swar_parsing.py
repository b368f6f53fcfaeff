"""Parse numbers and times from bytes, eight digits at a time (SIMD within a register).

Eight consecutive bytes are read as one little-endian word. A few operations on columns of words
check and convert all digits, without a loop over characters.

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
"""Maximum digits of a size: two words."""

_TIME_BYTES = 24
TIME_WIDTHS = (20, _TIME_BYTES)
"""Characters of `2026-11-22T03:04:05Z`, and with `.678`."""

_TIME = b"0000-00-00T00:00:00.000Z", b"0000-00-00T00:00:00Z"
_FIRST_YEAR, _LAST_YEAR = 1000, 9999
_HIGHEST = {5: 12, 8: 31, 11: 23, 14: 59, 17: 59}
"""Offset within a time to the maximum month, day, hour, minute or second."""

_ZEROS = 0x3030303030303030
_HIGH_BITS = 0x8080808080808080
_OVER_NINE = 0x7676767676767676
"""Added to a byte of at most 127, it sets the high bit if and only if the byte exceeds nine."""

_DIGIT_MASKS = np.array(
    [
        [
            (1 << 64) - (1 << (64 - 8 * min(max(width - after, 0), 8)))
            for width in range(MAX_DIGITS + 1)
        ]
        for after in (8, 0)
    ],
    np.uint64,
)
"""For each width of a number, the masks of its digits in two words."""


class NotVectorizable(Exception):
    """The response is not provably regular; the XML decoder handles it."""


def read_sizes(text: bytearray, starts: Positions, stops: Positions) -> pa.Int64Array:
    """Parse decimal numbers of at most `MAX_DIGITS` digits.

    Args:
        text: Bytes below 128, with at least `MAX_DIGITS` bytes before each number's end.
        starts: Start offsets.
        stops: Stop offsets, each greater than its start.

    Raises:
        NotVectorizable: A number has another character, or too many digits.
    """
    widths = stops - starts
    if widths.max() > MAX_DIGITS:
        raise NotVectorizable
    digits = (_words(text, stops - MAX_DIGITS, MAX_DIGITS) ^ _ZEROS) & _DIGIT_MASKS.take(
        widths, axis=1
    )
    if ((digits + _OVER_NINE) & _HIGH_BITS).any():
        raise NotVectorizable
    pairs = (digits * 10 + (digits >> 8)) & 0x00FF00FF00FF00FF
    fours = (pairs * 100 + (pairs >> 16)) & 0x0000FFFF0000FFFF
    high, low = (fours * 10_000 + (fours >> 32)) & 0xFFFFFFFF
    totals = high * 10**8 + low
    return pa.Array.from_buffers(pa.int64(), len(totals), [None, pa.py_buffer(totals)])


def read_times(text: bytearray, starts: Positions, stops: Positions) -> pa.TimestampArray:
    """Parse times of one form to milliseconds, UTC.

    Args:
        text: Bytes below 128, with at least `_TIME_BYTES` bytes from each start.
        starts: Start offsets.
        stops: Stop offsets.

    Raises:
        NotVectorizable: A time has another form, or does not exist.
    """
    width = int(stops[0] - starts[0])
    if width not in TIME_WIDTHS or (stops - starts != width).any():
        raise NotVectorizable
    form = _form(width)
    digits = (_words(text, starts, _TIME_BYTES) & form.mask) ^ form.text
    # Ten times each digit plus the digit after it: the value of each pair of digits.
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
    """`width` bytes from each position, as `width // 8` rows of words."""
    # Overlapping items of `width` bytes, one per position, allow a single gather.
    items = np.ndarray((len(text) - width + 1,), f"V{width}", text, strides=(1,))
    return items[positions].view("<u8").reshape(-1, width // 8).T.copy()


@dataclass(frozen=True, slots=True)
class _Form:
    """The form of times of one width, as columns of three words.

    Attributes:
        mask: The bytes that belong to the time.
        text: The form, with "0" for each digit.
        over_nine: Added to the bytes XOR `text`, it sets the high bit of each byte that is no digit
            or differs from the form.
        over_greatest: Added to pairs of digits, it sets the high bit of each month, day, hour,
            minute or second that is too great.
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

    limits = [_HIGHEST.get(offset, 0x7F) for offset in range(_TIME_BYTES)]
    return _Form(
        mask=words([0xFF] * width),
        text=words(form),
        over_nine=words(0x76 if byte == ord("0") else 0x7F for byte in form),
        over_greatest=words(0x7F - limit for limit in limits),
    )


@cache
def _days_before_months() -> npt.NDArray[np.int64]:
    """For each month since `_FIRST_YEAR`, the days from 1970 to its first day."""
    months = np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)
