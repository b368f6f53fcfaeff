"""Prometheus reads what listings and sources offer, and answers the queries of the dashboard."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from inventory_assets_tests.external_servers import free_ports
from inventory_assets_tests.fakes.http_bucket import HttpBucket
from inventory_assets_tests.fakes.scripted_server import Answer, error_document
from inventory_assets_tests.telemetry.observed_listing import (
    list_observed,
    set_environment,
)
from inventory_assets_tests.telemetry.published_source import publish_two_days

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "inventory.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "s3-inventories.json"
KEYS = [f"{number:05}" for number in range(6_000)]
START_SECONDS = 60
SLOW_DOWN = Answer(503, error_document("SlowDown"))
REASON = "Prometheus is not installed (apt-get install prometheus)"

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason=REASON)
needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason=REASON)


@needs_promtool
@pytest.mark.parametrize("command", ["check", "test"])
def test_the_alert_rules_are_valid_and_fire_when_they_should(command: str) -> None:
    tests = RULES.with_name("inventory.rules.test.yml")
    file = RULES if command == "check" else tests
    done = subprocess.run(
        ["promtool", command, "rules", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_that_fires_it() -> None:
    rules = yaml.safe_load(RULES.read_text())
    tests = yaml.safe_load(RULES.with_name("inventory.rules.test.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    fired = {
        case["alertname"]
        for test in tests["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == alerts


def test_the_page_explains_every_alert_and_metric() -> None:
    page = (DEPLOY.parent / "docs" / "telemetry.md").read_text()
    rules = yaml.safe_load(RULES.read_text())
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    names |= metrics_of(json.dumps([*queries()]))
    assert {name for name in names if name not in page} == set()


def test_the_panels_of_the_dashboard_have_their_own_ids_and_places() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(panel.get("description") for panel in panels if panel["type"] != "row")


@needs_prometheus
def test_prometheus_answers_every_query_of_the_dashboard_and_of_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = free_ports(3)
    publish_two_days(tmp_path)
    failures = dict.fromkeys(range(10, 200, 7), SLOW_DOWN)
    failures |= {number: Answer(reset=True) for number in range(12, 200, 9)}
    set_environment(
        monkeypatch,
        {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(ports[0])},
    )
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    targets = {"listing": ports[0], "sources": ports[1]}
    with (
        HttpBucket(KEYS, failures=failures, delay=0.05) as server,
        serving_figures(tmp_path, ports[1]),
        prometheus(tmp_path, ports[2], targets) as url,
        listing_in_background(server, tmp_path / "out"),
    ):
        unanswered = dict(queries())
        deadline = time.monotonic() + START_SECONDS
        while unanswered and time.monotonic() < deadline:
            time.sleep(0.5)
            for name, query in [*unanswered.items()]:
                if ask(url, query):
                    del unanswered[name]
        rules = get_json(f"{url}/api/v1/rules")["groups"]
        alerts = {rule["name"]: rule for group in rules for rule in group["rules"]}
        late = ask(url, 'ALERTS{alertname="InventoryLate"}')
        scraped = ask(url, "up")
    assert unanswered == {}
    assert {each["metric"]["job"]: each["value"][1] for each in scraped} == {
        "listing": "1",
        "sources": "1",
    }
    assert {name: rule["health"] for name, rule in alerts.items()} == dict.fromkeys(alerts, "ok")
    assert late, "the sample was listed in the past, so its alert is at least pending"


@contextmanager
def serving_figures(home: Path, port: int) -> Iterator[None]:
    """`inventory metrics --serve` as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "inventory_assets.cli", "metrics", "--serve"],
        cwd=home,
        env={**os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(f"inventory: figures are at http://127.0.0.1:{port}/metrics")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=START_SECONDS)


@contextmanager
def prometheus(folder: Path, port: int, targets: Mapping[str, int]) -> Iterator[str]:
    """Prometheus, reading the targets every second; its URL."""
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
            for name, target in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    url = f"http://127.0.0.1:{port}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder / 'prometheus.yml'}"),
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline:
                with suppress(OSError), urllib.request.urlopen(f"{url}/-/ready"):  # noqa: S310
                    break
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(START_SECONDS)


@contextmanager
def listing_in_background(server: HttpBucket, folder: Path) -> Iterator[None]:
    """List the bucket again and again, as telemetry ends with a listing."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.is_set():
            list_observed(server, folder)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def queries() -> Iterator[tuple[str, str]]:
    """The queries of the dashboard's panels, by their title and place, with all variables set."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for place, target in enumerate(panel.get("targets", [])):
            query = target["expr"].replace("$__rate_interval", "15s")
            query = query.replace("$source", ".*").replace("$bucket", ".*")
            assert "$" not in query
            yield f"{panel['title']} {place}", query


def metrics_of(text: str) -> set[str]:
    """The names of metrics in a text."""
    names = r"\b(?:inventory|http_client|process)_[a-z_]+\b"
    found = set(re.findall(names, text)) - {"inventory_source"}
    return {re.sub("_(bucket|count)$", "", name) for name in found}


def ask(url: str, query: str) -> Any:
    """The result of a query now; a wrong query is an error."""
    return get_json(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")["result"]


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310
        answer = json.load(response)
    assert answer["status"] == "success"
    return answer["data"]
