from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.report.line_chart import HEIGHT, WIDTH, line_chart

VALUES = st.dictionaries(
    st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 10**18), min_size=1, max_size=40
).map(lambda values: sorted(values.items()))


@given(VALUES)
def test_every_date_is_a_point_within_the_plot(values: list[tuple[date, int]]) -> None:
    chart = line_chart(values)
    assert [(dot.day, dot.value) for dot in chart.dots] == values
    for dot, height in zip(chart.dots, chart.heights, strict=True):
        assert 0 <= dot.at <= WIDTH
        assert -1e-9 <= height <= HEIGHT
    assert len(chart.points.split()) == len(values)


@given(VALUES)
def test_the_ticks_begin_at_zero_and_reach_the_greatest_value(
    values: list[tuple[date, int]],
) -> None:
    ticks = line_chart(values).ticks
    assert ticks[0].value == 0
    assert ticks[-1].value >= max(value for _, value in values)
    assert 2 <= len(ticks) <= 6


def test_ticks_are_round() -> None:
    values = [(date(2026, 11, 1), 0), (date(2026, 11, 2), 12_800)]
    assert [tick.value for tick in line_chart(values).ticks] == [0, 5_000, 10_000, 15_000]


def test_a_gap_between_dates_is_as_wide_as_the_days() -> None:
    values = [(date(2026, 11, day), day) for day in (1, 2, 11)]
    assert [dot.at for dot in line_chart(values).dots] == [0, WIDTH / 10, WIDTH]


def test_a_single_date_is_in_the_middle() -> None:
    assert [dot.at for dot in line_chart([(date(2026, 11, 1), 7)]).dots] == [WIDTH / 2]
