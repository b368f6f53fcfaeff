"""What is asked for, what is carried, and what is published."""

import random
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import pytest

from inventory_assets.inventory.metadata import fetch_log
from inventory_assets.inventory.metadata.shard_collector import ShardCollector
from inventory_assets.inventory.metadata.shard_metadata import (
    newest_metadata,
    read_metadata,
    violations_of,
)
from inventory_assets.s3.errors import AccessDenied, RetriesExhausted
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.fakes.scripted_server import Answer, Seen
from inventory_assets_tests.inventory.metadata.object_days import (
    WHOLE,
    Bucket,
    noon,
    user_metadata,
)
from inventory_assets_tests.inventory.samples import LAYOUT


def named(text: str) -> dict[str, Any]:
    return {"headers": {"x-amz-meta-name": text}}


def asked(bucket: Bucket) -> list[str]:
    """The keys that were asked for since the last night, in order."""
    return sorted(bucket.server.heads)


def test_on_the_first_day_every_object_is_asked_for_once(bucket: Bucket) -> None:
    for key in ("a/1", "a/2", "b"):
        bucket.put(key, "same", **named(key))
    record = bucket.collect()
    assert user_metadata(bucket.rows(record)) == bucket.told()
    assert (record.asked, record.carried, record.unknown, record.requests) == (3, 0, 0, 3)
    assert bucket.server.heads == {"a/1": 1, "a/2": 1, "b": 1}
    assert violations_of(bucket.store, record, bucket.snapshot()) == []
    assert read_metadata(bucket.store, LAYOUT, bucket.day, "") == record


def test_later_only_new_and_rewritten_objects_are_asked_for(bucket: Bucket) -> None:
    for key in ("a/1", "a/2", "b/1", "c"):
        bucket.put(key, key, **named("old"))
    first = bucket.collect()
    bucket.pass_night()
    bucket.put("a/2", "other", **named("new"))
    bucket.put("b/0", "x", **named("new"))
    bucket.delete("c")
    record = bucket.collect()
    assert asked(bucket) == ["a/2", "b/0"]
    assert user_metadata(bucket.rows(record)) == bucket.told()
    assert (record.asked, record.carried) == (2, 2)
    fetched = {key: row["fetched_at"].date() for key, row in bucket.rows(record).items()}
    assert fetched["a/1"] == first.day
    assert fetched["a/2"] == record.day


def test_a_part_that_did_not_change_shares_its_file_with_the_day_before(bucket: Bucket) -> None:
    for key in ("a/1", "b/1"):
        bucket.put(key, key, **named("old"))
    first = bucket.collect()
    bucket.pass_night()
    bucket.put("b/2", "x")
    second = bucket.collect()
    assert second.parts[0] == first.parts[0]
    assert second.parts[1].file != first.parts[1].file
    assert second.shared_parts == 1
    bucket.pass_night()
    third = bucket.collect()
    assert (third.parts, third.identity, asked(bucket)) == (second.parts, second.identity, [])


def test_an_object_that_was_copied_onto_itself_has_its_new_metadata(bucket: Bucket) -> None:
    """That is how metadata is changed in S3: the ETag stays, the time does not."""
    bucket.put("k", "same", **named("old"))
    bucket.collect()
    bucket.pass_night()
    bucket.put("k", "same", **named("new"))
    assert user_metadata(bucket.rows(bucket.collect())) == {"k": {"name": "new"}}


def test_an_object_that_returns_under_the_same_etag_is_asked_for_again(bucket: Bucket) -> None:
    bucket.put("k", "same", **named("old"))
    bucket.collect()
    bucket.pass_night()
    bucket.delete("k")
    assert bucket.rows(bucket.collect()) == {}
    bucket.pass_night()
    bucket.put("k", "same", **named("new"))
    assert user_metadata(bucket.rows(bucket.collect())) == {"k": {"name": "new"}}


@pytest.mark.parametrize("seed", range(6))
def test_over_days_of_any_changes_the_metadata_is_that_of_the_bucket(
    bucket: Bucket, seed: int
) -> None:
    chances = random.Random(seed)  # noqa: S311 - a repeatable test
    keys = [f"{letter}/{number}" for letter in "abcd" for number in range(6)]
    for day in range(5):
        written = set()
        for key in chances.sample(keys, 8):
            if key in bucket.listed and chances.random() < 0.4:
                bucket.delete(key)
                written.discard(key)
            if chances.random() < 0.7:
                # Few contents, so that ETags return.
                bucket.put(key, chances.choice("xyz"), **named(f"{day} {chances.random()}"))
                written.add(key)
        record = bucket.collect()
        assert user_metadata(bucket.rows(record)) == bucket.told()
        assert asked(bucket) == sorted(written & bucket.listed.keys())
        assert [*bucket.rows(record)] == sorted(bucket.listed)
        bucket.pass_night()


