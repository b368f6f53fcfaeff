"""The section of the page about the run that listed a date."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.report.page import render
from inventory_assets.inventory.report.report_data import ReportData
from inventory_assets.inventory.report.run_charts import HEIGHT, WIDTH, heat_map, in_flight_chart
from inventory_assets.inventory.report.run_section import run_section
from inventory_assets.inventory.runs.date_run import DateRun
from inventory_assets.inventory.runs.figures import HeatCell, RunFigures, Timeline
from inventory_assets.inventory.runs.regressions import regression_of
from inventory_assets.scan.engine.range_latencies import MAX_DEPTH, SlowRange
from inventory_assets_tests.inventory.report.samples import (
    DAY,
    HOSTILE_NAMES,
    hostile_report,
    ordinary_report,
)
from inventory_assets_tests.inventory.report.test_page import elements
from inventory_assets_tests.inventory.runs.samples import BEGAN, figures, summary


def report_of(found: RunFigures, prefix: str = "a/") -> ReportData:
    shard = replace(summary(300.0), prefix=prefix)
    worse = regression_of(shard, [summary(60.0)] * 3)
    assert worse is not None
    run = DateRun("bucket", "logs", DAY, "", BEGAN, BEGAN, found, (shard,))
    return replace(ordinary_report(), run=run_section(run, [worse]))


def test_the_page_shows_what_limited_the_run_with_pictures_and_their_numbers() -> None:
    page = render(report_of(figures()))
    for text in (
        "How it was listed",
        "The limit of requests in flight limited the listing",
        "Worse than before:",
        "depth 2, 201 to 800 ms: 2 pages",
        "<caption>Pages by depth of the prefix and latency</caption>",
        "<caption>Over time</caption>",
    ):
        assert text in page
    assert {"svg", "rect", "polyline"} <= elements(page).tags
    assert "How it was listed" not in render(ordinary_report())


def test_hostile_prefixes_of_ranges_and_shards_are_text() -> None:
    plain = elements(render(report_of(figures()))).tags
    for name in HOSTILE_NAMES:
        found = figures(slowest=(SlowRange(name[:200], 1, 1.0, 1.0),))
        page = render(report_of(found, name))
        assert elements(page).tags == plain
        assert "\x1b" not in page
    assert elements(render(hostile_report())).tags.isdisjoint({"script"})


def test_a_run_without_requests_has_no_pictures() -> None:
    nothing = figures(timeline=Timeline(), cells=(), slowest=(), seconds=0.1)
    page = render(report_of(nothing))
    assert "it was short" in page
    assert 'id="run"' in page
    assert '<rect class="pages"' not in page


CELLS = st.dictionaries(
    st.tuples(st.integers(0, MAX_DEPTH), st.integers(0, 2)), st.integers(1, 10**9), min_size=1
)


@given(CELLS)
def test_the_cells_of_the_heat_map_lie_side_by_side_within_it(
    pages: dict[tuple[int, int], int],
) -> None:
    found = heat_map([HeatCell(*place, count) for place, count in pages.items()])
    assert found is not None
    assert len({(cell.x, cell.y) for cell in found.cells}) == len(pages)
    assert all(0 <= cell.x <= WIDTH - found.cell_width + 1e-6 for cell in found.cells)
    assert all(0 <= cell.y < found.height for cell in found.cells)
    assert max(cell.share for cell in found.cells) == 1


@given(st.lists(st.tuples(st.floats(0, 256), st.floats(0, 256)), min_size=1, max_size=60))
def test_the_lines_of_requests_in_flight_lie_within_the_picture(
    values: list[tuple[float, float]],
) -> None:
    in_flight, limit = zip(*values, strict=True)
    chart = in_flight_chart(Timeline(1.0, (0,) * len(values), in_flight, limit))
    assert chart is not None
    for line in (chart.in_flight, chart.limit):
        places = [tuple(map(float, each.split(","))) for each in line.split()]
        assert len(places) == 2 * len(values)
        assert all(0 <= x <= WIDTH and -0.1 <= y <= HEIGHT for x, y in places)
    assert 2 <= len(chart.ticks) <= 5
