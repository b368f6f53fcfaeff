"""The cases: a habit, a bucket that shows it, and what an inventory of it must be."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

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
    VersionListing,
    VersionMarker,
)
from inventory_assets_tests.stores.holdings import (
    Held,
    folders,
    held,
    objects,
    versions,
)

ALWAYS = 10**9


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the report.

    Attributes:
        says: What the store does, as a sentence; the test's name.
        habits: The store's.
        bucket: What it holds; called once.
        refusal: What the message of a refusal must match; None where only the truth will do.
        must_refuse: Whether no result is right.
        prefix: What is listed.
        with_versions: Whether versions are.
        is_fast: Whether it runs with all other tests.
        in_flight: Requests at once.
        page_keys: Keys in a page at most, where the habits do not say so: few keys, many pages.
    """

    says: str
    habits: Habits
    bucket: Callable[[], list[Held]]
    refusal: str | None = None
    must_refuse: bool = False
    prefix: str = ""
    with_versions: bool = False
    is_fast: bool = False
    in_flight: int = 8
    page_keys: int = 100

    @property
    def store_habits(self) -> Habits:
        """The habits, with the size of the pages."""
        if "page_keys" in self.habits.unusual:
            return self.habits
        return replace(self.habits, page_keys=self.page_keys)

    def allows(self, message: str) -> bool:
        """Whether a refusal with this message is right."""
        return self.refusal is not None and bool(re.search(self.refusal, message, re.IGNORECASE))


# Buckets.


@cache
def _wide() -> tuple[Held, ...]:
    return tuple(folders([f"d{number:02}/" for number in range(12)], 300))


def wide() -> list[Held]:
    """Folders of more than a page each, in the same order for every order but that backwards."""
    return list(_wide())


def small() -> list[Held]:
    """Less than three pages of 100."""
    return folders(["a/", "b/"], 130)


def siblings(level: int, *names: str, keys: int = 330) -> Callable[[], list[Held]]:
    """Folders that orders tell apart, that far below the root, among others."""

    def bucket() -> list[Held]:
        above = "".join(f"n{number}/" for number in range(level))
        around = [f"{name}{number}/" for name in "ms" for number in range(3)]
        return folders([above + name for name in (*names, *around)], keys)

    return bucket


def mixed_case() -> list[Held]:
    return folders(["A/", "b/", "C/", "d/", "a1/", "B1/"], 330)


def astral() -> list[Held]:
    """Names whose order in UTF-16 differs from that in UTF-8."""
    return folders(["a/", "\uffed/", "\U0001f600/", "z/"], 330)


ODD_NAMES = [
    *("a b", "a+b", "50% off", "%41", "A", "%2B", "z&<>\"'", "plain", "~*-._"),
    *("\u00c6ther/a+b", "\U0001f600", "tab\there", "line\nfeed", "a//b", "/", "dir/", "dir/x y"),
]


def odd_names() -> list[Held]:
    return objects(ODD_NAMES)


def plain_names() -> list[Held]:
    return objects(["a/b", "a_b.c-d", "plain"])


def numbered_years() -> list[Held]:
    return folders([f"2026/{month:02}/" for month in range(1, 13)], 250) + folders(["zz/"], 10)


def named(*keys: str) -> Callable[[], list[Held]]:
    return lambda: objects(keys)


def last_on_page(key: str, before: str = "a") -> Callable[[], list[Held]]:
    """A page of keys that ends with one, and more behind it."""
    return lambda: objects(
        [*(f"{before}{number:02}" for number in range(99)), key, *(f"{key}~{n}" for n in range(9))]
        + [f"~{number:03}" for number in range(160)]
    )


def in_versions(bucket: Callable[[], list[Held]], each: int = 2) -> Callable[[], list[Held]]:
    """The same keys, in some versions each."""
    return lambda: versions([one.key for one in bucket()], each)


def with_markers() -> list[Held]:
    """Folders with and without an object of their own."""
    return [
        *objects(["a", "b/x", "c", "obj/1", "obj-1/1", "obj/sub/2"]),
        *(Held(name, e_tag=None) for name in ("b/", "obj/", "obj/sub/")),
    ]


def with_a_record(**written: str | None) -> Callable[[], list[Held]]:
    """One record among others is written otherwise."""
    e_tag = None if "ETag" in written else "0" * 32
    return lambda: [*objects(["a", "c"]), Held("b", written=written, e_tag=e_tag)]


def everything() -> list[Held]:
    """What shows any habit: siblings, many pages, odd names, markers of folders."""
    return [
        *siblings(1, "obj/", "obj-1/", keys=110)(),
        *folders(["a/", "b/"], 330),
        *odd_names()[:9],
        held("b/", e_tag=None),
        held("n0/obj/", e_tag=None),
    ]


# The cases.


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
_VERSIONS = r"lists no versions|not list versions|versions"


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


