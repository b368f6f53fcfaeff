"""`inventory list` as a user runs it: what the files hold."""

import signal
import time
from pathlib import Path

import duckdb
import polars as pl
import psutil
import pyarrow.dataset as ds
import pytest
from polars.testing import assert_frame_equal

from inventory_assets.cli import INTERRUPTED
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan import habit_probe, prefix_search
from inventory_assets_tests.cli.list_command import (
    LEVEL,
    SOON_SECONDS,
    STUCK,
    TIMEOUT_SECONDS,
    Outcome,
    files_in,
    finish,
    has_delta_encodings,
    keys_in,
    list_bucket,
    start,
)
from inventory_assets_tests.external_servers import Account, Endpoint
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document

# Results

KEYS = [
    *(f"small/{number:03}/{name}" for number in range(30) for name in ("a", "b-c", "b/c")),
    *(f"top-{number:04}" for number in range(1100)),
    "small-",
    "e\u0301 +%2B",
    "\U0001f4a9/\U0010fffd",
    "new\nline",
]


BUCKET = "command-line"

Listing = tuple[Outcome, Path]


@pytest.fixture(scope="session")
def listings() -> dict[str, Listing]:
    """The listing of each server's bucket, shared by several tests."""
    return {}


@pytest.fixture
def listing(
    endpoint: Endpoint, listings: dict[str, Listing], tmp_path_factory: pytest.TempPathFactory
) -> Listing:
    """`BUCKET` of each server in turn, listed into a folder that was not there."""
    if endpoint.url not in listings:
        endpoint.make_bucket(BUCKET, {key: key.encode()[:9] for key in KEYS})
        out = tmp_path_factory.mktemp("listing") / "new" / "out"
        listings[endpoint.url] = list_bucket(endpoint, f"s3://{BUCKET}", out), out
    return listings[endpoint.url]


def test_the_files_in_the_order_of_their_names_hold_every_key_in_byte_order(
    listing: Listing,
) -> None:
    outcome, out = listing
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output.startswith(f"{len(KEYS):,} objects of ")
    assert keys_in(out) == sorted(KEYS, key=str.encode)


def test_small_prefixes_end_in_one_file_and_nothing_else_is_left(listing: Listing) -> None:
    assert files_in(listing[1].parent) == ["part-00000.parquet"]


def test_polars_duckdb_and_pyarrow_read_the_same(listing: Listing) -> None:
    _, out = listing
    columns = ["key", "size", "e_tag", "last_modified_date"]
    by_polars = pl.read_parquet(out / "*.parquet").select(columns)
    by_pyarrow = ds.dataset(out, format="parquet").to_table(columns)
    assert by_polars.equals(pl.DataFrame(by_pyarrow))
    found = duckdb.connect().read_parquet(f"{out}/*.parquet").select("key, size, e_tag").fetchall()
    assert found == by_polars.select(columns[:3]).rows()
    assert by_polars["key"].to_list() == sorted(KEYS, key=str.encode)


def test_one_request_at_a_time_finds_what_many_find(
    endpoint: Endpoint, listing: Listing, tmp_path: Path
) -> None:
    outcome = list_bucket(endpoint, f"s3://{BUCKET}", tmp_path, "--concurrency", "1")

    assert outcome.code == 0
    one, many = (pl.read_parquet(out / "*.parquet") for out in (tmp_path, listing[1]))
    assert_frame_equal(one, many)
    assert files_in(tmp_path) == files_in(listing[1])


def test_several_processes_find_what_one_finds(
    endpoint: Endpoint, listing: Listing, tmp_path: Path
) -> None:
    outcome = list_bucket(endpoint, f"s3://{BUCKET}", tmp_path, "--processes", "3")

    assert (outcome.code, outcome.error) == (0, "")
    one, several = (pl.read_parquet(out / "*.parquet") for out in (listing[1], tmp_path))
    assert_frame_equal(one, several)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_plain_encodings_hold_the_same(
    moto: Endpoint, some_bucket: str, tmp_path: Path, processes: str
) -> None:
    folders = {name: tmp_path / name for name in ("compact", "plain")}
    for name, folder in folders.items():
        options = ("--encodings", name, "--processes", processes)
        outcome = list_bucket(moto, f"s3://{some_bucket}", folder, *options)
        assert (outcome.code, outcome.error) == (0, "")
    compact, plain = (pl.read_parquet(folder / "*.parquet") for folder in folders.values())
    assert_frame_equal(compact, plain)
    assert [has_delta_encodings(folder) for folder in folders.values()] == [True, False]


