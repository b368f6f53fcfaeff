"""Errors of requests to a bucket of results."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from inventory_assets.inventory.errors import ConflictError, CorruptRecord, StoreError
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import Reuse
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import NO_ETAG
from inventory_assets.s3 import object_client
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.inventory.samples import (
    DAY,
    LAYOUT,
    NOW,
    listed,
    parts_of,
    snapshot_of,
)
from inventory_assets_tests.inventory.stores import (
    BUCKET,
    error_response,
    ignore_conditions,
    new_bucket_store,
    on_the_way,
    unfinished_uploads,
)

Handler = Callable[[AWSPreparedRequest], AWSResponse | None]
WHOLE = [KeyRange.of_prefix("")]
CONDITIONS = {"if-match", "if-none-match"}


@pytest.fixture
def store(moto: Endpoint) -> BucketStore:
    return new_bucket_store(moto)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait between two attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)


def is_conditional_write(request: AWSPreparedRequest) -> bool:
    names = {str(name).lower() for name in request.headers}
    return request.method in ("PUT", "POST") and bool(names & CONDITIONS)


def without_conditions(request: AWSPreparedRequest) -> AWSResponse | None:
    return error_response(request, 501, "NotImplemented") if is_conditional_write(request) else None


def failing(status: int, code: str, times: int) -> tuple[Handler, list[str]]:
    """Rejects some requests, then passes the others; records the methods of the rejected ones."""
    refused: list[str] = []

    def handle(request: AWSPreparedRequest) -> AWSResponse | None:
        if len(refused) == times:
            return None
        refused.append(str(request.method))
        return error_response(request, status, code)

    return handle, refused


def large_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three parts."""
    monkeypatch.setattr(object_client, "UPLOAD_BYTES", 5 * 2**20)
    file = folder / "large"
    file.write_bytes(b"x" * (2 * 5 * 2**20 + 1))
    return file


@pytest.mark.parametrize("death", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("dies_at", ["partNumber=2", "complete"])
def test_an_upload_that_dies_midway_is_aborted_and_nothing_is_visible(
    store: BucketStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    death: type[BaseException],
    dies_at: str,
) -> None:
    def die(request: AWSPreparedRequest) -> None:
        is_complete = request.method == "POST" and "uploadId" in request.url
        if dies_at in request.url or (dies_at == "complete" and is_complete):
            raise death

    on_the_way(store, die)
    with pytest.raises(death):
        store.publish_file("large", large_file(tmp_path, monkeypatch))
    assert store.read("large") is None
    assert unfinished_uploads(store) == []


@pytest.mark.usefixtures("impatient")
def test_an_upload_that_is_rejected_midway_is_aborted_and_named(
    store: BucketStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: AWSPreparedRequest) -> AWSResponse | None:
        return (
            error_response(request, 500, "InternalError") if "partNumber=3" in request.url else None
        )

    on_the_way(store, refuse)
    with pytest.raises(StoreError, match=r"cannot write s3://results/.*/large: server error at"):
        store.publish_file("large", large_file(tmp_path, monkeypatch))
    assert store.read("large") is None
    assert unfinished_uploads(store) == []


@pytest.mark.usefixtures("impatient")
def test_temporary_throttling_is_retried(store: BucketStore) -> None:
    handle, refused = failing(503, "SlowDown", times=object_client.ATTEMPTS - 1)
    on_the_way(store, handle)
    store.publish("x", b"1")
    assert refused == ["PUT"] * (object_client.ATTEMPTS - 1)
    assert store.read("x") == b"1"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (503, "SlowDown", f"throttled at each of {object_client.ATTEMPTS} attempts .* try again"),
        (403, "AccessDenied", "it is not allowed .* grant these credentials s3:ListBucket"),
        (403, "SignatureDoesNotMatch", "the endpoint refuses the credentials"),
        (404, "NoSuchBucket", "there is no such bucket; check its name"),
    ],
)
def test_a_permanent_refusal_names_the_object_and_the_remedy(
    store: BucketStore, status: int, code: str, message: str
) -> None:
    handle, _ = failing(status, code, times=99)
    on_the_way(store, handle)
    for use in (store.read, lambda key: store.publish(key, b"")):
        with pytest.raises(StoreError, match=rf"s3://results/some/\d+/x: .*{message}"):
            use("x")


def test_a_truncated_body_is_requested_again() -> None:
    answers = [Answer(body=b"whole", sent=2), Answer(body=b"whole")]
    with ScriptedServer(answers) as server:
        bucket_config = BucketConfig(
            BUCKET, server.url, access_key="any", secret_key="any", addressing_style="path"
        )
        assert BucketStore(bucket_config).read("x") == b"whole"
        assert len(server.seen) == 2


def test_a_write_whose_response_was_lost_is_recognized(store: BucketStore) -> None:
    lost: list[str] = []

    def lose(request: AWSPreparedRequest) -> None:
        if is_conditional_write(request) and not lost:
            lost.append(request.url)
            store.publish("x", b"1")  # the write arrives, and is sent again

    assert store.conditional_writes.are_honoured
    on_the_way(store, lose)
    version = store.put_if_match("x", b"1", NO_ETAG)
    assert version == store.etag("x")


