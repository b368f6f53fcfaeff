"""A bucket that is listed with habits: from the query of a request to the answer's bytes.

It knows no sockets; `odd_server.py` and `odd_network.py` put it behind HTTP and behind
`BucketLister`. All chance follows from a seed.
"""

import base64
import json
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote, quote_plus

from inventory_assets_tests.listings import NAMESPACE
from inventory_assets_tests.scripted_server import Answer, error_document
from inventory_assets_tests.stores.habits import (
    AWS,
    Contradiction,
    EarlyEnd,
    Echo,
    Encoding,
    Habits,
    Order,
    StartAfter,
    Tokens,
    VersionListing,
    VersionMarker,
)
from inventory_assets_tests.stores.holdings import Held, raw

BUCKET = "truth"

_XML = {"Content-Type": "application/xml"}
_REFUSED = {
    VersionListing.NOT_IMPLEMENTED: (501, "NotImplemented"),
    VersionListing.NOT_ALLOWED: (405, "MethodNotAllowed"),
    VersionListing.INVALID: (400, "InvalidArgument"),
}

Rank = Any
"""What entries are sorted by: comparable with each other."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for of a listing.

    Attributes:
        given: The parameters as they came.
        number: How many requests came before.
    """

    given: Mapping[str, str]
    number: int

    def text(self, name: str) -> str:
        return self.given.get(name, "")

    @property
    def wants_versions(self) -> bool:
        return "versions" in self.given

    @property
    def wants_url(self) -> bool:
        return self.given.get("encoding-type") == "url"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a chain of pages stands: what a token means.

    Attributes:
        after: The last name shown; None at the beginning.
        shown: Names shown so far.
        start_after: What the chain was asked to start after.
        skip: Names to leave out.
        empty: Empty pages shown since the last name.
        index: Of the next name.
    """

    after: str | None = None
    shown: int = 0
    start_after: str = ""
    skip: int = 0
    empty: int = 0
    index: int = 0

    def token(self) -> str:
        words = (self.after, self.shown, self.start_after, self.skip, self.empty, self.index)
        return base64.urlsafe_b64encode(json.dumps(words).encode()).decode()

    @classmethod
    def of(cls, token: str) -> "_Place":
        return cls(*json.loads(base64.urlsafe_b64decode(token.partition(".")[0])))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A page before it is written.

    Attributes:
        entries: Objects, and folders as their names.
        next: Where the chain goes on; None at its end.
    """

    entries: list[Held | str]
    next: _Place | None


