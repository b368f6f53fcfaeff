"""The cursor of a reader of new objects, against a model of a bucket and its inventories."""

from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CursorRefused
from inventory_assets.inventory.query.change_cursor import (
    ChangeCursor,
    InventoryState,
    LoggedDate,
)
from inventory_assets_tests.inventory.feed_histories import (
    KEYS,
    ModelHistory,
    Step,
    listed_at,
    run,
    steps,
)
from inventory_assets_tests.inventory.samples import DAY


def state(age: int, manifest: str, clock: int) -> InventoryState:
    return InventoryState(DAY - timedelta(days=age), manifest, listed_at(clock))


def logged(after: InventoryState, before: InventoryState | None = None) -> LoggedDate:
    if before is None:
        return LoggedDate(after, None, None)
    return LoggedDate(after, before.day, before.manifest)


def of(*actions: str) -> list[Step]:
    """Steps as words: an action, and the key or the age of the date."""
    return [
        (action, rest if rest.isalpha() else "", int(rest) if rest.isdigit() else 0, False)
        for action, _, rest in (words.partition(" ") for words in actions)
    ]


TODAY_COMES_LATE = of(
    "day", "list 0", "write a", "inventory 1", "read", "publish 0", "log 0", "read", "day"
)
"""Today was listed before yesterday was listed again, and is published after it was read."""

YESTERDAY_AGAIN = of(
    "inventory 0", "read", "day", "inventory 0", "write a", "inventory 1", "log 0", "read", "read"
)
"""Yesterday is listed again after today."""


@settings(max_examples=2000, deadline=None)
@example(TODAY_COMES_LATE)
@example(YESTERDAY_AGAIN)
@given(steps)
def test_every_created_object_is_processed_exactly_once(actions: list[Step]) -> None:
    """Whatever is published, published again, late or missed, and however often a reader dies."""
    processed, held = run(ModelHistory(), actions)
    assert {found: count for found, count in processed.items() if count > 1} == {}
    assert held.items() <= processed.keys()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(KEYS), st.sampled_from(["write", "delete"])), max_size=3
        ),
        min_size=1,
        max_size=6,
    ),
    st.sets(st.integers(0, 6)),
)
def test_without_corrections_no_record_of_any_log_is_passed_over(
    days: list[list[tuple[str, str]]], read_on: set[int]
) -> None:
    """Also if the reader comes only every few days, and objects are deleted meanwhile."""
    history = ModelHistory()
    actions: list[Step] = [("inventory", "a", 0, False), ("read", "a", 0, False)]
    seen = set()
    bucket: dict[str, int] = {}
    for number, changes in enumerate(days):
        actions.append(("day", "a", 0, False))
        for key, action in changes:
            actions.append((action, key, 0, False))
            bucket[key] = len(actions)
            if action == "delete":
                del bucket[key]
        seen |= set(bucket.items())
        actions.append(("inventory", "a", 0, False))
        if number in read_on:
            actions.append(("read", "a", 0, False))
    processed, _ = run(history, actions)
    assert processed == dict.fromkeys(seen, 1)


def test_the_next_date_is_read_and_then_the_one_after_it() -> None:
    one, two, three = state(2, "x", 1), state(1, "y", 2), state(0, "z", 3)
    dates = [logged(three, two), logged(two, one), logged(one)]
    cursor = ChangeCursor("b/s", one)
    step = cursor.next_step(dates)
    assert step is not None
    assert (step.before, step.after) == (one, two)
    assert cursor.after(step).next_step(dates[:1]).after == three  # type: ignore[union-attr]
    assert ChangeCursor("b/s", three).next_step(dates) is None


def test_a_new_reader_begins_with_the_newest_inventory() -> None:
    dates = [logged(state(1, "x", 1)), logged(state(0, "y", 2))]
    step = ChangeCursor("b/s").next_step(dates)
    assert step is not None
    assert (step.before, step.after) == (None, state(0, "y", 2))


def test_a_date_that_is_published_again_is_corrected() -> None:
    old, new = state(0, "x", 1), state(0, "y", 2)
    step = ChangeCursor("b/s", old).next_step([logged(new)])
    assert step is not None
    assert (step.before, step.after) == (old, new)


def test_an_earlier_date_that_comes_late_is_not_read() -> None:
    stand = state(0, "x", 1)
    assert ChangeCursor("b/s", stand).next_step([logged(state(1, "y", 2)), logged(stand)]) is None


def test_today_is_passed_over_if_yesterday_was_listed_after_it() -> None:
    stand, yesterday, today = state(2, "x", 1), state(1, "y", 3), state(0, "z", 2)
    step = ChangeCursor("b/s", stand).next_step([logged(today), logged(yesterday)])
    assert step is not None
    assert step.after == yesterday
    assert ChangeCursor("b/s", yesterday).next_step([logged(today)]) is None


def test_a_cursor_survives_as_text() -> None:
    for cursor in (ChangeCursor("b/s"), ChangeCursor("b/s", state(0, "x", 1))):
        assert ChangeCursor.from_json(cursor.to_json(), "b/s") == cursor


def test_a_cursor_of_another_source_is_refused() -> None:
    text = ChangeCursor("bucket/logs").to_json()
    with pytest.raises(CursorRefused, match="belongs to the source 'bucket/logs', and this reads"):
        ChangeCursor.from_json(text, "bucket/images")


@pytest.mark.parametrize("text", ["", "2026-05-05", "[]", '{"source": 3}'])
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorRefused, match="no cursor of new objects"):
        ChangeCursor.from_json(text, "b/s")
