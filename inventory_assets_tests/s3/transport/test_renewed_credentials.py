"""Credentials that expire during a listing."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import CredentialsMissing, CredentialsRefused
from inventory_assets.s3.http.response import ErrorResponse
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document
from inventory_assets_tests.s3.transport.requests import GOOD, QUICK, error_of, get, key_of, to

pytestmark = pytest.mark.usefixtures("no_aws_environment")


EXPIRED = Answer(400, error_document("ExpiredToken"))


def in_environment(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s" * 40)
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"token of {key}")


def chained(url: str) -> BucketConfig:
    return to(url, access_key=None, secret_key=None)


def test_expired_credentials_are_looked_up_anew_in_the_environment(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    lister, stats = ListClient(chained(server.url), QUICK), RequestStats()
    lister.list_page_sync(PageRequest(), stats)
    in_environment(monkeypatch, "NEWKEY")
    server.script(EXPIRED, GOOD)
    lister.list_page_sync(PageRequest(), stats)
    assert [key_of(seen) for seen in server.seen] == ["OLDKEY", "NEWKEY"]
    assert server.seen[1].headers["x-amz-security-token"] == "token of NEWKEY"
    assert not stats.faults


def test_expired_credentials_are_looked_up_anew_in_the_credentials_file(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\naws_session_token = {}\n"
    file.write_text(text.format("OLDKEY", "old"))
    lister = ListClient(chained(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    file.write_text(text.format("NEWKEY", "new"))
    server.script(EXPIRED, GOOD)
    lister.list_page_sync(PageRequest(), RequestStats())
    assert [key_of(seen) for seen in server.seen] == ["OLDKEY", "NEWKEY"]


def test_expired_credentials_that_were_not_renewed_fail_at_once(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    server.script(EXPIRED)
    error = error_of(chained(server.url))
    assert isinstance(error, CredentialsRefused)
    assert "expired" in str(error)
    assert len(server.seen) == 1


def test_expired_credentials_that_are_gone_end_the_listing_as_its_errors_do(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    lister = ListClient(chained(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    server.script(EXPIRED)
    with pytest.raises((CredentialsRefused, CredentialsMissing)):
        lister.list_page_sync(PageRequest(), RequestStats())


def test_credentials_renewed_by_one_request_apply_to_earlier_ones(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    server.script(EXPIRED)
    way = Transport(chained(server.url))
    before = [ErrorResponse(get(way, {}, bytearray())) for _ in range(2)]
    in_environment(monkeypatch, "NEWKEY")
    assert [way.adapt_to_error(each) for each in before] == [True, True]
    assert not way.adapt_to_error(ErrorResponse(get(way, {}, bytearray())))


def test_requests_in_flight_are_sent_again_with_the_renewed_credentials(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    lister, stats = ListClient(chained(server.url), QUICK), RequestStats()
    lister.list_page_sync(PageRequest(), stats)
    in_environment(monkeypatch, "NEWKEY")
    server.script(*[replace(EXPIRED, delay=0.1)] * 4, GOOD)
    with ThreadPoolExecutor(4) as pool:
        pages = [pool.submit(lister.list_page_sync, PageRequest(), stats) for _ in range(4)]
        assert all(page.result(timeout=10).objects.num_rows == 1 for page in pages)
    assert {key_of(seen) for seen in server.seen} == {"OLDKEY", "NEWKEY"}


def process_credentials(folder: Path, expiration: dt.datetime) -> Path:
    """An AWS configuration whose credentials are printed by a script, another key each time."""
    count, script, config = folder / "count", folder / "credentials.sh", folder / "config"
    count.write_text("0")
    script.write_text(
        f"n=$(($(cat {count}) + 1)); echo $n > {count}\n"
        'echo "{\\"Version\\": 1, \\"AccessKeyId\\": \\"KEY$n\\", \\"SecretAccessKey\\": \\"s\\", '
        f'\\"SessionToken\\": \\"token\\", \\"Expiration\\": \\"{expiration.isoformat()}\\"}}"\n'
    )
    config.write_text(f"[default]\ncredential_process = /bin/sh {script}\n")
    return config


def test_credentials_about_to_expire_are_refreshed_between_requests(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(process_credentials(tmp_path, soon)))
    lister = ListClient(chained(server.url), QUICK)
    for _ in range(3):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert len({key_of(seen) for seen in server.seen}) == 3


def test_credentials_that_last_are_not_refreshed(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(process_credentials(tmp_path, late)))
    lister = ListClient(chained(server.url), QUICK)
    for _ in range(3):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert {key_of(seen) for seen in server.seen} == {"KEY1"}


def test_credentials_refreshed_to_expired_ones_end_the_listing_as_its_errors_do(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(process_credentials(tmp_path, past)))
    error = error_of(chained(server.url))
    assert isinstance(error, CredentialsMissing)
    assert "expired" in str(error)
    assert not server.seen
