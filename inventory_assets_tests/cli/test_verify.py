"""`inventory verify`, on a folder of a real server's bucket and on a source of the store."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inventory_assets.cli.verify import AGREES, DIFFERS, ERROR
from inventory_assets.wiring import source_access
from inventory_assets_tests.cli.conftest import LATER, Outcome
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.fakes.odd_store import Oddity, OddStore

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
        r"2 ranges with 30 of 30 records listed again, with 4 requests \(seed \d+\)", summary
    )
    assert counts == (
        "0 missing, 0 altered, 0 created since, 0 modified since, 0 gone, 0 contradicted"
    )


def test_unexplained_differences_are_named_and_fail(
    run: Run, moto: Endpoint, listed: list[object]
) -> None:
    bucket = str(listed[1]).split("/")[2]
    moto.put(bucket, {"logs/new": b"x", "logs/003": b"changed", "another": b"x"})
    moto.delete(bucket, ["logs/004"])
    outcome = run("verify", *listed, "--began", TOMORROW, "--seed", "mine")
    assert outcome.code == DIFFERS
    summary, counts, again = outcome.output.decode().splitlines()
    assert summary.endswith("(seed mine)")
    assert counts == (
        "1 missing, 1 altered, 0 created since, 0 modified since, 1 gone, 0 contradicted"
    )
    assert again == "1 of 1 keys that seemed gone were requested again by name"
    assert outcome.error == "missing: 'logs/new'\naltered: 'logs/003'\n"


def test_a_summary_may_be_one_json_document(run: Run, moto: Endpoint, listed: list[object]) -> None:
    moto.put(str(listed[1]).split("/")[2], {"logs/\x7fnew": b"x"})
    outcome = run("verify", *listed, "--began", TOMORROW, "--seed", "mine", "--format", "json")
    assert outcome.code == DIFFERS
    (line,) = outcome.output.decode().splitlines()
    assert line.isprintable()
    document = json.loads(line)
    assert document.pop("requests") > 0
    assert document == {
        "agrees": False,
        "ranges": 2,
        "prefixes": 0,
        "records_sampled": 30,
        "records": 30,
        "seed": "mine",
        "findings": {
            "missing": 1,
            "altered": 0,
            "created since": 0,
            "modified since": 0,
            "gone": 0,
            "contradicted": 0,
        },
        "seemed_gone": 0,
        "asked_again": 0,
        "notes": [],
        "problems": ["missing: 'logs/\\x7fnew'"],
    }
    assert outcome.error == "missing: 'logs/\\x7fnew'\n"


def test_later_changes_are_counted_and_do_not_fail(
    run: Run, moto: Endpoint, listed: list[object]
) -> None:
    moto.put(str(listed[1]).split("/")[2], {"logs/new": b"x", "logs/003": b"changed"})
    outcome = run("verify", *listed)
    assert (outcome.code, outcome.error) == (AGREES, "")
    assert b"1 created since, 1 modified since, 0 gone" in outcome.output


def test_a_store_that_contradicts_itself_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = sorted(LATER)[3]
    bucket = OddStore(LATER, Oddity.HIDES, hidden=[hidden])
    monkeypatch.setattr(source_access, "open_source_bucket", lambda _source, _now: bucket)
    outcome = run("verify", "source@2026-05-06")
    assert outcome.code == DIFFERS
    assert outcome.error.startswith(f"contradicted: {hidden!r}\nthe store contradicts itself: 1 ")


def test_an_end_that_comes_too_early_is_a_note(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = OddStore(LATER, Oddity.ENDS_EARLY, 3)
    monkeypatch.setattr(source_access, "open_source_bucket", lambda _source, _now: bucket)
    outcome = run("verify", "source@2026-05-06")
    assert outcome.code == AGREES
    assert outcome.error.startswith("note: the store reported the end of its listing after ")


def test_a_source_is_verified_against_its_bucket(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = ModelS3([*LATER, "z"])
    monkeypatch.setattr(source_access, "open_source_bucket", lambda _source, _now: bucket)
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
    assert (outcome.code, outcome.output) == (ERROR, b"")
    (line,) = outcome.error.splitlines()
    assert words in line


def test_a_listing_of_another_bucket_is_rejected(run: Run, listed: list[object]) -> None:
    folder, url, *endpoint = listed
    outcome = run("verify", folder, "s3://another", *endpoint)
    assert outcome.code == ERROR
    bucket = str(url).split("/")[2]
    assert f"holds objects of the bucket {bucket!r}, not of 'another'" in outcome.error


def test_an_emptied_bucket_fails_the_verification(
    run: Run, moto: Endpoint, listed: list[object]
) -> None:
    moto.delete(str(listed[1]).split("/")[2], KEYS)
    outcome = run("verify", *listed)
    assert outcome.code == DIFFERS
    assert outcome.error == (
        "30 of 30 sampled records are gone: is this the right bucket, and was it emptied?\n"
    )
    assert b"30 of 30 keys that seemed gone were requested again by name" in outcome.output


def test_another_bucket_is_doubted(
    run: Run,
    moto: Endpoint,
    account: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    buckets = [moto.make_bucket(f"doubted-{next(NUMBERS)}") for _ in range(2)]
    moto.put(buckets[0], dict.fromkeys(KEYS, b"x"))
    moto.put(buckets[1], {f"logs/other-{number:03}": b"x" for number in range(30)})
    out, to = tmp_path / "out", ["--endpoint-url", moto.url]
    assert run("list", f"s3://{buckets[0]}/logs/", *to, "--out", out).code == 0
    (part,) = out.glob("*.parquet")
    table = pq.read_table(part)
    names = pa.array([buckets[1]] * table.num_rows, table.schema.field("bucket").type)
    at = table.schema.get_field_index("bucket")
    pq.write_table(table.set_column(at, table.schema.field("bucket"), names), part)
    outcome = run("verify", out, f"s3://{buckets[1]}/logs/", *to)
    assert outcome.code == DIFFERS
    assert "30 of 30 sampled records are gone: is this the right bucket" in outcome.error


def test_a_store_in_directory_order_is_asked_by_prefixes(
    run: Run, seaweedfs: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in seaweedfs.account.environment.items():
        monkeypatch.setenv(name, text)
    keys = ["a/1", "a/2", "a/b/3", "a-b", "a0"]
    seaweedfs.make_bucket("verify-weed", dict.fromkeys(keys, b"x"))
    url = ["s3://verify-weed", "--endpoint-url", seaweedfs.url]
    assert run("list", *url, "--out", tmp_path / "out").code == 0
    outcome = run("verify", tmp_path / "out", *url, "--began", TOMORROW)
    assert (outcome.code, outcome.error) == (AGREES, "")
    assert outcome.output.startswith(b"1 prefix with 5 of 5 records listed again")
    seaweedfs.put("verify-weed", {"a/new": b"x", "a-b": b"changed"})
    seaweedfs.delete("verify-weed", ["a/2"])
    outcome = run("verify", tmp_path / "out", *url, "--began", TOMORROW)
    assert outcome.code == DIFFERS
    assert b"1 missing, 1 altered, 0 created since, 0 modified since, 1 gone" in outcome.output
    assert outcome.error == "missing: 'a/new'\naltered: 'a-b'\n"
