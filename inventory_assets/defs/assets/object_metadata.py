"""`object_metadata`: what a listing does not show of each object, by HEAD."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date

import dagster as dg

from inventory_assets.config import Metadata
from inventory_assets.defs.source.answers_metadata import (
    OBJECT_METADATA_COLUMNS,
    object_metadata_metadata,
)
from inventory_assets.defs.source.automation import on_shard_change
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.defs.source.partition_steps import (
    StepResult,
    for_each_partition,
    log_partition,
    partitions_of,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.request_share import request_share
from inventory_assets.defs.source.run_log import logged_to_run
from inventory_assets.defs.source.run_telemetry import run_telemetry
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import ManifestIncomplete
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.metadata.asking import RequestBudget
from inventory_assets.inventory.metadata.shard_collector import ShardCollector, ShardPlan
from inventory_assets.inventory.metadata.shard_metadata import ShardMetadata, violations_of
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.object_answer import ObjectError
from inventory_assets.telemetry.subject import Work


def build_object_metadata(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the metadata; a source has it if it is configured."""
    key = assets.key("object_metadata")
    tags = ", and their tags by GetObjectTagging" if _options(assets).tags else ""

    @partitioned_asset(
        assets,
        key,
        assets.partitions.listing,
        description=(
            "What a listing does not show of each object: content type, user metadata, encryption, "
            f"replication, object lock and checksums, by HeadObject{tags}. Only objects that are "
            "new or were written again are asked for; the rest is carried from the date before."
        ),
        kinds={"s3", "parquet"},
        deps=[assets.key("object_listing")],
        sends_requests=True,
        columns=OBJECT_METADATA_COLUMNS,
        automation_condition=on_shard_change(assets.key("inventory_manifest")),
    )
    def object_metadata(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        with (
            logged_to_run(context.log),
            run_telemetry(context, work, Work.METADATA) as telemetry,
            request_share(context, work) as keep_within_share,
            closing(
                work.bucket.objects(work.now(), telemetry.requests, with_tags=_options(assets).tags)
            ) as client,
        ):
            keep_within_share(client)
            run = _Run(work, client, partitions_of(context))

            def process(partition_key: str) -> list[str]:
                record = run.collect(partition_key)
                metadata = object_metadata_metadata(work.store, work.layout, record, assets.prices)
                log_partition(context, key, partition_key, record.identity, metadata)
                return []

            yield from for_each_partition(context, "partitions", process)
            for warning in run.warnings():
                context.log.warning(warning)

    return object_metadata


class _Run:
    """The partitions of a run, which share one client and one budget.

    Args:
        work: The source.
        client: Asks the bucket.
        partition_keys: The partitions.
    """

    def __init__(
        self, work: SourceContext, client: HeadClient, partition_keys: Sequence[str]
    ) -> None:
        self._work = work
        self._client = client
        self._collector = ShardCollector(client, work.store, work.layout, work.now)
        options = _options(work.assets)
        self._budget = RequestBudget(options.max_requests, client.requests_per_object)
        self._records: list[ShardMetadata] = []
        self._failures: dict[str, InventoryError] = {}
        self._split = work.assets.partitions.split
        self._plans = self._plan(partition_keys)

    def _plan(self, partition_keys: Sequence[str]) -> Mapping[str, ShardPlan]:
        """Find what is known of all shards, and which objects the budget allows to be asked for."""
        plans: dict[str, ShardPlan] = {}
        for partition_key in partition_keys:
            try:
                day, shard_key = self._split(partition_key)
                plans[partition_key] = self._collector.plan(_snapshot(self._work, day, shard_key))
            except InventoryError as error:
                self._failures[partition_key] = error
        try:
            if self._collector.are_mended([*plans.values()], self._budget):
                plans = {key: plan.with_errors_again() for key, plan in plans.items()}
            if self._budget.limit is not None:
                # What is asked for an earlier date is carried to the next one of the shard.
                newest = {self._split(key)[1]: plans[key] for key in sorted(plans)}
                self._budget.plan(self._collector.unanswered([*newest.values()]))
        except InventoryError as error:
            raise ExpectedFailure(str(error)) from None
        return plans

    def collect(self, partition_key: str) -> ShardMetadata:
        """Collect the metadata of one partition.

        Raises:
            InventoryError: It cannot be collected.
            dagster.Failure: The bucket cannot be asked, for any object.
        """
        if partition_key in self._failures:
            raise self._failures[partition_key]
        plan = self._current(self._plans[partition_key])
        try:
            record = self._collector.collect(plan, self._budget)
        except S3Error as error:
            # The next shard would fail for the same reason.
            raise ExpectedFailure(
                f"{partition_key}: {error}; the answers so far are kept for the next run"
            ) from None
        self._records.append(record)
        violations = violations_of(self._work.store, record, plan.snapshot)
        if violations:
            raise InventoryError("; ".join(violations))
        return record

    def _current(self, plan: ShardPlan) -> ShardPlan:
        """A plan, made anew if this run has collected another date since, which is carried."""
        if all(record.day == plan.snapshot.day for record in self._records):
            return plan
        renewed = self._collector.plan(plan.snapshot)
        return renewed.with_errors_again() if plan.rule.errors_again else renewed

    def warnings(self) -> Iterator[str]:
        """What a reader of the run's log should know of its end."""
        unknown = sum(record.unknown for record in self._records)
        if unknown:
            yield (
                f"{unknown:,} object(s) are still to be asked for: the run is limited to "
                f"{self._budget.limit:,} requests (metadata.max_requests), and the next run "
                "continues with the newest of them"
            )
        denied = sum(record.errors.get(ObjectError.FORBIDDEN, 0) for record in self._records)
        if denied:
            policy = self._client.policy(of_versions=self._work.source.versions)
            yield (
                f"{denied:,} object(s) may not be read; their rows have the error 'forbidden'. "
                f"Grant {policy} to the credentials of the source, or leave them out"
            )


def _options(assets: SourceAssets) -> Metadata:
    return assets.source.metadata or Metadata()


def _snapshot(work: SourceContext, day: date, shard_key: str) -> Snapshot:
    snapshot = read_snapshot(work.store, work.layout, day, work.prefix(shard_key))
    if snapshot is None:
        raise ManifestIncomplete("nothing was listed; materialize object_listing for it first")
    return snapshot
