from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.metadata.asking import RequestBudget

hours_of_shards = st.lists(st.lists(st.integers(0, 6), max_size=20), max_size=5)


@given(hours_of_shards, st.integers(0, 60), st.integers(1, 2))
def test_the_newest_objects_are_chosen_over_all_shards_and_no_more_than_allowed(
    shards: list[list[int]], limit: int, per_object: int
) -> None:
    budget = RequestBudget(limit, per_object)
    budget.plan(Counter(hour for shard in shards for hour in shard))
    chosen: list[int] = []
    for shard in shards:
        hours = np.array(shard, np.int64)
        chosen += hours[budget.chosen(hours)].tolist()
    everything = sorted((hour for shard in shards for hour in shard), reverse=True)
    assert sorted(chosen, reverse=True) == everything[: limit // per_object]
    assert budget.left == len(everything) - len(chosen)


@given(hours_of_shards)
def test_without_a_limit_everything_is_chosen(shards: list[list[int]]) -> None:
    budget = RequestBudget(None, 1)
    for shard in shards:
        assert budget.chosen(np.array(shard, np.int64)).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 30), st.data())
def test_repeated_requests_are_part_of_the_budget(
    hours: list[int], limit: int, data: st.DataObject
) -> None:
    budget, sent = RequestBudget(limit, 1), 0
    budget.plan(Counter(hours))
    for hour in hours:
        if budget.chosen(np.array([hour], np.int64)).all():
            assert sent < limit  # the request that it begins with is within the budget
            requests = data.draw(st.integers(1, 3))
            budget.spent(requests)
            sent += requests