def test_what_a_process_meets_is_reported_as_if_there_were_one(tmp_path: Path) -> None:
    answers = [LEVEL, LEVEL, LEVEL, Answer(403, error_document("AccessDenied"))]
    with ScriptedServer(answers) as server:
        command = ["list", "s3://b", "--out", tmp_path, "--endpoint-url", server.url]
        outcome = finish(start([*command, "--processes", "2"], Account.random()))
    assert outcome.code == 1
    assert "s3:ListBucket" in outcome.error
    assert outcome.error.count("\n") == 1
    assert files_in(tmp_path) == []


def test_a_process_that_is_killed_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with ScriptedServer([LEVEL, LEVEL, LEVEL, LEVEL, STUCK]) as server:
        command = ["list", "s3://b", "--out", tmp_path, "--endpoint-url", server.url]
        process = start([*command, "--processes", "2"], Account.random())
        children = children_at_work(process.pid, server)
        children[0].kill()
        outcome = finish(process)
    assert outcome.code == 1
    assert "a process of the listing ended unexpectedly" in outcome.error
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_told_to_stop_takes_its_processes_with_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    with ScriptedServer([LEVEL, LEVEL, LEVEL, LEVEL, STUCK]) as server:
        command = ["list", "s3://b", "--out", tmp_path, "--endpoint-url", server.url]
        process = start([*command, "--processes", "2"], Account.random())
        children = children_at_work(process.pid, server)
        process.send_signal(number)
        outcome = finish(process)
        gone, alive = psutil.wait_procs(children, timeout=SOON_SECONDS)
    assert outcome.code == INTERRUPTED
    assert not alive
    assert gone
    assert files_in(tmp_path) == []


def children_at_work(pid: int, server: ScriptedServer) -> list[psutil.Process]:
    """The processes of a command, once two of their requests wait for a response."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while server.most_at_once < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.usefixtures("listing")
def test_a_prefix_in_the_url_is_listed_alone(endpoint: Endpoint, tmp_path: Path) -> None:
    list_into_folder(ListClient(endpoint.bucket_config(BUCKET)), "small/01", tmp_path)
    assert keys_in(tmp_path) == sorted(key for key in KEYS if key.startswith("small/01"))


@pytest.mark.parametrize("prefix", ["", "no/such"])
def test_a_bucket_or_prefix_without_objects_gives_no_file(
    endpoint: Endpoint, tmp_path: Path, prefix: str
) -> None:
    endpoint.make_bucket(f"empty-{len(prefix)}", {"no/other": b"x"} if prefix else {})
    lister = ListClient(endpoint.bucket_config(f"empty-{len(prefix)}"))
    assert list_into_folder(lister, prefix, tmp_path).files == ()
    assert files_in(tmp_path) == []


def test_nothing_to_list_is_no_mistake(moto: Endpoint, tmp_path: Path) -> None:
    moto.make_bucket("other-prefixes", {"a": b"", "c": b""})
    outcome = list_bucket(moto, "s3://other-prefixes/b", tmp_path)
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output.startswith("0 objects of 0 bytes in 0 file(s)")


def test_a_store_that_turns_out_to_list_by_directory_is_listed_again(
    seaweedfs: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (prefix_search, habit_probe):
        monkeypatch.setattr(module, "DIRECTORY_SERVERS", ("no such make",))
    keys = ["one/two/a/1", "one/two/a-b", "one/two/a/2", "two/1"]
    seaweedfs.make_bucket("turns-out", dict.fromkeys(keys, b"x"))

    listing = list_into_folder(ListClient(seaweedfs.bucket_config("turns-out")), "", tmp_path)

    assert listing.rows == len(keys)
    assert keys_in(tmp_path) == sorted(keys)
