"""A bucket that is listed with habits: turns the query of a request into the bytes of a response.

It uses no sockets; `odd_server.py` serves it over HTTP, and `odd_network.py` to `ListClient`. A
seed determines all random behaviour.
"""

import base64
import json
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from inventory_assets_tests.fakes.common_prefixes import rolled_up
from inventory_assets_tests.fakes.scripted_server import Answer, error_document
from inventory_assets_tests.stores.habits import (
    AWS,
    EarlyEnd,
    Habits,
    Order,
    StartAfter,
    Tokens,
    VersionListing,
    VersionMarker,
)
from inventory_assets_tests.stores.holdings import StoredObject, raw
from inventory_assets_tests.stores.odd_pages import Pages, Query, contradicting, name_of

_XML = {"Content-Type": "application/xml"}
_REFUSED = {
    VersionListing.NOT_IMPLEMENTED: (501, "NotImplemented"),
    VersionListing.NOT_ALLOWED: (405, "MethodNotAllowed"),
    VersionListing.INVALID: (400, "InvalidArgument"),
}

Rank = Any
"""What entries are sorted by: comparable with each other."""


@dataclass(frozen=True, slots=True)
class _Position:
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
    def of(cls, token: str) -> "_Position":
        return cls(*json.loads(base64.urlsafe_b64decode(token.partition(".")[0])))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A page before it is written.

    Attributes:
        entries: Objects, and folders as their names.
        next: Where the chain goes on; None at its end.
    """

    entries: list[StoredObject | str]
    next: _Position | None


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

    holdings: list[StoredObject]
    habits: Habits = AWS
    seed: int = 0
    before: Callable[["OddStore"], None] | None = None
    asked: list[Query] = field(default_factory=list)
    _chances: Random = field(init=False)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)
    _sorted: dict[tuple[str, bool], tuple[list[StoredObject], list[Rank]]] = field(
        init=False, default_factory=dict
    )
    _answers: list[Answer] = field(init=False, default_factory=list)
    _lies: int = field(init=False, default=0)
    _stale: int = field(init=False, default=0)
    _contradicted: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._chances = Random(self.seed)  # noqa: S311 - a repeatable test
        self.hold(self.holdings)

    def hold(self, holdings: Iterable[StoredObject]) -> None:
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

    def _current(self, prefix: str) -> tuple[list[StoredObject], list[Rank]]:
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
        position = self._begin(query, by_marker=by_marker)
        outside = position.start_after and not position.start_after.startswith(prefix)
        if outside and habits.start_after is StartAfter.WITHIN_PREFIX_OR_501:
            return self._error(501, "NotImplemented")
        size = min(int(query.given.get("max-keys", 1000)), habits.page_keys)
        if outside and habits.start_after is StartAfter.WITHIN_PREFIX_OR_EMPTY:
            shown = _Shown([], None)
        elif position.empty < habits.empty_pages:
            shown = _Shown([], replace(position, empty=position.empty + 1))
        else:
            shown = self._page(query, position, size)
        token = shown.next.token() if shown.next else None
        page = Pages(habits, query, size).of_objects(
            shown.entries, token, has_more=shown.next is not None
        )
        return self._ok(self._contradicted_page(page, shown))

    def _begin(self, query: Query, *, by_marker: bool) -> _Position:
        if by_marker:
            return _Position(start_after=query.text("marker"))
        if token := query.text("continuation-token"):
            return _Position.of(token)
        return _Position(start_after=query.text("start-after"))

    def _page(self, query: Query, position: _Position, size: int) -> _Shown:
        delimiter, prefix = query.text("delimiter"), query.text("prefix")
        there, ranks = self._current(prefix)
        at = self._begins_at(position, there, ranks, delimiter, prefix)
        by_bytes = self.habits.start_after is StartAfter.BY_BYTES
        lower = raw(position.start_after) if by_bytes else b""
        entries: list[StoredObject | str] = []
        skip = position.skip
        while at < len(there) and len(entries) < size:
            each = there[at]
            at += 1
            if each.raw <= lower:
                continue
            if skip:
                skip -= 1
                continue
            name, is_folder = rolled_up(each.key, prefix, delimiter)
            if is_folder:
                entries.append(name)
                at = _behind_folder(there, at, name)
            else:
                entries.append(each)
        if at >= len(there):
            return _Shown(entries, None)
        if self.habits.tokens is Tokens.STUCK and query.text("continuation-token"):
            return _Shown(entries, _Position.of(query.text("continuation-token")))
        position = replace(
            position,
            after=name_of(entries[-1]) if entries else position.after,
            shown=position.shown + len(entries),
            skip=self._skips(position, there, delimiter),
            empty=0,
            index=at,
        )
        shown = _Shown(entries, position)
        return replace(shown, next=None) if self._lies_now(self.habits.early_end, shown) else shown

    def _begins_at(
        self,
        position: _Position,
        there: list[StoredObject],
        ranks: list[Rank],
        delimiter: str,
        prefix: str,
    ) -> int:
        """The index of the first object that may be shown."""
        habits, after = self.habits, position.start_after
        by_marker = habits.tokens in (Tokens.MARKER, Tokens.NEXT_MARKER)
        if position.after is not None or (by_marker and after):
            if habits.tokens is Tokens.INDEX:
                return position.index
            last = after if position.after is None else position.after
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

    def _skips(self, position: _Position, there: list[StoredObject], delimiter: str) -> int:
        match self.habits.tokens:
            case Tokens.SKIP_ALWAYS:
                return 1
            case Tokens.SKIP_AFTER_MADE_UP if position.after is None and position.start_after:
                return int(
                    all(each.key != position.start_after for each in there) and not delimiter
                )
            case _:
                return 0

    def _lies_now(self, end: EarlyEnd | None, shown: _Shown) -> bool:
        if end is None or shown.next is None or shown.next.shown < end.after:
            return False
        if end.times is not None and self._lies >= end.times:
            return False
        if end.at_key is not None and end.at_key not in map(name_of, shown.entries):
            return False
        if not self._befalls(end.chance):
            return False
        self._lies += 1
        return True

    def _befalls(self, chance: float) -> bool:
        return bool(chance) and self._chances.random() < chance

    def _contradicted_page(self, page: str, shown: _Shown) -> str:
        """The page, contradicting itself where that is the habit and it is its turn."""
        kind = self.habits.contradiction
        if kind is None or shown.next is None or self._contradicted >= self.habits.contradicted:
            return page
        self._contradicted += 1
        return contradicting(page, kind, len(shown.entries))

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
        page, has_more = there[start : start + size], start + size < len(there)
        return self._ok(Pages(habits, query, size).of_versions(page, has_more=has_more))

    def _version_start(self, query: Query, there: list[StoredObject]) -> int:
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


def _behind_folder(there: list[StoredObject], at: int, folder: str) -> int:
    """The index of the first object from `at` on that is not in the folder."""
    while at < len(there) and there[at].key.startswith(folder):
        at += 1
    return at
