from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.listing.run_plan import (
    balanced_slices,
    planned_runs,
    shard_weights,
    shared_slices,
)


def heaviest_of_all_divisions(weights: list[int], count: int) -> int:
    """The least weight that the heaviest part can have, by trying all divisions."""
    divisions = combinations(range(1, len(weights)), count - 1)
    return min(
        max(
            sum(weights[start:stop])
            for start, stop in zip((0, *cuts), (*cuts, len(weights)), strict=True)
        )
        for cuts in divisions
    )


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(1, 10))
def test_the_parts_cover_all_in_order_and_the_heaviest_is_as_light_as_possible(
    weights: list[int], count: int
) -> None:
    slices = balanced_slices(weights, count)
    covered = [index for each in slices for index in range(len(weights))[each]]
    assert covered == [*range(len(weights))]
    assert len(slices) == min(count, len(weights))
    assert all(weights[each] for each in slices)
    heaviest = max(sum(weights[each]) for each in slices)
    assert heaviest == heaviest_of_all_divisions(weights, len(slices))


def test_nothing_has_no_parts() -> None:
    assert balanced_slices([], 3) == []


def test_one_shard_that_outweighs_all_others_has_a_run_of_its_own() -> None:
    assert balanced_slices([5, 5, 1000, 5], 3) == [slice(0, 2), slice(2, 3), slice(3, 4)]


def test_ten_thousand_shards_are_divided_evenly() -> None:
    slices = balanced_slices([10**9] * 10_000, 64)
    assert len(slices) == 64
    assert max(each.stop - each.start for each in slices) == 157


def test_an_empty_shard_and_an_unknown_one_have_weight() -> None:
    rows = {"a/": 0, "b/": 7000, "c/": 9000}
    assert shard_weights(["a/", "b/", "new/"], rows) == [1000, 8000, 8000]
    assert shard_weights(["a/", "b/"], {}) == [1000, 1000]


def test_no_more_runs_than_there_are_objects_for() -> None:
    rows = {"a/": 40, "b/": 61}
    assert planned_runs(rows, 8, 50) == 3
    assert planned_runs(rows, 2, 50) == 2
    assert planned_runs({"a/": 0}, 8, 50) == 1
    assert planned_runs(rows, 8, None) == 8


def test_without_a_manifest_all_runs_are_started() -> None:
    assert planned_runs({}, 8, 50) == 8


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.integers(1, 10))
def test_runs_that_share_have_neighbours_alike_in_weight(weights: list[int], count: int) -> None:
    slices = shared_slices(weights, count)
    assert len(slices) == count
    runs = [[*range(len(weights))[each]] for each in slices]
    assert all(runs)
    assert [*dict.fromkeys(index for run in runs for index in run)] == [*range(len(weights))]
    for index, weight in enumerate(weights):
        if weight * count < sum(weights):  # it is lighter than the part of a run
            assert sum(index in run for run in runs) == 1
    # How much each run lists of a shard that several have, they settle while they list.
    having = [sum(index in run for run in runs) for index in range(len(weights))]
    alone = [sum(weights[index] for index in run if having[index] == 1) for run in runs]
    assert max(alone) <= 2 * sum(weights) / count + 1e-6


def test_one_shard_is_shared_by_all_runs() -> None:
    assert shared_slices([7], 3) == [slice(0, 1)] * 3
    assert shared_slices([], 3) == []


def test_a_heavy_shard_is_shared_and_the_light_ones_are_not() -> None:
    assert shared_slices([5, 5, 1000, 5], 3) == [slice(0, 3), slice(2, 3), slice(2, 4)]
    assert shared_slices([10, 10, 10, 10], 2) == [slice(0, 2), slice(2, 4)]
