"""Errors of credentials are not reported as errors of the bucket."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import (
    CredentialsMissing,
    CredentialsRefused,
    S3Error,
    TransientError,
)
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.object_client import ObjectClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document

GOOD = Answer(200, render([Listed("k")]))
QUICK = RetryPolicy(outage_seconds=5, base_seconds=0.01)
ROLE = "arn:aws:iam::123456789012:role/reader"

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@pytest.fixture
def bucket() -> Iterator[ScriptedServer]:
    with ScriptedServer([GOOD]) as scripted:
        yield scripted


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer([session()]) as scripted:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", scripted.url)
        yield scripted


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes the AWS configuration, and says which profile of it is used."""

    def write(config: str = "", credentials: str = "", profile: str | None = None) -> None:
        (tmp_path / "config").write_text(config)
        (tmp_path / "credentials").write_text(credentials)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        if profile:
            monkeypatch.setenv("AWS_PROFILE", profile)

    return write


def refused(code: str, status: int = 403) -> Answer:
    text = error_document(code).decode().replace("<Error>", "<ErrorResponse><Error><Type>S</Type>")
    return Answer(status, f"{text}</ErrorResponse>".encode(), {"Content-Type": "text/xml"})


def session(key: str = "ASIASESSION", seconds: float = 3600, action: str = "AssumeRole") -> Answer:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    body = (
        f"<{action}Response><{action}Result><Credentials><AccessKeyId>{key}</AccessKeyId>"
        "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials></{action}Result>"
        f"</{action}Response>"
    )
    return Answer(200, body.encode(), {"Content-Type": "text/xml"})


def key_of(server: ScriptedServer, number: int = -1) -> str:
    authorization = server.seen[number].headers["authorization"]
    return authorization.partition("Credential=")[2].partition("/")[0]


def of(url: str, **changes: object) -> BucketConfig:
    fields: dict[str, object] = {"bucket": "ours", "endpoint_url": url, **changes}
    return BucketConfig(**fields)  # type: ignore[arg-type]


def error_of(where: BucketConfig, stats: RequestStats | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        ListClient(where, QUICK).list_page_sync(PageRequest(), stats or RequestStats())
    message = str(caught.value)
    assert message.isprintable()
    assert "ours" in message
    for mistaken in ("s3:ListBucket", "TLS", "role None", "AWS_CA_BUNDLE", "\n"):
        assert mistaken not in message
    return caught.value


# Tokens of a web identity


@pytest.fixture
def with_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "token"
    file.write_text("t.o.k")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return file


def _missing(file: Path) -> None:
    file.unlink()


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _empty(file: Path) -> None:
    file.write_text("")


def _binary(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize("damage", [_missing, _folder, _empty, _binary])
def test_a_token_file_that_holds_no_token_is_named(
    damage: Callable[[Path], None], with_token: Path, bucket: ScriptedServer, sts: ScriptedServer
) -> None:
    damage(with_token)
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsMissing
    assert f"token file {with_token}" in str(error)
    assert not sts.seen
    assert not bucket.seen


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDenied", "its trust policy must allow sts:AssumeRoleWithWebIdentity"),
        ("InvalidIdentityToken", "its trust policy"),
        ("ExpiredTokenException", "has expired"),
        ("PackedPolicyTooLarge", ROLE),
    ],
)
def test_a_token_that_sts_rejects_is_reported_with_its_role(
    code: str, words: str, with_token: Path, bucket: ScriptedServer, sts: ScriptedServer
) -> None:
    sts.script(refused(code))
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsRefused
    assert words in str(error)
    assert f"the web identity token in {with_token}" in str(error)
    assert len(sts.seen) == 1
    assert not bucket.seen


# Roles


PROFILES = (
    f"[profile work]\nrole_arn = {ROLE}\nsource_profile = base\nregion = us-east-1\n{{}}"
    "[profile chain]\nrole_arn = arn:aws:iam::1:role/outer\nsource_profile = work\n"
    "region = us-east-1\n"
)
BASE = "[base]\naws_access_key_id = {}\naws_secret_access_key = s\n"


@pytest.mark.parametrize("profile", ["work", "chain"])
@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError", "RegionDisabledException"])
def test_a_profile_s_role_that_cannot_be_assumed_is_named(
    profile: str,
    code: str,
    configured: Callable[..., None],
    bucket: ScriptedServer,
    sts: ScriptedServer,
) -> None:
    configured(PROFILES.format(""), BASE.format("OLDKEY"), profile)
    sts.script(refused(code))
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsRefused
    assert code == "RegionDisabledException" or ROLE in str(error)
    assert code == "RegionDisabledException" or f"of the profile {profile!r}" in str(error)
    assert not bucket.seen


def test_expired_credentials_of_a_role_s_source_are_not_reported_as_the_bucket_s(
    configured: Callable[..., None], bucket: ScriptedServer, sts: ScriptedServer
) -> None:
    configured(PROFILES.format(""), BASE.format("OLDKEY"), "work")
    sts.script(refused("ExpiredToken", 400))
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsRefused
    assert f"to assume the role {ROLE}" in str(error)
    assert not bucket.seen


