import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from inventory_assets.inventory.report.page import MAX_CHARACTERS, render, shown_name
from inventory_assets.inventory.report.report_data import DateTotal, Total
from inventory_assets_tests.inventory.report.samples import (
    DAY,
    HOSTILE_NAMES,
    hostile_report,
    ordinary_report,
    report,
)


class _Elements(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def elements(page: str) -> _Elements:
    parser = _Elements()
    parser.feed(page)
    return parser


def test_hostile_names_are_text() -> None:
    found = elements(render(hostile_report()))
    assert found.tags.isdisjoint({"script", "img", "iframe", "link", "object", "form"})
    assert {
        value for name, value in found.attributes if name == "href" and value[:1] != "#"
    } == set()
    assert [name for name, _ in found.attributes if name.startswith("on")] == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_adds_no_element(name: str) -> None:
    plain = report({"": (2, 20, None), "a/": (2, 20, None)}, dates=1)
    hostile = report({"": (2, 20, None), name: (2, 20, None)}, dates=1)
    assert elements(render(hostile)).tags == elements(render(plain)).tags


def test_the_page_loads_nothing() -> None:
    page = render(ordinary_report())
    assert "default-src 'none'" in page
    assert re.findall(r"(?:src|href)=\"(?!#)|url\(|@import|https?:", page) == []


def test_the_page_says_what_people_ask_first() -> None:
    page = render(ordinary_report())
    for text in ("12.8 TB", "11.6 TiB", "120,400", "estimated", "12.5 % of all bytes"):
        assert text in page


def test_changes_are_those_since_the_last_date_a_week_and_a_month() -> None:
    page = render(report({"": (10_000, 10**12, 0)}, dates=40))
    for text in ("since 2026-11-27", "since a week ago", "since a month ago"):
        assert f"<dt>{text}</dt>" in page


def test_current_objects_are_told_apart_from_old_versions() -> None:
    data = report({"": (10_000, 10**12, 0)}, dates=2)
    assert "of them are current" not in render(data)
    page = render(replace(data, current=Total(7_654, 4 * 10**11)))
    assert re.search(r"7,654</data>\s*of them are current", page)
    assert "400.0 GB" in page


def test_the_first_date_has_no_changes() -> None:
    page = render(report({"": (10, 100, None)}, dates=1))
    assert "This is the first date" in page
    assert "<dt>" not in page


def test_an_unknown_cost_is_unknown_and_not_zero() -> None:
    data = ordinary_report()
    unknown = replace(data, history=[DateTotal(DAY, Total(1, 5))])
    cards = render(unknown).partition("Cost per month</h2>")[2][:120]
    assert "unknown" in cards
    assert "$0" not in cards


def test_an_empty_inventory_has_a_page() -> None:
    assert '<data value="0">0</data>' in render(report({"": (0, 0, None)}, dates=1))


def test_a_long_name_is_shortened_and_says_by_how_much() -> None:
    assert shown_name("x" * 1024) == f"{'x' * MAX_CHARACTERS}… (824 more characters)"
    assert shown_name("a\nb\u202ec") == "a\\nb\\u202ec"


@pytest.mark.parametrize(("objects", "names"), [(1_000, 1_000), (100_000, 100_000)])
def test_the_page_stays_below_a_megabyte(objects: int, names: int) -> None:
    width = round(names ** (1 / 3)) + 1
    long = "a-rather-long-name-of-a-folder"
    prefixes: dict[str, tuple[int, int, int | None]] = {"": (objects, objects * 1000, 1)}
    for a in range(width):
        prefixes[f"{long}{a}/"] = (width * width, width * width * 1000, 1)
        for b in range(width):
            prefixes[f"{long}{a}/{long}{b}/"] = (width, width * 1000, 1)
            for c in range(width):
                if len(prefixes) < names:
                    prefixes[f"{long}{a}/{long}{b}/{long}{c}/"] = (1, 1000, 1)
    assert len(render(report(prefixes, dates=1000)).encode()) < 1_000_000
