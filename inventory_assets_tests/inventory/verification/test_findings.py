"""The comparison of an inventory's records with a bucket's objects."""

from collections.abc import Mapping
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.verification.findings import (
    CLOCK_SKEW,
    LONGEST_UPLOAD,
    ComparedFields,
    Finding,
    differences,
)
from inventory_assets_tests.inventory.samples import NOW

# The comparison

EARLIER = NOW - timedelta(days=30)
MOMENTS = [
    EARLIER,
    NOW - LONGEST_UPLOAD - timedelta(milliseconds=1),
    NOW - LONGEST_UPLOAD,
    NOW - CLOCK_SKEW - timedelta(milliseconds=1),
    NOW - CLOCK_SKEW,
    NOW,
    NOW + timedelta(days=1),
]
objects = st.builds(
    ComparedFields,
    st.integers(0, 1),
    st.sampled_from(MOMENTS),
    st.sampled_from([None, "e", "f", "e-2"]),
)
sides = st.dictionaries(st.sampled_from("abcde"), objects)


def plain_differences(
    held: Mapping[str, ComparedFields], found: Mapping[str, ComparedFields]
) -> list[tuple[str, Finding]]:
    """The reference implementation, which treats each key and each case separately."""
    told = []
    for key in "abcde":
        if key not in held and key not in found:
            continue
        if key not in found:
            told.append((key, Finding.MISSING_IN_BUCKET))
            continue
        now = found[key]
        age_at_listing = NOW - now.last_modified
        if now.e_tag is not None and now.e_tag.endswith("-2"):
            may_be_younger = age_at_listing <= LONGEST_UPLOAD
        else:
            may_be_younger = age_at_listing <= CLOCK_SKEW
        if key not in held and may_be_younger:
            told.append((key, Finding.CREATED_SINCE))
        elif key not in held:
            told.append((key, Finding.MISSING))
        else:
            before = held[key]
            same = (before.size, before.last_modified, before.e_tag) == (
                now.size,
                now.last_modified,
                now.e_tag,
            )
            if not same:
                told.append((key, Finding.MODIFIED_SINCE if may_be_younger else Finding.ALTERED))
    return told


@given(held=sides, found=sides)
def test_differences_are_those_of_a_plain_comparison(
    held: dict[str, ComparedFields], found: dict[str, ComparedFields]
) -> None:
    assert sorted(differences(held, found, NOW).items()) == plain_differences(held, found)


def test_an_equal_object_does_not_differ_whatever_its_age() -> None:
    same = {"a": ComparedFields(1, NOW + timedelta(days=1), "e")}
    assert differences(same, same, NOW) == {}
