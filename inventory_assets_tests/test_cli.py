"""`inventory list` as a user runs it: a process, a folder, an exit code, a line."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
import duckdb
import polars as pl
import psutil
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from inventory_assets.cli import INTERRUPTED
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import (
    AccessDenied,
    BucketNotFound,
    CredentialsMissing,
    CredentialsRefused,
    RetriesExhausted,
    S3Error,
    TlsFailure,
    UnsupportedBucket,
)
from inventory_assets.s3.list_client import ListClient, RetryPolicy
from inventory_assets.scan import prefix_discovery, store_probe
from inventory_assets_tests.external_servers import REGION, Account, Endpoint, free_ports
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document

TIMEOUT_SECONDS = 60
SOON_SECONDS = 5
"""Far below the 30 seconds for which the slow server holds its answer back."""


def start(
    arguments: Sequence[object], account: Account | None = None, file_bytes: int | None = None
) -> subprocess.Popen[str]:
    """Start the command with nothing of this machine's AWS configuration.

    Args:
        arguments: The command line.
        account: Whose keys are in the environment.
        file_bytes: The largest file that may be written, as a disk that is full would have it.
    """

    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    environment = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "inventory_assets.cli", *map(str, arguments)],
        env=environment | (account.environment if account else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509 - it only calls the kernel
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the command."""

    code: int
    output: str
    error: str


def finish(process: subprocess.Popen[str]) -> Outcome:
    try:
        output, error = process.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
    return Outcome(process.returncode, output, error)


def list_bucket(
    endpoint: Endpoint, url: str, out: Path, *options: str, file_bytes: int | None = None
) -> Outcome:
    arguments = ["list", url, "--out", out, "--endpoint-url", endpoint.url, *options]
    return finish(start(arguments, endpoint.account, file_bytes))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def assert_refused(outcome: Outcome, words: str) -> None:
    assert outcome.code == 1
    assert outcome.output == ""
    (line,) = outcome.error.splitlines()
    assert line.startswith("inventory: ")
    assert words in line


def has_delta_encodings(folder: Path) -> bool:
    """Whether a file's keys have an encoding that not all readers support."""
    return any(
        "DELTA_BYTE_ARRAY" in pq.ParquetFile(file).metadata.row_group(0).column(1).encodings
        for file in folder.glob("*.parquet")
    )


def keys_in(folder: Path) -> list[str]:
    """All keys, file after file in the order of their names."""
    files = sorted(folder.glob("*.parquet"))
    return [key for file in files for key in pl.read_parquet(file)["key"]]


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
    list_into_folder(ListClient(endpoint.connection(BUCKET)), "small/01", tmp_path)
    assert keys_in(tmp_path) == sorted(key for key in KEYS if key.startswith("small/01"))


@pytest.mark.parametrize("prefix", ["", "no/such"])
def test_a_bucket_or_prefix_without_objects_gives_no_file(
    endpoint: Endpoint, tmp_path: Path, prefix: str
) -> None:
    endpoint.make_bucket(f"empty-{len(prefix)}", {"no/other": b"x"} if prefix else {})
    lister = ListClient(endpoint.connection(f"empty-{len(prefix)}"))
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
    for module in (prefix_discovery, store_probe):
        monkeypatch.setattr(module, "DIRECTORY_SERVERS", ("no such make",))
    keys = ["one/two/a/1", "one/two/a-b", "one/two/a/2", "two/1"]
    seaweedfs.make_bucket("turns-out", dict.fromkeys(keys, b"x"))

    listing = list_into_folder(ListClient(seaweedfs.connection("turns-out")), "", tmp_path)

    assert listing.rows == len(keys)
    assert keys_in(tmp_path) == sorted(keys)


# Rejected arguments


@dataclass(frozen=True, slots=True)
class Refusal:
    """A mistake: what it raises, and what its line says.

    The account is the server's own with the named change, or another; the endpoint likewise.
    """

    error: type[S3Error]
    words: str
    bucket: str = "guarded"
    account: str = "admin"
    endpoint: str = "server"


REFUSALS = {
    "wrong bucket": Refusal(BucketNotFound, "there is no such bucket", bucket="missing"),
    "no permission": Refusal(AccessDenied, "grant s3:ListBucket", account="stranger"),
    "wrong secret": Refusal(CredentialsRefused, "check the access key", account="wrong secret"),
    "unknown access key": Refusal(CredentialsRefused, "check the access key", account="unknown"),
    "no keys at all": Refusal(CredentialsMissing, "set AWS_PROFILE", account="none"),
    "directory bucket": Refusal(UnsupportedBucket, "directory buckets", bucket="b--use1-az4--x-s3"),
    "TLS to a plain port": Refusal(TlsFailure, "TLS", endpoint="tls"),
    "closed port": Refusal(RetriesExhausted, "times in a row within", endpoint="closed"),
}


