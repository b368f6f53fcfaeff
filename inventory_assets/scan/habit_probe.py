"""One probe of a store: what a few requests show of its habits.

Four requests for two to four keys each show what StartAfter means, and whether a continuation token
continues at the same key as StartAfter (also after a StartAfter that is no existing key, where some
stores skip a key).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.store_profile import Continuation, StartAfter, StoreProfile
from inventory_assets.scan.errors import ListingUnsupported
from inventory_assets.scan.first_page import RequestedPage
from inventory_assets.scan.keyspace.key_order import DIRECTORY_SERVERS
from inventory_assets.scan.keyspace.key_range import MAX_KEY_BYTES

_KEYS = 3
"""The number of keys that all requests list; the first one lists one more."""

_SUFFIXES = ("\U0010fffd", "~", "!")
"""Suffixes that make a non-existing key between two keys; the first one that fits is used."""

_MAX_SAMPLES = 4
"""Maximum samples of keys; a further one is taken if the keys changed meanwhile."""

Ask = Callable[[PageRequest], RequestedPage]
"""Sends a request of the probe, and returns its page."""


def probe_habits(lister: PageSource, prefix: str, ask: Ask) -> StoreProfile:
    """Determine the profile, without what responses repeat; sets `lister.profile`.

    Args:
        lister: The bucket.
        prefix: The prefix to list.
        ask: Sends a request.

    Raises:
        ListingUnsupported: There is no way to list more than one page.
    """
    first = ask(PageRequest(prefix, max_keys=_KEYS + 1))
    keys = first.keys
    profile = lister.profile
    if (lister.server or "").startswith(DIRECTORY_SERVERS):
        return profile  # it is listed level by level, without StartAfter
    if first.page.is_truncated and first.page.next_token is None and keys:
        profile = _without_tokens(lister, prefix, keys, ask)
        lister.profile = profile
    if first.page.is_truncated and 0 < len(keys) < _KEYS:
        behind = ask(PageRequest(prefix, keys[-1])).keys
        if behind and not {*behind} - {*keys}:
            return _by_tokens_alone(profile, prefix, first, ask)
        keys = _collect_keys(prefix, first, behind, ask)
    if len(keys) < _KEYS:
        is_unproven = first.page.is_truncated and profile.continuation is Continuation.TOKEN
        return replace(profile, continuation=Continuation.LAST_KEY) if is_unproven else profile
    profile = _probe_start_after(prefix, first, keys, profile, ask)
    ends = not first.page.is_truncated and profile.continuation is Continuation.TOKEN
    if ends and profile.start_after is StartAfter.IGNORED:
        # The page may end too early, and only a marker can show that.
        lister.profile = replace(profile, continuation=Continuation.MARKER)
        if {*ask(PageRequest(prefix, keys[-1])).keys} - {*first.keys}:
            return probe_habits(lister, prefix, ask)
        lister.profile = profile
    return profile


def _probe_start_after(
    prefix: str, first: RequestedPage, sample: list[str], profile: StoreProfile, ask: Ask
) -> StoreProfile:
    """Add the meaning of StartAfter, and whether tokens continue at the same keys.

    Args:
        prefix: The prefix.
        first: The first page.
        sample: The first keys: `_KEYS` or one more.
        profile: The profile so far.
        ask: Sends a request.
    """
    shown: list[str] = []
    for _ in range(_MAX_SAMPLES):
        keys = sample[:_KEYS]
        chain, passed, by_token = first, keys[:0], None
        index, absent_key = _absent_key(keys)
        if not absent_key:
            break
        after_absent_key = ask(PageRequest(prefix, absent_key, max_keys=_KEYS - 1 - index))
        shown = after_absent_key.keys
        if shown == keys[index + 1 :][: len(shown)]:
            chain, passed = after_absent_key, keys[: index + 1]
            by_token = _page_by_token(profile, prefix, chain, ask)
            break
        # The order is another one; or objects were created or deleted, which another sample shows.
        again = ask(PageRequest(prefix, max_keys=_KEYS + 1))
        if len(again.keys) < _KEYS or again.keys == sample:
            break
        first, sample = again, again.keys
    after_last = ask(PageRequest(prefix, keys[-1], max_keys=_KEYS)).keys
    profile = replace(profile, start_after=_start_after(keys, absent_key, shown, after_last))
    if profile.start_after is StartAfter.IGNORED and first.page.is_truncated:
        return _by_tokens_alone(profile, prefix, first, ask)
    by_token = by_token or _page_by_token(profile, prefix, chain, ask)
    listed = {*passed, *chain.keys}
    following = [key for key in [*keys, *after_last] if key not in listed]
    earlier = [key for key in sample if key not in listed]
    return _compared(profile, chain, by_token, following, earlier)


def _page_by_token(
    profile: StoreProfile, prefix: str, chain: RequestedPage, ask: Ask
) -> RequestedPage | None:
    """The page to which the token of another one leads; None if tokens are not used."""
    token = chain.page.next_token if chain.keys else None
    if not token or profile.continuation is not Continuation.TOKEN:
        return None
    return ask(PageRequest(prefix, token=token, max_keys=_KEYS + 2))


def _compared(
    profile: StoreProfile,
    chain: RequestedPage,
    by_token: RequestedPage | None,
    following: list[str],
    earlier: list[str],
) -> StoreProfile:
    """Compare a token with what other requests list; return the profile with the continuation.

    Args:
        profile: The profile so far.
        chain: The page whose token is compared.
        by_token: The page to which its token leads.
        following: The keys that follow `chain` according to StartAfter.
        earlier: Those that followed it in an earlier request; empty if unknown. The two requests
            enclose that of `by_token`, as an object that is created or deleted meanwhile can hide
            that a token skips a key.
    """
    if by_token is None:
        return profile
    # A token that leads back shows another order of keys. The scan detects that order; listing by
    # StartAfter would hide it.
    found = by_token.keys[:1]
    leads_back = any(key <= chain.keys[-1] for key in found)
    is_same = found == following[:1] and (not earlier or found == earlier[:1])
    if is_same or leads_back:
        return profile
    return replace(profile, continuation=Continuation.LAST_KEY)


def _by_tokens_alone(
    profile: StoreProfile, prefix: str, first: RequestedPage, ask: Ask
) -> StoreProfile:
    """The profile of a store that ignores StartAfter, so that its tokens are compared with a page.

    After a page of one key, the token must lead to the second key of the larger first page.
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


