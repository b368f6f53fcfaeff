from dataclasses import replace

import pytest

from inventory_assets.s3.decoding.page import Echo, Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS, Continuation, Echoed, StartAfter
from inventory_assets.scan.errors import ListingUnsupported
from inventory_assets.scan.store_probe import profile_store
from inventory_assets_tests.fakes.model_s3 import Habit, ModelS3

KEYS = [f"k{number:02}" for number in range(12)]


class Inclusive(ModelS3):
    """Lists the key of StartAfter itself, if it exists."""

    def _entries(self, request: PageRequest, after: str) -> list[tuple[str, bool]]:
        found = super()._entries(request, after)
        is_there = after in self._keys and after.startswith(request.prefix)
        return [(after, False), *found] if is_there else found


class Skipping(ModelS3):
    """Skips a key after a token if the listing began after a key that does not exist."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = super().list_page_sync(request, stats)
        after = (request.token or "").rpartition(":")[2]
        return page_without_first(page) if after and after not in self._keys else page


class Old(ModelS3):
    """Sends no continuation tokens."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = super().list_page_sync(request, stats)
        return Page(page.objects, page.common_prefixes, page.is_truncated, None)


class OldWithoutStartAfter(Old):
    """Ignores StartAfter, too."""

    def _entries(self, request: PageRequest, after: str) -> list[tuple[str, bool]]:  # noqa: ARG002
        return super()._entries(request, "")


class Repeating(ModelS3):
    """Repeats the parameters of a request."""

    unsent: str | None = None

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = super().list_page_sync(request, stats)
        token, start_after = request.token or self.unsent, request.start_after or None
        size = str(request.max_keys)
        echo = Echo("model", request.prefix or None, start_after, token, size, request.delimiter)
        return replace(page, echo=echo)


class RepeatingMore(Repeating):
    """Repeats a token that was not sent, too."""

    unsent = "none"


def page_without_first(page: Page) -> Page:
    return Page(page.objects.slice(1), (), page.is_truncated, page.next_token)


def test_a_store_like_aws_costs_four_requests() -> None:
    stats = RequestStats()
    assert profile_store(ModelS3(KEYS), "", stats) == AWS
    assert stats.requests == 4


def test_few_keys_cost_one_request() -> None:
    stats = RequestStats()
    assert profile_store(ModelS3(["a", "b"]), "", stats) == AWS
    assert stats.requests == 1


@pytest.mark.parametrize(
    ("store", "start_after", "continuation"),
    [
        (Inclusive(KEYS), StartAfter.INCLUSIVE, Continuation.TOKEN),
        (ModelS3(KEYS, habit=Habit.IGNORES_START_AFTER), StartAfter.IGNORED, Continuation.TOKEN),
        (Skipping(KEYS), StartAfter.EXCLUSIVE, Continuation.LAST_KEY),
        (Old(KEYS), StartAfter.EXCLUSIVE, Continuation.LAST_KEY),
    ],
    ids=["inclusive", "ignored", "token skips", "no tokens"],
)
def test_habits_are_recognised(
    store: ModelS3, start_after: StartAfter, continuation: Continuation
) -> None:
    found = profile_store(store, "", RequestStats())
    assert (found.start_after, found.continuation) == (start_after, continuation)
    assert store.profile == AWS, "it is left as it was"


def test_a_store_that_lists_only_one_page_is_rejected() -> None:
    with pytest.raises(ListingUnsupported, match="ListObjects, version 1"):
        profile_store(OldWithoutStartAfter(KEYS), "", RequestStats())


def test_a_profile_describes_its_differences_from_aws() -> None:
    assert AWS.habits == "as AWS"
    found = profile_store(Inclusive(KEYS), "", RequestStats())
    assert found.habits == "start-after is inclusive"


def test_what_responses_repeat_is_part_of_the_profile() -> None:
    stats = RequestStats()
    found = profile_store(Repeating(KEYS), "", stats)
    assert found == replace(AWS, echoes=found.echoes, only_if_sent=found.only_if_sent)
    assert found.echoes == {*Echoed} - {Echoed.PREFIX, Echoed.DELIMITER}
    assert found.only_if_sent == {Echoed.PREFIX, Echoed.START_AFTER, Echoed.TOKEN}
    assert stats.requests == 4


def test_a_parameter_that_is_always_repeated_wrongly_is_no_evidence() -> None:
    """It is a habit of the store, not a response to another request."""
    stats = RequestStats()
    found = profile_store(RepeatingMore(KEYS), "", stats)
    assert found == replace(AWS, echoes=found.echoes, only_if_sent=found.only_if_sent)
    assert Echoed.TOKEN not in found.echoes | found.only_if_sent
    assert Echoed.START_AFTER in found.echoes & found.only_if_sent
    assert stats.requests == 4 + 7
