"""The figures of sources between their runs: what they say, and how they are offered."""

import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from inventory_assets.cli import main
from inventory_assets.inventory.gate.publication import begin_date, publish_or_hold
from inventory_assets.inventory.gate.verdict import GateBounds
from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.telemetry.environment import TelemetryRefused
from inventory_assets.telemetry.figures_server import KEPT_SECONDS, figures_server
from inventory_assets.telemetry.prometheus_text import prometheus_text
from inventory_assets.telemetry.source_figures import (
    Figure,
    SourceRecords,
    read_records,
    source_figures,
)
from inventory_assets_tests.fakes.otlp_receiver import HttpReceiver
from inventory_assets_tests.inventory.gate.gated_dates import (
    die,
    failing,
    interrupted,
    materialize,
    release,
)
from inventory_assets_tests.inventory.histories import Killed
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of
from inventory_assets_tests.telemetry.observed_listing import set_environment
from inventory_assets_tests.telemetry.published_source import publish_two_days

LABELS = {"inventory_source": "source", "aws_s3_bucket": "bucket"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration of two sources, one of which has two dates."""
    publish_two_days(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INVENTORY_CONFIG", raising=False)
    set_environment(monkeypatch, {})
    return tmp_path


def samples(text: str) -> dict[tuple[str, str], float]:
    """The values by name and source; for errors and quantiles only the sum."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            place = sample.name, sample.labels.get("inventory_source", "")
            found[place] = found.get(place, 0) + sample.value
    return found


def test_the_figures_are_those_of_the_newest_manifest_and_its_baseline(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics"]) == 0
    found = samples(capsys.readouterr().out)
    newest = read_records(LocalStore(home / "store"), LAYOUT).newest
    assert newest is not None
    expected = {
        "inventory_readable": 1,
        "inventory_published": 1,
        "inventory_held_dates": 0,
        "inventory_manifest_listed_time_seconds": newest.listed_at.timestamp(),
        "inventory_manifest_requests": 110,
        "inventory_manifest_unreadable": 0,
        "inventory_manifest_transient_errors": 10,
        "inventory_objects": 3,
        "inventory_object_size_bytes": newest.object_bytes,
        "inventory_baseline_objects": 2,
    }
    assert {name: found[name, "source"] for name in expected} == expected


def test_a_source_without_a_date_is_told_as_not_published(
    home: Path,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["metrics", "new"]) == 0
    found = samples(capsys.readouterr().out)
    assert found["inventory_published", "new"] == 0
    assert not any(name.startswith("inventory_manifest") for name, _ in found)
    assert {source for _, source in found} == {"new", ""}


def test_held_dates_are_counted(home: Path) -> None:
    store, day = LocalStore(home / "store"), DAY + timedelta(days=2)
    snapshot = snapshot_of(store, make_shard("", [""]), listed("abcd"), day)
    snapshots = {"": replace(snapshot, requests=110, faults={"throttled": 10})}
    begun = begin_date(store, LAYOUT, day, NOW)
    manifest = merge(store, LAYOUT, "", snapshots, NOW)
    publish_or_hold(store, LAYOUT, manifest, snapshots, GateBounds(0.8, 150), begun, NOW)
    records = read_records(store, LAYOUT)
    figures = {each.name: each.value for each in source_figures("source", "bucket", records)}
    assert figures["inventory.held_dates"] == 1


@pytest.mark.parametrize("writes", range(7))
def test_a_released_date_is_held_until_its_publication_is_complete(home: Path, writes: int) -> None:
    """Wherever the process of the release is killed: its last file of the date is the fifth."""
    store, day = LocalStore(home / "store"), DAY + timedelta(days=2)
    assert materialize(store, "abcd", day, failing).is_held
    with suppress(Killed):
        release(interrupted(store, writes, die), day)
    figures = source_figures("source", "bucket", read_records(store, LAYOUT))
    held = next(each.value for each in figures if each.name == "inventory.held_dates")
    assert held == (writes < 5)


def test_a_source_that_cannot_be_read_is_a_figure_and_a_message(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(home / "store")
    newest = read_records(store, LAYOUT).newest
    assert newest is not None
    assert newest.baseline is not None
    store.remove_key(LAYOUT.manifest(DAY))
    store.publish(LAYOUT.superseded(DAY, newest.baseline.identity), b"{")
    assert main(["metrics"]) == 0
    shown = capsys.readouterr()
    found = samples(shown.out)
    assert found["inventory_readable", "source"] == 0
    assert not any(name.startswith("inventory_manifest") for name, _ in found)
    assert shown.err.startswith("inventory: source: ")


def test_a_file_is_replaced_at_once_and_readable_by_all(home: Path) -> None:
    assert main(["metrics", "--out", "inventory.prom"]) == 0
    file = home / "inventory.prom"
    assert samples(file.read_text())["inventory_objects", "source"] == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in home.iterdir() if path.name.startswith(".")] == []


def test_figures_are_pushed_by_otlp(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.exists()
    with HttpReceiver() as receiver:
        set_environment(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
        assert main(["metrics", "--push"]) == 0
        assert not receiver.received.spans
        (objects,) = [p for p in receiver.received.points if p.name == "inventory.objects"]
    assert objects.value == 3
    assert objects.attributes == {"inventory.source": "source", "aws.s3.bucket": "bucket"}


def test_a_push_without_a_place_is_refused(
    home: Path,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["metrics", "--push"]) == 1
    assert "set OTEL_EXPORTER_OTLP_ENDPOINT" in capsys.readouterr().err


def test_a_push_that_fails_has_its_exit_code(
    home: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with HttpReceiver(403) as receiver:
        set_environment(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
        assert main(["metrics", "--push"]) == 1


# The text format


NAMES = st.from_regex(r"[a-z]+(\.[a-z_]+)*", fullmatch=True)


@given(
    value=st.floats(allow_nan=False),
    attributes=st.dictionaries(NAMES, st.text(st.characters(codec="utf-8")), max_size=4),
)
def test_any_value_of_a_label_is_read_back_as_it_was(
    value: float, attributes: dict[str, str]
) -> None:
    plain = {name.replace(".", "_"): text for name, text in attributes.items()}
    text = prometheus_text([Figure("a.b", "s", "It is.", value, attributes)])
    (family,) = text_string_to_metric_families(text)
    (sample,) = family.samples
    assert (family.name, sample.value) == ("a_b_seconds", value)
    assert len(plain) < len(attributes) or sample.labels == plain


def test_figures_of_one_name_are_beside_each_other() -> None:
    figures = [
        *source_figures("a", "b", SourceRecords(None, None)),
        *source_figures("c", "d", None),
    ]
    names = [line.split("{")[0] for line in prometheus_text(figures).splitlines() if "{" in line]
    assert names == sorted(names, key=names.index)
    assert len([name for name in names if name == "inventory_readable"]) == 2


# The server


@contextmanager
def served(read: Iterator[str], now: list[float]) -> Iterator[str]:
    with figures_server(lambda: next(read), "127.0.0.1", 0, lambda: now[0]) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(response.read().decode())


def test_figures_are_read_again_once_they_are_old() -> None:
    now = [0.0]
    with served((f"reading_{number} 1\n" for number in count()), now) as url:
        assert get(f"{url}/metrics") == get(f"{url}/metrics?x=1") == "reading_0 1\n"
        now[0] = KEPT_SECONDS
        assert get(url) == "reading_1 1\n"


def test_other_paths_are_not_found() -> None:
    with served(iter(["x 1\n"]), [0.0]) as url, pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{url}/etc/passwd")


def test_a_port_in_use_is_refused_with_the_variables_to_set() -> None:
    with (
        figures_server(str, "127.0.0.1", 0) as server,
        pytest.raises(TelemetryRefused, match="OTEL_EXPORTER_PROMETHEUS_PORT"),
    ):
        figures_server(str, "127.0.0.1", server.server_port)
