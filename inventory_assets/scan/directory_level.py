"""List the levels of a store that uses directory order, and check what the store says of them.

A level is what a request with a prefix and a delimiter lists: objects and folders, in the order of
their names. Its pages follow continuation tokens; the tokens are proven once, and the end of a
level of more than a page is confirmed.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import Continuation
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.first_page import first_page
from inventory_assets.scan.key_encoding import page_with_names
from inventory_assets.scan.keyspace.key_order import DIRECTORY_SERVERS
from inventory_assets.scan.keyspace.key_range import DELIMITER
from inventory_assets.scan.validation.page_validation import (
    MAX_EMPTY_PAGES,
    check_empty_pages,
    following_token,
)
from inventory_assets.scan.validation.range_evidence import EvidenceBuilder

_MIN_NAMES_TO_CONFIRM = 100
"""Minimum names of a level whose end is confirmed by a request after the last name, as a store may
wrongly report a page as the last one. If pages have fewer names, a page's size is the minimum."""

_LAST_CHARACTER = "\U0010fffd"
"""Appended to a folder's name, it gives a StartAfter greater than the folder's keys."""

_MOST_PROOFS = 3
"""Maximum attempts to prove the tokens, as names may be created and deleted in between."""


class DirectoryLevels:
    """Lists levels, one request at a time.

    Args:
        lister: The bucket.
        stats: Counts requests and transient errors.
        evidence: Counts the pages.
    """

    def __init__(self, lister: PageSource, stats: RequestStats, evidence: EvidenceBuilder) -> None:
        self._lister = lister
        self._display_name = lister.bucket_config.display_name
        self._stats = stats
        self._evidence = evidence
        # Known servers fill their pages, and their tokens skip nothing.
        self._is_proven = (lister.server or "").startswith(DIRECTORY_SERVERS)
        self._worth_confirming = _MIN_NAMES_TO_CONFIRM

    def measure_page(self, prefix: str) -> None:
        """Find out how many names a page has, with one request; none for a known server."""
        if not self._is_proven:
            page = self._lister.list_page_sync(PageRequest(prefix), self._stats)
            self._note_page_size(page.objects.num_rows)

    def pages(self, prefix: str) -> Iterator[Page]:
        """The pages of a level, with its objects and folders, and those after its reported end.

        Raises:
            KeysOutOfOrder: The level is not in the order of its names.
            NamesMisread: Keys have another encoding than the profile says.
            KeyOutsideRequest: A key or folder is outside the level.
            ListingStuck: A continuation token is repeated or leads to another name, or empty pages
                do not end.
            S3Error: A request failed permanently.
        """
        token: str | None = None
        last_name = last = ""
        empty_pages = count = 0
        is_in_order = True
        while True:
            request = PageRequest(prefix, token=token, delimiter=DELIMITER)
            page = page_with_names(self._lister, request, self._stats)
            self._evidence.page()
            names = page.objects.column("key").to_pylist()
            outside = [name for name in names if not name.startswith(prefix)]
            outside += [
                name
                for name in page.common_prefixes
                if name == prefix or not name.startswith(prefix)
            ]
            if outside:
                raise KeyOutsideRequest(
                    self._message(f"lists {outside[0]!r} when asked for prefix {prefix!r}")
                )
            is_in_order = is_in_order and _is_in_order(page)
            last = max((last, *_names(page)), key=_sort_key)
            names = [bare_name(name) for name in _names(page)]
            empty_pages = 0 if names else empty_pages + 1
            check_empty_pages(empty_pages, self._display_name)
            if names:
                if min(names) < last_name:
                    raise KeysOutOfOrder(
                        self._message(
                            f"lists {min(names)!r} after {last_name!r} in one folder: neither in "
                            "byte order nor in directory order"
                        )
                    )
                last_name = max(names)
            yield page
            count += len(names)
            if not page.is_truncated:
                break
            token = following_token(page.next_token, request, self._display_name)
            if self._lister.profile.continuation is not Continuation.TOKEN:
                raise ListingStuck(
                    self._message(
                        "uses directory order, and its continuation tokens skip keys, so a folder "
                        f"of more than one page, such as {prefix!r}, cannot be listed"
                    )
                )
            self._note_page_size(len(names))
            self._prove_tokens(prefix, page, is_first=count == len(names))
        if count >= self._worth_confirming:
            if not is_in_order:
                # Names that were not listed may come before the last one.
                raise KeysOutOfOrder(
                    self._message(
                        f"lists the names in {prefix!r} neither in byte order nor in directory "
                        "order, so the end of its listing cannot be confirmed"
                    )
                )
            yield from self._after_the_end(prefix, last)

    def _note_page_size(self, names: int) -> None:
        """Lower the minimum for a confirmation to the names of a page that is not the last."""
        if names:
            self._worth_confirming = min(self._worth_confirming, names)

    def _prove_tokens(self, prefix: str, page: Page, *, is_first: bool) -> None:
        """Check that tokens lead to the next name, once in the scan.

        The level is listed again with a page of one name; its token must lead to the second name of
        `page`. If `page` has only one name, its token and StartAfter must lead to the same name.

        Args:
            prefix: The level.
            page: A page of the level that is not its last.
            is_first: Whether it is the first page with names; only such a page can be requested
                again with another size.

        Raises:
            ListingStuck: The token leads to another name, or nothing shows where it should lead.
        """
        names = _names(page)
        if self._is_proven or not names or not is_first:
            return
        for _ in range(_MOST_PROOFS):
            if len(names) > 1:
                request = PageRequest(prefix, delimiter=DELIMITER, max_keys=1)
                begin = asyncio.run(first_page(self._lister, request, self._stats))
                last = max(("", *_names(begin)), key=_sort_key)
                expected = [name for name in names if _follows(name, prefix, last)]
            else:
                begin, last = page, names[0]
                after = last + _LAST_CHARACTER if _is_folder(last, prefix) else last
                request = PageRequest(prefix, after, delimiter=DELIMITER)
                behind = asyncio.run(first_page(self._lister, request, self._stats))
                expected = [name for name in _names(behind) if _follows(name, prefix, last)]
            if begin.next_token is None:
                continue
            request = PageRequest(prefix, token=begin.next_token, delimiter=DELIMITER)
            found = self._next_page(request, last)
            if (_names(found) if found else [])[:1] == expected[:1]:
                self._is_proven = bool(expected)
                return
        raise ListingStuck(
            self._message(
                f"uses directory order, and a continuation token in {prefix!r} leads to another "
                "name than a smaller page or start-after does, so names may be missing after it; "
                "ask its operator for tokens that lead to the next name"
            )
        )

    def _after_the_end(self, prefix: str, last: str) -> Iterator[Page]:
        """Yield pages of names after the reported end of a level; usually none."""
        while page := self._page_behind(prefix, last):
            yield page
            last = max(_names(page), key=_sort_key)

    def _page_behind(self, prefix: str, last: str) -> Page | None:
        """The names of a level after its last one, requested by StartAfter; None if there are none.

        For a folder, StartAfter is its bare name, which lists the folder again and what follows it
        in either key order.
        """
        is_folder = _is_folder(last, prefix)
        after = bare_name(last) if is_folder else last
        page = self._next_page(PageRequest(prefix, after, delimiter=DELIMITER), last)
        if page is None and is_folder and self._worth_confirming == 1:
            after = last + _LAST_CHARACTER
            page = self._next_page(PageRequest(prefix, after, delimiter=DELIMITER), last)
        return page

    def _next_page(self, request: PageRequest, last: str) -> Page | None:
        """The first page with names after `last`, reduced to these names; None if there is none.

        Follows continuation tokens from `request` on.

        Raises:
            KeysOutOfOrder: StartAfter leads to names that come before it in every known order.
            ListingStuck: `MAX_EMPTY_PAGES` pages have no such name.
        """
        for _ in range(MAX_EMPTY_PAGES):
            page = self._lister.list_page_sync(request, self._stats)
            self._evidence.page()
            # The meaning of StartAfter is unknown: names that were listed before are ignored.
            keys: list[str] = page.objects.column("key").to_pylist()
            rows = [row for row, key in enumerate(keys) if _follows(key, request.prefix, last)]
            folders = [
                name for name in page.common_prefixes if _follows(name, request.prefix, last)
            ]
            if rows or folders:
                objects = page.objects.take(pa.array(rows, pa.int64()))
                return replace(page, objects=objects, common_prefixes=tuple(folders), unreadable=())
            if request.start_after:
                self._check_earlier_names(request, page)
            if not page.is_truncated or page.next_token in (None, request.token):
                return None
            request = replace(request, start_after="", token=page.next_token)
        raise ListingStuck(self._message(f"does not list the names after {last!r}"))

    def _check_earlier_names(self, request: PageRequest, page: Page) -> None:
        """Check names that a page lists though they come before its request's StartAfter.

        A store that ignores StartAfter begins with the first name again; another store lists in an
        order of its own, so that there may be more names behind.

        Raises:
            KeysOutOfOrder: It does not begin with the first name.
        """
        after = request.start_after
        for _ in range(_MOST_PROOFS):
            # In directory order, StartAfter by bytes leads to earlier folders, too.
            earlier = [each for each in _names(page) if each < after and bare_name(each) < after]
            if not earlier:
                return
            begin = self._lister.list_page_sync(replace(request, start_after=""), self._stats)
            if _names(begin) == _names(page):
                return
            page = self._lister.list_page_sync(request, self._stats)
        raise KeysOutOfOrder(
            self._message(
                f"lists {earlier[0]!r} after {after!r} in one folder: neither in byte order nor in "
                "directory order"
            )
        )

    def _message(self, what: str) -> str:
        return f"{self._display_name}: the store {what}"


def bare_name(name: str) -> str:
    """The name without the delimiter at the end of a folder."""
    return name.removesuffix(DELIMITER)


def _sort_key(name: str) -> tuple[str, bool]:
    """The sort key of a name in a level; a folder follows the object of the same name."""
    return bare_name(name), name.endswith(DELIMITER)


def _names(page: Page) -> list[str]:
    """The page's objects and folders, in the order of the level."""
    keys: list[str] = page.objects.column("key").to_pylist()
    return sorted((*keys, *page.common_prefixes), key=_sort_key)


def _is_in_order(page: Page) -> bool:
    """Whether objects and folders, each for themselves, are in byte order or directory order."""
    keys: list[str] = page.objects.column("key").to_pylist()
    return all(
        names == sorted(names) or (bare := [*map(bare_name, names)]) == sorted(bare)
        for names in (keys, list(page.common_prefixes))
    )


def _is_folder(name: str, prefix: str) -> bool:
    """Whether a name of a level is a folder, not the object with the level's own name."""
    return name.endswith(DELIMITER) and name != prefix


def _follows(name: str, prefix: str, last: str) -> bool:
    """Whether a name is in a level and comes after another one."""
    return _sort_key(name) > _sort_key(last) and name.startswith(prefix) and name != prefix
