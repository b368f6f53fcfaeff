"""The picture in the metadata of `storage_report`."""

import base64
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest

from inventory_assets.defs.source.report_metadata import PICTURE_POINTS, growth_picture

FIRST = date(2020, 1, 1)
SVG = "{http://www.w3.org/2000/svg}"


def picture(sizes: list[int]) -> tuple[str, ET.Element]:
    """The Markdown, and the image in it."""
    history = [(FIRST + timedelta(days=at), size) for at, size in enumerate(sizes)]
    text = growth_picture(history).md_str or ""
    before, _, encoded = text.partition("(data:image/svg+xml;base64,")
    assert before.startswith("![")
    assert encoded.endswith(")")
    return text, ET.fromstring(base64.b64decode(encoded[:-1]))  # noqa: S314


@pytest.mark.parametrize("count", [1, 2, PICTURE_POINTS, PICTURE_POINTS + 1, 3000])
def test_it_is_small_and_has_the_first_and_the_last_date(count: int) -> None:
    text, image = picture([10**15 + at for at in range(count)])
    assert len(text) < 10_000
    (line,) = image.iter(f"{SVG}polyline")
    assert len(line.attrib["points"].split()) == min(count, PICTURE_POINTS)
    labels = [each.text for each in image.iter(f"{SVG}text")]
    assert str(FIRST) in labels
    assert str(FIRST + timedelta(days=count - 1)) in labels
    assert f"1.0 PB on {FIRST}" in text


def test_a_bucket_without_bytes_has_a_picture() -> None:
    _, image = picture([0, 0])
    assert "1 B" in [each.text for each in image.iter(f"{SVG}text")]


def test_it_has_no_markup_but_shapes_and_text() -> None:
    _, image = picture([1, 2, 3])
    tags = {each.tag.removeprefix(SVG) for each in image.iter()}
    assert tags == {"svg", "path", "text", "polyline", "circle"}
