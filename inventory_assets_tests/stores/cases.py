"""The cases: a habit, a bucket that shows it, and what an inventory of it must be."""

from collections.abc import Sequence
from itertools import combinations

from inventory_assets_tests.stores.buckets import (
    astral,
    everything,
    in_versions,
    mixed_case,
    named,
    numbered_years,
    siblings,
    small,
    wide,
)
from inventory_assets_tests.stores.case import ALWAYS, Case
from inventory_assets_tests.stores.habits import (
    AWS,
    Busy,
    Contradiction,
    EarlyEnd,
    Echo,
    Encoding,
    Habits,
    Order,
    StartAfter,
    Times,
    Tokens,
)
from inventory_assets_tests.stores.holdings import folders
from inventory_assets_tests.stores.record_cases import name_cases, record_cases, version_cases

ANY = r"order|token|start-?after|marker|disagree|seam|encod|profile|Size|LastModified|twice|outside"
"""What the refusal of a store with two habits may be about."""

SINGLE_HABITS = {
    "directory order": Habits(order=Order.DIRECTORY),
    "keys backwards": Habits(order=Order.REVERSE),
    "StartAfter inclusive": Habits(start_after=StartAfter.INCLUSIVE),
    "StartAfter ignored": Habits(start_after=StartAfter.IGNORED),
    "StartAfter within the prefix": Habits(start_after=StartAfter.WITHIN_PREFIX_OR_EMPTY),
    "tokens skip after a made-up key": Habits(tokens=Tokens.SKIP_AFTER_MADE_UP),
    "pages by Marker": Habits(tokens=Tokens.MARKER),
    "encoded without saying so": Habits(encoding=Encoding.UNDECLARED),
    "plain though declared": Habits(encoding=Encoding.FALSELY_DECLARED),
    "a plus is a plus": Habits(encoding=Encoding.PLUS_LITERAL),
    "no echo": Habits(echo=Echo.NONE),
    "pages of 30": Habits(page_keys=30),
    "empty pages": Habits(empty_pages=1),
    "times of RFC 1123": Habits(times=Times.RFC_1123),
    "no ETags on markers": Habits(markers_lack=frozenset({"ETag"})),
    "one early end": Habits(early_end=EarlyEnd(times=1, at_key="n0/obj/k00060")),
    "one stale answer": Habits(stale=0.1),
}
"""Each can be listed on its own; two at once make the cases of `_pairs`."""


_ORDER = r"order"
_ENDS = r"end|more keys|disagree|seam|complete|order"
_MIXED_UP = r"disagree|seam|another request|order|outside|token|complete"


def _usual() -> list[Case]:
    return [
        Case("as AWS lists", AWS, wide, is_fast=True),
        *(
            Case(f"as AWS lists, {count} requests at once", AWS, wide, in_flight=count)
            for count in (1, 2, 32)
        ),
        Case(
            "as AWS lists, pages of 1,000",
            AWS,
            lambda: folders([f"d{number:02}/" for number in range(12)], 1200),
            page_keys=1000,
        ),
        Case("as AWS lists versions", AWS, in_versions(wide), with_versions=True),
        Case("an empty bucket", AWS, list),
        Case("one key", AWS, named("k")),
    ]


def _pairs() -> list[Case]:
    """Stores with two habits at once, each of which alone can be listed."""
    cases = []
    for (left, one), (right, other) in combinations(SINGLE_HABITS.items(), 2):
        if one.unusual.keys() & other.unusual.keys():
            continue
        if {left, right} == {"pages by Marker", "empty pages"}:
            continue  # a page without keys names no place to go on from
        is_fast = (left, right) in _FAST_PAIRS
        says = f"{left}, and {right}"
        cases.append(Case(says, one | other, everything, ANY, is_fast=is_fast))
    return cases


_FAST_PAIRS = {
    ("directory order", "no ETags on markers"),
    ("StartAfter inclusive", "tokens skip after a made-up key"),
    ("StartAfter inclusive", "encoded without saying so"),
    ("tokens skip after a made-up key", "one early end"),
}


