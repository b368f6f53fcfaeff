"""Find out how a store lists, with a few cheap requests.

Four requests for two or three keys each tell what StartAfter means, whether a continuation token
leads where a StartAfter of the last key leads (also after a StartAfter that is no existing key,
where some stores have skipped one), and what of a request a response repeats. A key that holds `%`,
`+` or a space, once there is one, is asked back by its exact name.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote, unquote_plus

from inventory_assets.s3.decoding.xml_decoder import Page
from inventory_assets.s3.error_classification import versions_unsupported
from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.response_echo import compare
from inventory_assets.s3.store_profile import (
    AWS,
    Continuation,
    Echoed,
    KeyEncoding,
    StartAfter,
    StoreProfile,
)
from inventory_assets.scan.errors import ListingUnsupported, NamesMisread
from inventory_assets.scan.keyspace.key_order import DIRECTORY_SERVERS
from inventory_assets.scan.keyspace.key_range import MAX_KEY_BYTES

_KEYS = 3
"""Keys asked for at the beginning; the probes ask for the same ones in other ways."""

_MADE_UP = ("\U0010fffd", "~", "!")
"""What is appended to a key to make one that does not exist, the first that fits below the next."""

_DOUBTFUL = frozenset("%+ ")
"""Characters that stand for themselves or for others, as a store encodes keys."""

_MOST_GONE = 3
"""Keys that are asked back in vain, until names are taken for what they were read as."""

_MOST_PROBES = 4
"""How often a store is probed whose answers repeat their requests now truly and now not: among them
are answers to other requests, which tell nothing."""

_MOST_EMPTY_PAGES = 20
"""Empty pages that are passed over by a probe; a listing passes over more."""

Ask = Callable[[PageRequest], "_Asked"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and the page that answered it."""

    request: PageRequest
    page: Page

    @property
    def keys(self) -> list[str]:
        keys: list[str] = self.page.objects.column("key").to_pylist()
        return keys


def profile_store(lister: ListClient, prefix: str, stats: RequestStats) -> StoreProfile:
    """Find out how a store lists the keys under a prefix.

    `lister.profile` is left as it was.

    Args:
        lister: The bucket.
        prefix: What is to be listed.
        stats: Where the requests are counted.

    Raises:
        ListingUnsupported: There is no way to list more than a page.
        S3Error: A request failed for good.
    """
    before = lister.profile
    try:
        found = _probe_names(lister, prefix, stats)
        usual = replace(AWS, encoding=found.encoding)
        if _habits(found) != usual:
            # A key may have come or gone between two requests: a habit is believed when seen twice.
            lister.profile = replace(before, encoding=found.encoding)
            again = _probe_names(lister, prefix, stats)
            is_habit = _habits(again) == _habits(found)
            found = again if is_habit else replace(usual, echoes=again.echoes)
        if found.continuation is Continuation.NONE:
            raise ListingUnsupported(
                f"{lister.connection.display_name}: start-after does not lead behind a key, and "
                "nothing "
                "shows that continuation tokens lead to the next one, so keys may be missing "
                "between two pages; ask the store's operator for one of the two"
            )
    finally:
        lister.profile = before
    return found


def page_with_names(lister: ListClient, request: PageRequest, stats: RequestStats) -> Page:
    """Fetch a page whose names are read as the store means them.

    Raises:
        NamesMisread: They mean something else.
        S3Error: A request failed for good.
    """
    page = lister.list_page_sync(request, stats)
    asyncio.run(check_names(lister, page, stats))
    return page


def contradicted(lister: ListClient, prefix: str, stats: RequestStats) -> bool:
    """Probe a store again whose listing contradicted its profile.

    Returns:
        Whether the profile has changed, so that listing again may go better; it is the lister's
        from then on.

    Raises:
        ListingUnsupported: There is no way to list more than a page.
        S3Error: A request failed for good.
    """
    before = lister.profile
    lister.profile = replace(AWS, encoding=before.encoding)
    lister.profile = profile_store(lister, prefix, stats)
    return _habits(lister.profile) != _habits(before)


def corrected(profile: StoreProfile, error: NamesMisread) -> StoreProfile:
    """The profile of a store whose names were misread."""
    return replace(profile, encoding=error.encoding)


async def check_names(lister: ListClient, page: Page, stats: RequestStats) -> None:
    """Make sure that the names of a page are read as the store means them, once for each doubt.

    The first key whose name holds `%`, `+` or a space is asked back by its exact name.

    Args:
        lister: The bucket; it remembers what is proven, for all who use it.
        page: Any page.
        stats: Where the requests are counted.

    Raises:
        NamesMisread: They mean something else.
        S3Error: A request failed for good.
    """
    for key, raw in page.ambiguous:
        doubtful = _DOUBTFUL.intersection(raw) - lister.proven_names
        if not doubtful:
            continue
        encoding = await _encoding_of(lister, key, raw, stats)
        if encoding is None:
            # The key has gone meanwhile: another one will tell, but not for ever.
            lister.names_gone += 1
            if lister.names_gone >= _MOST_GONE:
                lister.proven_names |= doubtful
            continue
        if encoding is not lister.profile.encoding:
            lister.proven_names = frozenset()
            raise NamesMisread(
                f"{lister.connection.display_name}: the store encodes keys otherwise than was "
                "thought "
                f"({encoding}, not {lister.profile.encoding}), as the key {raw!r} shows",
                encoding,
            )
        lister.proven_names |= doubtful