def test_metadata_is_carried_to_a_new_shard_and_back(bucket: Bucket) -> None:
    for key in ("a/1", "a/2", "b"):
        bucket.put(key, key, **named(key))
    bucket.collect()
    bucket.pass_night()
    of_a, rest = bucket.collect(Shard("a/")), bucket.collect(Shard("", ("a/",)))
    assert asked(bucket) == []
    assert [*bucket.rows(of_a), *bucket.rows(rest)] == ["a/1", "a/2", "b"]
    bucket.pass_night()
    whole = bucket.collect()
    assert asked(bucket) == []
    assert user_metadata(bucket.rows(whole)) == bucket.told()


def test_of_each_key_the_newest_metadata_is_carried(bucket: Bucket) -> None:
    """A shard may have been collected on other days than its neighbours."""
    for key in ("a/1", "b"):
        bucket.put(key, key, **named("old"))
    bucket.collect()
    bucket.pass_night()
    bucket.put("a/1", "new", **named("new"))
    bucket.collect(Shard("a/"))
    bucket.pass_night()
    found = newest_metadata(bucket.store, LAYOUT, bucket.day, WHOLE)
    assert [record.shard.prefix for record in found] == ["a/", ""]
    assert user_metadata(bucket.rows(bucket.collect())) == bucket.told()
    assert asked(bucket) == []


def test_of_a_part_that_several_shards_have_had_the_newest_metadata_is_shared(
    bucket: Bucket,
) -> None:
    bucket.put("a", "a", status=403)
    bucket.put("x/1", "x")
    bucket.collect()
    bucket.pass_night()
    bucket.server.objects["a", None].status = 200
    assert bucket.collect(Shard("", ("x/",))).errors == {}
    bucket.pass_night()
    with closing(HeadClient(bucket.server.config())) as client:
        collector = ShardCollector(client, bucket.store, LAYOUT, lambda: noon(bucket.day))
        plan = collector.plan(bucket.snapshot())
    assert [part.errors for part in plan.shared.values()] == [{}, {}]


def test_with_a_budget_the_newest_objects_are_asked_for_first(bucket: Bucket) -> None:
    hours = [*range(10)]
    random.Random(1).shuffle(hours)  # noqa: S311 - a repeatable test
    for number, hour in enumerate(hours):
        bucket.put(f"k{number}", "x", noon(bucket.day) - timedelta(hours=hour))
    record = bucket.collect(limit=4)
    assert (record.asked, record.unknown, record.requests, record.budget) == (4, 6, 4, 4)
    newest = sorted(f"k{number}" for number, hour in enumerate(hours) if hour < 4)
    assert asked(bucket) == newest
    unknown = [key for key, row in bucket.rows(record).items() if row["fetched_at"] is None]
    assert sorted([*unknown, *newest]) == sorted(bucket.listed)


def test_the_next_run_continues_until_nothing_is_unknown(bucket: Bucket) -> None:
    for number in range(10):
        written = noon(bucket.day) - timedelta(hours=number)
        bucket.put(f"k{number}", "x", written, **named(str(number)))
    left: list[int] = []
    while not left or left[-1]:
        left.append(bucket.collect(limit=4).unknown)
        bucket.pass_night()
    assert left == [6, 2, 0]
    assert user_metadata(bucket.rows(bucket.collect(limit=4))) == bucket.told()
    assert asked(bucket) == []


def test_a_run_of_the_same_day_continues_too(bucket: Bucket) -> None:
    for number in range(6):
        bucket.put(f"k{number}", "x", **named(str(number)))
    assert [bucket.collect(limit=4).unknown for _ in range(2)] == [2, 0]
    assert bucket.server.heads.total() == 6


def test_a_budget_counts_every_request(bucket: Bucket) -> None:
    for number in range(6):
        bucket.put(f"k{number}", "x", tags={"a": "b"})
    record = bucket.collect(limit=5, with_tags=True)
    assert (record.asked, record.requests) == (2, 4)


def test_objects_that_cannot_be_read_are_rows_with_their_error(bucket: Bucket) -> None:
    for key, status in (("denied", 403), ("gone", 404), ("odd", 400), ("good", 200)):
        bucket.put(key, "x", status=status)
    record = bucket.collect()
    errors = {key: row["error"] for key, row in bucket.rows(record).items()}
    assert errors == {"denied": "forbidden", "gone": "missing", "odd": "refused", "good": None}
    assert record.errors == {"forbidden": 1, "missing": 1, "refused": 1}
    assert record.unknown == 0
    assert violations_of(bucket.store, record, bucket.snapshot()) == []


def test_an_error_that_may_pass_is_asked_for_again_the_next_day(bucket: Bucket) -> None:
    bucket.put("gone", "x", status=404)
    bucket.put("good", "x")
    bucket.collect()
    bucket.pass_night()
    bucket.server.objects["gone", None].status = 200
    record = bucket.collect()
    assert asked(bucket) == ["gone"]
    assert record.errors == {}


