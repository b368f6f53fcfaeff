"""`inventory list` of a bucket with a record that cannot be decoded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inventory_assets.cli.listing import RECORDS_SET_ASIDE
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.stores.habits import Habits
from inventory_assets_tests.stores.holdings import held, objects
from inventory_assets_tests.stores.odd_server import OddServer
from inventory_assets_tests.stores.odd_store import OddStore


def test_unreadable_records_are_reported_by_name_and_exit_code(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("NO_PROXY", "*")
    unreadable = held("b/\x1b[2J", written={"Size": None})
    with OddServer(OddStore([*objects(["a", "c"]), unreadable], Habits())) as server:
        bucket = server.bucket_config().bucket
        outcome = run("list", f"s3://{bucket}", "--endpoint-url", server.url, "--out", tmp_path)
    assert outcome.code == RECORDS_SET_ASIDE
    assert outcome.output.startswith(b"2 objects ")
    said, first = outcome.error.splitlines()
    assert (
        "1 record(s) of the listing could not be decoded: they are set aside unchanged in" in said
    )
    assert first.startswith(r"inventory:   'b/\x1b[2J': it has no <Size>: '<Contents>")
    assert Dataset.of_listing(tmp_path).scan().select("key").collect()["key"].to_list() == [
        "a",
        "c",
    ]
    (line,) = (tmp_path / "unreadable.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["key"] == "b/\x1b[2J"