async def _encoding_of(
    lister: ListClient, key: str, raw: str, stats: RequestStats
) -> KeyEncoding | None:
    """How a name is encoded that was read as a key; None where no reading is a key (any more)."""
    readings = {key: lister.profile.encoding}
    readings.setdefault(unquote_plus(raw), KeyEncoding.URL)
    readings.setdefault(unquote(raw), KeyEncoding.URL_PLUS_LITERAL)
    readings.setdefault(raw, KeyEncoding.PLAIN)
    for reading, encoding in readings.items():
        request = PageRequest(reading, max_keys=1, encoding=encoding)
        found = await first_page(lister, request, stats)
        if (reading, raw) in found.ambiguous:
            return encoding
    return None


async def require_versions(lister: ListClient, prefix: str, stats: RequestStats) -> None:
    """Make sure that a listing of versions that found none is one of a prefix without objects.

    Raises:
        VersionsUnsupported: There are objects, so the store lists no versions.
        S3Error: A request failed for good.
    """
    page = await first_page(lister, PageRequest(prefix, max_keys=1), stats)
    if page.objects.num_rows:
        raise versions_unsupported(
            lister.connection, "answers a request for versions with none, though there are objects"
        )


async def first_page(lister: ListClient, request: PageRequest, stats: RequestStats) -> Page:
    """The first page that holds anything, as some stores send empty ones before; else the last.

    Raises:
        S3Error: A request failed for good.
    """
    return (await _answers(lister, request, stats))[-1].page


async def _answers(lister: ListClient, request: PageRequest, stats: RequestStats) -> list[_Asked]:
    """`first_page`, with the empty pages before it, and what each of them answers."""
    found = [_Asked(request, await lister.list_page(request, stats))]
    for _ in range(_MOST_EMPTY_PAGES):
        page = found[-1].page
        is_empty = not page.objects.num_rows and not page.common_prefixes
        if not is_empty or not page.is_truncated or page.next_token is None:
            break
        request = replace(request, start_after="", token=page.next_token)
        found.append(_Asked(request, await lister.list_page(request, stats)))
    return found


def _habits(profile: StoreProfile) -> StoreProfile:
    return replace(profile, echoes=frozenset())


def _probe_names(lister: ListClient, prefix: str, stats: RequestStats) -> StoreProfile:
    """As `_probe`, once names are read as the store means them, and all answers are its own."""
    for _ in range(_MOST_PROBES):
        asked: list[_Asked] = []
        profile = _probe_in_some_encoding(lister, prefix, stats, asked)
        seen = _echoes(asked, lister.connection.bucket)
        if not any(any(found) and not all(found) for found in seen.values()):
            break
    truly = frozenset(echoed for echoed, found in seen.items() if found and all(found))
    return replace(profile, echoes=truly)


def _probe_in_some_encoding(
    lister: ListClient, prefix: str, stats: RequestStats, asked: list[_Asked]
) -> StoreProfile:
    for _ in KeyEncoding:
        try:
            return _probe(lister, prefix, stats, asked)
        except NamesMisread as error:
            lister.profile = corrected(lister.profile, error)
            asked.clear()
    return _probe(lister, prefix, stats, asked)


def _probe(
    lister: ListClient, prefix: str, stats: RequestStats, asked: list[_Asked]
) -> StoreProfile:
    """Ask how a store lists; whatever is asked is appended to `asked`, echoes are left out."""

    def ask(request: PageRequest) -> _Asked:
        found = asyncio.run(_answers(lister, request, stats))
        asyncio.run(check_names(lister, found[-1].page, stats))
        asked.extend(found)
        return found[-1]

    first = ask(PageRequest(prefix, max_keys=_KEYS))
    keys = first.keys
    profile = lister.profile
    if (lister.server or "").startswith(DIRECTORY_SERVERS):
        return profile  # it is walked by folders, which asks for none of this
    if first.page.is_truncated and first.page.next_token is None and keys:
        profile = _without_tokens(lister, prefix, keys, ask)
        lister.profile = profile
    if first.page.is_truncated and 0 < len(keys) < _KEYS:
        behind = ask(PageRequest(prefix, keys[-1])).keys
        if behind and not {*behind} - {*keys}:
            return _by_tokens_alone(profile, prefix, first, ask)
        keys = _gathered(prefix, first, behind, ask)
    if len(keys) < _KEYS:
        return profile
    made_up = _between(keys[0], keys[1])  # None where nothing fits between
    after_made_up = ask(PageRequest(prefix, made_up, max_keys=_KEYS - 1)) if made_up else None
    after_last = ask(PageRequest(prefix, keys[-1], max_keys=_KEYS - 1))
    shown = after_made_up.keys if after_made_up else []
    start_after = _start_after(keys, made_up, shown, after_last.keys)
    profile = replace(profile, start_after=start_after)
    if start_after is StartAfter.IGNORED and first.page.is_truncated:
        return _by_tokens_alone(profile, prefix, first, ask)
    chain, rest = first, keys[len(first.keys) :]
    if after_made_up and shown == keys[1 : 1 + len(shown)]:  # in another order it is elsewhere
        chain, rest = after_made_up, keys[1 + len(shown) :]
    rest += [key for key in after_last.keys if key != keys[-1]]
    return _compared(profile, prefix, chain, rest, ask)


