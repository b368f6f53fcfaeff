"""Numbers and times are parsed as by Python, or not at all."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.decoding.swar_parsing import (
    MAX_DIGITS,
    NotVectorizable,
    read_sizes,
    read_times,
)

AROUND = b"<" * MAX_DIGITS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = (
    (datetime(*first, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
    for first in ((1000, 1, 1), (9999, 12, 31))
)
printable = st.characters(min_codepoint=32, max_codepoint=126)


def laid_out(
    texts: Sequence[str],
) -> tuple[bytearray, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    body = bytearray(AROUND)
    bounds = []
    for text in texts:
        bounds.append((len(body), len(body) + len(text)))
        body += text.encode() + AROUND
    starts, stops = np.array(bounds, np.int64).T
    return body, starts, stops


def moments(texts: Sequence[str]) -> list[int]:
    return read_times(*laid_out(texts)).cast("int64").to_pylist()  # type: ignore[no-any-return]


def milliseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


@given(st.lists(st.integers(0, 10**MAX_DIGITS - 1), min_size=1, max_size=40), st.booleans())
def test_numbers_are_read_with_zeros_before_them_too(numbers: list[int], pad: bool) -> None:
    texts = [str(number).zfill(11 if pad else 1) for number in numbers]
    assert read_sizes(*laid_out(texts)).to_pylist() == numbers


@given(st.text(printable, min_size=1, max_size=20), st.integers(0, 3))
def test_a_text_that_is_no_number_is_rejected(text: str, before: int) -> None:
    texts = ["12"] * before + [text, "7"]
    if text.isdigit() and len(text) <= MAX_DIGITS:
        assert read_sizes(*laid_out(texts))[before].as_py() == int(text)
    else:
        with pytest.raises(NotVectorizable):
            read_sizes(*laid_out(texts))


@given(
    st.lists(st.integers(FIRST, LAST), min_size=1, max_size=40),
    st.booleans(),
)
def test_times_are_read_to_the_millisecond(times: list[int], with_fraction: bool) -> None:
    known = times if with_fraction else [time // 1000 * 1000 for time in times]
    unit = "milliseconds" if with_fraction else "seconds"
    texts = [
        f"{(EPOCH + timedelta(milliseconds=time)).isoformat(timespec=unit).removesuffix('+00:00')}Z"
        for time in known
    ]
    assert moments(texts) == known


@given(
    st.sampled_from(["2024-02-29T23:59:59.999Z", "2023-12-31T00:00:00Z"]),
    st.integers(0, 23),
    printable,
    st.booleans(),
)
def test_a_time_with_another_character_is_read_as_python_reads_it_or_not_at_all(
    text: str, at: int, character: str, is_first: bool
) -> None:
    changed = text[:at] + character + text[at + 1 : len(text)]
    texts = [changed, text] if is_first else [text, changed]
    try:
        found = moments(texts)
    except NotVectorizable:
        return
    assert found == [milliseconds(each) for each in texts]


@pytest.mark.parametrize(
    "text",
    [
        "0999-12-31T00:00:00.000Z",
        "2023-02-29T00:00:00.000Z",
        "2100-02-29T00:00:00.000Z",
        "2024-00-01T00:00:00.000Z",
        "2024-13-01T00:00:00.000Z",
        "2024-04-31T00:00:00.000Z",
        "2024-04-00T00:00:00.000Z",
        "2024-04-01T24:00:00.000Z",
        "2024-04-01T00:60:00.000Z",
        "2024-04-01T00:00:60.000Z",
        "2024-04-01T00:00:00.000z",
        "2024-04-01T00:00:00,000Z",
        "2024-04-01 00:00:00.000Z",
        "2024-04-01T00:00:00.00Z",
        "2024-04-01T00:00:00+00:00",
    ],
)
@pytest.mark.parametrize("before", [0, 2])
def test_a_day_or_time_that_does_not_exist_is_rejected(text: str, before: int) -> None:
    with pytest.raises(NotVectorizable):
        moments([*["2024-04-01T00:00:00.000Z"] * before, text])
