"""`inventory list --versions` and `--as-of`, on a server that keeps versions."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.versioned_moto import VersionedBucket, listing_versions_as_s3_does

Run = Callable[..., Outcome]
NUMBERS = count()


@pytest.fixture
def url(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A bucket in which `k` was put on three days, `d` was deleted; how to name it."""
    for name, text in moto.account.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("NO_PROXY", "*")
    bucket = VersionedBucket.new(f"as-of-{next(NUMBERS)}")
    for day in (1, 2, 3):
        bucket.put(datetime(2026, 5, day, 12, tzinfo=UTC), "k", b"x" * day)
    bucket.put(datetime(2026, 5, 1, 12, tzinfo=UTC), "d", b"x")
    bucket.delete(datetime(2026, 5, 2, 12, tzinfo=UTC), "d")
    with listing_versions_as_s3_does():
        yield [f"s3://{bucket.name}", "--endpoint-url", moto.url]


def rows(folder: Path) -> list[tuple[str, int | None, bool]]:
    frame = Dataset.of_listing(folder).scan().select("key", "size", "is_latest")
    return frame.collect().rows()


def test_all_versions_are_listed(run: Run, url: list[str], tmp_path: Path) -> None:
    outcome = run("list", *url, "--versions", "--out", tmp_path)
    assert outcome.output.decode().startswith("5 versions of 7 bytes in 1 file(s)")
    assert rows(tmp_path) == [
        ("d", None, True),
        ("d", 1, False),
        ("k", 3, True),
        ("k", 2, False),
        ("k", 1, False),
    ]


def test_the_summary_may_be_one_json_document(run: Run, url: list[str], tmp_path: Path) -> None:
    outcome = run("list", *url, "--versions", "--out", tmp_path, "--format", "json")
    document = json.loads(outcome.output)
    assert document.pop("requests") > 0
    assert document == {
        "folder": str(tmp_path),
        "files": ["part-00000.parquet"],
        "versions": 5,
        "bytes": 7,
        "retried": {},
        "unreadable": 0,
    }


@pytest.mark.parametrize(
    ("moment", "latest"),
    [
        ("2026-05-01", {"d": 1, "k": 1}),
        ("2026-05-02", {"d": None, "k": 2}),
        ("2026-05-02T11:59Z", {"d": 1, "k": 1}),
        ("2026-04-30", {}),
    ],
)
def test_the_objects_as_of_a_time_are_listed(
    run: Run, url: list[str], tmp_path: Path, moment: str, latest: dict[str, int | None]
) -> None:
    assert run("list", *url, "--as-of", moment, "--out", tmp_path).code == 0
    if not latest:
        assert not any(tmp_path.glob("*.parquet"))
        return
    assert {key: size for key, size, is_latest in rows(tmp_path) if is_latest} == latest
    checked = run("verify", tmp_path, *url, "--as-of", moment, "--began", "2026-06-01T00:00Z")
    assert (checked.code, checked.error) == (0, "")


def test_a_listing_of_versions_is_exported_queried_and_compared(
    run: Run, url: list[str], tmp_path: Path
) -> None:
    for name in ("2026-05-01", "2026-05-02"):
        assert run("list", *url, "--as-of", name, "--out", tmp_path / name).code == 0
    exported = tmp_path / "all.parquet"
    assert run("export", tmp_path / "2026-05-02", "-o", exported).code == 0
    assert pl.read_parquet(exported)["is_delete_marker"].to_list() == [True, False, False, False]
    compared = run("diff", tmp_path / "2026-05-01", tmp_path / "2026-05-02")
    lines = compared.output.decode().splitlines()[1:]
    assert [line.split(",")[1:3] for line in lines] == [["d", "deleted"], ["k", "modified"]]


def test_a_time_that_is_none_is_rejected(run: Run, url: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run("list", *url, "--as-of", "yesterday", "--out", tmp_path)
