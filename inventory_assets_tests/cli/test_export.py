import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest

from inventory_assets.cli import main
from inventory_assets.cli.command import EXIT_SIGPIPE
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.cli.conftest import KEYS, LATER, Outcome, on_a_terminal, start
from inventory_assets_tests.fakes.object_server import ObjectServer
from inventory_assets_tests.inventory.metadata.object_days import Bucket
from inventory_assets_tests.inventory.samples import LAYOUT, NOW

Run = Callable[..., Outcome]


def keys_of(output: bytes) -> list[str]:
    return [unquote(row[1]) for row in csv.reader(io.StringIO(output.decode()))]


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("source", LATER),
        ("source@2026-05-05", KEYS),
        ("./store/bucket/source", LATER),
        ("store/bucket/source/2026-05-05T00-00Z", KEYS),
        ("store/bucket/source/2026-05-05T00-00Z/manifest.json", KEYS),
    ],
)
def test_an_inventory_goes_to_standard_output_as_s3_writes_it(
    run: Run, address: str, keys: list[str]
) -> None:
    outcome = run("export", address)
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output.startswith(b'"bucket","')
    assert keys_of(outcome.output) == keys


def test_the_suffix_chooses_the_format_of_a_file(run: Run, tmp_path: Path) -> None:
    outcome = run("export", "source", "-o", tmp_path / "out.parquet")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == f"8 objects in {tmp_path}/out.parquet\n".encode()
    assert pl.read_parquet(tmp_path / "out.parquet")["key"].to_list() == LATER


def test_a_format_may_be_named_where_no_file_is(run: Run) -> None:
    lines = run("export", "source", "-o", "-", "--format", "jsonl").output.decode().split("\n")
    assert [json.loads(line)["key"] for line in lines[:-1]] == LATER


def test_a_prefix_leaves_out_the_rest(run: Run) -> None:
    assert keys_of(run("export", "source", "--prefix", "b/").output) == ["b/2 +", "b/=1"]


def test_a_dialect_makes_a_manifest_for_batch_operations(run: Run) -> None:
    outcome = run("export", "source", "--prefix", "b/", "--dialect", "batch-operations")
    assert outcome.output == b"bucket,b/2%20%2B\nbucket,b/%3D1\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "no source is called 'nobody'; sources are: source"),
        (["store"], "no source is called 'store'; sources are: source; the folder here is ./store"),
        (["source@may"], "'may' is not a date; write it as source@"),
        (["source@2026-05-09"], "no inventory of source was published for 2026-05-09"),
        (["./no/such"], "./no/such does not exist; correct the path"),
        (["./store"], "holds no Parquet files; name a folder"),
        (["source", "-o", "out.xml"], "the format of 'out.xml' is unknown"),
        (["source", "-o", "no/such/out.csv"], "cannot write no/such/out.csv: No such file"),
        (["source", "-o", "out.jsonl", "--dialect", "plain"], "--dialect applies only to CSV"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    run: Run, published: Path, arguments: list[str], words: str
) -> None:
    outcome = run("export", *arguments)
    assert (outcome.code, outcome.output) == (1, b"")
    (line,) = outcome.error.splitlines()
    assert line.startswith("inventory: ")
    assert words in line
    assert sorted(path.name for path in published.iterdir()) == ["inventory.toml", "store"]


def test_a_reader_that_leaves_ends_the_command_quietly(published: Path) -> None:
    process = start(published, "query", "source", "FROM range(3_000_000)")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b'"range"\n'
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", EXIT_SIGPIPE)
    process.stderr.close()


def test_a_pipe_closed_before_the_first_write_is_no_error(published: Path) -> None:
    process = start(published, "export", "source")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", EXIT_SIGPIPE)
    process.stderr.close()


def test_no_key_can_control_the_terminal(published: Path) -> None:
    code, shown = on_a_terminal(published, "export", "source", "--dialect", "plain")
    assert code == 0
    assert rb"tab\t\x1b[31m" in shown
    assert b"\x1b" not in shown


def test_binary_output_is_not_written_to_a_terminal(published: Path) -> None:
    code, shown = on_a_terminal(published, "export", "source", "--format", "parquet")
    assert (code, shown) == (
        1,
        b"inventory: a terminal cannot show this format; write to a file with -o\r\n",
    )


def test_a_list_of_files_may_have_any_format(run: Run, tmp_path: Path) -> None:
    outcome = run("export", "source", "--dialect", "delta-vacuum", "--prefix", "a/")
    assert outcome.output == (
        b'"path","length","isDir","modificationTime"\ns3://bucket/a/2,3,false,1700000000123\n'
    )
    out = tmp_path / "files.parquet"
    options = ["--dialect", "iceberg-files", "--uri-scheme", "s3a", "-o", out]
    assert run("export", "source", *options).code == 0
    frame = pl.read_parquet(out)
    assert frame.columns == ["file_path", "last_modified"]
    assert frame.get_column("file_path").to_list() == [f"s3a://bucket/{key}" for key in LATER]


def test_a_scheme_of_uris_needs_a_list_of_files(run: Run) -> None:
    outcome = run("export", "source", "--uri-scheme", "s3a")
    assert outcome.code == 1
    assert "--dialect delta-vacuum" in outcome.error


def test_metadata_that_was_not_collected_is_an_error(run: Run) -> None:
    outcome = run("export", "source", "--metadata")
    assert outcome.code == 1
    assert "the metadata of 3 shard(s) of source on 2026-05-06 was not collected" in outcome.error


@pytest.mark.parametrize("dialect", ["batch-operations", "delta-vacuum"])
def test_a_dialect_without_metadata_refuses_it(run: Run, dialect: str) -> None:
    outcome = run("export", "source", "--metadata", "--dialect", dialect)
    assert outcome.code == 1
    assert "leave out --metadata" in outcome.error


@pytest.fixture
def described(
    tmp_path: Path,
    no_aws_environment: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder with an inventory of three objects whose metadata was collected."""
    monkeypatch.setattr(local_store, "_flush", lambda _path: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INVENTORY_CONFIG", raising=False)
    Path("inventory.toml").write_text('store = "store"\n[sources.source]\nbucket = "bucket"\n')
    store = LocalStore(tmp_path / "store")
    with ObjectServer() as server:
        bucket = Bucket(server, store)
        for key in ("a", "b/1", "b/2"):
            bucket.put(key, key, headers={"x-amz-meta-owner": f"\x1b{key}"})
        bucket.collect()
        snapshots = {"": bucket.snapshot()}
    publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))


@pytest.mark.usefixtures("described")
def test_metadata_is_added_to_each_object(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    assert main(["export", "source", "--metadata", "--prefix", "b/", "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [(row["key"], row["user_metadata"]) for row in rows] == [
        ("b/1", {"owner": "\x1bb/1"}),
        ("b/2", {"owner": "\x1bb/2"}),
    ]
    assert main(["export", "source", "--metadata", "-o", "out.parquet"]) == 0
    assert pl.read_parquet(tmp_path / "out.parquet")["content_type"].len() == 3


@pytest.mark.usefixtures("described")
def test_a_table_shows_metadata_that_cannot_control_the_terminal(tmp_path: Path) -> None:
    code, shown = on_a_terminal(tmp_path, "export", "source", "--metadata")
    assert (code, b"\x1b" in shown) == (0, False)
    assert b"user_metadata" in shown
    assert rb"\x1bb/1" in shown or rb"\u001bb/1" in shown
