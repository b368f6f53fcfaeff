"""`deploy/single-server` at work, with PostgreSQL and a bucket for results."""

import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory_assets_tests.databases import PostgreSQL, postgresql_programs
from inventory_assets_tests.deploy.single_server import (
    LISTED_BUCKET,
    OBJECTS,
    RESULTS_BUCKET,
    SETTINGS,
    SingleServer,
    single_server,
)
from inventory_assets_tests.deploy.units import SERVICES, service_of
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.ui.running_dagster import tool

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.skipif(
        postgresql_programs() is None, reason="no PostgreSQL (Debian: apt-get install postgresql)"
    ),
]

Deployment = tuple[SingleServer, PostgreSQL, Endpoint]

_SLOW_SOURCE = """
[sources.slow]
bucket = "slow-bucket"
endpoint_url = "{url}"
key_order = "bytes"
"""


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """The three services, beside a source whose store takes its time."""
    with (
        ScriptedServer([Answer(status=503, delay=8)]) as slow,
        single_server(_SLOW_SOURCE.format(url=slow.url)) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def server(deployment: Deployment) -> SingleServer:
    return deployment[0]


@pytest.fixture(scope="module")
def published(server: SingleServer) -> str:
    """The date of an inventory that was made through the web server and by automation."""
    day = str(datetime.now(UTC).date())
    assert server.ended_run(server.materialize("logs/shards")) == "SUCCESS"
    keys = server.shard_keys("logs/object_listing")
    assert sorted(keys) == ["2025/", "2026/", "@remainder"]
    listing = server.backfill("logs/object_listing", [f"{day}|{key}" for key in keys])
    assert server.ended_backfill(listing)["status"] == "COMPLETED_SUCCESS"
    server.wait(
        "automation to publish the manifest",
        lambda: server.materializations("logs/inventory_manifest", day),
    )
    return day


def inventory(server: SingleServer, *arguments: str) -> str:
    """What a command says with the environment of the services."""
    return subprocess.run(
        [tool("inventory"), *arguments],
        env=server.environment_of("daemon"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_an_inventory_is_published_to_the_bucket(deployment: Deployment, published: str) -> None:
    server, _, store = deployment
    (made,) = server.materializations("logs/inventory_manifest", published)
    counts = {entry["label"]: entry.get("intValue") for entry in made["metadataEntries"]}
    assert counts["dagster/row_count"] == len(OBJECTS)
    folder = f"/{RESULTS_BUCKET}/daily/{LISTED_BUCKET}/logs"
    assert store.send("GET", f"{folder}/{published}T00-00Z/manifest.json") == 200
    assert published in inventory(server, "status", "logs")


def test_the_history_is_in_postgresql(deployment: Deployment, published: str) -> None:
    server, database, _ = deployment
    assert published
    assert int(database.query("SELECT count(*) FROM runs WHERE status = 'SUCCESS'")) >= 3
    assert int(database.query("SELECT count(*) FROM event_logs")) > 50
    assert not [name for name in server.written("/var/lib/inventory") if name.endswith(".db")]


def test_nothing_is_written_beside_the_settings(server: SingleServer, published: str) -> None:
    assert published
    assert server.written("/etc/inventory") == sorted(SETTINGS)
    assert server.written("/var/cache/inventory") == []


def test_only_the_ui_listens_and_on_the_loopback_address(server: SingleServer) -> None:
    assert {f"http://{host}:{port}" for host, port in server.listening()} == {server.url}


def test_the_code_server_comes_first(server: SingleServer) -> None:
    """Or the UI would show its location as failed until somebody reloads it."""
    assert service_of("code", server.variables).started is not None
    log = server.folder / "webserver.log"
    assert "Error loading repository location" not in log.read_text()


def test_a_run_outlives_a_restart_of_the_others(server: SingleServer) -> None:
    run_id = server.materialize("slow/shards")
    server.wait("the run to start", lambda: server.is_under_way(run_id))
    for name in ("webserver", "daemon"):
        server.stop(name)
        server.start(name)
    server.wait_until_it_answers()
    assert server.is_under_way(run_id)
    server.terminate(run_id)
    assert server.ended_run(run_id) == "CANCELED"


def test_a_killed_run_is_started_again(server: SingleServer) -> None:
    before = server.children("code")
    killed = server.materialize("slow/shards")
    server.wait("the run to start", lambda: server.is_under_way(killed))
    for process in server.children("code") - before:
        process.kill()
    assert server.ended_run(killed) == "FAILURE"
    again = {"tags": [{"key": "dagster/parent_run_id", "value": killed}]}
    (second,) = server.wait("the run to be started again", lambda: server.runs(**again))
    server.wait("it to start", lambda: server.is_under_way(second["runId"]))
    server.terminate(second["runId"])
    assert server.ended_run(second["runId"]) == "CANCELED"


def test_a_run_that_is_lost_with_the_code_server_fails(server: SingleServer) -> None:
    """It is not started again: at that moment there is no code server that could start it."""
    lost = server.materialize("slow/shards")
    server.wait("the run to start", lambda: server.is_under_way(lost))
    server.stop("code", signal.SIGKILL)
    server.start("code")
    assert server.ended_run(lost) == "FAILURE"
    assert "no longer exists" in server.run_failure(lost)


def test_no_log_holds_the_keys_of_the_store(deployment: Deployment, published: str) -> None:
    server, _, store = deployment
    assert published
    for name in SERVICES:
        log = Path(server.folder / f"{name}.log").read_text(errors="replace")
        assert store.account.secret_key not in log
        assert store.account.access_key not in log
