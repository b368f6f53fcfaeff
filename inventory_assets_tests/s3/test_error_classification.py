import time
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.error_classification import to_user_error
from inventory_assets.s3.errors import (
    AccessDenied,
    BucketNotFound,
    CredentialsMissing,
    CredentialsRefused,
    RequestRejected,
    RetriesExhausted,
    TransientError,
    UnsupportedBucket,
)
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document
from inventory_assets_tests.s3.error_requests import GOOD, QUICK, SECRET, error_of, list_once, to

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@pytest.fixture(scope="module")
def server(no_aws_environment: None) -> Iterator[ScriptedServer]:  # noqa: ARG001
    with ScriptedServer([]) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def lister(server: ScriptedServer) -> Iterator[ListClient]:
    opened = ListClient(to(server.url), QUICK)
    yield opened
    opened.close()


def answer_with(code: str, status: int = 400, message: str = "scripted") -> Answer:
    return Answer(status, error_document(code, message))


TRANSIENT = {
    "SlowDown": (answer_with("SlowDown", 503), TransientError.THROTTLED),
    "503 without a body": (Answer(503), TransientError.THROTTLED),
    "503 with HTML": (Answer(503, b"<html><h1>busy</h1>"), TransientError.THROTTLED),
    "429": (Answer(429, b"easy"), TransientError.THROTTLED),
    "SlowDown in a 200": (answer_with("SlowDown", 200), TransientError.THROTTLED),
    "500": (answer_with("InternalError", 500), TransientError.SERVER_ERROR),
    "502 with HTML": (Answer(502, b"<html>bad gateway</html>"), TransientError.SERVER_ERROR),
    "InternalError in a 200": (answer_with("InternalError", 200), TransientError.SERVER_ERROR),
    "RequestTimeout": (answer_with("RequestTimeout", 400), TransientError.TIMED_OUT),
    "reset": (Answer(reset=True), TransientError.RESET),
    "closed without an answer": (Answer(raw=b""), TransientError.RESET),
    "body cut off": (Answer(200, GOOD, sent=100), TransientError.RESET),
    "body not sent": (Answer(200, GOOD, sent=0), TransientError.RESET),
}
UNEXPECTED = {
    "TLS": (Answer(raw=b"\x16\x03\x01 hello\r\n\r\n"), TransientError.RESET, "https://"),
    "another protocol": (Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), TransientError.RESET, "SSH-2.0"),
    "garbage": (
        Answer(200, b"\x00\xff garbage"),
        TransientError.MALFORMED,
        "same unusable response twice",
    ),
    "empty": (Answer(200, b""), TransientError.MALFORMED, "empty body"),
    "HTML": (
        Answer(200, b"<html>welcome to the hotel</html>"),
        TransientError.MALFORMED,
        "not from S3: it is a web page",
    ),
    "half a document": (
        Answer(200, GOOD[:200]),
        TransientError.MALFORMED,
        "same unusable response twice",
    ),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_transient_errors_are_retried_and_counted_by_kind(
    name: str, server: ScriptedServer, lister: ListClient
) -> None:
    answer, fault = TRANSIENT[name]
    stats = RequestStats()
    server.script(answer, answer, Answer(200, GOOD))
    page = lister.list_page_sync(PageRequest(), stats)
    assert page.objects.column("key").to_pylist() == ["k"]
    assert stats.faults == {fault: 2}
    assert stats.requests == len(server.seen) == 3


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_persistent_transient_error_ends_after_the_allowed_time(
    name: str, server: ScriptedServer, lister: ListClient
) -> None:
    answer, fault = TRANSIENT[name]
    stats, began = RequestStats(), time.monotonic()
    server.script(answer)
    error = error_of(lister, stats)
    lasted = time.monotonic() - began
    assert fault is TransientError.MALFORMED or lasted >= QUICK.outage_seconds
    assert isinstance(error, RetriesExhausted)
    assert error.fault is fault
    assert f"{fault} {stats.requests} times in a row within" in str(error)
    assert stats.faults == {fault: stats.requests}
    assert stats.requests == len(server.seen) > 2
    if fault is TransientError.MALFORMED:
        assert stats.requests == QUICK.malformed_attempts


@pytest.mark.parametrize("answer", UNEXPECTED)
def test_an_unexpected_response_is_retried_once(
    answer: str, server: ScriptedServer, lister: ListClient
) -> None:
    unexpected, fault, _ = UNEXPECTED[answer]
    stats = RequestStats()
    server.script(unexpected, Answer(503), unexpected, Answer(200, GOOD))
    lister.list_page_sync(PageRequest(), stats)
    assert stats.faults == {fault: 2, TransientError.THROTTLED: 1}


@pytest.mark.parametrize("answer", UNEXPECTED)
def test_a_response_unexpected_twice_in_the_same_way_is_a_permanent_error(
    answer: str, server: ScriptedServer, lister: ListClient
) -> None:
    unexpected, fault, words = UNEXPECTED[answer]
    stats = RequestStats()
    server.script(unexpected)
    error = error_of(lister, stats)
    assert not isinstance(error, RetriesExhausted)
    assert words in str(error)
    assert stats.faults == {fault: 1}
    assert stats.requests == len(server.seen) == 2