def _compared(
    profile: StoreProfile, prefix: str, chain: _Asked, rest: list[str], ask: Ask
) -> StoreProfile:
    """How a store goes on whose token of a page must lead to the first of some keys."""
    token = chain.page.next_token if chain.keys else None
    if token and profile.continuation is Continuation.TOKEN:
        by_token = ask(PageRequest(prefix, token=token, max_keys=_KEYS - 1))
        if by_token.keys[:1] != rest[:1]:
            profile = replace(profile, continuation=Continuation.LAST_KEY)
    return profile


def _by_tokens_alone(profile: StoreProfile, prefix: str, first: _Asked, ask: Ask) -> StoreProfile:
    """How a store goes on whose StartAfter leads nowhere, so that its tokens cannot be compared.

    A listing that begins with a smaller page must go on with the keys of a larger one.
    """
    profile = replace(profile, start_after=StartAfter.IGNORED)
    if profile.continuation is not Continuation.TOKEN:
        return profile
    begin = ask(PageRequest(prefix, max_keys=1))
    if begin.page.next_token and begin.keys == first.keys[:1] != first.keys:
        request = PageRequest(prefix, token=begin.page.next_token, max_keys=_KEYS - 1)
        if ask(request).keys[:1] == first.keys[1:2]:
            return profile
    return replace(profile, continuation=Continuation.NONE)


def _gathered(prefix: str, first: _Asked, behind: list[str], ask: Ask) -> list[str]:
    """The first keys, from a store whose pages hold fewer than are asked for.

    Args:
        prefix: What is probed.
        first: The first page.
        behind: What StartAfter of its last key leads to.
        ask: How to ask for more.
    """
    keys = [*first.keys]
    token = first.page.next_token
    while len(keys) < _KEYS:
        found = [key for key in behind if key not in keys]
        if not found and token:  # StartAfter leads nowhere, or to that key alone
            page = ask(PageRequest(prefix, token=token))
            found, token = [key for key in page.keys if key not in keys], page.page.next_token
        if not found:
            break
        keys += found
        behind = ask(PageRequest(prefix, keys[-1])).keys if len(keys) < _KEYS else []
    return keys[:_KEYS]


def _without_tokens(lister: ListClient, prefix: str, keys: list[str], ask: Ask) -> StoreProfile:
    """How a store goes on that names no continuation token."""
    for continuation in (Continuation.LAST_KEY, Continuation.MARKER):
        lister.profile = replace(lister.profile, continuation=continuation)
        found = ask(PageRequest(prefix, keys[-1], max_keys=_KEYS)).keys
        if [key for key in found if key > keys[-1]] and not [
            key for key in found if key < keys[-1]
        ]:
            return lister.profile
    raise ListingUnsupported(
        f"{lister.connection.display_name}: the store answers with an old listing (ListObjects, "
        "version "
        "1), and neither start-after nor marker leads behind its first page, so nothing but a "
        "page can be listed; ask its operator for ListObjectsV2 (list-type=2)"
    )


def _start_after(
    keys: list[str], made_up: str | None, after_made_up: list[str], after_last: list[str]
) -> StartAfter:
    """What StartAfter leads to, by what is listed after a made-up key and after the last one."""
    # By name, not by comparing: what comes behind the last key may sort before the first one.
    begins_anew = any(key in keys[:-1] for key in after_last)
    if begins_anew and (made_up is None or any(key <= made_up for key in after_made_up)):
        return StartAfter.IGNORED
    if after_last[:1] == keys[-1:]:
        return StartAfter.INCLUSIVE
    return StartAfter.EXCLUSIVE


def _between(left: str, right: str) -> str | None:
    """A key between two that exist, so that it does not exist itself."""
    for character in _MADE_UP:
        made_up = left + character
        if made_up < right and len(made_up.encode()) <= MAX_KEY_BYTES:
            return made_up
    return None


def _echoes(asked: list[_Asked], bucket: str) -> dict[Echoed, list[bool]]:
    """Whether each response repeats its request truly, wherever there is something to repeat."""
    seen: dict[Echoed, list[bool]] = {each: [] for each in Echoed}
    for each in asked:
        for echoed, is_right in compare(each.request, each.page.echo, bucket):
            seen[echoed].append(is_right)
    return seen
