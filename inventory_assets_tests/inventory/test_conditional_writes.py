"""Results on stores with other conditional writes than AWS, or none."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from inventory_assets.inventory.errors import ConflictError, StoreError
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.storage import claims
from inventory_assets.inventory.storage.bucket_store import BucketStore, _ConditionalWriteHabit
from inventory_assets.inventory.storage.store import NO_ETAG
from inventory_assets.s3 import object_client
from inventory_assets.s3.conditional_writes import ConditionalWrites
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.fakes.results_server import (
    Condition,
    Habits,
    ResultsServer,
    ignored,
    like_aws,
    like_rgw,
    new_only,
    refusing,
    says,
    unquoted_is_ignored,
)
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

PREFIX = "some/results"
Serve = Callable[..., ResultsServer]

HABITS: dict[str, tuple[Condition, ConditionalWrites]] = {
    "AWS": (like_aws, ConditionalWrites.QUOTED),
    "Ceph RGW": (like_rgw, ConditionalWrites.UNQUOTED),
    "ignored": (ignored, ConditionalWrites.IGNORED),
    "new only": (new_only, ConditionalWrites.UNSUPPORTED),
    "unquoted is ignored": (unquoted_is_ignored, ConditionalWrites.IGNORED),
    "refuses by 409": (
        refusing(like_aws, "409 ConditionalRequestConflict"),
        ConditionalWrites.QUOTED,
    ),
    "refuses by 404": (refusing(like_aws, "404 NoSuchKey"), ConditionalWrites.QUOTED),
    "refuses by 304": (refusing(like_aws, "304 NotModified"), ConditionalWrites.QUOTED),
    "refuses by 400": (refusing(like_aws, "400 InvalidRequest"), ConditionalWrites.QUOTED),
    "RGW refusing by 409": (refusing(like_rgw, "409 Conflict"), ConditionalWrites.UNQUOTED),
} | {
    words: (says(words), ConditionalWrites.UNSUPPORTED)
    for words in (
        "501 NotImplemented",
        "400 InvalidArgument",
        "405 MethodNotAllowed",
        "409 ConditionalRequestConflict",
        "403 SignatureDoesNotMatch",
        "404 NoSuchKey",
        "412 PreconditionFailed",
        "304 NotModified",
        "500 InternalError",
    )
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits between two attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    for module in ("s3.conditional_writes", "inventory.storage.bucket_store"):
        monkeypatch.setattr(f"inventory_assets.{module}.wait_before_retry", lambda _attempt: None)


@pytest.fixture(scope="module")
def server() -> Iterator[ResultsServer]:
    with ResultsServer(Habits()) as running:
        yield running


@pytest.fixture(scope="module")
def connected(server: ResultsServer) -> BucketStore:
    """Its connections are shared, as they take long to open."""
    return BucketStore(server.bucket_config, PREFIX)


@pytest.fixture
def serve(server: ResultsServer) -> Serve:
    """The server, empty and with other habits."""

    def begin(**habits: Any) -> ResultsServer:
        server.begin(Habits(**habits))
        return server

    return begin


@pytest.fixture
def store(connected: BucketStore) -> BucketStore:
    """A store that has not probed yet how conditional writes are treated."""
    fresh = copy(connected)
    fresh._habit = _ConditionalWriteHabit(connected._objects, connected._habit._folder)
    return fresh


@pytest.mark.parametrize("name", HABITS)
def test_support_for_conditional_writes_is_detected(
    serve: Serve, store: BucketStore, name: str
) -> None:
    condition, expected = HABITS[name]
    server = serve(condition=condition)
    assert store.conditional_writes is expected
    assert server.objects == {}


@pytest.mark.parametrize(("name", "requests"), [("AWS", 5), ("ignored", 3), ("Ceph RGW", 8)])
def test_detection_takes_few_requests_and_happens_once(
    serve: Serve, store: BucketStore, name: str, requests: int
) -> None:
    server = serve(condition=HABITS[name][0])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.conditional_writes, range(4)))
    assert len(server.seen) == requests
    assert {key.rpartition("/")[0] for _, key, _ in server.seen} == {
        f"{PREFIX}/.scratch/conditions"
    }


@pytest.mark.parametrize(
    ("name", "etag"),
    [
        *((name, '"{}"') for name in HABITS),
        *((name, etag) for name in ("AWS", "Ceph RGW") for etag in ("{}", 'W/"{}"')),
    ],
)
def test_a_conditional_write_fails_after_another_write(
    serve: Serve, store: BucketStore, name: str, etag: str
) -> None:
    server = serve(condition=HABITS[name][0], etag=etag.format)
    other = copy(store)
    first = store.put_if_match("x", b"1", NO_ETAG)
    assert store.etag("x") == other.etag("x") == first != NO_ETAG
    with pytest.raises(ConflictError, match=r"x was published by another run.*start over"):
        other.put_if_match("x", b"2", NO_ETAG)
    second = store.put_if_match("x", b"2", first)
    with pytest.raises(ConflictError):
        other.put_if_match("x", b"3", first)
    store.remove_key("x")
    with pytest.raises(ConflictError):
        other.put_if_match("x", b"3", second)
    assert server.objects == {}


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("name", HABITS)
def test_exactly_one_of_concurrent_runs_publishes(
    serve: Serve, store: BucketStore, name: str, is_new: bool
) -> None:
    server = serve(condition=HABITS[name][0])
    runs = 5
    if not is_new:
        store.publish("x", b"old")
    assert store.conditional_writes is HABITS[name][1]
    version = store.etag("x")
    start = Barrier(runs)

    def publish(number: int) -> bytes | None:
        data = str(number).encode()
        start.wait()
        try:
            store.put_if_match("x", data, version)
        except ConflictError:
            return None
        return data

    with ThreadPoolExecutor(runs) as pool:
        published = [data for data in pool.map(publish, range(runs)) if data]
    assert [store.read("x")] == published
    assert set(server.objects) == {f"{PREFIX}/x"}


@pytest.mark.parametrize("name", ["AWS", "Ceph RGW", "ignored", "501 NotImplemented"])
def test_a_manifest_is_published_again_and_again(
    serve: Serve, store: BucketStore, name: str
) -> None:
    serve(condition=HABITS[name][0])
    for keys in ("ab", "cd", "ef"):
        snapshot = snapshot_of(store, Shard(""), listed(keys))
        manifest = merge(store, LAYOUT, "", {"": snapshot}, NOW)
        publish_manifest(store, LAYOUT, manifest)
        assert read_manifest(store, LAYOUT, DAY) == manifest


@pytest.mark.parametrize("name", HABITS)
def test_nothing_but_the_results_is_left_for_readers(
    serve: Serve, store: BucketStore, name: str
) -> None:
    serve(condition=HABITS[name][0], removes=False)
    try:
        store.put_if_match("a/x", b"1", NO_ETAG)
    except StoreError as error:
        assert "s3:DeleteObject" in str(error)  # noqa: PT017 - a claim must be removed
        assert not HABITS[name][1].are_honoured
    assert set(store.list_names("")) - {".scratch"} == {"a"}
    assert [file.key for file in store.files("a")] == ["a/x"]


def test_files_of_any_size_are_uploaded_without_a_condition(
    serve: Serve, store: BucketStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads in one request and in several; existing objects are not sent again."""
    monkeypatch.setattr(object_client, "UPLOAD_BYTES", 1000)
    server = serve(condition=says("501 NotImplemented"))
    for size in (1000, 1001, 5000):
        data = bytes(size)
        for _ in range(2):
            file = tmp_path / str(size)
            file.write_bytes(data)
            store.publish_file(f"parts/{size}", file, sha256(data).hexdigest())
        assert store.read(f"parts/{size}") == data
    assert all(not conditions for _, _, conditions in server.seen)
    sent = [seen for seen, _, _ in server.seen if seen.startswith(("PUT", "POST"))]
    assert len(sent) == 1 + (2 + 2) + (2 + 5)


