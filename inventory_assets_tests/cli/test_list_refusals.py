"""`inventory list`: mistakes are one line and an exit code."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

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
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.cli.list_command import (
    assert_refused,
    files_in,
    finish,
    list_bucket,
    start,
)
from inventory_assets_tests.external_servers import REGION, Account, Endpoint, free_ports


@dataclass(frozen=True, slots=True)
class RefusedListing:
    """A mistake: what it raises, and what its line says.

    The account is the server's own with the named change, or another; the endpoint likewise.
    """

    error: type[S3Error]
    words: str
    bucket: str = "guarded"
    account: str = "admin"
    endpoint: str = "server"


REFUSALS = {
    "wrong bucket": RefusedListing(BucketNotFound, "there is no such bucket", bucket="missing"),
    "no permission": RefusedListing(AccessDenied, "grant s3:ListBucket", account="stranger"),
    "wrong secret": RefusedListing(
        CredentialsRefused, "check the access key", account="wrong secret"
    ),
    "unknown access key": RefusedListing(
        CredentialsRefused, "check the access key", account="unknown"
    ),
    "no keys at all": RefusedListing(CredentialsMissing, "set AWS_PROFILE", account="none"),
    "directory bucket": RefusedListing(
        UnsupportedBucket, "directory buckets", bucket="b--use1-az4--x-s3"
    ),
    "TLS to a plain port": RefusedListing(TlsFailure, "TLS", endpoint="tls"),
    "closed port": RefusedListing(RetriesExhausted, "times in a row within", endpoint="closed"),
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
    bucket_config = BucketConfig(
        error_response.bucket,
        urls[error_response.endpoint],
        access_key=account.access_key if account else None,
        secret_key=account.secret_key if account else None,
    )
    with pytest.raises(error_response.error, match=error_response.words):
        list_into_folder(ListClient(bucket_config, RetryPolicy(outage_seconds=0.3)), "", tmp_path)
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
