"""The servers of a deployment with the files of `deploy/celery`, on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

import dagster as dg

from benchmarks.load_source import BUCKET, LoadSource
from inventory_assets.config import Source
from inventory_assets.defs.source.partitions import SourcePartitions
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets_tests.databases import PostgreSQL, Redis
from inventory_assets_tests.distributed.cluster import Cluster
from inventory_assets_tests.distributed.machines import Network
from inventory_assets_tests.external_servers import REGION, Endpoint, Ministack

SOURCE = "big"

_RESULTS, _LOGS = "results", "logs"
_CONFIGURATION = """
store = "s3://{results}/inventories"

[store_bucket]
endpoint_url = "{results_url}"
region = "{region}"
addressing_style = "path"

[sources.{source}]
bucket = "{bucket}"
endpoint_url = "{bucket_url}"
{more}
"""


@dataclass(frozen=True, repr=False)
class Servers:
    """What runs on the host.

    Attributes:
        postgres: Dagster's storage.
        redis: Celery's broker.
        results: The bucket of the results.
        source: The bucket that is listed.
        cluster: Dagster.
        instance: Dagster's instance, to look at.
    """

    postgres: PostgreSQL
    redis: Redis
    results: Endpoint
    source: LoadSource
    cluster: Cluster
    instance: dg.DagsterInstance

    layout = Layout(BUCKET, SOURCE)

    @property
    def store(self) -> BucketStore:
        """The results."""
        return BucketStore(self.results.bucket_config(_RESULTS), "inventories")


@contextmanager
def servers(
    network: Network,
    folder: Path,
    names: Sequence[str],
    shards: int,
    *,
    configuration: str = "",
    settings: Mapping[str, str] = MappingProxyType({}),
    latency: float = 0.0,
) -> Iterator[Servers]:
    """Start all servers, without workers.

    Args:
        network: The machines that reach them.
        folder: Where their files lie.
        names: The names of the objects in each shard.
        shards: The shards of the bucket that is listed.
        configuration: Further lines of its source.
        settings: Texts of the profile's `dagster.yaml`, and what stands there instead.
        latency: The milliseconds before that bucket responds.
    """
    host = network.host
    listed_names = folder / "names"
    listed_names.write_text("".join(f"{name}\n" for name in names))
    count = len(names) * shards
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgreSQL(folder / "postgres", host))
        redis = stack.enter_context(Redis(folder / "redis", host))
        results = stack.enter_context(Ministack(folder / "results", host=host)).endpoint
        source = stack.enter_context(
            LoadSource("real", count, names=listed_names, latency=latency, host=host)
        )
        for bucket in (_RESULTS, _LOGS):
            results.make_bucket(bucket)
        environment = {
            "DAGSTER_POSTGRES_URL": postgres.url,
            "CELERY_BROKER_URL": f"{redis.url}/0",
            "CELERY_RESULT_BACKEND": f"{redis.url}/1",
            "DAGSTER_LOGS_BUCKET": _LOGS,
            "AWS_ENDPOINT_URL_S3": results.url,
            "AWS_REGION": REGION,
            "INVENTORY_DISTRIBUTED": "1",
            **results.account.environment,
        }
        home = folder / "home"
        home.mkdir()
        text = _CONFIGURATION.format(
            results=_RESULTS,
            results_url=results.url,
            region=REGION,
            source=SOURCE,
            bucket=BUCKET,
            bucket_url=source.url,
            more=configuration,
        )
        cluster = Cluster(home, environment, settings, text)
        stack.callback(cluster.stop)
        cluster.wait_until_it_answers()
        instance = stack.enter_context(_instance(postgres, folder))
        yield Servers(postgres, redis, results, source, cluster, instance)


@contextmanager
def _instance(postgres: PostgreSQL, folder: Path) -> Iterator[dg.DagsterInstance]:
    """The instance with its storage alone: this process starts no run."""
    home = folder / "observer"
    home.mkdir()
    (home / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {postgres.url}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def partitions(day: date) -> SourcePartitions:
    """The partitions of the source."""
    return SourcePartitions.of(Source(name=SOURCE, bucket=BUCKET), day)
