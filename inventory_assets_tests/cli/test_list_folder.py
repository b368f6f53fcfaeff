"""`inventory list` keeps existing files of its folder, and reports errors in one line."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from inventory_assets_tests.cli.list_command import (
    assert_refused,
    files_in,
    finish,
    list_bucket,
    start,
)
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer


def test_a_folder_that_holds_parquet_files_is_left_as_it_is(
    moto: Endpoint, some_bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.parquet").write_bytes(b"mine")
    assert_refused(list_bucket(moto, f"s3://{some_bucket}", tmp_path), "choose another folder")
    assert files_in(tmp_path) == ["mine.parquet"]


def test_other_files_in_the_folder_are_left_as_they_are(
    moto: Endpoint, some_bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_bytes(b"mine")
    assert list_bucket(moto, f"s3://{some_bucket}", tmp_path).code == 0
    assert files_in(tmp_path) == ["notes.txt", "part-00000.parquet"]


def test_a_file_in_place_of_the_folder_is_rejected(
    moto: Endpoint, some_bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    outcome = list_bucket(moto, f"s3://{some_bucket}", tmp_path / "out")
    assert_refused(outcome, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_a_full_disk_is_reported_in_one_line_and_leaves_nothing(
    moto: Endpoint, some_bucket: str, tmp_path: Path
) -> None:
    outcome = list_bucket(moto, f"s3://{some_bucket}", tmp_path / "out", file_bytes=2000)
    assert_refused(outcome, "File too large")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("command", ["list", "verify"])
@pytest.mark.parametrize("url", ["http://user:hush@127.0.0.1:9", "https://hush@s3.example"])
def test_an_endpoint_with_a_password_is_rejected_and_not_repeated(
    command: str, url: str, tmp_path: Path
) -> None:
    out = ["--out", tmp_path / "out", "s3://b"] if command == "list" else [f"{tmp_path}/", "s3://b"]
    outcome = finish(start([command, *out, "--endpoint-url", url]))
    assert outcome.code == 2
    assert "found a user name or password, expected none" in outcome.error
    assert "hush" not in outcome.error
    assert files_in(tmp_path) == []


def test_a_public_bucket_is_listed_and_resumed_without_credentials(tmp_path: Path) -> None:
    good = Answer(body=render([Listed("k")]))
    with ScriptedServer([good]) as server:
        command = ["list", "s3://b", "--out", tmp_path / "out", "--endpoint-url", server.url]
        refused = finish(start(command))
        assert "--anonymous" in refused.error
        assert not server.seen
        outcome = finish(start([*command, "--no-sign-request", "--requester-pays"]))
        assert outcome.code == 0
        assert not any("authorization" in seen.headers for seen in server.seen)
        assert all(seen.headers["x-amz-request-payer"] == "requester" for seen in server.seen)


def test_a_lack_of_descriptors_is_reported_in_one_line(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))

    command = [sys.executable, "-m", "inventory_assets.cli", "list", "s3://b", "--anonymous"]
    outcome = subprocess.run(
        [*command, "--endpoint-url", "http://127.0.0.1:9", "--out", tmp_path / "out"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert "no more files or connections can be opened (the limit is 6)" in outcome.stderr
    assert "Traceback" not in outcome.stderr