@pytest.fixture(scope="module")
def guarded(ministack: Endpoint) -> Endpoint:
    ministack.make_bucket("guarded", {"a": b"x"})
    return ministack


@pytest.fixture(scope="module")
def stranger(guarded: Endpoint) -> Account:
    """A user without any permission."""
    iam = boto3.client(
        "iam",
        endpoint_url=guarded.url,
        region_name=REGION,
        aws_access_key_id=guarded.account.access_key,
        aws_secret_access_key=guarded.account.secret_key,
    )
    iam.create_user(UserName="stranger")
    key = iam.create_access_key(UserName="stranger")["AccessKey"]
    return Account(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.fixture(scope="module")
def accounts(guarded: Endpoint, stranger: Account) -> dict[str, Account | None]:
    return {
        "admin": guarded.account,
        "stranger": stranger,
        # Only of users does ministack check the secret.
        "wrong secret": Account(stranger.access_key, "wrong"),
        "unknown": Account.random(),
        "none": None,
    }


@pytest.fixture(scope="module")
def urls(guarded: Endpoint) -> dict[str, str]:
    return {
        "server": guarded.url,
        "tls": guarded.url.replace("http:", "https:"),
        "closed": f"http://127.0.0.1:{free_ports(1)[0]}",
    }


@pytest.fixture(scope="module")
def refused(
    accounts: dict[str, Account | None],
    urls: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[subprocess.Popen[str], Path]]]:
    """A process for each mistake; side by side, as a closed port is tried for two seconds."""
    started = {}
    for name, error_response in REFUSALS.items():
        out = tmp_path_factory.mktemp("refused") / "out"
        url = urls[error_response.endpoint]
        arguments = ["list", f"s3://{error_response.bucket}", "--out", out, "--endpoint-url", url]
        arguments += ["--max-outage", "2"]
        started[name] = (start(arguments, accounts[error_response.account]), out)
    yield started
    for process, _ in started.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", REFUSALS)
def test_a_mistake_is_one_line_and_exit_code_1_and_leaves_nothing(
    name: str, refused: dict[str, tuple[subprocess.Popen[str], Path]]
) -> None:
    process, out = refused[name]
    assert_refused(finish(process), REFUSALS[name].words)
    assert files_in(out) == []


@pytest.mark.usefixtures("no_aws_environment")
@pytest.mark.parametrize("name", REFUSALS)
def test_a_mistake_has_an_error_of_its_own(
    name: str, accounts: dict[str, Account | None], urls: dict[str, str], tmp_path: Path
) -> None:
    error_response = REFUSALS[name]
    account = accounts[error_response.account]
    connection = BucketConfig(
        error_response.bucket,
        urls[error_response.endpoint],
        access_key=account.access_key if account else None,
        secret_key=account.secret_key if account else None,
    )
    with pytest.raises(error_response.error, match=error_response.words):
        list_into_folder(ListClient(connection, RetryPolicy(outage_seconds=0.3)), "", tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "no-scheme", "--out", "x"],
        ["list", "http://bucket", "--out", "x"],
        ["list", "s3://", "--out", "x"],
        ["list", "s3://bucket"],
        ["list", "s3://bucket", "--out", "x", "--concurrency", "0"],
        [],
    ],
)
def test_a_command_line_that_makes_no_sense_is_exit_code_2(arguments: list[str]) -> None:
    outcome = finish(start(arguments))
    assert outcome.code == 2
    assert outcome.error.startswith("usage: inventory")


@pytest.mark.parametrize("url", ["nonsense", "http://host:port"])
def test_an_endpoint_that_is_no_url_is_rejected(url: str, moto: Endpoint, tmp_path: Path) -> None:
    arguments = ["list", "s3://bucket", "--out", tmp_path, "--endpoint-url", url]
    assert_refused(finish(start(arguments, moto.account)), "bucket 'bucket' at ")


def test_a_bucket_name_that_no_bucket_can_have_is_rejected(moto: Endpoint, tmp_path: Path) -> None:
    assert_refused(list_bucket(moto, "s3://no bucket!", tmp_path), "bucket")


# The folder


@pytest.fixture
def some_bucket(moto: Endpoint) -> str:
    if moto.send("HEAD", "/some") != 200:
        moto.make_bucket("some", {f"{number:04}": b"x" for number in range(200)})
    return "some"


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


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(
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


def test_a_public_bucket_is_listed_without_credentials_and_gone_on_with_so(tmp_path: Path) -> None:
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


def test_no_more_descriptors_are_said_in_one_line(tmp_path: Path) -> None:
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


# Interruptions

STUCK = Answer(delay=30)
LEVEL = Answer(body=render([Listed("root")], [f"{name}/" for name in "abcdefghij"]))


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


def test_a_killed_command_is_resumed_without_saying_again_what_was_asked_for(
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
