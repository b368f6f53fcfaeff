"""The simulation finds what applying the rules to each record, day by day, finds."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.lifecycle.effects import DAYS, ActionKind, LifecycleSimulation
from inventory_assets.inventory.lifecycle.rules import (
    WATERFALL,
    Expiration,
    LifecycleRules,
    MinimumSize,
    NoncurrentExpiration,
    NoncurrentTransition,
    Rule,
    Transition,
)
from inventory_assets.inventory.lifecycle.simulation import simulate
from inventory_assets.inventory.pricing.price_table import load_prices
from inventory_assets_tests.inventory.lifecycle.fates import Fates, Version
from inventory_assets_tests.inventory.lifecycle.oracle import Expected, Oracle, renamed

AT = date(2026, 11, 29)
KIB_128 = 131_072
KEYS = ["a", "a/1", "a/2", "a/b/1", "b/1", "b/2", "c", "é/1"]
MIDNIGHT = datetime(2026, 11, 29, tzinfo=UTC)

PREFIXES = st.sampled_from(["", "", "a", "a/", "a/b/", "b/", "é/", "z/"])
DAYS_OF_RULES = st.integers(0, 40)
CLASSES = st.sampled_from(["STANDARD", *WATERFALL])
SIZES = st.sampled_from([0, 1, 1000, KIB_128 - 1, KIB_128, KIB_128 + 1, 200_000])
TIMES = st.one_of(
    st.none(),
    st.integers(-3 * 24 * 60, 45 * 24 * 60).map(lambda m: MIDNIGHT - timedelta(minutes=m)),
    st.integers(-3, 45).map(lambda d: MIDNIGHT - timedelta(days=d)),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    by_date = draw(st.booleans())

    def when() -> dict[str, object]:
        if by_date:
            return {"date": AT + timedelta(draw(st.integers(-5, 40)))}
        return {"days": draw(DAYS_OF_RULES)}

    def classes() -> list[str]:
        return draw(st.lists(st.sampled_from(WATERFALL), max_size=2, unique=True))

    expiration = draw(st.sampled_from(["none", "markers", "time", "time"]))
    return Rule(
        "",
        enabled=draw(st.integers(0, 5)) > 0,
        prefix=draw(PREFIXES),
        greater_than=draw(st.sampled_from([None, None, 500, KIB_128])),
        less_than=draw(st.sampled_from([None, None, 150_000])),
        tags=("a=b",) if draw(st.integers(0, 8)) == 0 else (),
        transitions=tuple(Transition(name, **when()) for name in classes()),  # type: ignore[arg-type]
        expiration={
            "none": None,
            "markers": Expiration(markers=True),
            "time": Expiration(**when()),  # type: ignore[arg-type]
        }[expiration],
        noncurrent_transitions=tuple(
            NoncurrentTransition(name, draw(DAYS_OF_RULES), draw(st.integers(0, 2)))
            for name in classes()
        ),
        noncurrent_expiration=draw(
            st.none()
            | st.builds(NoncurrentExpiration, DAYS_OF_RULES, st.sampled_from([0, 0, 1, 2, 3]))
        ),
    )


RULES = st.builds(
    LifecycleRules,
    st.lists(rules(), min_size=1, max_size=4).map(renamed),
    st.sampled_from(MinimumSize),
)
OBJECTS = st.lists(
    st.tuples(st.sampled_from(KEYS), SIZES, TIMES, CLASSES),
    min_size=1,
    max_size=8,
    unique_by=lambda each: each[0],
).map(lambda found: [Version(*each) for each in sorted(found, key=lambda each: each[0])])


@st.composite
def versions(draw: st.DrawFn) -> list[Version]:
    found = []
    for key in sorted(draw(st.sets(st.sampled_from(KEYS), min_size=1, max_size=3))):
        count = draw(st.integers(1, 5))
        times = [draw(TIMES) for _ in range(count)]
        known = sorted((time for time in times if time), reverse=True)
        for place, time in enumerate(times):
            is_marker = draw(st.integers(0, 2)) == 0
            found.append(
                Version(
                    key,
                    0 if is_marker else draw(SIZES),
                    known.pop(0) if time else None,
                    "" if is_marker else draw(CLASSES),
                    place == 0,
                    is_marker,
                )
            )
    return found


def batches(
    found: Sequence[Version], cuts: Sequence[int], *, of_versions: bool
) -> list[pa.RecordBatch]:
    columns = {
        "key": pa.array([v.key for v in found], pa.string()),
        "size": pa.array([None if v.is_marker else v.size for v in found], pa.int64()),
        "last_modified_date": pa.array([v.created for v in found], pa.timestamp("ms", tz="UTC")),
        "storage_class": pa.array([v.storage_class or None for v in found], pa.string()),
    }
    if of_versions:
        columns["is_latest"] = pa.array([v.is_latest for v in found], pa.bool_())
        columns["is_delete_marker"] = pa.array([v.is_marker for v in found], pa.bool_())
    batch = pa.RecordBatch.from_pydict(columns)
    bounds = sorted({0, len(found), *(cut % (len(found) + 1) for cut in cuts)})
    return [batch.slice(start, stop - start) for start, stop in pairwise(bounds)]


def check(found: LifecycleSimulation, expected: Expected, ids: Sequence[str]) -> None:
    daily: Counter[object] = Counter()
    daily_bytes: Counter[object] = Counter()
    for index, rule in enumerate(found.rules):
        assert rule.matched.objects == expected.matched[index]
        for action in rule.actions:
            deed = (index, action.kind, action.target)
            later_objects = action.at_rest.objects - action.in_days.objects
            later_bytes = action.at_rest.bytes - action.in_days.bytes
            assert len(action.daily) == DAYS
            for day, tally in enumerate(action.daily):
                daily[deed, day] += tally.objects
                daily_bytes[deed, day] += tally.bytes
            daily[deed, DAYS] += later_objects
            daily_bytes[deed, DAYS] += later_bytes
        deep = {each.prefix: (each.objects, each.bytes) for each in rule.prefixes}
        assert deep == {
            prefix: (count, expected.prefix_bytes[r, prefix])
            for (r, prefix), count in expected.prefixes.items()
            if r == index and prefix
        }
        shallow = (rule.others.objects, rule.others.bytes)
        assert shallow == (expected.prefixes[index, ""], expected.prefix_bytes[index, ""])
    assert +daily == +expected.daily
    assert +daily_bytes == +expected.daily_bytes

    def title(deed: tuple[int, ActionKind, str]) -> tuple[str, str]:
        return ids[deed[0]], f"{deed[1]} to {deed[2]}" if deed[2] else str(deed[1])

    assert {
        ((each.winner, each.winning), (each.loser, each.losing)): (
            each.objects,
            each.bytes,
            each.examples,
        )
        for each in found.disputes
    } == {
        (title(winner), title(loser)): (
            len(all_),
            sum(each.size for each in all_),
            tuple(dict.fromkeys(each.key for each in all_))[:3],
        )
        for (winner, loser), all_ in expected.disputes.items()
    }
    money = found.money
    assert money.before_usd == pytest.approx(expected.before)
    assert money.after_usd == pytest.approx(expected.after)
    assert money.at_rest_usd == pytest.approx(expected.at_rest)
    for place, cost in enumerate((money.in_days, money.in_all)):
        assert cost.transition_usd == pytest.approx(expected.transition[place])
        assert cost.early_deletion_usd == pytest.approx(expected.early[place])


@given(OBJECTS, RULES, st.lists(st.integers(0, 100), max_size=3))
def test_objects(found: list[Version], lifecycle: LifecycleRules, cuts: list[int]) -> None:
    prices = load_prices()
    expected = Oracle(Fates(lifecycle, AT, prices, has_versions=False)).bucket(found)
    simulated = simulate(batches(found, cuts, of_versions=False), lifecycle, AT, prices)
    check(simulated, expected, [rule.id for rule in lifecycle.rules])
    assert simulated.undated == sum(each.created is None for each in found)
    assert simulated.records.objects == len(found)


@settings(max_examples=100)
@given(versions(), RULES, st.lists(st.integers(0, 100), max_size=4))
def test_versions(found: list[Version], lifecycle: LifecycleRules, cuts: list[int]) -> None:
    prices = load_prices()
    expected = Oracle(Fates(lifecycle, AT, prices, has_versions=True)).bucket(found)
    simulated = simulate(batches(found, cuts, of_versions=True), lifecycle, AT, prices)
    check(simulated, expected, [rule.id for rule in lifecycle.rules])
    assert simulated.records.objects == len(found)
