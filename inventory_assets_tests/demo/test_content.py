import datetime as dt
import math
import os
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from importlib import resources

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.demo.content import PART_BYTES, DemoObject, demo_objects

DAY = dt.timedelta(days=1)
SUNDAY = dt.date(2026, 11, 22)

days = st.dates(dt.date(1970, 1, 2), dt.date(2200, 1, 1))
any_days = settings(max_examples=8, deadline=None)


@lru_cache(maxsize=8)
def by_key(day: dt.date) -> dict[str, DemoObject]:
    return {found.key: found for found in demo_objects(day)}


def settled_at(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(1, tzinfo=dt.UTC))


def change(before: DemoObject | None, after: DemoObject | None) -> str:
    """Name what happened, from all the fields; a mixture of two kinds is no kind."""
    if before is None or after is None:
        return "created" if before is None else "deleted"
    if before == after:
        return "unchanged"
    same_content = (before.e_tag, before.size) == (after.e_tag, after.size)
    same_class = before.storage_class == after.storage_class
    if before.e_tag != after.e_tag and before.last_modified < after.last_modified:
        return "modified"
    if same_content and same_class and before.last_modified < after.last_modified:
        return "touched"
    if same_content and not same_class and before.last_modified == after.last_modified:
        return "transitioned"
    return "unexplained"


def changes(day: dt.date) -> dict[str, str]:
    before, after = by_key(day - DAY), by_key(day)
    return {key: change(before.get(key), after.get(key)) for key in before.keys() | after.keys()}


def printed(day: dt.date) -> str:
    return "\n".join(map(repr, demo_objects(day)))


def test_a_day_is_the_same_in_every_process() -> None:
    code = (
        "import datetime, sys; from inventory_assets.demo.content import demo_objects;"
        "print('\\n'.join(map(repr, demo_objects(datetime.date(2026, 11, 22)))))"
    )
    for seed in ("1", "2"):
        other = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": "Pacific/Kiritimati"},
            capture_output=True,
            check=True,
            encoding="utf-8",
        )
        assert other.stdout == printed(SUNDAY) + "\n"


def test_a_day_does_not_depend_on_earlier_calls() -> None:
    first = demo_objects(SUNDAY)
    demo_objects(SUNDAY + 40 * DAY)
    demo_objects(SUNDAY - 40 * DAY)
    assert demo_objects(SUNDAY) == first


@given(day=days)
@any_days
def test_keys_are_unique_legal_and_sorted_by_their_bytes(day: dt.date) -> None:
    keys = [found.key.encode() for found in demo_objects(day)]
    assert keys == sorted(set(keys))
    assert 3_000 <= len(keys) <= 3_500
    assert all(1 <= len(key) <= 1_024 and b"\n" not in key for key in keys)


@given(day=days)
@any_days
def test_two_levels_make_a_bounded_number_of_shards_and_leave_some_keys_above(
    day: dt.date,
) -> None:
    slashes = Counter(min(key.count("/"), 2) for key in by_key(day))
    prefixes = {tuple(key.split("/")[:2]) for key in by_key(day) if key.count("/") >= 2}
    assert 40 <= len(prefixes) <= 60
    assert slashes[0] >= 3
    assert slashes[1] >= 10


@given(day=days)
@any_days
def test_every_kind_of_change_happens_every_day_and_nothing_else(day: dt.date) -> None:
    kinds = Counter(
        kind for key, kind in changes(day).items() if not key.startswith(("incoming/", "hostile/"))
    )
    assert kinds["unexplained"] == 0
    for kind in ("created", "modified", "deleted"):
        assert 0.003 <= kinds[kind] / kinds.total() <= 0.02, kind
    assert 1 <= kinds["touched"] <= 45
    assert 1 <= kinds["transitioned"] <= 45
    assert kinds["unchanged"] / kinds.total() > 0.93


@given(day=days)
@any_days
def test_only_what_was_written_since_the_day_before_has_a_new_date(day: dt.date) -> None:
    for key, kind in changes(day).items():
        if (found := by_key(day).get(key)) is None:
            continue
        assert found.last_modified <= settled_at(day)
        is_new = found.last_modified > settled_at(day - DAY)
        assert is_new == (kind in {"created", "modified", "touched"}), (key, kind)


@given(day=days)
@any_days
def test_a_new_prefix_arrives_each_day_and_goes_after_five(day: dt.date) -> None:
    arrived = f"incoming/{day.isoformat()}/"

    def held(on: dt.date) -> list[DemoObject]:
        return [found for found in by_key(on).values() if found.key.startswith(arrived)]

    assert 20 <= len(held(day)) <= 40
    assert held(day - DAY) == []
    assert held(day + 4 * DAY) == held(day)
    assert held(day + 5 * DAY) == []


def test_dates_spread_over_the_weeks_before_the_day() -> None:
    ages = [(settled_at(SUNDAY) - found.last_modified).days for found in demo_objects(SUNDAY)]
    assert {age // 7 for age in ages} >= set(range(12))
    assert max(ages) <= 100


def test_sizes_go_from_nothing_to_tens_of_gigabytes_and_are_mostly_of_kilobytes() -> None:
    sizes = sorted(found.size for found in demo_objects(SUNDAY))
    assert sizes[0] == 0
    assert 2 * 1024 < sizes[len(sizes) // 2] < 32 * 1024
    assert 10 * 1024**3 < sizes[-1] < 100 * 1024**3


@given(day=days)
@any_days
def test_an_e_tag_counts_the_parts_of_a_large_object(day: dt.date) -> None:
    large = 0
    for found in demo_objects(day):
        md5, _, parts = found.e_tag.partition("-")
        assert len(bytes.fromhex(md5)) == 16
        large += found.size > PART_BYTES
        assert parts == (str(math.ceil(found.size / PART_BYTES)) if found.size > PART_BYTES else "")
        assert (found.size == 0) == (md5 == "d41d8cd98f00b204e9800998ecf8427e")
    assert large > 50


def test_classes_metadata_and_checksums_are_mixed() -> None:
    found = demo_objects(SUNDAY)
    classes = Counter(each.storage_class for each in found)
    assert set(classes) == {"STANDARD", "STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"}
    assert classes["STANDARD"] > len(found) / 2
    assert {each.checksum_algorithm for each in found} == {None, "CRC32", "CRC64NVME"}
    assert 0.1 < sum(bool(each.metadata) for each in found) / len(found) < 0.5


def test_dates_are_aware_and_in_utc() -> None:
    assert {found.last_modified.tzinfo for found in demo_objects(SUNDAY)} == {dt.UTC}


@pytest.mark.parametrize(
    "mark", [" ", "+", "//", "..", "%2B", "<script>", '"', "'", "\t", "\u202e", "\U00020000"]
)
def test_hostile_names_are_there_every_day(mark: str) -> None:
    for day in (SUNDAY, SUNDAY + 50 * DAY):
        assert any(mark in key for key in by_key(day) if key.startswith("hostile/keys/"))


def test_the_sample_of_names_is_small_sorted_and_not_only_ascii() -> None:
    data = resources.files("inventory_assets.demo").joinpath("key_names.txt.zst").read_bytes()
    assert len(data) < 100_000
    names = zstandard.decompress(data).removesuffix(b"\n").split(b"\n")
    assert names == sorted(set(names))
    assert all(names)
    for marks in (b" ", b"+"):
        assert sum(marks in name for name in names) >= 25
    assert any(not name.isascii() for name in names)
    assert max(name.count(b"/") for name in names) >= 12
