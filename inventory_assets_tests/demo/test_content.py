import datetime as dt
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.demo.content import demo_objects, demo_versions
from inventory_assets.demo.neglect import demo_uploads
from inventory_assets.demo.values import PART_BYTES, DemoMarker, DemoObject, DemoVersion

DAY = dt.timedelta(days=1)
SUNDAY = dt.date(2026, 11, 22)

days = st.dates(dt.date(1970, 1, 2), dt.date(2200, 1, 1))
any_days = settings(max_examples=8, deadline=None)

OF_A_RHYTHM = ("incoming/", "hostile/", "surveys/", "backups/")
"""Prefixes whose objects do not live and change as the others do."""


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
    return "\n".join(map(repr, [*demo_versions(day).items(), demo_uploads(day)]))


def noncurrent(versions: Mapping[str, Sequence[DemoVersion]]) -> list[DemoObject]:
    return [
        each for of_key in versions.values() for each in of_key[1:] if isinstance(each, DemoObject)
    ]


def test_a_day_is_the_same_in_every_process() -> None:
    code = (
        "import datetime as dt; from inventory_assets.demo import demo_uploads, demo_versions;"
        "day = dt.date(2026, 11, 22);"
        "print('\\n'.join(map(repr, [*demo_versions(day).items(), demo_uploads(day)])))"
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
    assert 3_900 <= len(keys) <= 4_200
    assert all(1 <= len(key) <= 1_024 and b"\n" not in key for key in keys)


@given(day=days)
@any_days
def test_two_levels_make_a_bounded_number_of_shards_and_leave_some_keys_above(
    day: dt.date,
) -> None:
    slashes = Counter(min(key.count("/"), 2) for key in by_key(day))
    prefixes = {tuple(key.split("/")[:2]) for key in by_key(day) if key.count("/") >= 2}
    assert 10 <= len(prefixes) <= 12
    assert slashes[0] >= 3
    assert slashes[1] >= 10


@given(day=days)
@any_days
def test_every_kind_of_change_happens_every_day_and_nothing_else(day: dt.date) -> None:
    kinds = Counter(kind for key, kind in changes(day).items() if not key.startswith(OF_A_RHYTHM))
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
def test_a_new_prefix_arrives_each_day_and_goes_after_three(day: dt.date) -> None:
    arrived = f"incoming/{day.isoformat()}/"

    def held(on: dt.date) -> list[DemoObject]:
        return [found for found in by_key(on).values() if found.key.startswith(arrived)]

    assert 20 <= len(held(day)) <= 40
    assert held(day - DAY) == []
    assert held(day + 2 * DAY) == held(day)
    assert held(day + 3 * DAY) == []


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


@given(day=days)
@any_days
def test_the_versions_of_a_key_are_listed_newest_first_and_have_ids_of_their_own(
    day: dt.date,
) -> None:
    versions = demo_versions(day)
    assert list(versions) == sorted(versions, key=str.encode)
    for key, of_key in versions.items():
        assert {each.key for each in of_key} == {key}
        assert len({each.version_id for each in of_key}) == len(of_key)
        times = [each.last_modified for each in of_key]
        assert times == sorted(set(times), reverse=True)
        assert times[0] <= settled_at(day)
    latest = {key: of_key[0] for key, of_key in versions.items()}
    current = {key: each for key, each in latest.items() if isinstance(each, DemoObject)}
    assert current == by_key(day)


@given(day=days)
@any_days
def test_what_is_replaced_or_deleted_becomes_noncurrent_and_is_removed_a_week_later(
    day: dt.date,
) -> None:
    today, before = demo_versions(day), by_key(day - DAY)
    later = demo_versions(day + 7 * DAY)
    written = {key for key, kind in changes(day).items() if kind in {"modified", "touched"}}
    deleted = {key for key, kind in changes(day).items() if kind == "deleted"}
    for key in (written | deleted) - {key for key in before if key.startswith(OF_A_RHYTHM)}:
        of_key, replaced = today[key], before[key]
        assert isinstance(of_key[0], DemoMarker) == (key in deleted)
        assert of_key[1] == replaced
        assert replaced.version_id not in [each.version_id for each in later.get(key, ())]


@given(day=days)
@any_days
def test_noncurrent_versions_are_a_fifth_of_all_bytes_or_more_and_most_are_of_backups(
    day: dt.date,
) -> None:
    versions = demo_versions(day)
    old = noncurrent(versions)
    size = sum(each.size for each in old)
    whole = size + sum(each.size for each in by_key(day).values())
    assert 0.2 < size / whole < 0.6
    backups = sum(each.size for each in old if each.key.startswith("backups/databases/"))
    assert backups / size > 0.6


@given(day=days)
@any_days
def test_some_delete_markers_hide_nothing(day: dt.date) -> None:
    alone = [of_key for of_key in demo_versions(day).values() if len(of_key) == 1]
    assert 20 <= sum(isinstance(marker, DemoMarker) for (marker,) in alone) <= 200


@given(day=days)
@any_days
def test_a_survey_grew_by_half_within_a_week_and_is_the_one_that_grew_most(day: dt.date) -> None:
    def sizes(on: dt.date) -> Counter[str]:
        found: Counter[str] = Counter()
        for key, each in by_key(on).items():
            if key.startswith("surveys/"):
                found["/".join(key.split("/")[:3])] += each.size
        return found

    now, before = sizes(day), sizes(day - 7 * DAY)
    grown = [now[survey] / before[survey] for survey in now if before[survey]]
    assert max(grown) > 1.45
    assert max((now - before).values()) > 19e9


@given(day=days)
@any_days
def test_many_small_objects_are_in_a_class_that_bills_them_as_larger_ones(day: dt.date) -> None:
    small = [
        each
        for each in by_key(day).values()
        if each.storage_class == "STANDARD_IA" and each.size < 128 * 1024
    ]
    assert len(small) > 300


@given(day=days)
@any_days
def test_uploads_are_unfinished_for_up_to_three_months(day: dt.date) -> None:
    uploads = demo_uploads(day)
    assert 18 <= len(uploads) <= 22
    assert [upload.key for upload in uploads] == sorted(upload.key for upload in uploads)
    ages = [(settled_at(day) - upload.initiated).days for upload in uploads]
    assert min(ages) < 9
    assert 80 <= max(ages) <= 90
    assert all(sum(upload.parts) >= PART_BYTES for upload in uploads)


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
