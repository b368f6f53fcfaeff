"""`inventory list`, stopped or killed, and resumed."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory_assets.cli import INTERRUPTED
from inventory_assets_tests.cli.list_command import (
    LEVEL,
    SOON_SECONDS,
    STUCK,
    TIMEOUT_SECONDS,
    Outcome,
    assert_refused,
    files_in,
    finish,
    has_delta_encodings,
    keys_in,
    list_bucket,
    start,
)
from inventory_assets_tests.external_servers import Account, Endpoint
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer

Stuck = tuple[ScriptedServer, int]
"""A server that stops answering, and how many requests it has seen then."""


@pytest.fixture(params=["discovery", "listing"])
def stuck(request: pytest.FixtureRequest) -> Iterator[Stuck]:
    answers, waiting = ([STUCK], 1) if request.param == "discovery" else ([LEVEL, STUCK], 2)
    with ScriptedServer(answers) as server:
        yield server, waiting


def interrupted(stuck: Stuck, out: Path, number: signal.Signals) -> Outcome:
    """Run until the server no longer answers, then send a signal."""
    server, waiting = stuck
    account = Account.random()
    process = start(["list", "s3://b", "--out", out, "--endpoint-url", server.url], account)
    end = time.monotonic() + TIMEOUT_SECONDS
    while len(server.seen) < waiting and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    sent_at = time.monotonic()
    outcome = finish(process)
    assert time.monotonic() - sent_at < SOON_SECONDS
    return outcome


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_told_to_stop_stops_at_once_and_leaves_nothing(
    stuck: Stuck, tmp_path: Path, number: signal.Signals
) -> None:
    outcome = interrupted(stuck, tmp_path / "out", number)

    assert outcome.code == INTERRUPTED
    assert outcome.error == "inventory: stopped; nothing was kept\n"
    assert files_in(tmp_path) == []


def test_a_killed_command_leaves_nothing_that_looks_finished_and_can_be_run_again(
    moto: Endpoint, some_bucket: str, tmp_path: Path
) -> None:
    with ScriptedServer([LEVEL, STUCK]) as server:
        outcome = interrupted((server, 2), tmp_path, signal.SIGKILL)
    assert outcome.code == -signal.SIGKILL
    assert list(tmp_path.glob("*.parquet")) == []

    assert list_bucket(moto, f"s3://{some_bucket}", tmp_path).code == 0
    assert files_in(tmp_path) == ["part-00000.parquet"]


def test_a_killed_command_is_resumed_without_repeating_its_arguments(
    tmp_path: Path,
) -> None:
    with ScriptedServer([LEVEL, STUCK]) as server:
        account = Account.random()
        options = ["--endpoint-url", server.url, "--concurrency", "3", "--encodings", "plain"]
        process = start(["list", "s3://b/a b/-", "--out", tmp_path, *options], account)
        end = time.monotonic() + TIMEOUT_SECONDS
        while len(server.seen) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        process.kill()
        finish(process)

        server.script(Answer(body=render([Listed("a b/-1"), Listed("a b/-2")])))
        outcome = finish(start(["resume", tmp_path], account))

        assert outcome.code == 0, outcome.error
        assert keys_in(tmp_path) == ["a b/-1", "a b/-2"]
        assert not has_delta_encodings(tmp_path)
        assert all("prefix=a%20b%2F-" in seen.path for seen in server.seen)


def test_where_nothing_is_unfinished_nothing_can_be_resumed(tmp_path: Path) -> None:
    assert_refused(finish(start(["resume", tmp_path])), "holds no unfinished listing")