@dataclass(slots=True)
class OddStore:
    """Lists what it holds with the habits it has; safe to share between threads.

    Attributes:
        holdings: Objects, versions and delete markers; the versions of a key newest first.
        habits: How it lists.
        seed: Decides what habits leave to chance.
        before: Called before each answer, so that objects can come and go.
        asked: The queries that came.
    """

    holdings: list[Held]
    habits: Habits = AWS
    seed: int = 0
    before: Callable[["OddStore"], None] | None = None
    asked: list[Query] = field(default_factory=list)
    _chances: Random = field(init=False)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)
    _sorted: dict[tuple[str, bool], tuple[list[Held], list[Rank]]] = field(
        init=False, default_factory=dict
    )
    _answers: list[Answer] = field(init=False, default_factory=list)
    _lies: int = field(init=False, default=0)
    _stale: int = field(init=False, default=0)
    _contradicted: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._chances = Random(self.seed)  # noqa: S311 - a repeatable test
        self.hold(self.holdings)

    def hold(self, holdings: Iterable[Held]) -> None:
        """Hold something else from now on."""
        with self._lock:
            self.holdings = sorted(holdings, key=lambda each: each.raw)
            self._sorted.clear()

    def answer(self, given: Mapping[str, str]) -> Answer:
        """Answer a request for a page.

        Args:
            given: The decoded query; bytes that are no UTF-8 stand as surrogates.
        """
        with self._lock:
            query = Query(given, len(self.asked))
            self.asked.append(query)
            if self.before:
                self.before(self)
            habits = self.habits
            for spell in habits.busy:
                if spell.begins <= query.number < spell.begins + spell.requests:
                    extra = {"Retry-After": spell.retry_after} if spell.retry_after else {}
                    return self._error(spell.status, spell.code, **extra)
            if self._answers and self._stale < habits.stale_times and self._befalls(habits.stale):
                self._stale += 1
                return self._chances.choice(self._answers)
            found = self._versions(query) if query.wants_versions else self._objects(query)
            if habits.stale:
                self._answers.append(found)
            return found

    # Which entries.

    def rank(self, name: str) -> Rank:
        """By what a name is sorted."""
        match self.habits.order:
            case Order.DIRECTORY:
                above, rest = _parted(name, self.habits.order_from)
                return (raw(above), *(raw(each) for each in rest.split("/")))
            case Order.UTF_16:
                return name.encode("utf-16-be", "surrogatepass")
            case Order.CASELESS:
                return (name.lower(), raw(name))
            case Order.REVERSE:
                return (*(-byte for byte in raw(name)), 1)
            case _:
                return raw(name)

    def _current(self, prefix: str) -> tuple[list[Held], list[Rank]]:
        """The current objects under a prefix in the store's order, and their ranks."""
        found = self._sorted.get((prefix, False))
        if found is None:
            there = [
                each
                for each in self.holdings
                if each.key.startswith(prefix) and each.is_latest and not each.is_delete_marker
            ]
            there.sort(key=lambda each: self.rank(each.key))
            found = self._sorted[prefix, False] = there, [self.rank(each.key) for each in there]
        return found

    def _objects(self, query: Query) -> Answer:
        habits, prefix = self.habits, query.text("prefix")
        by_marker = habits.tokens in (Tokens.MARKER, Tokens.NEXT_MARKER)
        place = self._begin(query, by_marker=by_marker)
        outside = place.start_after and not place.start_after.startswith(prefix)
        if outside and habits.start_after is StartAfter.WITHIN_PREFIX_OR_501:
            return self._error(501, "NotImplemented")
        size = min(int(query.given.get("max-keys", 1000)), habits.page_keys)
        if outside and habits.start_after is StartAfter.WITHIN_PREFIX_OR_EMPTY:
            shown = _Shown([], None)
        elif place.empty < habits.empty_pages:
            shown = _Shown([], replace(place, empty=place.empty + 1))
        else:
            shown = self._page(query, place, size)
        return self._written(query, shown, size, by_marker=by_marker)

    def _begin(self, query: Query, *, by_marker: bool) -> _Place:
        if by_marker:
            return _Place(start_after=query.text("marker"))
        if token := query.text("continuation-token"):
            return _Place.of(token)
        return _Place(start_after=query.text("start-after"))

    def _page(self, query: Query, place: _Place, size: int) -> _Shown:
        delimiter, prefix = query.text("delimiter"), query.text("prefix")
        there, ranks = self._current(prefix)
        at = self._begins_at(place, there, ranks, delimiter, prefix)
        by_bytes = self.habits.start_after is StartAfter.BY_BYTES
        floor = raw(place.start_after) if by_bytes else b""
        entries: list[Held | str] = []
        skip = place.skip
        while at < len(there) and len(entries) < size:
            each = there[at]
            at += 1
            if each.raw <= floor:
                continue
            if skip:
                skip -= 1
                continue
            folder, found, _ = each.key[len(prefix) :].partition(delimiter or "\0\0")
            if delimiter and found:
                entries.append(prefix + folder + delimiter)
                at = _behind_folder(there, at, prefix + folder + delimiter)
            else:
                entries.append(each)
        if at >= len(there):
            return _Shown(entries, None)
        if self.habits.tokens is Tokens.STUCK and query.text("continuation-token"):
            return _Shown(entries, _Place.of(query.text("continuation-token")))
        place = replace(
            place,
            after=_name(entries[-1]) if entries else place.after,
            shown=place.shown + len(entries),
            skip=self._skips(place, there, delimiter),
            empty=0,
            index=at,
        )
        shown = _Shown(entries, place)
        return replace(shown, next=None) if self._lies_now(self.habits.early_end, shown) else shown

    def _begins_at(
        self, place: _Place, there: list[Held], ranks: list[Rank], delimiter: str, prefix: str
    ) -> int:
        """The index of the first object that may be shown."""
        habits, after = self.habits, place.start_after
        by_marker = habits.tokens in (Tokens.MARKER, Tokens.NEXT_MARKER)
        if place.after is not None or (by_marker and after):
            if habits.tokens is Tokens.INDEX:
                return place.index
            last = after if place.after is None else place.after
            at = bisect_right(ranks, self.rank(last))
            is_folder = bool(delimiter) and last.endswith(delimiter) and last != prefix
            return _behind_folder(there, at, last) if is_folder else at
        match habits.start_after:
            case StartAfter.INCLUSIVE if after:
                return bisect_left(ranks, self.rank(after))
            case StartAfter.IGNORED | StartAfter.BY_BYTES:
                return 0
            case _:
                return bisect_right(ranks, self.rank(after)) if after else 0

    def _skips(self, place: _Place, there: list[Held], delimiter: str) -> int:
        match self.habits.tokens:
            case Tokens.SKIP_ALWAYS:
                return 1
            case Tokens.SKIP_AFTER_MADE_UP if place.after is None and place.start_after:
                return int(all(each.key != place.start_after for each in there) and not delimiter)
            case _:
                return 0

    def _lies_now(self, end: EarlyEnd | None, shown: _Shown) -> bool:
        if end is None or shown.next is None or shown.next.shown < end.after:
            return False
        if end.times is not None and self._lies >= end.times:
            return False
        if end.at_key is not None and end.at_key not in map(_name, shown.entries):
            return False
        if not self._befalls(end.chance):
            return False
        self._lies += 1
        return True

    def _befalls(self, chance: float) -> bool:
        return bool(chance) and self._chances.random() < chance

    # How they are written.

    def _written(self, query: Query, shown: _Shown, size: int, *, by_marker: bool) -> Answer:
        habits = self.habits
        goes_on = shown.next is not None
        out = [f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{NAMESPACE}>']
        out += [_element("Name", BUCKET), *self._echoed(query, size)]
        if by_marker:
            if goes_on and (habits.tokens is Tokens.NEXT_MARKER or query.text("delimiter")):
                out.append(_element("NextMarker", self._name(_name(shown.entries[-1]), query)))
        else:
            out.append(_element("KeyCount", str(len(shown.entries))))
            if shown.next:
                token = shown.next.token()
                if habits.echo is Echo.PLAIN and shown.entries:
                    token += "." + _escaped(_name(shown.entries[-1]))
                out.append(_element("NextContinuationToken", token))
        out.append(_element("IsTruncated", str(goes_on).lower()))
        out += [
            f"<Contents>{self._record(each, query)}</Contents>"
            for each in shown.entries
            if isinstance(each, Held)
        ]
        out += [
            f"<CommonPrefixes>{_element('Prefix', self._name(each, query))}</CommonPrefixes>"
            for each in shown.entries
            if isinstance(each, str)
        ]
        out.append("</ListBucketResult>")
        return self._ok(self._contradicting("".join(out), goes_on=goes_on, entries=shown.entries))

    def _echoed(self, query: Query, size: int) -> list[str]:
        habits = self.habits
        out = [_element("MaxKeys", str(size))]
        if query.wants_url and habits.encoding in (
            Encoding.DECLARED,
            Encoding.FALSELY_DECLARED,
            Encoding.PLUS_LITERAL,
        ):
            out.append(_element("EncodingType", "url"))
        if habits.echo is Echo.NONE:
            return out
        for name, parameter in (
            ("Prefix", "prefix"),
            ("Delimiter", "delimiter"),
            ("StartAfter", "start-after"),
            ("Marker", "marker"),
            ("KeyMarker", "key-marker"),
        ):
            if (text := query.text(parameter)) or parameter == "prefix":
                plain = habits.echo is Echo.PLAIN and parameter != "prefix"
                out.append(_element(name, _escaped(text) if plain else self._name(text, query)))
        if token := query.text("continuation-token"):
            out.append(_element("ContinuationToken", _escaped(token)))
        return out

    def _contradicting(self, text: str, *, goes_on: bool, entries: list[Held | str]) -> str:
        """The page, contradicting itself where that is the habit and it is its turn."""
        kind = self.habits.contradiction
        if kind is None or self._contradicted >= self.habits.contradicted or not goes_on:
            return text
        self._contradicted += 1
        true, false = _element("IsTruncated", "true"), _element("IsTruncated", "false")
        match kind:
            case Contradiction.ENDS_TWICE:
                return text.replace(true, false + true)
            case Contradiction.ENDS_WITH_TOKEN:
                return text.replace(true, false)
            case Contradiction.COUNTS_WRONG:
                count = len(entries)
                old, new = (_element("KeyCount", str(number)) for number in (count, count + 3))
                return text.replace(old, new)
            case Contradiction.GOES_ON_WITHOUT_TOKEN:
                start, stop = (
                    text.index("<NextContinuationToken>"),
                    text.index("<IsTruncated>"),
                )
                return text[:start] + text[stop:]

    def _name(self, key: str, query: Query) -> str:
        """A key as it stands in an answer."""
        if not query.wants_url:
            return _escaped(key)
        match self.habits.encoding:
            case Encoding.DECLARED | Encoding.UNDECLARED:
                return quote_plus(raw(key), safe="/*-._~")
            case Encoding.PLUS_LITERAL | Encoding.PLUS_LITERAL_UNDECLARED:
                return quote(raw(key), safe="/+*-._~")
            case Encoding.RAW:
                return _escaped(key, controls=True)
            case _:
                return _escaped(key)

    def _record(self, each: Held, query: Query) -> str:
        elements: dict[str, str | None] = {
            "Key": self._name(each.key, query),
            "LastModified": each.modified.strftime(self.habits.times),
            "ETag": f"&quot;{each.e_tag}&quot;" if each.e_tag else None,
            "Size": str(each.size),
            "StorageClass": "STANDARD",
        }
        if each.is_delete_marker:
            elements |= {"ETag": None, "Size": None, "StorageClass": None}
        if each.key.endswith("/"):
            elements |= dict.fromkeys(self.habits.markers_lack)
        elements |= each.written
        return "".join(_element(name, text) for name, text in elements.items() if text is not None)

    # Versions.

    def _versions(self, query: Query) -> Answer:
        habits = self.habits
        if habits.versions in _REFUSED:
            return self._error(*_REFUSED[habits.versions])
        if habits.versions is VersionListing.OBJECTS:
            return self._objects(query)
        size = min(int(query.given.get("max-keys", 1000)), habits.page_keys)
        prefix = query.text("prefix")
        there = [each for each in self.holdings if each.key.startswith(prefix)]
        if habits.versions is VersionListing.EMPTY:
            there = []
        start = self._version_start(query, there)
        page, goes_on = there[start : start + size], start + size < len(there)
        out = [f'<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult{NAMESPACE}>']
        out += [_element("Name", BUCKET), *self._echoed(query, size)]
        if goes_on:
            plain = habits.version_marker is VersionMarker.KEY_PLAIN
            key = page[-1].key
            out.append(
                _element("NextKeyMarker", _escaped(key) if plain else self._name(key, query))
            )
            is_null = habits.version_marker is VersionMarker.ID_NULL
            version = "null" if is_null else page[-1].version_id
            out.append(_element("NextVersionIdMarker", version))
        out.append(_element("IsTruncated", str(goes_on).lower()))
        for each in page:
            kind = "DeleteMarker" if each.is_delete_marker else "Version"
            identity = _element("VersionId", each.version_id)
            identity += _element("IsLatest", str(each.is_latest).lower())
            out.append(f"<{kind}>{self._record(each, query)}{identity}</{kind}>")
        out.append("</ListVersionsResult>")
        return self._ok("".join(out))

    def _version_start(self, query: Query, there: list[Held]) -> int:
        habits, key = self.habits, query.text("key-marker")
        version = query.text("version-id-marker")
        if not key:
            return 0
        keys = [each.raw for each in there]
        if not version:
            is_inclusive = habits.key_marker is StartAfter.INCLUSIVE
            return (bisect_left if is_inclusive else bisect_right)(keys, raw(key))
        if version == "null" and habits.version_marker is VersionMarker.ID_NULL:
            return len(there)
        for at in range(bisect_left(keys, raw(key)), bisect_right(keys, raw(key))):
            if there[at].version_id == version:
                return at + (habits.version_marker is not VersionMarker.INCLUSIVE)
        return bisect_right(keys, raw(key))

    # Answers.

    def _ok(self, text: str) -> Answer:
        body = text.encode("utf-8", "surrogateescape")
        return Answer(200, body, {**_XML, "Server": self.habits.server}, delay=self.habits.seconds)

    def _error(self, status: int, code: str, **headers: str) -> Answer:
        return Answer(
            status, error_document(code, code), {**_XML, "Server": self.habits.server, **headers}
        )


def _parted(name: str, level: int) -> tuple[str, str]:
    """A name before and behind its `level`th slash."""
    cut = 0
    for _ in range(level):
        cut = name.find("/", cut) + 1
        if not cut:
            return name, ""
    return name[:cut], name[cut:]


def _behind_folder(there: list[Held], at: int, folder: str) -> int:
    """The index of the first object from `at` on that is not in the folder."""
    while at < len(there) and there[at].key.startswith(folder):
        at += 1
    return at


def _name(entry: Held | str) -> str:
    return entry if isinstance(entry, str) else entry.key


def _escaped(text: str, *, controls: bool = False) -> str:
    """Text as XML; control characters as references, which XML forbids too, or as they are."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if controls:
        return text
    return "".join(f"&#x{ord(c):x};" if ord(c) < 32 else c for c in text)


def _element(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>"
