"""A source with its assets, store and Dagster instance, for runs and ticks."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import AssetCheckEvaluation

from inventory_assets.config import Config, Schedule, Shards, Source
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.assets.shards import add_shards, discover_shards
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.planned_code import FINGERPRINT_TAG
from inventory_assets.defs.source.resources import Clock, SourceBucket
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_observer import RequestObserver
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.fake_source import FakeSource
from inventory_assets_tests.fakes.model_s3 import ModelS3

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
REMAINDER = "@remainder"


def noon(day: date) -> datetime:
    """A time of the day at which it can be observed."""
    return datetime.combine(day, time(12), UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run, and all its events."""

    success: bool
    run_id: str
    events: tuple[dg.DagsterEvent, ...]


class World:
    """One source, `src` unless it is named; `day` is today's date as its clock has it.

    Args:
        folder: Where the store is made.
        instance: Dagster's instance.
        source: Fields of the source.
    """

    def __init__(
        self, folder: Path, instance: dg.DagsterInstance, source: Mapping[str, Any]
    ) -> None:
        defaults = {"schedule": Schedule(start_date=TODAY - timedelta(days=9)), "shards": Shards()}
        self.source = Source(**{"name": "src", **defaults, **source})
        self.assets = SourceAssets(self.source)
        self.instance = instance
        self.store = LocalStore(folder / "store")
        self.config = Config(store=self.store.root, sources={self.source.name: self.source})
        self.set_day(TODAY)

    def forget_shards(self) -> None:
        """Remove the partitions of all shards, for the next test with the same instance."""
        for key in self.shard_keys:
            self.instance.delete_dynamic_partition(self.assets.partitions.shards_name, key)

    def set_day(self, day: date) -> None:
        """Let the clock stand at noon of a day."""
        self.set_time(noon(day))

    def set_time(self, now: datetime) -> None:
        """Let the clock stand at a time."""
        self.day = now.date()
        self.definitions = build_definitions(self.config, Clock(fixed=now.isoformat()))

    @property
    def layout(self) -> Layout:
        return self.assets.layout

    @property
    def definitions_fingerprint(self) -> str | None:
        """The code and configuration of the definitions, if runs are compared with them."""
        listing = self.definitions.resolve_assets_def(self.assets.key("object_listing"))
        return listing.op.tags.get(FINGERPRINT_TAG)

    @property
    def shard_keys(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(self.assets.partitions.shards_name))

    def key(self, shard_key: str, day: date | None = None) -> str:
        """A partition key of the listing."""
        return str(self.assets.partitions.key(day or self.day, shard_key))

    def range_tags(self, day: date | None = None) -> dict[str, str]:
        """The tags of a run over all shards of a day."""
        return self.assets.partitions.range_tags(day or self.day, self.shard_keys)

    def run(
        self,
        names: str | Sequence[str],
        partition_key: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Materialize one asset, or several in one run."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        selected = [names] if isinstance(names, str) else names
        selection = [self.assets.key(name) for name in selected]
        return self._execute(
            job, asset_selection=selection, partition_key=partition_key, tags=dict(tags or {})
        )

    def run_check(self, asset: str, check: str, partition_key: str) -> Outcome:
        """Run one check without its asset."""
        selection = dg.AssetSelection.checks(dg.AssetCheckKey(self.assets.key(asset), check))
        only = dg.define_asset_job("only_the_check", selection=selection)
        definitions = dg.Definitions.merge(self.definitions, dg.Definitions(jobs=[only]))
        job = definitions.resolve_job_def("only_the_check")
        return self._execute(job, tags={"dagster/partition": partition_key})

    def run_job(
        self, name: str, ops: Mapping[str, Any], tags: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run a job with the configuration of its ops."""
        job = self.definitions.resolve_job_def(name)
        return self._execute(job, run_config={**QUIET, "ops": dict(ops)}, tags=dict(tags or {}))

    def _execute(self, job: dg.JobDefinition, **options: Any) -> Outcome:
        result = job.execute_in_process(
            instance=self.instance, raise_on_error=False, **{"run_config": QUIET, **options}
        )
        # The result's own list leaves out what was logged by a step that failed.
        logs = self.instance.all_logs(result.run_id)
        events = tuple(entry.dagster_event for entry in logs if entry.dagster_event)
        return Outcome(result.success, result.run_id, events)

    def discover(self) -> None:
        """Find new prefixes and add their partitions, as `shards` does, without a run."""
        work = self.assets.bind(SimpleNamespace(**self.resources()), self.instance)
        add_shards(work, discover_shards(work), self.instance)

    def list_all(self) -> Outcome:
        """One run over all shards of the clock's day."""
        return self.run("object_listing", tags=self.range_tags())

    def pass_day(self, day: date) -> None:
        """Discover, list, compare, merge and log, all of it successfully."""
        self.set_day(day)
        self.discover()
        assert self.list_all().success
        assert self.run("object_changes", tags=self.range_tags()).success
        assert self.run("inventory_manifest", str(day)).success
        assert self.run("change_log", str(day)).success

    def resources(self) -> dict[str, object]:
        """The resources of a tick."""
        return {
            key: value
            for key, value in (self.definitions.resources or {}).items()
            if key in self.assets.resource_keys
        }


def materializations(outcome: Outcome) -> dict[str, dg.AssetMaterialization]:
    """Materializations by partition key."""
    events = [event for event in outcome.events if event.is_step_materialization]
    found = [event.step_materialization_data.materialization for event in events]
    return {str(event.partition): event for event in found}


def check_results(outcome: Outcome) -> dict[tuple[str, str], AssetCheckEvaluation]:
    """Check evaluations by name and partition key."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    events = [event for event in outcome.events if event.event_type is kind]
    found = [event.asset_check_evaluation_data for event in events]
    return {(event.check_name, str(event.partition)): event for event in found}


def data_versions(outcome: Outcome) -> dict[str, str]:
    """The data versions, by partition key."""
    return {
        key: (event.tags or {})["dagster/data_version"]
        for key, event in materializations(outcome).items()
    }


def metadata_of(event: dg.AssetMaterialization, name: str) -> Any:
    """One value of a materialization's metadata."""
    return event.metadata[name].value


def table_of(event: dg.AssetMaterialization | AssetCheckEvaluation, name: str) -> list[Any]:
    """The rows of a table in the metadata of an event."""
    table = event.metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    return [record.data for record in table.records]


def failure_text(outcome: Outcome) -> str:
    """All that the run's failures say, causes included."""
    lines: list[str] = []
    for event in outcome.events:
        if event.is_step_failure:
            failure = event.step_failure_data
            error = failure.error
            while error is not None:
                lines.append(error.message)
                error = error.cause
            if failure.user_failure_data:
                lines.append(failure.user_failure_data.description or "")
    return "\n".join(lines)


class Buckets:
    """Intercepts the requests of every `SourceBucket`.

    Attributes:
        keys: In-memory buckets, by name; requests to others are sent.
        failing: Prefixes whose listing raises, with the exception.
        listed: The prefixes of successful listing requests, in order.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.keys: dict[str, set[str]] = {}
        self.failing: dict[str, BaseException] = {}
        self.listed: list[str] = []
        buckets = self
        ask = SourceBucket.lister

        def lister(
            bucket: SourceBucket, now: datetime, observer: RequestObserver | None = None
        ) -> PageSource:
            if bucket.bucket not in buckets.keys:
                return _Watched(ask(bucket, now, observer), buckets)
            return _Watched(ModelS3(buckets.keys[bucket.bucket], page_size=1000), buckets)

        patch.setattr(SourceBucket, "lister", lister)


class _Watched(FakeSource):
    def __init__(self, asked: PageSource, buckets: Buckets) -> None:
        super().__init__(asked.bucket_config, asked.server, asked.retry)
        self.activity = asked.activity
        self._asked = asked
        self._buckets = buckets

    @property
    def in_flight(self) -> tuple[int, int]:
        return self._asked.in_flight

    def set_cap(self, maximum: int) -> None:
        self._asked.set_cap(maximum)

    def cancel(self) -> None:
        self._asked.cancel()

    def close(self) -> None:
        self._asked.close()

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        self._watch(request)
        received = await self._asked.fetch_raw_page(request, stats, body)
        self.server = self._asked.server
        return received

    async def list_page(self, request: PageRequest, stats: RequestStats) -> Page:
        self._watch(request)
        return await self._asked.list_page(request, stats)

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        self._watch(request)
        page = self._asked.list_page_sync(request, stats)
        self.server = self._asked.server
        return page

    def _watch(self, request: PageRequest) -> None:
        if request.delimiter is None:
            error = self._buckets.failing.get(request.prefix)
            if error is not None:
                raise error
            self._buckets.listed.append(request.prefix)


def put(endpoint_url: str, bucket: str, keys: Iterable[str], body: bytes = b"") -> None:
    """Upload objects to a real endpoint."""
    with closing(_client(endpoint_url)) as client:
        for key in keys:
            client.put_object(Bucket=bucket, Key=key, Body=body)


def delete(endpoint_url: str, bucket: str, keys: Iterable[str]) -> None:
    """Delete objects of a real endpoint."""
    with closing(_client(endpoint_url)) as client:
        for key in keys:
            client.delete_object(Bucket=bucket, Key=key)


def _client(endpoint_url: str) -> Any:
    import boto3
    from botocore.config import Config as BotoConfig

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=BotoConfig(s3={"addressing_style": "path"}),
    )