def _orders() -> list[Case]:
    cases = []
    by_directory = Habits(order=Order.DIRECTORY)
    by_bytes = Habits(order=Order.DIRECTORY, start_after=StartAfter.BY_BYTES)
    for level in range(4):
        for names in (("obj/", "obj-1/"), ("obj/", "obj-1/", "obj.d/", "obj 2/")):
            where = f"{len(names)} folders on level {level}"
            is_fast = level in (0, 2) and len(names) == 2
            bucket = siblings(level, *names)
            cases += [
                Case(f"directory order, {where}", by_directory, bucket, is_fast=is_fast),
                Case(f"directory order, StartAfter by bytes, {where}", by_bytes, bucket),
                Case(
                    f"directory order, {where}, 2 requests at once",
                    by_directory,
                    bucket,
                    in_flight=2,
                ),
            ]
    for level in (1, 2):
        habits = Habits(order=Order.DIRECTORY, order_from=level)
        bucket = siblings(level, "obj/", "obj-1/")
        cases.append(Case(f"directory order from level {level} on", habits, bucket, _ORDER))
    for order, bucket in (
        (Order.UTF_16, astral),
        (Order.CASELESS, mixed_case),
        (Order.REVERSE, wide),
    ):
        for start_after in (StartAfter.EXCLUSIVE, StartAfter.BY_BYTES):
            is_fast = start_after is StartAfter.EXCLUSIVE
            habits = Habits(order=order, start_after=start_after)
            says = f"keys {order}, StartAfter leads to {start_after}"
            cases.append(Case(says, habits, bucket, _ORDER, is_fast=is_fast))
    tiny = Habits(order=Order.DIRECTORY, page_keys=2)
    pair = named("obj/1", "obj/2", "obj-1/1", "obj-1/2", "obj/3")
    cases.append(Case("directory order, pages of two keys", tiny, pair, is_fast=True))
    return cases


def _start_after() -> list[Case]:
    cases = []
    for way in StartAfter:
        if way is StartAfter.EXCLUSIVE:
            continue
        says = f"StartAfter leads to {way}"
        cases += [
            Case(says, Habits(start_after=way), numbered_years, prefix="2026/", is_fast=True),
            Case(f"{says}, no prefix", Habits(start_after=way), wide),
            Case(f"{says}, pages of 7", Habits(start_after=way, page_keys=7), small),
        ]
    inclusive = Habits(key_marker=StartAfter.INCLUSIVE)
    cases += [
        Case(
            "KeyMarker leads to the key itself",
            inclusive,
            in_versions(wide),
            with_versions=True,
            is_fast=True,
        ),
        Case(
            "KeyMarker leads to the key itself, pages of 7",
            inclusive | Habits(page_keys=7),
            in_versions(small),
            with_versions=True,
        ),
    ]
    return cases


def _tokens() -> list[Case]:
    by_marker = (Tokens.MARKER, Tokens.NEXT_MARKER)
    only_marker = StartAfter.IGNORED
    stuck = r"token"
    return [
        Case("tokens are positions", Habits(tokens=Tokens.INDEX), wide),
        Case(
            "a token leaves out a key after a StartAfter that is no key",
            Habits(tokens=Tokens.SKIP_AFTER_MADE_UP),
            wide,
            is_fast=True,
        ),
        Case(
            "a token leaves out a key after a StartAfter that is no key, pages of 50",
            Habits(tokens=Tokens.SKIP_AFTER_MADE_UP, page_keys=50),
            lambda: folders(["a/", "b/", "c/", "d/"], 500),
        ),
        Case(
            "every token leaves out a key",
            Habits(tokens=Tokens.SKIP_ALWAYS),
            wide,
            _MIXED_UP,
            is_fast=True,
        ),
        Case("the second page again and again", Habits(tokens=Tokens.STUCK), wide, stuck),
        *(
            Case(
                f"list-type is ignored, pages follow {way}",
                Habits(tokens=way, start_after=only_marker),
                wide,
                is_fast=True,
            )
            for way in by_marker
        ),
        *(
            Case(
                f"list-type is ignored, pages of 7 follow {way}",
                Habits(tokens=way, start_after=only_marker, page_keys=7),
                small,
            )
            for way in by_marker
        ),
        Case(
            "list-type is ignored, one page of keys",
            Habits(tokens=Tokens.MARKER, start_after=only_marker),
            small,
        ),
        *(
            Case(f"pages of {size}", Habits(page_keys=size), small, is_fast=size == 7)
            for size in (1, 7, 250)
        ),
        *(
            Case(
                f"{count} empty pages before each page",
                Habits(empty_pages=count),
                wide,
                is_fast=count == 1,
            )
            for count in (1, 3)
        ),
    ]