@pytest.mark.parametrize("is_of_profile", [False, True])
def test_a_role_s_source_is_read_again_when_it_has_rotated(
    is_of_profile: bool,
    configured: Callable[..., None],
    bucket: ScriptedServer,
    sts: ScriptedServer,
) -> None:
    configured(PROFILES.format(""), BASE.format("OLDKEY"), "work" if is_of_profile else "base")
    # Botocore renews what expires within ten minutes at every request.
    sts.script(session("ASIAFIRST", 300))
    where = of(bucket.url, role_arn=None if is_of_profile else ROLE)
    lister = ListClient(where, QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    assert key_of(sts) == "OLDKEY"
    configured(PROFILES.format(""), BASE.format("NEWKEY"))
    answers = [refused("InvalidClientTokenId")] if is_of_profile else []
    sts.script(*answers, session("ASIASECOND"))
    lister.list_page_sync(PageRequest(), RequestStats())
    assert key_of(sts) == "NEWKEY"
    assert key_of(bucket) == "ASIASECOND"


def test_a_second_factor_without_a_terminal_is_one_clear_error(
    configured: Callable[..., None], bucket: ScriptedServer, sts: ScriptedServer
) -> None:
    configured(PROFILES.format("mfa_serial = arn:aws:iam::1:mfa/me\n"), BASE.format("KEY"), "work")
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsMissing
    assert "needs an MFA code (mfa_serial)" in str(error)
    assert not sts.seen


def test_transient_errors_of_sts_are_retried(
    monkeypatch: pytest.MonkeyPatch, bucket: ScriptedServer
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with ScriptedServer([refused("Throttling", 400), session()]) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        stats = RequestStats()
        ListClient(of(bucket.url, role_arn=ROLE), QUICK).list_page_sync(PageRequest(), stats)
    assert stats.faults == {TransientError.THROTTLED: 1}


def test_an_error_of_sts_is_not_reported_as_one_of_the_results(
    monkeypatch: pytest.MonkeyPatch, bucket: ScriptedServer, sts: ScriptedServer
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    sts.script(refused("AccessDenied"))
    with pytest.raises(S3Error, match=ROLE) as caught:
        ObjectClient(of(bucket.url, role_arn=ROLE)).read("key")
    assert "s3:GetObject" not in str(caught.value)


# Processes, SSO and files


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/bin/echo no JSON, but hush", "credential_process"),
        ('/bin/sh -c "exit 3"', "credential_process"),
        ('/bin/sh -c "echo hush >&2; exit 3"', "credential_process"),
        ("/no/such/program", "/no/such/program"),
        ("/bin/echo {}", "credential_process"),
        ("/bin/echo []", "credential_process"),
        ('/bin/echo {\\"Version\\":2}', "credential_process"),
        ('/bin/echo {\\"Version\\":1}', "credential_process"),
    ],
)
def test_a_credential_process_that_fails_is_reported(
    command: str, words: str, configured: Callable[..., None], bucket: ScriptedServer
) -> None:
    configured(f"[default]\ncredential_process = {command}\n")
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsMissing
    assert words in str(error)
    assert "but hush" not in str(error)
    assert not bucket.seen


def test_the_message_for_a_missing_sso_session_says_how_to_log_in(
    configured: Callable[..., None],
    bucket: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    configured(
        "[profile us]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n"
        "region = us-east-1\n[sso-session corp]\nsso_region = us-east-1\n"
        "sso_start_url = https://corp.example/start\n",
        profile="us",
    )
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsMissing
    assert "`aws sso login --profile us`" in str(error)


def test_a_configuration_that_is_not_valid_is_named_and_not_repeated(
    configured: Callable[..., None], bucket: ScriptedServer, tmp_path: Path
) -> None:
    configured("aws_secret_access_key = hush\n")
    error = error_of(of(bucket.url))
    assert str(tmp_path / "config") in str(error)
    assert "hush" not in str(error)


def test_files_of_credentials_that_cannot_be_read_are_named(
    bucket: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path))
    error = error_of(of(bucket.url))
    assert type(error) is CredentialsMissing
    assert f"{tmp_path} cannot be read" in str(error)
    assert "--anonymous" in str(error)


def test_an_anonymous_listing_looks_for_no_credentials(
    configured: Callable[..., None], bucket: ScriptedServer
) -> None:
    configured("[default]\ncredential_process = /no/such/program\n")
    ListClient(of(bucket.url, anonymous=True), QUICK).list_page_sync(PageRequest(), RequestStats())
    assert "authorization" not in bucket.seen[0].headers


# The region


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "eu-west-3"}, "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ({"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-3"),
        ({}, "eu-west-1"),
    ],
)
def test_the_region_is_looked_for_as_the_aws_command_does(
    environment: dict[str, str],
    region: str,
    configured: Callable[..., None],
    bucket: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured("[default]\nregion = eu-west-1\n", "[default]\n" + BASE.format("K").split("]\n")[1])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ListClient(of(bucket.url), QUICK).list_page_sync(PageRequest(), RequestStats())
    assert f"/{region}/s3/aws4_request" in bucket.seen[0].headers["authorization"]


# Endpoints with passwords


def test_an_endpoint_with_a_password_is_rejected_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for where in (of("http://user:hush@127.0.0.1:1"), BucketConfig("ours", anonymous=True)):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:hush@127.0.0.1:1")
        with pytest.raises(S3Error, match="user name or password") as caught:
            ListClient(where)
        assert "hush" not in f"{caught.value!r} {where.display_name}"


def test_sts_gets_the_configured_role_and_external_id(
    monkeypatch: pytest.MonkeyPatch, bucket: ScriptedServer, sts: ScriptedServer
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    ListClient(of(bucket.url, role_arn=ROLE), QUICK).list_page_sync(PageRequest(), RequestStats())
    assert key_of(sts) == "KEY"
    assert key_of(bucket) == "ASIASESSION"
