"""The evidence of several participants is compared at the seams between their ranges."""

from inventory_assets.inventory.shared_listing.completion import disagreements
from inventory_assets.inventory.shared_listing.range_worker import joined_evidence, narrowed
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_lower_bound
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence, Seam


def row(
    after: str,
    until: str,
    keys: str = "",
    next_key: str | None = None,
    ending: Ending = Ending.BOUND_REACHED,
) -> RangeEvidence:
    first, last = (keys[0], keys[-1]) if keys else (None, None)
    return RangeEvidence(KeyRange(after, until), len(keys), first, last, 1, ending, next_key)


def test_ranges_that_agree_need_not_be_listed_again() -> None:
    assert (
        disagreements([row("", "f", "abc", "h"), row("f", "m", "hk", "x"), row("m", "z", "x")])
        == []
    )
    assert disagreements([row("", "f", "abc"), row("f", "z")]) == []
    assert disagreements([row("", "z")]) == []


def test_a_key_that_only_the_left_side_saw_is_listed_again() -> None:
    found = disagreements([row("", "f", "abc", "g"), row("f", "z", "hk")])
    assert found == [(KeyRange("c", prefix_lower_bound("h")), "h")]


def test_a_key_in_a_range_that_another_found_empty_is_listed_again() -> None:
    found = disagreements([row("", "f", "abc", "g"), row("f", "m", "", "x"), row("m", "z", "x")])
    assert found == [(KeyRange("c", prefix_lower_bound("x")), "x")]


def test_overlapping_doubts_are_listed_once() -> None:
    found = disagreements([row("", "f", "abc", "g"), row("f", "m", "", "p"), row("m", "z", "x")])
    assert found == [(KeyRange("c", prefix_lower_bound("x")), "x")]


def test_a_key_after_the_end_that_a_participant_saw_is_listed_again() -> None:
    assert disagreements([row("", "f", "abc"), row("f", "z", "hk")]) == [
        (KeyRange("c", prefix_lower_bound("h")), "h")
    ]
    assert disagreements([row("", "f", "abc", "g"), row("f", "z")]) == [(KeyRange("c", "z"), None)]


def test_what_lies_beyond_a_resumed_range_is_unknown() -> None:
    resumed = row("", "f", "abc", ending=Ending.RESUMED)
    assert disagreements([resumed, row("f", "z", "hk")]) == []


def test_adjacent_ranges_of_one_participant_are_joined() -> None:
    first, second, third = row("", "c", "ab", "d"), row("c", "f", "", "g"), row("f", "m", "gh", "x")
    (joined,) = joined_evidence([third, first, second])
    assert joined == RangeEvidence(
        KeyRange("", "m"), 4, "a", "h", 3, Ending.BOUND_REACHED, "x", Seam.NOT_COMPARED
    )
    apart = row("p", "z", "q")
    assert joined_evidence([apart, third, first, second]) == (joined, apart)


def test_a_resumed_range_whose_beginning_was_listed_again_is_shorter() -> None:
    resumed = row("c", "m", "fgh", ending=Ending.RESUMED)
    head = row("c", "e", "d", "f")
    (shorter,) = narrowed([resumed], [head])
    assert shorter.key_range == KeyRange("e", "m")
    assert narrowed([resumed], [row("m", "z")]) == [resumed]
