"""Real processes share a listing through a store over HTTP; one is killed, one paused too long."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.load_source import LoadSource
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.shared_listing.range_claim import decode_record
from inventory_assets.inventory.shared_listing.range_record import RangeRecord, RangeState
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets_tests.benchmarks.keys import keys_of
from inventory_assets_tests.cli.list_command import Outcome, assert_refused, finish, start
from inventory_assets_tests.external_servers import Account
from inventory_assets_tests.fakes.results_server import (
    BUCKET,
    Condition,
    Habits,
    ResultsServer,
    ignored,
    new_only,
    says,
)

KEYS = 300_000
PLACE = f"s3://{BUCKET}/big/one"
ACCOUNT = Account("any", "any")
LEASE_SECONDS = 4
PATIENCE_SECONDS = 150

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def source() -> Iterator[LoadSource]:
    with LoadSource("flat", KEYS, latency=400) as opened:
        yield opened


@pytest.fixture
def results() -> Iterator[ResultsServer]:
    with ResultsServer(Habits()) as server:
        yield server


def participant(
    source: LoadSource, results: ResultsServer, *options: object, account: Account = ACCOUNT
) -> subprocess.Popen[str]:
    arguments = ["list", f"s3://{source.bucket}", "--endpoint-url", source.url, "--join", PLACE]
    arguments += ["--join-endpoint-url", results.bucket_config.endpoint_url or ""]
    arguments += ["--join-lease", str(LEASE_SECONDS), "--concurrency", "3", *map(str, options)]
    return start(arguments, account)


def ended(process: subprocess.Popen[str]) -> Outcome:
    output, error = process.communicate(timeout=PATIENCE_SECONDS)
    return Outcome(process.returncode, output, error)


def records(results: ResultsServer) -> dict[str, RangeRecord]:
    objects = dict(results.objects)
    return {key: decode_record(each.body) for key, each in objects.items() if "/ranges/" in key}


def held_by(results: ResultsServer, process: subprocess.Popen[str]) -> set[str]:
    """The keys of the records that a process holds."""
    return {
        key
        for key, record in records(results).items()
        if record.state is RangeState.CLAIMED and f":{process.pid}:" in record.holder
    }


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def check(results: ResultsServer, outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.error
    summary = json.loads(outcome.output)
    assert summary["objects"] == KEYS
    dataset = Dataset.of_shared_listing(BucketStore(results.bucket_config, "big/one"))
    found = [key for batch in dataset.batches(["key"]) for key in batch.column("key").to_pylist()]
    assert found == keys_of("flat", KEYS)


def test_one_is_killed_and_one_paused_beyond_its_lease(
    source: LoadSource, results: ResultsServer
) -> None:
    processes = [participant(source, results, "--format", "json") for _ in range(3)]
    killed, paused, alive = processes
    try:
        wait_until(lambda: all(held_by(results, process) for process in processes))
        (zombie_range, *_) = held_by(results, paused)
        epoch = records(results)[zombie_range].epoch
        os.kill(paused.pid, signal.SIGSTOP)
        killed.send_signal(signal.SIGKILL)

        def is_taken_over() -> bool:
            record = records(results).get(zombie_range)
            return record is None or record.epoch > epoch

        wait_until(is_taken_over)
        os.kill(paused.pid, signal.SIGCONT)
        told, survivor = ended(paused), ended(alive)
    finally:
        for process in processes:
            process.kill()
    check(results, survivor)
    check(results, told)
    assert told.output == survivor.output
    assert "taking over the ranges of" in survivor.error
    assert killed.wait() == -signal.SIGKILL
    names = {key.removeprefix("big/one/").partition("/")[0] for key in results.objects}
    assert names == {"listing.json", "files.txt", source.bucket}


def test_one_without_access_to_the_bucket_fails_alone(
    source: LoadSource, results: ResultsServer
) -> None:
    good = participant(source, results, "--format", "json")
    try:
        wait_until(lambda: bool(held_by(results, good)))
        bad = finish(participant(source, results, "--profile", "nobody"))
        assert_refused(bad, "profile")
        check(results, ended(good))
    finally:
        good.kill()
    late = ended(participant(source, results))
    assert late.code == 0
    assert "nothing is left to do" in late.error
    assert f"{KEYS:,} objects" in late.output
    other = ended(participant(source, results, "--versions"))
    assert other.code == 1
    assert "the versions is 'none' there and 'all' here" in other.error


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (ignored, "its store ignores conditional writes"),
        (new_only, "its store rejects conditional writes"),
        (says("501 NotImplemented"), "its store rejects conditional writes"),
    ],
)
def test_a_store_without_conditional_writes_is_refused(
    source: LoadSource, results: ResultsServer, condition: Condition, words: str
) -> None:
    results.habits.condition = condition
    assert_refused(finish(participant(source, results)), words)
    assert not results.objects


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--join", "folder"], "which several machines cannot share safely"),
        (["--join", "/mnt/shared"], "which several machines cannot share safely"),
        (["--join", "s3://results"], "names a whole bucket: add a prefix"),
        (["--join", "gs://results/a"], "is not of the form s3://BUCKET"),
        (["--join", PLACE, "--out", "folder"], "not allowed with argument"),
        (["--join", PLACE, "--processes", "2"], "--processes is for listings into a folder"),
        (["--out", "folder", "--join-lease", "9"], "--join-lease is for --join"),
        (["--join", PLACE, "--join-lease", "0"], "is not a whole number above 0"),
        ([], "one of the arguments --out --join is required"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], words: str) -> None:
    outcome = finish(start(["list", "s3://bucket", *arguments]))
    assert outcome.code == 2
    assert words in outcome.error
