"""Find out how a store lists, with a few cheap requests.

Four requests for two or three keys each tell what StartAfter means (also where it is no existing
key, as MinIO once lost a key after such a one: https://github.com/minio/minio/issues/9536), whether
a continuation token leads where a StartAfter of the last key leads, and what of a request a response
repeats. A key that holds `%`, `+` or a space, once there is one, is asked back by its exact name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.listing import BucketLister, PageRequest, Tally
from inventory_assets.s3.pages import Page, decode_key
from inventory_assets.s3.store_profile import (
    AWS,
    Continuation,
    Echoed,
    KeyEncoding,
    StartAfter,
    StoreProfile,
)
from inventory_assets.scan.errors import ListingUnsupported
from inventory_assets.scan.ranges import MAX_KEY_BYTES

_KEYS = 3
"""Keys asked for at the beginning; the probes ask for the same ones in other ways."""

_MADE_UP = ("\U0010fffd", "~", "!")
"""What is appended to a key to make one that does not exist, the first that fits below the next."""

_ATTEMPTS = 2
"""A key may come or go between two requests; nothing is believed of what is seen only once."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and the page that answered it."""

    request: PageRequest
    page: Page

    @property
    def keys(self) -> list[str]:
        keys: list[str] = self.page.objects.column("key").to_pylist()
        return keys


def profile_store(lister: BucketLister, prefix: str, tally: Tally) -> StoreProfile:
    """Find out how a store lists the keys under a prefix.

    `lister.profile` is left as it was.

    Args:
        lister: The bucket.
        prefix: What is to be listed.
        tally: Where the requests are counted.

    Raises:
        ListingUnsupported: There is no way to list more than a page.
        S3Error: A request failed for good.
    """
    before = lister.profile
    try:
        found = _probe(lister, prefix, tally)
        for _ in range(_ATTEMPTS - 1):
            if replace(found, echoes=frozenset()) == AWS:
                break
            lister.profile = before
            again = _probe(lister, prefix, tally)
            found = again if _habits(again) == _habits(found) else AWS
    finally:
        lister.profile = before
    return found


def prove_names(lister: BucketLister, page: Page, tally: Tally) -> KeyEncoding | None:
    """Ask a key of a page back by its exact name, to learn how its name is to be read.

    Args:
        lister: The bucket.
        page: Has a key whose name can be read in several ways.
        tally: Where the requests are counted.

    Returns:
        How names are encoded; None where no reading of the name is a key of the bucket any more.

    Raises:
        S3Error: A request failed for good.
    """
    names = page.ambiguous_key
    if names is None:
        return lister.profile.encoding
    declared = page.url_encoded
    readings: dict[str, KeyEncoding] = {}
    for encoding in (lister.profile.encoding, *KeyEncoding):
        key = decode_key(names, encoding, declared=declared)
        if key:
            readings.setdefault(key, encoding)
    for key, encoding in readings.items():
        found = lister.page(PageRequest(key, max_keys=1), tally)
        if found.first_raw_key == names:
            return encoding
    return None


def _habits(profile: StoreProfile) -> StoreProfile:
    return replace(profile, echoes=frozenset())


def _probe(lister: BucketLister, prefix: str, tally: Tally) -> StoreProfile:
    def ask(request: PageRequest) -> _Asked:
        return _Asked(request, lister.page(request, tally))

    first = ask(PageRequest(prefix, max_keys=_KEYS))
    keys = first.keys
    asked = [first]
    profile = lister.profile
    if first.page.is_truncated and first.page.next_token is None and keys:
        profile = _without_tokens(lister, prefix, keys, ask)
        lister.profile = profile
    made_up = _between(keys[0], keys[1]) if len(keys) == _KEYS else None
    if made_up is None:
        return replace(profile, echoes=_echoes(asked))
    after_made_up = ask(PageRequest(prefix, made_up, max_keys=_KEYS - 1))
    after_last = ask(PageRequest(prefix, keys[-1], max_keys=_KEYS - 1))
    asked += [after_made_up, after_last]
    profile = replace(profile, start_after=_start_after(keys, made_up, after_made_up, after_last))
    token = after_made_up.page.next_token
    is_usable = profile.start_after is not StartAfter.IGNORED and after_made_up.keys == keys[1:]
    if token and is_usable and profile.continuation is Continuation.TOKEN:
        by_token = ask(PageRequest(prefix, token=token, max_keys=_KEYS - 1))
        asked.append(by_token)
        following = [key for key in after_last.keys if key != keys[-1]]
        if by_token.keys[:1] != following[:1]:
            profile = replace(profile, continuation=Continuation.LAST_KEY)
    return replace(profile, echoes=_echoes(asked))


def _without_tokens(lister: BucketLister, prefix: str, keys: list[str], ask: "Ask") -> StoreProfile:
    """How a store goes on that names no continuation token."""
    for continuation in (Continuation.LAST_KEY, Continuation.MARKER):
        lister.profile = replace(lister.profile, continuation=continuation)
        found = ask(PageRequest(prefix, keys[-1], max_keys=_KEYS)).keys
        if [key for key in found if key > keys[-1]] and not [
            key for key in found if key < keys[-1]
        ]:
            return lister.profile
    raise ListingUnsupported(
        f"{lister.connection.where}: the store answers with an old listing (ListObjects, version "
        "1), and neither start-after nor marker leads behind its first page, so nothing but a "
        "page can be listed; ask its operator for ListObjectsV2 (list-type=2)"
    )


def _start_after(
    keys: list[str], made_up: str, after_made_up: _Asked, after_last: _Asked
) -> StartAfter:
    is_ignored = (
        any(key <= made_up for key in after_made_up.keys) and after_last.keys[:1] <= keys[:1]
    )
    if is_ignored and after_last.keys:
        return StartAfter.IGNORED
    if after_last.keys[:1] == keys[-1:]:
        return StartAfter.INCLUSIVE
    return StartAfter.EXCLUSIVE


def _between(left: str, right: str) -> str | None:
    """A key between two that exist, so that it does not exist itself."""
    for character in _MADE_UP:
        made_up = left + character
        if made_up < right and len(made_up.encode()) <= MAX_KEY_BYTES:
            return made_up
    return None


def _echoes(asked: list[_Asked]) -> frozenset[Echoed]:
    """What each response repeats of its request, wherever there is something to repeat."""
    seen: dict[Echoed, list[bool]] = {each: [] for each in Echoed}
    for each in asked:
        for echoed, is_right in each.page.echo.compare(each.request):
            seen[echoed].append(is_right)
    return frozenset(echoed for echoed, found in seen.items() if found and all(found))