PERMANENT = {
    "AccessDenied": (answer_with("AccessDenied", 403), AccessDenied, "s3:ListBucket"),
    "403 without a body": (Answer(403), AccessDenied, "s3:ListBucket"),
    "AccessDenied in a 200": (answer_with("AccessDenied", 200), AccessDenied, "s3:ListBucket"),
    "SignatureDoesNotMatch": (
        answer_with("SignatureDoesNotMatch", 403),
        CredentialsRefused,
        "check the access key",
    ),
    "InvalidAccessKeyId": (
        answer_with("InvalidAccessKeyId", 403),
        CredentialsRefused,
        "check the access key",
    ),
    "ExpiredToken": (answer_with("ExpiredToken", 400), CredentialsRefused, "expired"),
    "RequestTimeTooSkewed": (answer_with("RequestTimeTooSkewed", 403), CredentialsRefused, "clock"),
    "NoSuchBucket": (answer_with("NoSuchBucket", 404), BucketNotFound, "no such bucket"),
    "AuthorizationHeaderMalformed": (
        answer_with("AuthorizationHeaderMalformed", 400),
        RequestRejected,
        "region",
    ),
    "400": (answer_with("InvalidArgument", 400), RequestRejected, "InvalidArgument"),
    "300": (Answer(300, b"choose"), RequestRejected, "300"),
    "300 with a listing": (Answer(300, GOOD), RequestRejected, "300"),
    "404 with HTML": (Answer(404, b"<html>not found</html>"), RequestRejected, "404"),
}


@pytest.mark.parametrize("name", PERMANENT)
def test_a_permanent_error_fails_at_once_and_says_what_to_do(
    name: str, server: ScriptedServer, lister: ListClient
) -> None:
    answer, kind, advice = PERMANENT[name]
    stats = RequestStats()
    server.script(answer)
    error = error_of(lister, stats)
    assert type(error) is kind
    assert advice in str(error)
    assert not stats.faults
    assert stats.requests == len(server.seen) == 1


def test_a_signature_that_a_server_echoes_is_not_shown(
    server: ScriptedServer, lister: ListClient
) -> None:
    body = (
        "<Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message>"
        f"<StringToSign>{SECRET}</StringToSign></Error>"
    )
    server.script(Answer(403, body.encode()))
    assert isinstance(error_of(lister), CredentialsRefused)


@pytest.mark.parametrize(("code", "status"), [("Odd", 400), ("SlowDown", 503)])
def test_a_servers_words_become_one_harmless_line(
    code: str, status: int, server: ScriptedServer, lister: ListClient
) -> None:
    words = "line\n\x1b[31m" + "\u202e" + "long " * 1000
    server.script(Answer(status, error_document(code, words.replace("\x1b", "\x85"))))
    assert len(str(error_of(lister))) < 800


def test_a_directory_bucket_is_rejected() -> None:
    with pytest.raises(UnsupportedBucket, match="directory buckets"):
        ListClient(BucketConfig("ours--use1-az4--x-s3"))


def test_without_credentials_the_message_says_how_to_provide_them() -> None:
    with ScriptedServer([Answer(200, GOOD)]) as server:
        error = error_of(to(server.url, access_key=None, secret_key=None))
    assert isinstance(error, CredentialsMissing)
    assert "anonymous" in str(error)
    assert not server.seen


@pytest.mark.parametrize(
    "changes",
    [
        {"profile": "nobody"},
        {"profile": "nobody", "role_arn": "arn:aws:iam::123456789012:role/reader"},
        {"role_arn": "arn:aws:iam::123456789012:role/reader"},
    ],
)
def test_a_missing_profile_and_a_role_without_a_base_are_missing_credentials(
    changes: dict[str, object],
) -> None:
    where = to("http://127.0.0.1:1", access_key=None, secret_key=None, **changes)
    with pytest.raises(CredentialsMissing, match=r"nobody|assume"):
        ListClient(where)


def test_half_a_key_pair_is_a_missing_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATHEKEY")
    with pytest.raises(CredentialsMissing, match="AWS_SECRET_ACCESS_KEY"):
        list_once(to("http://127.0.0.1:1", access_key=None, secret_key=None))


@pytest.mark.parametrize("changes", [{"region": "no such region"}, {"endpoint_url": "ftp//x"}])
def test_settings_that_botocore_rejects_are_named(changes: dict[str, object]) -> None:
    with pytest.raises(RequestRejected, match="ours"):
        ListClient(to("http://127.0.0.1:1", **changes))


def test_a_bucket_name_that_botocore_will_not_send_is_rejected() -> None:
    with pytest.raises(RequestRejected):
        list_once(to("http://127.0.0.1:1", bucket="not a bucket"))


def test_a_role_that_may_not_be_assumed_is_not_mistaken_for_a_forbidden_listing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATHEKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    denied = (
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
        "<Message>not authorized to perform sts:AssumeRole</Message></Error></ErrorResponse>"
    )
    with ScriptedServer([Answer(403, denied.encode())]) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        role = "arn:aws:iam::123456789012:role/reader"
        where = to("http://127.0.0.1:1", access_key=None, secret_key=None, role_arn=role)
        error = error_of(where)
    assert type(error) is CredentialsRefused
    assert role in str(error)
    assert "s3:ListBucket" not in str(error)


def test_an_assumed_role_signs_with_its_temporary_credentials(
    moto_server: str, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATHEKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_server)
    server.script(Answer(200, GOOD))
    role = "arn:aws:iam::123456789012:role/reader"
    list_once(to(server.url, access_key=None, secret_key=None, role_arn=role, external_id="42"))
    headers = server.seen[0].headers
    assert "Credential=ASIA" in headers["authorization"]
    assert headers["x-amz-security-token"]


def test_secrets_do_not_show_in_a_bucket_config() -> None:
    where = to("http://127.0.0.1:1")
    assert SECRET not in f"{where} {where!r} {where.display_name}"
    assert "AKIATHEKEY" not in repr(where)


def test_an_unknown_error_without_a_message_is_reported() -> None:
    error = to_user_error(ClientError({"Error": {}}, "ListObjectsV2"), BucketConfig("ours"))
    assert type(error) is RequestRejected
