"""`object_metadata`: where it is configured, each shard and day has the metadata of its objects."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest

from inventory_assets.config import Exports, Metadata, Retention, Shards
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.run_telemetry import TRACE_TAG
from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.metadata.shard_metadata import read_metadata
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention as Policy
from inventory_assets_tests.assets.conftest import ACCESS_KEY, SECRET_KEY
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    Outcome,
    World,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    noon,
)
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.fakes.object_server import BUCKET, ObjectServer, ServedObject
from inventory_assets_tests.fakes.otlp_receiver import HttpReceiver
from inventory_assets_tests.fakes.scripted_server import Answer, Seen, error_document

E_TAG = str(Listed("k").e_tag)
KEYS = {"a/1", "a/2", "b/1", "root"}

pytestmark = pytest.mark.filterwarnings("ignore:Iceberg scan planning with the polars_iceberg")


class Served(World):
    """A world whose bucket is listed in memory, and whose objects are served.

    Attributes:
        server: Serves the objects.
        keys: The keys of the bucket.
    """

    server: ObjectServer
    keys: set[str]

    def put(self, *keys: str, **served: Any) -> None:
        for key in keys:
            self.keys.add(key)
            self.server.objects[key, None] = ServedObject(E_TAG, **served)

    def ask(self) -> Outcome:
        """Collect the metadata of all shards of the clock's day, in one run."""
        self.server.heads.clear()
        return self.run("object_metadata", tags=self.range_tags())

    def total(self, outcome: Outcome, name: str) -> int:
        """The sum of a number over the shards of a run."""
        return sum(metadata_of(event, name) for event in materializations(outcome).values())

    def dataset(self) -> Dataset:
        return Dataset.of_date(self.store, self.layout, self.day)


def mapped(value: Any) -> dict[str, str]:
    """A map as Polars reads it: older versions read a list of entries."""
    return value if isinstance(value, dict) else {row["key"]: row["value"] for row in value}


