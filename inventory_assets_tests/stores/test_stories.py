"""A listing of an odd store is correct or fails with the reason, in thousands of random stories.

A seed, which the report prints, determines the stories. `STORES_SEED` repeats those of a seed, and
`STORES_STORIES` is their number.
"""

import asyncio
import os
import random
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, seed, settings

from inventory_assets.inventory.listing import shard_lister
from inventory_assets_tests.fakes.virtual_time import VirtualLoop
from inventory_assets_tests.inventory.few_records import files_of_few_records
from inventory_assets_tests.stores.habits import (
    Contradiction,
    EarlyEnd,
    Echo,
    Habits,
    Order,
    StartAfter,
    Tokens,
)
from inventory_assets_tests.stores.report import Noted
from inventory_assets_tests.stores.stories import Story, play, stories

_T = TypeVar("_T")

FEW, MANY = 60, 3000

_ONE = Habits(page_keys=1)
_SKIPPING = Habits(tokens=Tokens.SKIP_ALWAYS)
_BY_DIRECTORY = Habits(order=Order.DIRECTORY)
_NESTED = ["-", "-//0/", "-0/b", "/-", "0ba//", "b0", "b0aa0"]

ONCE_WRONG = {
    "pages of one key, some of which end a folder": (
        _ONE | _BY_DIRECTORY | Habits(early_end=EarlyEnd(chance=0.05)),
        [
            "-/",
            "-/0",
            "-0./.",
            ".",
            ".-",
            ".--.",
            ".-.0",
            ".-/0-",
            ".0..",
            ".0../",
            "/-0",
            "/.",
            "/.-",
            "/0",
            "0",
            "0-",
            "0---/",
            "0--.",
            "0-.0.",
            "0-0",
            "0.",
            "0..",
            "0.0",
            "0/",
            "0/.",
            "00",
            "000-",
        ],
        "exact",
    ),
    "an end between a folder and a name that begins like it": (
        _ONE | _BY_DIRECTORY | Habits(early_end=EarlyEnd()),
        ["a-b", "a/1", "a/2", "b"],
        "exact",
    ),
    "ends that make StartAfter look ignored": (
        _ONE | _BY_DIRECTORY | Habits(early_end=EarlyEnd(times=3)),
        ["-/", "-0", "-a", "/baa", "0/-0", "a", "a/", "a/--b0", "a000", "ab", "b0a", "bb-a0b"],
        "exact",
    ),
    "tokens skip keys, by folders": (
        Habits(page_keys=5) | _BY_DIRECTORY | _SKIPPING,
        _NESTED,
        "ListingStuck",
    ),
    "tokens skip keys, by folders, one key a page": (
        _ONE | _BY_DIRECTORY | _SKIPPING,
        _NESTED,
        "ListingStuck",
    ),
    "tokens skip keys, and StartAfter is ignored": (
        Habits(page_keys=2, start_after=StartAfter.IGNORED) | _SKIPPING,
        ["a", "b", "c"],
        "ListingUnsupported",
    ),
    "one key a page, and StartAfter leads to the key itself": (
        _ONE | Habits(start_after=StartAfter.INCLUSIVE) | _SKIPPING,
        ["a", "b", "c"],
        "ListingUnsupported",
    ),
    "directory order below the first level, and StartAfter by bytes": (
        _ONE | Habits(order=Order.DIRECTORY, order_from=1, start_after=StartAfter.BY_BYTES),
        [
            "//////////",
            "//////////-",
            "///////////",
            "/////////-",
            "/////////-.",
            "/////////-/",
            "/////////.",
            "/////////.0",
            "/////////0",
            "/////////0-",
            "/////////0.",
        ],
        "ListingStuck",
    ),
    "a listing that never ended": (
        _ONE | Habits(start_after=StartAfter.INCLUSIVE, tokens=Tokens.SKIP_AFTER_MADE_UP),
        ["a", "b", "c"],
        "ListingUnsupported",
    ),
}
"""Stories that once ended with names lost, or not at all."""


@pytest.fixture(scope="module", autouse=True)
def small_files() -> Iterator[None]:
    """Files of few records, soon noted."""
    real = asyncio.Runner
    with files_of_few_records(timedelta(seconds=0.1)) as patch:
        # A thread on virtual time waits for no other, and chance shall not depend on threads.
        patch.setattr(shard_lister, "DIRECTORY_SHARDS_AT_ONCE", 1)
        patch.setattr(asyncio, "run", partial(_run, real))
        yield


