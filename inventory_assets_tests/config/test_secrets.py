"""Secrets are rejected, and never repeated in a message."""

import traceback
from collections.abc import Iterator

import pytest

from inventory_assets.config import ConfigError
from inventory_assets_tests.config.files import SECRET, load, mistakes


@pytest.mark.parametrize(
    "name",
    [
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "secret",
        "password",
        "token",
        "AWS_SECRET_ACCESS_KEY",
        "credentials",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "{} = '{}'\n[sources.logs]\nbucket = 'acme-logs'",
        "[sources.logs]\nbucket = 'acme-logs'\n{} = '{}'",
        "[sources.logs]\nbucket = 'acme-logs'\n[sources.logs.shards]\n{} = '{}'",
        "[sources]\n{} = '{}'\n[sources.logs]\nbucket = 'acme-logs'",
        "[sources.logs]\nbucket = 'acme-logs'\n[sources.logs.{}]\nvalue = '{}'",
    ],
)
def test_a_secret_in_the_file_is_rejected_and_never_repeated(name: str, place: str) -> None:
    lines = mistakes(place.format(name, SECRET))

    assert any(f"{name}: secrets do not belong in the file" in line for line in lines)
    assert SECRET not in "".join(lines)


def test_a_source_may_be_called_secret() -> None:
    assert list(load('[sources.secret]\nbucket = "acme-logs"').sources) == ["secret"]


def secrets_out_of_place() -> Iterator[str]:
    yield f'endpoint_url = "http://user:{SECRET}@minio:9000"'
    yield f'endpoint_url = "http://minio:9000?token={SECRET}"'
    yield f'unknown = "{SECRET}"'
    yield f'shards = "{SECRET}"'
    yield f'bucket = "s3://user:{SECRET}@acme-logs"'
    yield f'region = "AKIAIOSFODNN7EXAMPLE {SECRET}"'
    yield f"secret = {SECRET}"


@pytest.mark.parametrize("text", [*secrets_out_of_place()])
def test_no_message_nor_traceback_shows_a_secret(text: str) -> None:
    start = "" if text.startswith("bucket") else 'bucket = "acme-logs"\n'
    with pytest.raises(ConfigError) as caught:
        load(f"[sources.logs]\n{start}{text}")

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_store_address_with_a_password_is_not_repeated() -> None:
    (line,) = mistakes(f'store = "s3://user:{SECRET}@b"\n[sources.logs]\nbucket = "acme-logs"')

    assert SECRET not in line
