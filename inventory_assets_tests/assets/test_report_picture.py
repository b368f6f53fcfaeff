"""The picture in the metadata of `storage_report`."""

from datetime import date, timedelta
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from inventory_assets.defs.source.report_metadata import PICTURE_POINTS, growth_picture

SHOWN_IN_PLACE = 1000
"""Dagster's UI shows Markdown with as many characters behind a button."""

FIRST = date(2020, 1, 1)
SVG = "{http://www.w3.org/2000/svg}"


def picture(sizes: list[int]) -> tuple[str, ET.Element]:
    """The Markdown, and the image in it."""
    history = [(FIRST + timedelta(days=at), size) for at, size in enumerate(sizes)]
    text = growth_picture(history).md_str or ""
    before, _, encoded = text.partition("](data:image/svg+xml,")
    assert before.startswith("![")
    assert encoded.endswith(")")
    assert not set(" ()<>").intersection(encoded[:-1])
    return text, ET.fromstring(unquote(encoded[:-1]))  # noqa: S314


@pytest.mark.parametrize("count", [1, 2, PICTURE_POINTS, PICTURE_POINTS + 1, 3000])
def test_it_is_small_and_has_the_first_and_the_last_date(count: int) -> None:
    text, image = picture([10**15 + at for at in range(count)])
    assert len(text) < SHOWN_IN_PLACE
    *_, line = image.iter(f"{SVG}path")
    assert len(line.attrib["d"].split(",")) == 2 * min(count, PICTURE_POINTS)
    last = FIRST + timedelta(days=count - 1)
    assert [each.text for each in image.iter(f"{SVG}text")] == ["1.0 PB", str(FIRST), str(last)]
    assert f"1.0 PB on {FIRST}" in text


@pytest.mark.parametrize("sizes", [[0], [0, 0], [999_900_000_000, 0] * 400])
def test_any_sizes_have_a_small_picture(sizes: list[int]) -> None:
    text, image = picture(sizes)
    assert len(text) < SHOWN_IN_PLACE
    *_, line = image.iter(f"{SVG}path")
    heights = [int(number) for number in line.attrib["d"][1:].split(",")[1::2]]
    assert min(heights) >= 18
    assert max(heights) <= 98


def test_it_has_no_markup_but_lines_and_text() -> None:
    _, image = picture([1, 2, 3])
    assert {each.tag.removeprefix(SVG) for each in image.iter()} == {"svg", "path", "text"}