def _run(runner: type[asyncio.Runner], main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run` on virtual time."""
    with runner(loop_factory=VirtualLoop) as running:
        return running.run(main)


def test_a_page_that_contradicts_itself_is_requested_again(tmp_path: Path) -> None:
    """Into another buffer: the error holds views of the first one."""
    habits = _ONE | Habits(contradiction=Contradiction.COUNTS_WRONG, contradicted=1)
    story = Story(habits, ["a", "b"], 7, "", 1, [], 0.1, by_shards=False, heads=[])
    assert play(story, tmp_path) == "exact"


@pytest.mark.parametrize("second", ["  &&& +", "  "])
def test_a_made_up_key_is_tried_that_fits_between_two_others(second: str, tmp_path: Path) -> None:
    """No suffix fits between a key and one that goes on with a space."""
    keys = [" ", second, "%%<", "%漢 漢", "+", "<漢", "é", "é&🦄", "é🦄é<", "漢  &", "🦄%éé+"]
    habits = _ONE | Habits(tokens=Tokens.SKIP_AFTER_MADE_UP)
    story = Story(habits, keys, 0, "", 2, kills=[], churn=0.0, by_shards=False, heads=[])
    assert play(story, tmp_path) == "exact"


def test_an_old_listing_that_always_ends_too_early_continues_by_marker(tmp_path: Path) -> None:
    """It ignores StartAfter, and sends no token: only a marker shows that keys follow."""
    habits = Habits(
        tokens=Tokens.MARKER,
        page_keys=3,
        contradiction=Contradiction.ENDS_WITH_TOKEN,
        contradicted=1_000,
    )
    story = Story(habits, _NESTED, 0, "", 2, kills=[], churn=0.0, by_shards=False, heads=[])
    assert play(story, tmp_path) == "exact"


def test_a_probe_repeats_requests_whose_responses_are_to_others(tmp_path: Path) -> None:
    """Such responses made the probe distrust what the store repeats of requests."""
    habits = Habits(page_keys=10, stale=0.3, stale_times=4)
    keys = [" ", "%", "%漢", "&", "& ", "&&", "+", "++", "+🦄", "<", "<%", "<<", "é", "漢+", "🦄"]
    for start in range(889, 894):
        story = Story(habits, keys, start, "+", 5, [45, 21, 25], 0.0, by_shards=True, heads=["++"])
        assert play(story, tmp_path / str(start)) == "exact"


@pytest.mark.parametrize("order", [Order.REVERSE, Order.CASELESS])
def test_an_early_end_in_an_unknown_order_is_refused(order: Order, tmp_path: Path) -> None:
    """Nothing can be requested behind the last name."""
    habits = Habits(order=order, page_keys=3, early_end=EarlyEnd(after=3, chance=1.0))
    keys = ["B", "D", "Z", "a", "c", "k", "x"]
    story = Story(habits, keys, 0, "", 2, kills=[], churn=0.0, by_shards=False, heads=[])
    assert play(story, tmp_path) == "KeysOutOfOrder"


@pytest.mark.parametrize("start", [3, 7, 8])
def test_names_that_come_before_the_reported_end_are_not_ignored(
    start: int, tmp_path: Path
) -> None:
    """A page of one name shows no order; what follows its end does."""
    habits = _ONE | Habits(order=Order.REVERSE, early_end=EarlyEnd(chance=0.3))
    keys = ["a", "b", "c", "d"]
    story = Story(habits, keys, start, "", 1, kills=[], churn=0.0, by_shards=False, heads=[])
    assert play(story, tmp_path) == "KeysOutOfOrder"


@pytest.mark.parametrize("start", [30, 33, 40, 60])
def test_two_probes_that_differ_are_no_reason_to_trust_tokens(start: int, tmp_path: Path) -> None:
    """One of them had found that tokens skip keys; the other one had a response to another."""
    habits = Habits(page_keys=10, stale=0.3, stale_times=5) | _SKIPPING
    keys = [f"é{number:02}" for number in range(40)]
    story = Story(habits, keys, start, "", 2, kills=[], churn=0.0, by_shards=False, heads=[])
    assert play(story, tmp_path) == "exact"


def test_a_response_that_repeats_what_was_not_sent_is_to_another_request(tmp_path: Path) -> None:
    """A second probe had such a response, and what the first one had seen was forgotten."""
    habits = _ONE | Habits(stale=0.3, stale_times=3)
    keys, heads = ["{", "{0{"], ["a", "{"]
    story = Story(habits, keys, 4_102_444_800, "{", 3, [], 0.0, by_shards=True, heads=heads)
    assert play(story, tmp_path) == "exact"


def test_a_record_that_cannot_be_read_is_counted_where_two_ranges_meet(tmp_path: Path) -> None:
    """The range on the left shows it beyond its end; the one on the right begins behind it."""
    lacking = Habits(markers_lack=frozenset({"ETag", "LastModified", "Size"}))
    habits = Habits(page_keys=8, order=Order.DIRECTORY, order_from=1) | lacking
    for keys in (["//"], ["/\x01", "//", "/b"]):
        story = Story(habits, keys, 0, "", 1, [], 0.0, by_shards=True, heads=["/\x01", "\0a"])
        assert play(story, tmp_path / str(len(keys))) == "exact"


def check(number: int, start: int | None, noted: Noted) -> None:
    """Play so many stories; those of a seed, or always the same."""
    results: Counter[str] = Counter()

    @settings(
        max_examples=number,
        derandomize=start is None,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(stories())
    def each(story: Story) -> None:
        with tempfile.TemporaryDirectory() as folder:
            result = play(story, Path(folder))
        results["exact" if result == "exact" else "refused"] += 1

    try:
        (each if start is None else seed(start)(each))()
    except AssertionError as error:
        results["lost" if "lost" in str(error) else "doubled"] += 1
        raise
    finally:
        named = "always the same" if start is None else f"STORES_SEED={start}"
        noted.stories(f"Stories that chance drew ({named})", results)


def test_a_listing_is_correct_or_refused_with_the_reason(noted: Noted) -> None:
    check(FEW, None, noted)


@pytest.mark.parametrize("by_shards", [False, True], ids=["a folder", "shards"])
@pytest.mark.parametrize("name", ONCE_WRONG)
def test_a_scenario_that_failed_once(name: str, by_shards: bool, tmp_path: Path) -> None:
    habits, keys, expected = ONCE_WRONG[name]
    story = Story(habits, keys, 0, "", 1, kills=[], churn=0.0, by_shards=by_shards, heads=[])
    assert play(story, tmp_path) == expected


@pytest.mark.parametrize("tokens", [Tokens.TRUE, Tokens.MARKER])
@pytest.mark.parametrize("start_after", [StartAfter.EXCLUSIVE, StartAfter.INCLUSIVE])
@pytest.mark.parametrize("page_keys", [1, 8])
@pytest.mark.parametrize("keys", [["aaa/"], ["aaa/", "aab/"], ["aaa/", "aac"]])
def test_a_gap_ends_where_only_unreadable_records_follow(
    keys: list[str], page_keys: int, start_after: StartAfter, tokens: Tokens, tmp_path: Path
) -> None:
    """Asked what follows such a record, a store may list the record again, for ever."""
    habits = Habits(
        page_keys=page_keys,
        start_after=start_after,
        tokens=tokens,
        markers_lack=frozenset({"ETag", "LastModified", "Size"}),
    )
    story = Story(habits, keys, 0, "a", 5, [], 0.0, by_shards=True, heads=["/a/", "/b/"])
    # No key can be read that shows how this store continues after a page.
    is_stuck = tokens is Tokens.MARKER and len(keys) > page_keys
    assert play(story, tmp_path) == ("ListingStuck" if is_stuck else "exact")


def test_an_empty_page_before_each_misplaced_one_does_not_prolong_a_listing(
    tmp_path: Path,
) -> None:
    """It counted as a success, so the page after it was requested again, for ever."""
    habits = _ONE | Habits(start_after=StartAfter.IGNORED, echo=Echo.NONE, empty_pages=1)
    story = Story(habits, ["b"], 0, "", 8, [], 0.0, by_shards=True, heads=["c", "d"])
    assert play(story, tmp_path) == "exact"


@pytest.mark.stores
def test_thousands_of_listings_are_correct_or_refused_with_the_reason(noted: Noted) -> None:
    start = int(os.environ.get("STORES_SEED") or random.randrange(2**32))  # noqa: S311
    check(int(os.environ.get("STORES_STORIES") or MANY), start, noted)
