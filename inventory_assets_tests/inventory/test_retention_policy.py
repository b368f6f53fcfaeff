from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.retention.policy import DateState, Retention, dates_kept

TODAY = date(2026, 5, 20)
COMPLETE = DateState(is_complete=True, is_in_progress=False)
INCOMPLETE = DateState(is_complete=False, is_in_progress=False)
AT_WORK = DateState(is_complete=True, is_in_progress=True)

bounds = st.none() | st.integers(1, 12)
retentions = st.builds(Retention, keep_days=bounds, keep_last=bounds)
histories = st.dictionaries(
    st.integers(0, 20).map(lambda age: TODAY - timedelta(days=age)),
    st.builds(DateState, is_complete=st.booleans(), is_in_progress=st.booleans()),
)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def kept(retention: Retention, states: dict[date, DateState]) -> list[int]:
    """The ages, in days, of the dates that stay."""
    return sorted((TODAY - day).days for day in dates_kept(retention, TODAY, states))


def daily(count: int) -> dict[date, DateState]:
    return {ago(age): COMPLETE for age in range(count)}


@pytest.mark.parametrize(
    ("retention", "ages"),
    [
        (Retention(), [0, 1, 2, 3, 4, 5]),
        (Retention(keep_days=1), [0]),
        (Retention(keep_days=3), [0, 1, 2]),
        (Retention(keep_last=2), [0, 1]),
        (Retention(keep_days=2, keep_last=4), [0, 1, 2, 3]),
        (Retention(keep_days=4, keep_last=2), [0, 1, 2, 3]),
        (Retention(keep_last=7), [0, 1, 2, 3, 4, 5]),
        (Retention(keep_days=36_500), [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_date_stays_by_either_bound(retention: Retention, ages: list[int]) -> None:
    assert kept(retention, daily(6)) == ages


def test_the_newest_complete_inventory_stays_however_old_it_is() -> None:
    assert kept(Retention(keep_days=2), {ago(19): COMPLETE, ago(20): COMPLETE}) == [19]


def test_dates_that_never_became_complete_do_not_count_and_go_with_the_others() -> None:
    states = {ago(0): COMPLETE, ago(1): INCOMPLETE, ago(2): COMPLETE, ago(3): INCOMPLETE}
    assert kept(Retention(keep_last=2), states) == [0, 1, 2]


def test_a_date_in_progress_stays_with_its_baseline() -> None:
    states = daily(3) | {ago(15): AT_WORK, ago(16): COMPLETE, ago(17): COMPLETE}
    assert kept(Retention(keep_days=3), states) == [0, 1, 2, 15, 16]


def test_the_baseline_of_a_date_that_is_not_complete_stays() -> None:
    states = {ago(0): COMPLETE, ago(1): INCOMPLETE, ago(9): COMPLETE, ago(10): COMPLETE}
    assert kept(Retention(keep_days=2), states) == [0, 1, 9]


@given(retentions, histories)
def test_the_kept_dates_match_the_documented_rules(
    retention: Retention, states: dict[date, DateState]
) -> None:
    complete = sorted(day for day, state in states.items() if state.is_complete)
    stays = dates_kept(retention, TODAY, states)
    assert stays <= states.keys()
    newest = complete[-(retention.keep_last or 1) :]
    for day, state in states.items():
        is_young = retention.keep_days is not None and (TODAY - day).days < retention.keep_days
        is_last = any(day >= each for each in newest[:1])
        is_baseline = any(
            day == max((each for each in complete if each < other), default=None)
            for other in stays
            if not states[other].is_complete or states[other].is_in_progress
        )
        has_too_few = len(complete) < (retention.keep_last or 0)
        must_stay = is_young or is_last or state.is_in_progress or is_baseline or has_too_few
        assert (day in stays) == (must_stay or not retention)
