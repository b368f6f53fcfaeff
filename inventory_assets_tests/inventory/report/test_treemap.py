from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.report.report_data import PrefixRow, Total
from inventory_assets.inventory.report.treemap import (
    MAX_PANELS,
    MAX_TILES,
    Rectangle,
    Tile,
    panels_of,
    squarify,
)
from inventory_assets_tests.inventory.report.samples import prefix_rows

SIZES = st.lists(st.integers(1, 10**15), min_size=1, max_size=40).map(
    lambda sizes: sorted(map(float, sizes), reverse=True)
)
SLACK = 1e-6


@given(SIZES)
def test_the_areas_are_in_proportion_to_the_sizes(sizes: list[float]) -> None:
    for size, place in zip(sizes, squarify(sizes), strict=True):
        share = place.width * place.height / 1e4
        assert share == pytest.approx(size / sum(sizes), rel=1e-6, abs=1e-9)


@given(SIZES)
def test_the_rectangles_stay_within_the_whole_and_apart(sizes: list[float]) -> None:
    places = squarify(sizes)
    for place in places:
        assert -SLACK <= place.left <= place.left + place.width <= 100 + SLACK
        assert -SLACK <= place.top <= place.top + place.height <= 100 + SLACK
    for left, right in combinations(places, 2):
        assert _overlap(left, right) < SLACK


def test_equal_sizes_make_no_strips() -> None:
    ratios = [16 * place.width / (9 * place.height) for place in squarify([1.0] * 12)]
    assert max(max(ratio, 1 / ratio) for ratio in ratios) < 1.5


def test_nothing_has_no_rectangles() -> None:
    assert squarify([]) == []


def test_a_prefix_can_be_opened_down_to_its_deepest_level() -> None:
    rows = prefix_rows({
        "": (100, 1000, 0),
        "a/": (90, 900, 0),
        "a/b/": (80, 800, 0),
        "a/b/c/": (40, 400, 0),
        "a/b/d/": (30, 300, 0),
        "e/": (5, 50, 0),
    })  # fmt: skip
    panels = {panel.row.prefix: panel for panel in panels_of(rows)}
    assert list(panels) == ["", "a/", "a/b/"]
    assert [above.row.prefix for above in panels["a/b/"].trail] == ["", "a/"]
    tiles = {tile.name: tile for tile in panels["a/"].tiles}
    assert tiles["b/"].panel == panels["a/b/"].number
    assert tiles["other objects"].total == Total(10, 100)
    assert tiles["other objects"].panel is None


def test_a_prefix_with_all_its_objects_in_one_prefix_is_shown_as_that_one() -> None:
    rows = prefix_rows({
        "": (3, 30, 0), "a/": (2, 20, 0), "a/b/": (2, 20, 0), "a/b/c/": (1, 10, 0),
        "d/": (1, 10, 0),
    })  # fmt: skip
    first = panels_of(rows)[0]
    assert [(tile.name, tile.prefix) for tile in first.tiles] == [("a/b/", "a/b/"), ("d/", "d/")]


def test_large_prefixes_are_shown_as_those_beneath_while_there_are_few() -> None:
    rows = prefix_rows({
        "": (200, 2000, 0),
        "a/": (100, 1000, 0),
        **{f"a/x/{day}/": (30, 300, 0) for day in range(3)},
        "a/x/": (90, 900, 0),
        "b/": (90, 900, 0),
        "b/1/": (40, 400, 0),
        "c/": (10, 100, 0),
        "c/1/": (5, 50, 0),
    })  # fmt: skip
    panels = {panel.row.prefix: panel for panel in panels_of(rows)}
    shown = {tile.name: tile.total.objects for tile in panels[""].tiles}
    # The prefixes beneath b/ hold too little of it, and c/ is small.
    assert shown == {"a/x/0/": 30, "a/x/1/": 30, "a/x/2/": 30, "b/": 90, "c/": 10,
                     "other objects": 10}  # fmt: skip
    assert list(panels) == ["", "b/", "c/"]


def test_many_prefixes_share_tiles_and_panels_within_bounds() -> None:
    counts = {
        "": (30 * 60 * 60, 30 * 60 * 60, 0),
        **{f"{a}/": (60 * 30, 60 * 30, 0) for a in range(60)},
        **{f"{a}/{b}/": (30, 30, 0) for a in range(60) for b in range(60)},
    }
    counts[""] = (60 * 60 * 30, 60 * 60 * 30, 0)
    panels = panels_of(prefix_rows(counts))
    assert len(panels) <= MAX_PANELS
    assert {len(panel.tiles) for panel in panels} == {MAX_TILES + 1}
    for panel in panels:
        assert sum(tile.total.objects for tile in panel.tiles) == panel.row.total.objects


def test_an_empty_inventory_has_one_empty_panel() -> None:
    (panel,) = panels_of([PrefixRow("", Total(0, 0), "")])
    assert panel.tiles == ()


def test_objects_without_bytes_are_seen() -> None:
    (panel,) = panels_of(prefix_rows({"": (2, 0, 0), "a/": (2, 0, 0)}))
    assert [tile.name for tile in panel.tiles] == ["a/"]


@pytest.mark.parametrize(
    ("size", "change", "step"),
    [
        (100, None, None),
        (100, 0, 3),
        (100, 100, 6),
        (0, 0, 3),
        (1000, 3, 3),
        (1010, 10, 4),
        (1100, 100, 5),
        (1000, -10, 2),
        (900, -100, 1),
        (500, -500, 0),
    ],
)
def test_growth_has_seven_steps(size: int, change: int | None, step: int | None) -> None:
    tile = Tile("a/", "a/", Total(1, size), change, "", Rectangle(0, 0, 1, 1))
    assert tile.growth_step == step


def _overlap(left: Rectangle, right: Rectangle) -> float:
    width = min(left.left + left.width, right.left + right.width) - max(left.left, right.left)
    height = min(left.top + left.height, right.top + right.height) - max(left.top, right.top)
    return max(width, 0) * max(height, 0)