@pytest.mark.parametrize("name", HABITS)
def test_each_record_is_written_by_one_request(
    serve: Serve, store: BucketStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some stores ignore a condition on the completion of a multipart upload."""
    monkeypatch.setattr(object_client, "UPLOAD_BYTES", 10)
    server = serve(condition=HABITS[name][0])
    store.put_if_match("x", bytes(1000), NO_ETAG)
    assert not any("upload" in seen for seen, _, _ in server.seen)


def test_the_same_file_uploaded_twice_is_read_on(
    serve: Serve, store: BucketStore, tmp_path: Path
) -> None:
    """Some stores give equal content another ETag; the SHA-256 proves that it is equal."""
    server = serve()
    data, digest = bytes(100), sha256(bytes(100)).hexdigest()
    (tmp_path / "file").write_bytes(data)
    store.publish_file("part", tmp_path / "file", digest)
    opened = store.open("part")
    assert opened is not None
    server.habits.etag = '"{}-1"'.format
    assert opened.read() == data


def test_a_store_that_names_no_etags_is_rejected(serve: Serve, store: BucketStore) -> None:
    serve(etag=lambda _etag: "")
    with pytest.raises(StoreError, match=r"does not send its ETag.*keep results on another store"):
        store.put_if_match("x", b"1", NO_ETAG)


def test_a_failing_store_is_not_taken_for_one_without_conditional_writes(
    serve: Serve, store: BucketStore
) -> None:
    throttled = 7
    answers = iter(["503 SlowDown"] * throttled)

    def condition(if_none_match: str | None, if_match: str | None, etag: str | None) -> str | None:
        return next(answers, None) or like_aws(if_none_match, if_match, etag)

    serve(condition=condition)
    assert store.conditional_writes is ConditionalWrites.QUOTED


def test_a_store_that_may_not_be_written_says_so(serve: Serve, store: BucketStore) -> None:
    serve(condition=lambda *_: "403 AccessDenied")
    with pytest.raises(StoreError, match=r"it is not allowed .* s3:PutObject"):
        store.put_if_match("x", b"1", NO_ETAG)


def test_a_precondition_failure_without_a_change_is_no_conflict(
    serve: Serve, store: BucketStore
) -> None:
    server = serve()
    assert store.conditional_writes is ConditionalWrites.QUOTED
    server.habits.condition = says("412 PreconditionFailed")
    with pytest.raises(StoreError, match=r"refused it 5 times \(status 412\), although") as caught:
        store.put_if_match("x", b"1", NO_ETAG)
    assert not isinstance(caught.value, ConflictError)


def test_the_claim_of_a_killed_run_blocks_others_until_it_is_stale(
    serve: Serve, store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "WAIT_SECONDS", 0.2)
    now = datetime.now(UTC)
    server = serve(condition=ignored, now=lambda: now)
    store.conditional_writes  # noqa: B018 - tried now
    with monkeypatch.context() as patch:
        patch.setattr(claims.Claim, "__exit__", lambda *_: None)
        store.put_if_match("x", b"1", NO_ETAG)
    with pytest.raises(StoreError, match=r"another run has had a claim to it .* 15 minutes after"):
        store.put_if_match("x", b"2", store.etag("x"))
    now += claims.STALE_AFTER + timedelta(seconds=1)
    store.put_if_match("x", b"2", store.etag("x"))
    assert store.read("x") == b"2"
    assert set(server.objects) == {f"{PREFIX}/x"}


@pytest.mark.parametrize("held_up", ["before", "after"])
def test_a_run_delayed_beyond_the_time_of_its_claim_is_an_error(
    serve: Serve, store: BucketStore, monkeypatch: pytest.MonkeyPatch, held_up: str
) -> None:
    server = serve(condition=ignored)
    if held_up == "before":
        monkeypatch.setattr(claims, "WRITE_WITHIN_SECONDS", -1)
    else:
        monkeypatch.setattr(
            claims.Claim, "require_time", lambda claim: server.objects.pop(claim._key)
        )
    with pytest.raises(StoreError, match="delayed for so long that another run may have published"):
        store.put_if_match("x", b"1", NO_ETAG)


def test_claims_on_a_store_that_lists_late_are_rejected(serve: Serve, store: BucketStore) -> None:
    serve(condition=ignored, lists=False)
    with pytest.raises(StoreError, match=r"does not list new objects at once; .* in a folder"):
        store.put_if_match("x", b"1", NO_ETAG)
    assert store.read("x") is None