def _ends() -> list[Case]:
    once = EarlyEnd(times=1)
    return [
        *(
            Case(
                f"each listing ends after {count:,} names",
                Habits(early_end=EarlyEnd(after=count)),
                wide,
                _ENDS,
                is_fast=count == 1000,
            )
            for count in (100, 200, 1000, 3000)
        ),
        Case(
            "each listing ends after 100 names, 1 request at once",
            Habits(early_end=EarlyEnd(after=100)),
            wide,
            _ENDS,
            in_flight=1,
        ),
        Case("one page ends the listing, once", Habits(early_end=once), wide, _ENDS, is_fast=True),
        Case(
            "a page in the middle ends the listing, once",
            Habits(early_end=EarlyEnd(times=1, at_key="d05/k00160")),
            wide,
            _ENDS,
            is_fast=True,
        ),
        Case(
            "the pages with a key in the middle end the listing",
            Habits(early_end=EarlyEnd(at_key="d05/k00160")),
            wide,
            _ENDS,
        ),
        Case(
            "the last page but one ends the listing",
            Habits(early_end=EarlyEnd(at_key="d11/k00150")),
            wide,
            _ENDS,
        ),
        *(
            Case(
                f"one page of {chance} ends the listing, at random",
                Habits(early_end=EarlyEnd(chance=1 / chance)),
                wide,
                _ENDS,
            )
            for chance in (5, 20, 50)
        ),
        Case(
            "a small listing ends after a page",
            Habits(early_end=EarlyEnd(after=100)),
            small,
            _ENDS,
            is_fast=True,
        ),
    ]


def _answers() -> list[Case]:
    cases = [
        Case(
            f"{times} answers are those to earlier requests",
            Habits(stale=0.1, stale_times=times),
            wide,
            _MIXED_UP,
            is_fast=times == 1,
        )
        for times in (1, 3, 20)
    ]
    for kind in Contradiction:
        cases += [
            Case(
                f"one page has {kind}",
                Habits(contradiction=kind),
                wide,
                r"IsTruncated|token|KeyCount|contradict",
                is_fast=True,
            ),
            Case(
                f"every page has {kind}",
                Habits(contradiction=kind, contradicted=ALWAYS),
                wide,
                r"IsTruncated|token|KeyCount|contradict",
            ),
        ]
    for spell, says in (
        (Busy(3, 4), "503 SlowDown"),
        (Busy(3, 4, retry_after="1"), "503 with Retry-After"),
        (Busy(3, 4, 429, "TooManyRequests"), "429 TooManyRequests"),
        (Busy(3, 4, 503, "XMinioServerNotInitialized"), "503 XMinioServerNotInitialized"),
        (Busy(3, 4, 500, "InternalError"), "500 InternalError"),
    ):
        cases.append(Case(f"{says} for four requests", Habits(busy=(spell,)), wide))
    return cases


def all_cases() -> Sequence[Case]:
    """Every case, those of a kind together."""
    return [
        *_usual(),
        *_orders(),
        *_start_after(),
        *_tokens(),
        *_ends(),
        *_answers(),
        *name_cases(),
        *record_cases(),
        *version_cases(),
        *_pairs(),
    ]
