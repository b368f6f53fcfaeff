"""Fixtures shared by the tests of several packages."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from hypothesis import settings
from moto.server import ThreadedMotoServer

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets_tests.external_servers import (
    Account,
    Endpoint,
    Ministack,
    MotoEndpoint,
    SeaweedFS,
)
from inventory_assets_tests.stores import ceph as ceph_programs
from inventory_assets_tests.stores import swift as swift_programs
from inventory_assets_tests.stores.ceph import RadosGateway
from inventory_assets_tests.stores.daemons import INSTALL, Daemons, missing
from inventory_assets_tests.stores.swift import Swift

settings.register_profile("local", max_examples=60, deadline=None)
settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# No test sends to a collector of the machine that it runs on.
for _name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits longest for other processes: the other worker does the rest beside."""
    items.sort(key=lambda item: "/ui/" not in item.nodeid)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of an S3 (and STS) endpoint that accepts any credentials."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def moto_bucket(moto_server: str) -> Callable[[Iterable[str]], BucketConfig]:
    """Makes a new bucket that holds empty objects under the keys given; no key may hold a newline,
    as moto cannot route it."""
    client = boto3.client(
        "s3",
        endpoint_url=moto_server,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(s3={"addressing_style": "path"}),
    )
    numbers = count()

    def make(keys: Iterable[str]) -> BucketConfig:
        bucket = f"bucket-{next(numbers)}"
        client.create_bucket(Bucket=bucket)
        for key in keys:
            client.put_object(Bucket=bucket, Key=key)
        return BucketConfig(
            bucket, moto_server, access_key="any", secret_key="any", addressing_style="path"
        )

    return make


@pytest.fixture(scope="module")
def no_aws_environment() -> Iterator[None]:
    """Nothing of this machine's AWS configuration is seen: no keys, files, profiles or metadata."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture(scope="session")
def moto(moto_server: str) -> Endpoint:
    return MotoEndpoint(moto_server, Account("any", "any"))


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Ministack(tmp_path_factory.mktemp("ministack"), checks_access=True) as server:
        yield server.endpoint


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server.endpoint


@pytest.fixture(scope="session")
def ceph() -> Iterator[Endpoint]:
    """Ceph's gateway, where it is installed."""
    yield from _started(RadosGateway, ceph_programs.PROGRAMS)


@pytest.fixture(scope="session")
def swift() -> Iterator[Endpoint]:
    """OpenStack Swift, where it is installed."""
    yield from _started(Swift, swift_programs.PROGRAMS)


def _started(kind: Callable[[Path], Daemons], programs: Iterable[str]) -> Iterator[Endpoint]:
    if absent := missing(programs):
        pytest.skip(f"{', '.join(absent)} cannot be found; see {INSTALL}")
    # Its sockets lie there: their paths may have a hundred characters.
    with tempfile.TemporaryDirectory(prefix="s3") as folder, kind(Path(folder)) as server:
        yield server.endpoint


CEPH, SWIFT = (
    pytest.param(name, marks=[pytest.mark.stores, pytest.mark.xdist_group(name)])
    for name in ("ceph", "swift")
)
"""Servers that are asked with `make test-stores` only: they take half a minute to start."""


@pytest.fixture(params=["moto", "ministack", "seaweedfs", CEPH, SWIFT])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Each S3 server in turn."""
    found: Endpoint = request.getfixturevalue(request.param)
    return found
