"""`inventory verify`, on a folder of a real server's bucket and on a source of the store."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from inventory_assets.cli.verify import AGREES, DIFFERS, TROUBLE
from inventory_assets.resources import SourceBucket
from inventory_assets_tests.cli.conftest import LATER, Outcome
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.model_s3 import ModelS3

Run = Callable[..., Outcome]
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
NUMBERS = count()
KEYS = [f"logs/{number:03}" for number in range(30)]


@pytest.fixture
def account(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in moto.account.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def listed(
    run: Run,
    moto: Endpoint,
    account: None,  # noqa: ARG001
    tmp_path: Path,
) -> list[object]:
    """A bucket listed into a folder; how to say so to the command."""
    bucket = f"verify-{next(NUMBERS)}"
    moto.make_bucket(bucket, dict.fromkeys([*KEYS, "other"], b"x"))
    url = [f"s3://{bucket}/logs/", "--endpoint-url", moto.url]
    assert run("list", *url, "--out", tmp_path / "out").code == 0
    return [tmp_path / "out", *url]


def test_a_folder_that_holds_what_the_bucket_holds_agrees(run: Run, listed: list[object]) -> None:
    outcome = run("verify", *listed, "--began", TOMORROW)
    assert (outcome.code, outcome.error) == (AGREES, "")
    summary, counts = outcome.output.decode().splitlines()
    assert re.fullmatch(
        r"3 ranges with 30 of 30 records listed again, with 3 requests \(seed \d+\)", summary
    )
    assert counts == "0 missing, 0 altered, 0 created since, 0 modified since, 0 gone"


def test_what_nothing_explains_is_named_and_fails(
    run: Run, moto: Endpoint, listed: list[object]
) -> None:
    bucket = str(listed[1]).split("/")[2]
    moto.put(bucket, {"logs/new": b"x", "logs/003": b"changed", "another": b"x"})
    moto.delete(bucket, ["logs/004"])
    outcome = run("verify", *listed, "--began", TOMORROW, "--seed", "mine")
    assert outcome.code == DIFFERS
    summary, counts = outcome.output.decode().splitlines()
    assert summary.endswith("(seed mine)")
    assert counts == "1 missing, 1 altered, 0 created since, 0 modified since, 1 gone"
    assert outcome.error == "missing: 'logs/new'\naltered: 'logs/003'\n"


def test_what_changed_since_is_counted_and_no_fault(
    run: Run, moto: Endpoint, listed: list[object]
) -> None:
    moto.put(str(listed[1]).split("/")[2], {"logs/new": b"x", "logs/003": b"changed"})
    outcome = run("verify", *listed)
    assert (outcome.code, outcome.error) == (AGREES, "")
    assert b"1 created since, 1 modified since, 0 gone" in outcome.output


def test_a_source_is_verified_against_its_bucket(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = ModelS3([*LATER, "z"])
    monkeypatch.setattr(SourceBucket, "lister", lambda _source, _now: bucket)
    outcome = run("verify", "source@2026-05-06")
    assert (outcome.code, outcome.error) == (DIFFERS, "missing: 'z'\n")
    assert b"8 of 8 records" in outcome.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "no source is called 'nobody'"),
        (["source@2026-01-01"], "no inventory of source was published for 2026-01-01"),
        (["source", "s3://bucket"], "leave out the URL"),
        (["./store"], "./store does not say what was listed into it: add the URL"),
        (["./store", "s3://bucket"], "holds no Parquet files"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    run: Run, arguments: list[str], words: str
) -> None:
    outcome = run("verify", *arguments)
    assert (outcome.code, outcome.output) == (TROUBLE, b"")
    (line,) = outcome.error.splitlines()
    assert words in line


def test_a_listing_of_another_bucket_is_refused(run: Run, listed: list[object]) -> None:
    folder, url, *endpoint = listed
    outcome = run("verify", folder, "s3://another", *endpoint)
    assert outcome.code == TROUBLE
    bucket = str(url).split("/")[2]
    assert f"holds objects of the bucket {bucket!r}, not of 'another'" in outcome.error


def test_a_store_in_directory_order_is_refused(
    run: Run, seaweedfs: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in seaweedfs.account.environment.items():
        monkeypatch.setenv(name, text)
    seaweedfs.make_bucket("verify-weed", dict.fromkeys(["a/1", "a-b"], b"x"))
    url = ["s3://verify-weed", "--endpoint-url", seaweedfs.url]
    assert run("list", *url, "--out", tmp_path / "out").code == 0
    outcome = run("verify", tmp_path / "out", *url)
    assert outcome.code == TROUBLE
    assert "lists in directory order, where no range can be asked for" in outcome.error