def test_denied_objects_are_asked_for_again_when_a_few_of_them_can_be_read(
    bucket: Bucket,
) -> None:
    bucket.put("good", "x")
    for number in range(30):
        bucket.put(f"k{number:02}", "x", status=403)
    bucket.collect()
    bucket.pass_night()
    record = bucket.collect()
    assert len(asked(bucket)) == 10  # those few, each of them also without checksums
    assert record.errors == {"forbidden": 30}
    bucket.pass_night()
    for number in range(30):
        bucket.server.objects[f"k{number:02}", None].status = 200
    assert bucket.collect().errors == {}


def test_an_object_whose_replication_is_pending_is_asked_for_again_for_a_week(
    bucket: Bucket,
) -> None:
    bucket.put("k", "x", headers={"x-amz-replication-status": "PENDING"})
    days = []
    for _ in range(10):
        bucket.collect()
        days.append(len(asked(bucket)))
        bucket.pass_night()
    assert days == [1] * 8 + [0] * 2
    bucket.put("j", "x", headers={"x-amz-replication-status": "PENDING"})
    bucket.collect()
    bucket.pass_night()
    bucket.server.objects["j", None].headers = {"x-amz-replication-status": "COMPLETED"}
    assert bucket.rows(bucket.collect())["j"]["replication_status"] == "COMPLETED"


def test_tags_that_are_wanted_later_are_asked_for_then(bucket: Bucket) -> None:
    bucket.put("k", "x", tags={"team": "a"})
    assert bucket.rows(bucket.collect())["k"]["object_tags"] is None
    bucket.pass_night()
    record = bucket.collect(with_tags=True)
    assert bucket.rows(record)["k"]["object_tags"] == {"team": "a"}
    bucket.pass_night()
    assert bucket.collect(with_tags=True).asked == 0
    # And where they are not wanted any more, they are still told.
    assert bucket.rows(bucket.collect())["k"]["object_tags"] == {"team": "a"}


def test_a_missing_permission_publishes_nothing(bucket: Bucket) -> None:
    for number in range(100):
        bucket.put(f"k{number}", "x", status=403)
    with pytest.raises(AccessDenied):
        bucket.collect()
    assert read_metadata(bucket.store, LAYOUT, bucket.day, "") is None


def _failing_after(bucket: Bucket, answers: int) -> Callable[[Seen], Answer]:
    """Answers so many requests for objects, counted from the beginning, and then none."""

    def answer(seen: Seen) -> Answer:
        is_over = bucket.server.heads.total() >= answers
        return Answer(500) if is_over else bucket.server.answer(seen)

    return answer


@pytest.mark.parametrize("seed", range(5))
def test_answers_before_an_outage_are_kept_for_the_next_run(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """However often a run ends early, and on whatever day the next one is, nothing is lost."""
    monkeypatch.setattr(fetch_log, "INTERVAL_SECONDS", 0.0)
    chances = random.Random(seed)  # noqa: S311 - a repeatable test
    for number in range(60):
        bucket.put(f"{number % 5}/{number}", "x", **named(str(number)))
    record = None
    while record is None:
        before = bucket.server.heads.total()
        bucket.server.answering = _failing_after(bucket, before + chances.randint(1, 30))
        impatient = RetryPolicy(outage_seconds=0.01, base_seconds=0.001, cap_seconds=0.001)
        # One request in flight: of several, the error of one leaves the others unanswered.
        client = HeadClient(bucket.server.config(1), impatient)
        with suppress(RetriesExhausted):
            record = bucket.collect(client=client)
        if chances.random() < 0.3:
            bucket.day += timedelta(days=1)
    assert user_metadata(bucket.rows(record)) == bucket.told()
    assert max(bucket.server.heads.values()) == 1
    assert bucket.store.list_names(f"{LAYOUT.base}/metadata/fetched") == []


def test_a_listing_without_objects_has_metadata_without_rows(bucket: Bucket) -> None:
    record = bucket.collect()
    assert (record.rows, record.parts, record.asked) == (0, (), 0)
    assert violations_of(bucket.store, record, bucket.snapshot()) == []


def test_metadata_of_another_listing_is_a_violation(bucket: Bucket) -> None:
    bucket.put("k", "x")
    record = bucket.collect()
    bucket.put("l", "x")
    (violation,) = violations_of(bucket.store, record, bucket.snapshot())
    assert "listed again" in violation


def test_a_file_that_was_removed_is_a_violation(bucket: Bucket) -> None:
    bucket.put("k", "x")
    record = bucket.collect()
    bucket.store.remove_key(record.parts[0].file)
    (violation,) = violations_of(bucket.store, record, bucket.snapshot())
    assert "missing" in violation
