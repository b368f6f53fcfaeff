from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory import taking
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.manifests import merge, publish_manifest
from inventory_assets.inventory.parts import Part
from inventory_assets.inventory.store import LocalStore
from inventory_assets.inventory.taking import Taker, cuts_of
from inventory_assets.s3 import Connection
from inventory_assets.scan import KeyRange, cut_out
from inventory_assets_tests.inventory.samples import DAY, NOW
from inventory_assets_tests.model_s3 import ModelS3

LAYOUT = Layout("model", "source")


def part(first: str, last: str, rows: int = 100_000) -> Part:
    return Part("data/x", rows, 0, 0, "", first, last, ())


@given(
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=12, unique=True).map(sorted),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=6, unique=True).map(sorted),
    st.integers(1, 5),
)
def test_cuts_are_ends_of_parts_within_the_ranges_evenly_chosen(
    ends: list[str], bounds: list[str], count: int
) -> None:
    parts = [part(end, end) for end in ends]
    ranges = [KeyRange(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=False)]
    inside = [end for end in ends if any(each.after < end < each.until for each in ranges)]
    cuts = cuts_of(parts, ranges, count)
    assert len(cuts) == min(count, len(inside))
    assert set(cuts) <= set(inside)
    assert cuts == sorted(cuts)


def test_a_small_shard_is_not_cut() -> None:
    parts = [part("a", "b", 10), part("c", "d", 10)]
    assert cuts_of(parts, [KeyRange("", "z")], 8) == []


def test_a_listing_begins_where_the_parts_of_the_day_before_ended(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[Sequence[str]] = []

    def noted(*found: object) -> list[str]:
        cut.append(cuts_of(*found))  # type: ignore[arg-type]
        return [*cut[-1]]

    monkeypatch.setattr(taking, "cuts_of", noted)
    monkeypatch.setattr(taking, "ROWS_WORTH_CUTTING", 10)
    keys = [f"{number:03}" for number in range(90)]
    first = Taker(ModelS3(keys, 10), store, LAYOUT, now=lambda: NOW)
    shards = [cut_out("", ["0"]), cut_out("0", [])]
    snapshots = {shard.prefix: first.take(DAY, shard) for shard in shards}
    publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))
    assert cut == [[], []]

    lister = ModelS3([*keys, "0451", "1"], 10)
    lister.connection = Connection("model", max_in_flight=4)
    later = Taker(lister, store, LAYOUT, now=lambda: NOW)
    found = later.take(DAY + timedelta(days=1), cut_out("", []))
    assert cut[2] == [part.last_key for part in snapshots["0"].parts][-len(cut[2]) :]
    assert found.rows == 92