def _names() -> list[Case]:
    encoded = [each for each in Encoding if each is not Encoding.DECLARED]
    one_page = last_on_page
    plain_echo = Habits(echo=Echo.PLAIN)
    not_utf8 = named("a", "caf\udce9.txt", "z")
    control = named("a", "b\x01c", "z")
    returned = named("a\rb", "a\nb", "b")
    readable = r"UTF-8|control character|XML|well-formed|exclude|set aside"
    return [
        Case("odd names, as AWS writes them", AWS, odd_names, is_fast=True),
        *(
            Case(
                f"odd names are {way}",
                Habits(encoding=way),
                odd_names,
                is_fast=True,
            )
            for way in encoded
        ),
        *(Case(f"plain names are {way}", Habits(encoding=way), plain_names) for way in encoded),
        *(
            Case(
                f"odd names are {way}, pages of 2",
                Habits(encoding=way, page_keys=2),
                odd_names,
            )
            for way in encoded
        ),
        *(
            Case(
                f"the token ends with a key's {name}, unencoded",
                plain_echo,
                one_page(f"a98{last}"),
                is_fast=last == "\x01",
            )
            for name, last in (("U+0001", "\x01"), ("U+FFFE", "\ufffe"), ("ampersand", "&"))
        ),
        Case("nothing of the request is repeated", Habits(echo=Echo.NONE), wide),
        Case("a name is no UTF-8", AWS, not_utf8, readable, is_fast=True),
        Case("a name is no UTF-8, unencoded", Habits(encoding=Encoding.RAW), not_utf8, readable),
        Case("a name holds U+0001", AWS, control),
        Case(
            "a name holds U+0001, versions",
            AWS,
            in_versions(control),
            with_versions=True,
        ),
        Case(
            "a name holds U+0001, as a reference",
            Habits(encoding=Encoding.IGNORED),
            control,
            readable,
        ),
        Case("a name holds U+0001, raw", Habits(encoding=Encoding.RAW), control, readable),
        Case(
            "a name holds a carriage return, raw",
            Habits(encoding=Encoding.RAW),
            returned,
            readable,
        ),
        Case("keys of 1,024 to 1,280 bytes", AWS, named("a" * 1024, "b" * 1280, "c"), r"1,?024"),
    ]


def _records() -> list[Case]:
    certain = {
        *(Times.SECONDS, Times.NANOSECONDS, Times.OFFSET, Times.OFFSET_WITHOUT_COLON),
        *(Times.RFC_1123, Times.SPACE),
    }
    cases = [
        Case(
            f"LastModified is written {way.name}",
            Habits(times=way),
            plain_names,
            None if way in certain else "LastModified",
            is_fast=way in (Times.RFC_1123, Times.NO_ZONE),
        )
        for way in Times
        if way is not Times.MILLISECONDS
    ]
    no_etag = Habits(markers_lack=frozenset({"ETag"}))
    bare = Habits(markers_lack=frozenset({"ETag", "LastModified", "StorageClass", "Size"}))
    cases += [
        Case("folder markers have no ETag", no_etag, with_markers, is_fast=True),
        Case(
            "folder markers have no ETag, in directory order",
            no_etag | Habits(order=Order.DIRECTORY, page_keys=3),
            with_markers,
            is_fast=True,
        ),
        Case(
            "folder markers have a key alone",
            bare,
            with_markers,
            r"b/.*(Size|LastModified)|(Size|LastModified).*b/",
            is_fast=True,
        ),
        Case(
            "folder markers have a key alone, in directory order",
            bare | Habits(order=Order.DIRECTORY),
            with_markers,
            r"Size|LastModified",
        ),
    ]
    for element, texts in (
        ("Size", ("-1", "1.5", "", "many", None)),
        ("LastModified", ("yesterday", "2026-13-01T00:00:00Z", "", None)),
        ("ETag", ("", None)),
    ):
        cases += [
            Case(
                f"one record has {element} {text!r}"
                if text is not None
                else f"one has no {element}",
                AWS,
                with_a_record(**{element: text}),
                element,
            )
            for text in texts
        ]
    return cases


def _versions() -> list[Case]:
    markers = [each for each in VersionMarker if each is not VersionMarker.TRUE]
    refusing = [each for each in VersionListing if each is not VersionListing.LISTED]
    percent = last_on_page("pool/apt_1%3a2_amd64.deb", "pool/a")
    plus = last_on_page("pool/g++_12_amd64.deb", "pool/a")
    return [
        *(
            Case(
                f"versions are answered with {way}",
                Habits(versions=way),
                in_versions(small),
                _VERSIONS,
                must_refuse=True,
                with_versions=True,
                is_fast=True,
            )
            for way in refusing
        ),
        *(
            Case(
                f"a page of versions names {way}",
                Habits(version_marker=way),
                in_versions(wide),
                r"twice" if way is VersionMarker.INCLUSIVE else None,
                with_versions=True,
                is_fast=way is VersionMarker.ID_NULL,
            )
            for way in markers
        ),
        *(
            Case(
                f"a page of versions ends with {name} in a name, unencoded",
                Habits(version_marker=VersionMarker.KEY_PLAIN),
                in_versions(bucket, 1),
                with_versions=True,
                is_fast=True,
            )
            for name, bucket in (("a percent sign", percent), ("two plus signs", plus))
        ),
        Case(
            "keys none of whose versions is the latest",
            AWS,
            lambda: [replace(each, is_latest=False) for each in in_versions(small)()],
            r"latest",
            with_versions=True,
        ),
    ]


def all_cases() -> Sequence[Case]:
    """Every case, those of a kind together."""
    return [
        *_usual(),
        *_orders(),
        *_start_after(),
        *_tokens(),
        *_ends(),
        *_answers(),
        *_names(),
        *_records(),
        *_versions(),
        *_pairs(),
    ]