def test_a_conflict_without_a_change_is_retried(store: BucketStore) -> None:
    handle, refused = failing(409, "ConditionalRequestConflict", times=1)
    version = store.etag("x")
    assert store.conditional_writes.are_honoured
    on_the_way(store, lambda request: handle(request) if is_conditional_write(request) else None)
    store.put_if_match("x", b"1", version)
    assert refused == ["PUT"]
    assert store.read("x") == b"1"


@pytest.mark.parametrize("habit", ["refuses", "ignores"])
def test_without_conditional_writes_the_record_is_checked_before_each_write(
    store: BucketStore, habit: str
) -> None:
    if habit == "refuses":
        on_the_way(store, without_conditions)
    else:
        ignore_conditions(store)
    manifests = [
        merge(store, LAYOUT, "", {"": snapshot_of(store, Shard(""), listed(keys))}, NOW)
        for keys in ("ab", "cd")
    ]
    publish_manifest(store, LAYOUT, manifests[0], NO_ETAG)
    with pytest.raises(ConflictError, match=r"inventory\.json was published by another run"):
        publish_manifest(store, LAYOUT, manifests[1], NO_ETAG)
    assert read_manifest(store, LAYOUT, DAY) == manifests[0]


def test_a_part_uploaded_concurrently_by_another_run_is_accepted(
    store: BucketStore, moto: Endpoint
) -> None:
    faster = new_bucket_store(moto)
    faster._destination = store.destination

    overtaken: list[str] = []

    def overtake(request: AWSPreparedRequest) -> None:
        if request.method == "PUT":
            overtaken.append(request.url)
            parts_of(faster, listed("ab"))

    on_the_way(store, overtake)
    (part,) = parts_of(store, listed("ab"))
    assert store.size(part.key) == part.file_bytes
    assert len(overtaken) == 1


def test_an_existing_part_is_not_uploaded_again(store: BucketStore) -> None:
    parts_of(store, listed("ab"))
    sent: list[str] = []
    on_the_way(store, lambda request: sent.append(str(request.method)))
    parts_of(store, listed("ab"))
    assert sent == ["HEAD", "HEAD"]  # whether it is marked, and whether it is there


def test_an_unchanged_shard_uploads_no_part(store: BucketStore) -> None:
    """Only the snapshot and the run record are written."""
    layout = Layout("model", "source")
    keys = [f"{number:04}" for number in range(300)]
    yesterday = ShardLister(ModelS3(keys, 100), store, layout).list_shard(DAY, Shard(""))
    publish_manifest(store, layout, merge(store, layout, "", {"": yesterday}, NOW))
    written: list[str] = []

    def note(request: AWSPreparedRequest) -> None:
        if request.method in ("PUT", "POST"):
            written.append(str(request.url).rpartition(f"{layout.base}/")[2])

    on_the_way(store, note)
    today = ShardLister(ModelS3(keys, 100), store, layout).list_shard(
        DAY + timedelta(days=1), Shard("")
    )
    assert (today.parts, today.fingerprint) == (yesterday.parts, yesterday.fingerprint)
    assert today.reuse == Reuse(unchanged=True, parts=1, bytes=yesterday.file_bytes)
    assert sorted(path.partition("/")[0] for path in written) == ["runs", "snapshots"]

    ShardLister(ModelS3([*keys, "0"], 100), store, layout).list_shard(
        DAY + timedelta(days=1), Shard("")
    )
    assert len([name for name in written if name.endswith(".parquet")]) == 1


def test_a_damaged_part_is_named(store: BucketStore) -> None:
    (part,) = parts_of(store, listed("ab"))
    store.publish(part.key, b"damaged")
    with pytest.raises(CorruptRecord, match=rf"s3://results/.*{part.key} is missing or damaged"):
        list(read_records(store, [part], WHOLE))


def test_a_file_replaced_while_it_is_read_is_an_error(store: BucketStore) -> None:
    store.publish("x", b"old")
    file = store.open("x")
    assert file is not None
    store.publish("x", b"new")
    with pytest.raises(StoreError, match=r"cannot read .*x: it was changed in the meantime"):
        file.read()


def test_an_unreachable_endpoint_is_named(impatient: None) -> None:  # noqa: ARG001
    nowhere = BucketConfig(BUCKET, "http://127.0.0.1:9", access_key="any", secret_key="any")
    with pytest.raises(StoreError, match=r"cannot read s3://results/x: refused at each"):
        BucketStore(nowhere).read("x")


def test_missing_credentials_are_named(
    no_aws_environment: None,  # noqa: ARG001
) -> None:
    store = BucketStore(BucketConfig(BUCKET, "http://127.0.0.1:9"))
    with pytest.raises(StoreError, match="no AWS credentials were found; name a profile"):
        store.read("x")


def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(StoreError, match="bucket 'results' at AWS: cannot open a session"):
        BucketStore(BucketConfig(BUCKET, profile="nobody"))


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("eu-west-1", "arn:aws:s3:::results"),
        ("cn-north-1", "arn:aws-cn:s3:::results"),
        ("us-gov-west-1", "arn:aws-us-gov:s3:::results"),
    ],
)
def test_the_destination_is_an_arn_of_the_regions_partition(region: str, arn: str) -> None:
    store = BucketStore(BucketConfig(BUCKET, region=region), "daily/")
    assert store.destination.bucket_arn == arn
    assert store.destination.key("a/b") == "daily/a/b"
    assert store.uri("a/b") == "s3://results/daily/a/b"
