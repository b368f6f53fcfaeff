"""Determine a store's profile with a few cheap requests.

`habit_probe` asks how the store lists; two such probes must agree on what differs from AWS. The
responses show also which parameters the store repeats. `key_encoding` verifies how keys are
encoded.
"""

import asyncio
from dataclasses import replace

from inventory_assets.s3.error_classification import versions_unsupported
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import (
    AWS,
    Continuation,
    Echoed,
    KeyEncoding,
    StoreProfile,
)
from inventory_assets.scan.errors import ListingUnsupported, NamesMisread
from inventory_assets.scan.first_page import RequestedPage, first_page, pages_until_names
from inventory_assets.scan.habit_probe import probe_habits
from inventory_assets.scan.key_encoding import check_names, corrected
from inventory_assets.scan.probe_responses import ProbeResponses

_MAX_PROBES = 6
"""Maximum probes of a store until two of them agree; a response that belongs to another request
makes a probe invalid."""

_MAX_REPETITIONS = 8
"""Maximum times that a request of a probe is sent if the responses are to other requests."""


def profile_store(lister: PageSource, prefix: str, stats: RequestStats) -> StoreProfile:
    """Determine the profile of a store from the keys under a prefix.

    Does not change `lister.profile`.

    Args:
        lister: The bucket.
        prefix: The prefix to list.
        stats: Counts requests and transient errors.

    Raises:
        ListingUnsupported: There is no way to list more than one page.
        S3Error: A request failed permanently.
    """
    before = lister.profile
    responses = ProbeResponses(lister.bucket_config.bucket)
    try:
        found = _agreed(lister, prefix, stats, responses)
    finally:
        lister.profile = before
    if found.continuation is Continuation.NONE:
        raise ListingUnsupported(
            f"{lister.bucket_config.display_name}: the store ignores start-after, and its "
            "continuation tokens do not provably lead to the next key, so keys may be missing "
            "between two pages; ask its operator to support one of the two"
        )
    return replace(found, echoes=responses.echoes, only_if_sent=responses.only_if_sent)


def contradicted(lister: PageSource, prefix: str, stats: RequestStats) -> bool:
    """Probe a store again after its listing contradicted its profile; sets `lister.profile`.

    Returns:
        Whether the profile has changed, so that another listing may succeed.

    Raises:
        ListingUnsupported: There is no way to list more than one page.
        S3Error: A request failed permanently.
    """
    before = lister.profile
    lister.profile = replace(AWS, encoding=before.encoding)
    lister.profile = profile_store(lister, prefix, stats)
    return _habits(lister.profile) != _habits(before)


async def require_versions(lister: PageSource, prefix: str, stats: RequestStats) -> None:
    """Check, after a versions listing found nothing, that the store lists versions.

    The listing may have been one of a part of the prefix that has no objects, so this asks for the
    objects and the versions of the whole prefix.

    Raises:
        VersionsUnsupported: There are objects and no versions.
        S3Error: A request failed permanently.
    """

    async def has_records(request: PageRequest) -> bool:
        page = await first_page(lister, request, stats)
        return bool(page.objects.num_rows or page.unreadable)

    request = PageRequest(prefix, max_keys=1)
    if await has_records(request) and not await has_records(replace(request, versions=True)):
        raise versions_unsupported(
            lister.bucket_config, "returns no versions, although there are objects"
        )


def _habits(profile: StoreProfile) -> StoreProfile:
    return replace(profile, echoes=frozenset(), only_if_sent=frozenset())


def _agreed(
    lister: PageSource, prefix: str, stats: RequestStats, responses: ProbeResponses
) -> StoreProfile:
    """The profile that one probe finds if it is that of AWS, else one that two probes find.

    Keys may change between the requests of a probe, so one alone may find a habit that the store
    does not have, or miss one. Sets `lister.profile`.
    """
    before, found = lister.profile, list[StoreProfile]()
    for _ in range(_MAX_PROBES):
        responses.begin()
        profile = _habits(_probe_in_some_encoding(lister, prefix, stats, responses))
        usual = replace(AWS, encoding=profile.encoding)
        lister.profile = replace(before, encoding=profile.encoding)
        if responses.are_contradictory:
            continue
        if profile in found or (profile == usual and not found):
            return profile
        found.append(profile)
    return usual


def _probe_in_some_encoding(
    lister: PageSource, prefix: str, stats: RequestStats, responses: ProbeResponses
) -> StoreProfile:
    def ask(request: PageRequest) -> RequestedPage:
        found = _own_pages(lister, request, stats, responses)
        asyncio.run(check_names(lister, found.page, stats))
        return found

    for _ in KeyEncoding:
        try:
            return probe_habits(lister, prefix, ask)
        except NamesMisread as error:
            lister.profile = corrected(lister.profile, error)
            responses.begin()
    return probe_habits(lister, prefix, ask)


def _own_pages(
    lister: PageSource, request: PageRequest, stats: RequestStats, responses: ProbeResponses
) -> RequestedPage:
    """The first page with names, from responses that are not to another request."""
    always = frozenset(Echoed)
    for _ in range(_MAX_REPETITIONS):
        found = asyncio.run(pages_until_names(lister, request, stats))
        contradicting = responses.contradicting(found)
        always &= contradicting
        if not contradicting:
            break
    responses.accept(found, always)
    return found[-1]
