"""A shared shard of a bucket that changes while participants divide its keys and are killed."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.manifest.snapshot_validation import (
    failed_rules,
    validate,
    validate_files,
)
from inventory_assets.inventory.shared_listing import range_claim, range_worker
from inventory_assets.inventory.shared_listing.claim_keeper import ClaimKeeper
from inventory_assets.inventory.shared_listing.listing_lifecycle import SharingOptions
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.fakes.raw_s3 import RawS3
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.shared_shards.participants import LONG_AGO, Participants


@dataclass(frozen=True)
class Story:
    """What happens; all else follows from the seed.

    Attributes:
        seed: The seed.
        keys: How many keys there are at some time, at most.
        changes: The probability that an object is created or deleted before a response.
        unreadable: The part of the keys whose records cannot be decoded.
        gifts: The probability that another participant asks for a share of the keys.
        prefixes: The prefixes that are shards of their own, at most.
        lives: The writes of participants that are killed, one after the other.
    """

    seed: int
    keys: int = 150
    changes: float = 0.15
    unreadable: float = 0.1
    gifts: float = 0.3
    prefixes: int = 4
    lives: tuple[int, ...] = ()


class ChangingBucket(RawS3):
    """A bucket whose objects come and go.

    Attributes:
        present: The keys of its objects.
        ever: Those that existed at any time.
        throughout: Those that existed all the time.
    """

    def __init__(self, story: Story) -> None:
        self._chances = chances = Random(story.seed)  # noqa: S311 - a repeatable test
        self.letters = chances.choice(("ab/ñ", "abc", "0123456789", "a/"))
        possible = sorted({self.word(6) for _ in range(story.keys)})
        self.present = {key for key in possible if chances.random() < 0.7}
        self.unreadable = {key for key in possible if chances.random() < story.unreadable}
        self._others = {*possible} - self.present
        self.ever, self.throughout = {*self.present}, {*self.present}
        self._changes = story.changes
        super().__init__(
            [], [key.encode() for key in self.unreadable], page_size=chances.choice((2, 3, 7))
        )
        self.bucket_config = BucketConfig("model", max_in_flight=4)

    def word(self, longest: int) -> str:
        return "".join(self._chances.choices(self.letters, k=self._chances.randint(1, longest)))

    def _change(self) -> None:
        are_created = self._chances.random() < 0.5
        if (found := self._others if are_created else self.present) and (key := self._any(found)):
            found.remove(key)
            (self.present if are_created else self._others).add(key)
            self.ever |= self.present
            self.throughout &= self.present

    def _any(self, keys: set[str]) -> str:
        return self._chances.choice(sorted(keys))

    def _body(self, request: PageRequest, stats: RequestStats) -> bytes:
        if self._chances.random() < self._changes:
            self._change()
        self._raw = sorted(key.encode() for key in self.present)
        return super()._body(request, stats)


class Clock:
    """Time that passes while a participant waits, and hardly otherwise."""

    now = 0.0

    def sleep(self, _seconds: float) -> None:
        self.now += 15

    def read(self) -> float:
        self.now += 0.001
        return self.now

    @property
    def options(self) -> SharingOptions:
        return SharingOptions(60, clock=self.read, sleep=self.sleep)


def check(story: Story, folder: Path, patch: pytest.MonkeyPatch) -> None:
    gifts = Random(story.seed)  # noqa: S311 - a repeatable test
    asked = property(lambda _: 0.0 if gifts.random() < story.gifts else None, lambda *_: None)
    patch.setattr(ClaimKeeper, "asked_at", asked, raising=False)
    numbers = itertools.count(1)  # the order of the records follows from their names
    patch.setattr(range_claim, "uuid4", lambda: UUID(int=next(numbers) << 80))
    bucket = ChangingBucket(story)
    shard = make_shard("", [bucket.word(3) for _ in range(story.prefixes)])
    those = Participants(folder)
    for life in story.lives:
        try:
            store = MortalStore(folder, Life(life))
            those.list_shard(
                shard, lister=bucket, store=store, options=Clock().options, since=LONG_AGO
            )
        except Killed:
            continue
    snapshot = those.list_shard(shard, lister=bucket, options=Clock().options, since=LONG_AGO)
    found = those.keys_of(snapshot)
    assert found == sorted({*found})
    assert {*found} <= bucket.ever - bucket.unreadable
    listed = {key for key in bucket.throughout if shard.covers(key)}
    assert listed - bucket.unreadable <= {*found}
    set_aside = [record.key or "" for record in snapshot.unreadable.first]
    assert len(set_aside) == len({*set_aside}) == snapshot.unreadable.count
    assert listed & bucket.unreadable <= {*set_aside} <= bucket.unreadable
    assert all(map(shard.covers, set_aside))
    assert failed_rules(validate(snapshot)) == []
    assert failed_rules(validate_files(those.store, snapshot)) == []


STORIES = st.builds(
    Story,
    st.integers(0, 2**32),
    st.integers(1, 250),
    st.sampled_from((0.0, 0.1, 0.5)),
    st.sampled_from((0.0, 0.1, 0.5)),
    st.sampled_from((0.05, 0.3, 1.0)),
    st.integers(0, 4),
    st.lists(st.integers(1, 150), max_size=3).map(tuple),
)
PLAYED = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are given whenever somebody asks."""
    monkeypatch.setattr(range_worker, "ESTIMATE_SECONDS", 0.0)
    monkeypatch.setattr(range_worker, "PATIENCE_SECONDS", 0.0)


@settings(PLAYED, max_examples=15)
@given(STORIES)
def test_a_shared_listing_is_correct_under_concurrent_changes_and_kills(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    check(story, tmp_path_factory.mktemp("story"), monkeypatch)


@pytest.mark.slow
@settings(PLAYED, max_examples=1_500)
@given(STORIES)
def test_it_is_correct_in_more_than_a_thousand_stories(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    check(story, tmp_path_factory.mktemp("story"), monkeypatch)