@pytest.fixture
def make(
    tmp_path: Path,
    buckets: Buckets,
    no_aws_environment: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Served]]:
    """Makes a world whose source asks for metadata."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    with ObjectServer() as server, dg.DagsterInstance.ephemeral() as instance:

        def make(metadata: Metadata | None = None, **source: Any) -> Served:
            fields = {
                "bucket": BUCKET,
                "endpoint_url": server.url,
                "region": "us-east-1",
                "addressing_style": "path",
                "shards": Shards(depth=1),
                "metadata": metadata or Metadata(),
                "concurrency": 4,
            }
            world = Served(tmp_path, instance, {**fields, **source})
            world.server = server
            world.keys = buckets.keys.setdefault(BUCKET, set())
            world.put(*sorted(KEYS))
            return world

        yield make


def test_the_metadata_of_each_shard_is_collected(make: Callable[..., Served]) -> None:
    world = make()
    world.put("a/1", headers={"x-amz-meta-owner": "team-a"})
    world.pass_day(TODAY)
    outcome = world.ask()
    assert outcome.success, failure_text(outcome)
    assert set(materializations(outcome)) == {world.key(each) for each in world.shard_keys}
    assert world.total(outcome, "asked") == 4
    assert world.total(outcome, "unknown") == 0
    event = materializations(outcome)[world.key("a/")]
    assert metadata_of(event, "dagster/row_count") == 2
    assert metadata_of(event, "max_requests") == "no limit"
    found = world.dataset().metadata().collect()
    assert found["key"].to_list() == sorted(KEYS)
    owners = {row["key"]: row["user_metadata"] for row in found.to_dicts()}
    assert mapped(owners["a/1"]) == {"owner": "team-a"}


def test_a_day_without_changes_asks_nothing_and_keeps_the_data_version(
    make: Callable[..., Served],
) -> None:
    world = make()
    world.pass_day(YESTERDAY)
    before = world.ask()
    world.pass_day(TODAY)
    after = world.ask()
    assert world.server.heads.total() == 0
    assert world.total(after, "carried") == 4
    assert sorted(data_versions(after).values()) == sorted(data_versions(before).values())


def test_a_tenth_of_new_objects_costs_as_many_requests(make: Callable[..., Served]) -> None:
    world = make()
    world.put(*(f"a/{number}" for number in range(100)))
    world.pass_day(YESTERDAY)
    world.ask()
    world.put(*(f"b/{number}" for number in range(100, 110)))
    world.pass_day(TODAY)
    outcome = world.ask()
    assert world.total(outcome, "requests") == world.server.heads.total() == 10


def test_a_budget_is_of_the_run_and_the_next_run_continues(make: Callable[..., Served]) -> None:
    world = make(Metadata(max_requests=3))
    world.pass_day(YESTERDAY)
    outcome = world.ask()
    assert outcome.success, failure_text(outcome)
    assert world.server.heads.total() == 3
    assert world.total(outcome, "unknown") == 1
    event = next(iter(materializations(outcome).values()))
    assert metadata_of(event, "max_requests") == "3"
    unknown = world.dataset().metadata().filter(pl.col("fetched_at").is_null()).collect()
    assert unknown.height == 1
    world.pass_day(TODAY)
    assert world.total(world.ask(), "unknown") == 0
    assert world.server.heads.total() == 1


def expired_after(server: ObjectServer, heads: int, seen: Seen) -> Answer:
    """Answers so many requests for objects; then the credentials have expired."""
    if server.heads.total() < heads:
        return server.answer(seen)
    return Answer(400, b"" if seen.method == "HEAD" else error_document("ExpiredToken"))


def both_days(world: Served) -> dict[str, str]:
    """The tags of a run over all shards of yesterday and today, as a backfill has them."""
    first, last = world.range_tags(YESTERDAY), world.range_tags(TODAY)
    return {name: (first if name.endswith("start") else last)[name] for name in first}


def test_a_run_over_two_dates_asks_for_each_object_once(make: Callable[..., Served]) -> None:
    world = make()
    world.pass_day(YESTERDAY)
    world.put("b/2")
    world.pass_day(TODAY)
    outcome = world.run("object_metadata", tags=both_days(world))
    assert outcome.success, failure_text(outcome)
    assert world.server.heads == dict.fromkeys(world.keys, 1)
    assert world.total(outcome, "requests") == 5


def test_a_budget_holds_in_a_run_over_two_dates(make: Callable[..., Served]) -> None:
    world = make(Metadata(max_requests=4))
    world.pass_day(YESTERDAY)
    world.put("b/2")
    world.pass_day(TODAY)
    outcome = world.run("object_metadata", tags=both_days(world))
    assert outcome.success, failure_text(outcome)
    assert world.server.heads.total() == 4


def test_a_run_over_two_dates_continues_one_that_ended_early(make: Callable[..., Served]) -> None:
    world = make()
    world.pass_day(YESTERDAY)
    world.pass_day(TODAY)
    world.server.answering = partial(expired_after, world.server, 2)
    assert not world.run("object_metadata", tags=both_days(world)).success
    world.server.answering = world.server.answer
    outcome = world.run("object_metadata", tags=both_days(world))
    assert outcome.success, failure_text(outcome)
    assert len(materializations(outcome)) == 2 * len(world.shard_keys)


def test_a_missing_permission_is_told_once_with_the_policy(make: Callable[..., Served]) -> None:
    world = make()
    for shard in "abcd":
        world.put(*(f"{shard}/{number}" for number in range(40)), status=403)
    world.put("root", status=403)
    world.pass_day(TODAY)
    outcome = world.ask()
    assert not outcome.success
    text = failure_text(outcome)
    assert "grant s3:GetObject on arn:aws:s3:::objects/*" in text
    assert f"{world.key('a/')}: " in text  # and of the other shards, nothing
    assert not any(world.key(f"{shard}/") in text for shard in "bcd")
    assert SECRET_KEY not in text
    assert len(world.server.heads) < 60


def test_errors_of_objects_are_counted_and_end_nothing(make: Callable[..., Served]) -> None:
    world = make()
    world.put("b/0", status=404)
    world.put("b/2", status=403)
    world.pass_day(TODAY)
    outcome = world.ask()
    assert outcome.success, failure_text(outcome)
    event = materializations(outcome)[world.key("b/")]
    assert metadata_of(event, "errors") == {"forbidden": 1, "missing": 1}


def test_a_shard_that_was_not_listed_fails_alone(make: Callable[..., Served]) -> None:
    world = make()
    world.discover()
    assert world.run("object_listing", world.key("a/")).success
    outcome = world.ask()
    assert not outcome.success
    assert set(materializations(outcome)) == {world.key("a/")}
    assert "materialize object_listing for it first" in failure_text(outcome)


def test_metadata_of_an_older_listing_is_not_read(make: Callable[..., Served]) -> None:
    world = make()
    world.pass_day(TODAY)
    with pytest.raises(InventoryNotFound, match="materialize object_metadata"):
        world.dataset().metadata()
    world.ask()
    assert world.dataset().with_prefix("a/").metadata().collect().height == 2
    world.put("a/3")
    world.pass_day(TODAY)
    with pytest.raises(InventoryNotFound, match="1 shard"):
        world.dataset().metadata()


def test_tags_are_collected_where_they_are_configured(make: Callable[..., Served]) -> None:
    world = make(Metadata(tags=True))
    world.put("root", tags={"team": "a"})
    world.pass_day(TODAY)
    assert world.total(world.ask(), "requests") == 8
    (found,) = world.dataset().metadata().filter(pl.col("key") == "root").collect().to_dicts()
    assert mapped(found["object_tags"]) == {"team": "a"}


def test_the_iceberg_tables_have_the_metadata_of_each_date(make: Callable[..., Served]) -> None:
    world = make(iceberg=True)
    world.put("root", headers={"x-amz-meta-owner": "old"})
    world.pass_day(YESTERDAY)
    # Before the metadata is collected, the other tables are maintained.
    outcome = world.run("iceberg_tables", str(YESTERDAY))
    assert outcome.success, failure_text(outcome)
    assert "metadata_table" not in materializations(outcome)[str(YESTERDAY)].metadata
    world.ask()
    world.run("iceberg_tables", str(YESTERDAY))
    world.put("a/9", headers={"x-amz-meta-owner": "new"})
    world.pass_day(TODAY)
    world.ask()
    outcome = world.run("iceberg_tables", str(TODAY))
    assert outcome.success, failure_text(outcome)
    event = materializations(outcome)[str(TODAY)]
    assert metadata_of(event, "metadata_table") == "inventory_metadata.src"
    frame = pl.scan_iceberg(metadata_of(event, "metadata_metadata_file")).collect()
    assert sorted(frame["key"]) == sorted(world.keys)
    rows = {row["key"]: row["user_metadata"] for row in frame.to_dicts()}
    assert mapped(rows["root"]) == {"owner": "old"}
    assert mapped(rows["a/9"]) == {"owner": "new"}


def exported(world: Served, outcome: Outcome) -> dict[str, str | None]:
    """The content type of each object in the exported Parquet file."""
    assert outcome.success, failure_text(outcome)
    data = world.store.read(world.layout.export(TODAY, "parquet")) or b""
    rows = pq.read_table(BytesIO(data), columns=["key", "content_type"]).to_pylist()
    return {row["key"]: row["content_type"] for row in rows}


def test_exports_have_the_metadata_as_soon_as_it_is_collected(make: Callable[..., Served]) -> None:
    world = make(exports=Exports(csv_inventory=True, files=("parquet",), metadata=True))
    world.put(*KEYS, headers={"content-type": "text/plain"})
    world.pass_day(TODAY)
    # Before the metadata is collected, the inventory is exported nevertheless.
    before = world.run("inventory_exports", str(TODAY))
    assert set(exported(world, before).values()) == {None}
    event = materializations(before)[str(TODAY)]
    assert metadata_of(event, "metadata_missing_shards") == len(world.shard_keys)
    world.ask()
    after = world.run("inventory_exports", str(TODAY))
    assert exported(world, after) == dict.fromkeys(sorted(KEYS), "text/plain")
    event = materializations(after)[str(TODAY)]
    assert metadata_of(event, "metadata_missing_shards") == 0
    assert metadata_of(event, "metadata_unknown_objects") == 0
    assert data_versions(before) != data_versions(after)
    again = world.run("inventory_exports", str(TODAY))
    assert data_versions(after) == data_versions(again)


def test_exports_are_made_anew_when_the_metadata_changes(make: Callable[..., Served]) -> None:
    world = make(exports=Exports(files=("parquet",), metadata=True))
    key = world.assets.key("inventory_exports")

    def requested(cursor: object) -> tuple[list[str], object]:
        result = dg.evaluate_automation_conditions(
            world.definitions,
            world.instance,
            asset_selection=dg.AssetSelection.assets(key),
            evaluation_time=noon(TODAY),
            cursor=cursor,  # type: ignore[arg-type]
        )
        return sorted(map(str, result.get_requested_partitions(key))), result.cursor

    _, cursor = requested(None)
    world.pass_day(TODAY)
    wanted, cursor = requested(cursor)
    assert wanted == [str(TODAY)]
    world.run("inventory_exports", str(TODAY))
    wanted, cursor = requested(cursor)
    assert wanted == []
    world.ask()
    wanted, cursor = requested(cursor)
    assert wanted == [str(TODAY)]
    world.run("inventory_exports", str(TODAY))
    world.ask()  # asks for nothing, and changes nothing
    wanted, cursor = requested(cursor)
    assert wanted == []


def test_retention_keeps_the_files_of_kept_dates_alone(make: Callable[..., Served]) -> None:
    world = make(retention=Retention(keep_days=1))
    world.pass_day(YESTERDAY)
    world.ask()
    world.keys -= {"a/1"}
    world.pass_day(TODAY)
    world.ask()
    record = read_metadata(world.store, world.layout, TODAY, "a/")
    assert record is not None
    for days in (3, 6, 9):
        now = noon(TODAY + timedelta(days=days))
        plan = plan_collection(
            world.store, world.layout, Policy(keep_days=4), TODAY + timedelta(days=4), now
        )
        execute(world.store, plan, partial(noon, now.date()))
    assert read_metadata(world.store, world.layout, YESTERDAY, "a/") is None
    assert len(world.store.list_names(f"{world.layout.base}/metadata/data")) == 3
    assert world.dataset().metadata().collect()["key"].to_list() == ["a/2", "b/1", "root"]


def test_a_run_is_a_trace_with_the_requests_that_failed_and_tells_no_keys(
    make: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(Metadata(tags=True))
    world.put("MaRkEr", status=404)
    world.pass_day(TODAY)
    with HttpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        outcome = world.ask()
    assert outcome.success, failure_text(outcome)
    sent = receiver.received
    (run,) = sent.named("inventory.metadata")
    record = world.instance.get_run_by_id(outcome.run_id)
    assert record is not None
    assert record.tags[TRACE_TAG] == run.trace_id
    assert not {"inventory.keys", "inventory.requests"} & run.attributes.keys()
    (failed,) = [span for span in sent.spans if span.is_error]
    assert (failed.name, failed.parent_id) == ("S3.HeadObject", run.span_id)
    assert failed.attributes["http.request.method"] == "HEAD"
    assert failed.attributes["http.response.status_code"] == 404
    requests = [point for point in sent.points if point.name == "http.client.request.duration"]
    methods = {point.attributes["http.request.method"] for point in requests}
    assert methods == {"HEAD", "GET"}
    assert sum(point.value for point in requests) == world.total(outcome, "requests") == 9
    assert {point.name for point in sent.points} == {
        "http.client.request.duration",
        "process.memory.usage",
    }, "a listing's, which would look stuck, are not sent"
    assert not any(
        text in body for body in sent.bodies for text in (b"MaRkEr", SECRET_KEY.encode())
    )


def test_without_the_table_there_is_no_such_asset(world: World) -> None:
    keys = build_definitions(world.config).resolve_asset_graph().get_all_asset_keys()
    assert world.assets.key("object_metadata") not in keys
    assert json.dumps(world.source.model_dump(mode="json")["metadata"]) == "null"