def _collect_keys(prefix: str, first: RequestedPage, behind: list[str], ask: Ask) -> list[str]:
    """The first keys of a store whose pages have fewer keys than requested.

    Args:
        prefix: The prefix.
        first: The first page.
        behind: The keys listed with StartAfter of its last key.
        ask: Sends a request.

    Returns:
        At most `_KEYS` keys and one more.
    """
    keys = [*first.keys]
    token = first.page.next_token
    while len(keys) <= _KEYS:
        found = [key for key in behind if key not in keys]
        if not found and token:  # StartAfter leads to no new key
            page = ask(PageRequest(prefix, token=token))
            found, token = [key for key in page.keys if key not in keys], page.page.next_token
        if not found:
            break
        keys += found
        behind = ask(PageRequest(prefix, keys[-1])).keys if len(keys) <= _KEYS else []
    return keys[: _KEYS + 1]


def _without_tokens(lister: PageSource, prefix: str, keys: list[str], ask: Ask) -> StoreProfile:
    """The profile of a store that sends no continuation token."""
    for continuation in (Continuation.LAST_KEY, Continuation.MARKER):
        lister.profile = replace(lister.profile, continuation=continuation)
        found = ask(PageRequest(prefix, keys[-1], max_keys=_KEYS)).keys
        if [key for key in found if key > keys[-1]] and not [
            key for key in found if key < keys[-1]
        ]:
            return lister.profile
    raise ListingUnsupported(
        f"{lister.bucket_config.display_name}: the store sends no continuation token, as in "
        "ListObjects, version 1, and neither start-after nor marker continues after its first "
        "page, so only one page can be listed; ask its operator for ListObjectsV2 (list-type=2)"
    )


def _start_after(
    keys: list[str], absent_key: str | None, after_absent_key: list[str], after_last: list[str]
) -> StartAfter:
    """The meaning of StartAfter.

    Args:
        keys: The first keys of the listing.
        absent_key: A non-existing key between the first two, or None.
        after_absent_key: The keys listed with StartAfter of `absent_key`.
        after_last: The keys listed with StartAfter of the last of `keys`.
    """
    # By name, as in another order keys after the last one may sort before the first one.
    starts_over = any(key in keys[:-1] for key in after_last)
    if starts_over and (absent_key is None or any(key <= absent_key for key in after_absent_key)):
        return StartAfter.IGNORED
    if after_last[:1] == keys[-1:]:
        return StartAfter.INCLUSIVE
    return StartAfter.EXCLUSIVE


def _absent_key(keys: Sequence[str]) -> tuple[int, str | None]:
    """A key that does not exist, and the index of the key that it follows.

    Args:
        keys: Consecutive keys.

    Returns:
        The index is 0 and the key None if no key fits between any two.
    """
    for index, (left, right) in enumerate(pairwise(keys)):
        for candidate in (*(left + suffix for suffix in _SUFFIXES), right[:-1]):
            if left < candidate < right and len(candidate.encode()) <= MAX_KEY_BYTES:
                return index, candidate
    return 0, None
