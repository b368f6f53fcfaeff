"""The options to connect to a bucket, of `list`, `resume` and `verify`."""

import argparse
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inventory_assets.cli.bucket_arguments import BUCKET_OPTIONS, _bucket_config, open_bucket
from inventory_assets.cli.command import build_parser
from inventory_assets.cli.listing import _add_arguments, asked_for
from inventory_assets.cli.verify import ERROR
from inventory_assets.config.source import SourceTable
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.cli.conftest import Outcome, start
from inventory_assets_tests.external_servers import free_ports
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document

Run = Callable[..., Outcome]
ROLE = "arn:aws:iam::123456789012:role/inventory"
GOOD = Answer(body=render([Listed("a"), Listed("b")]))
STUCK = Answer(delay=30)
LEVEL = Answer(body=render([Listed("root")], [f"{name}/" for name in "abcdefghij"]))

pytestmark = pytest.mark.usefixtures("no_aws_environment")


def command_line(command: str) -> list[str]:
    return [command, "s3://b", "--out", "x"] if command == "list" else [command, "./x", "s3://b"]


def credential_of(server: ScriptedServer) -> str:
    return server.seen[-1].headers["authorization"].partition("Credential=")[2].partition("/")[0]


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS configuration with the profiles `one` and `two`."""
    file = tmp_path / "credentials"
    texts = [
        f"[{name}]\naws_access_key_id = AKIA{name.upper()}\naws_secret_access_key = s\n"
        for name in ("one", "two")
    ]
    file.write_text("".join(texts))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "one")


def test_every_field_of_a_source_that_reaches_its_bucket_is_an_option() -> None:
    others = {
        *("bucket", "prefix"),  # of the URL
        *("versions", "concurrency", "concurrency_policy", "encodings"),  # of `inventory list`
        *("shards", "schedule", "exports", "iceberg", "retention", "folder"),  # of Dagster
        *("alerts", "budget", "gate", "growth"),  # of what is made of listings
        *("hygiene", "lifecycle", "metadata", "prices"),
    }
    of_source = {name.removesuffix("_seconds") for name in SourceTable.model_fields}
    assert of_source - others == {*BUCKET_OPTIONS}


@pytest.mark.parametrize("command", ["list", "verify"])
@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--endpoint-url", "http://h:1"], "endpoint_url", "http://h:1"),
        (["--region", "eu-west-1"], "region", "eu-west-1"),
        (["--profile", "two"], "profile", "two"),
        (["--role-arn", ROLE], "role_arn", ROLE),
        (["--anonymous"], "anonymous", True),
        (["--no-sign-request"], "anonymous", True),
        (["--requester-pays"], "requester_pays", True),
        (["--addressing-style", "virtual"], "addressing_style", "virtual"),
        (["--addressing-style", "auto"], "addressing_style", "auto"),
    ],
)
def test_an_option_sets_the_field_of_its_name(
    command: str, arguments: list[str], field: str, value: object
) -> None:
    options = build_parser().parse_args([*command_line(command), *arguments])
    assert _bucket_config(options) == BucketConfig("b", **{field: value})  # type: ignore[arg-type]


@pytest.mark.usefixtures("profiles")
def test_an_external_id_goes_with_a_role() -> None:
    arguments = ["--role-arn", ROLE, "--external-id", "inventory-42"]
    client = open_bucket(build_parser().parse_args([*command_line("list"), *arguments]))
    assert (client.bucket_config.role_arn, client.bucket_config.external_id) == (
        ROLE,
        "inventory-42",
    )


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ([], RetryPolicy()),
        (["--max-outage", "0"], RetryPolicy(outage_seconds=0)),
        (["--max-outage", "7"], RetryPolicy(outage_seconds=7)),
    ],
)
def test_max_outage_is_the_budget_of_retries(given: list[str], policy: RetryPolicy) -> None:
    options = build_parser().parse_args([*command_line("verify"), *given])
    assert open_bucket(options).retry == policy


@pytest.mark.parametrize("command", ["list", "verify"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--role-arn", "me"], "argument --role-arn: found the text 'me', expected the ARN of"),
        (["--profile", " "], "argument --profile: found the text ' ', expected the name of"),
        (["--region", "not a region"], "argument --region: found the text 'not a region'"),
        (["--external-id", "x"], "argument --external-id: found the text 'x', expected 2 to"),
        (["--addressing-style", "host"], "argument --addressing-style: invalid choice: 'host'"),
        (["--key-order", "random"], "argument --key-order: invalid choice: 'random'"),
        (["--max-outage", "1.5"], "argument --max-outage: '1.5' is not a whole number of seconds"),
        (["--external-id", "inventory-42"], "--external-id is for a role: add --role-arn"),
        (["--anonymous", "--profile", "prod"], "--anonymous sends no credentials"),
        (["--no-sign-request", "--role-arn", ROLE], "--anonymous sends no credentials"),
    ],
)
def test_wrong_usage_names_the_option(
    command: str,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        _bucket_config(build_parser().parse_args([*command_line(command), *arguments]))
    assert ended.value.code == 2
    assert f"inventory {command}: error: {words}" in capsys.readouterr().err


def test_versions_cannot_be_listed_in_directory_order(
    run: Run, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("list", "s3://b", "--out", tmp_path, "--versions", "--key-order", "directory")
    assert ended.value.code == 2
    assert b"--key-order directory cannot list versions" in capfdbinary.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ["s3://bucket"],
        ["--endpoint-url", "http://h:1"],
        ["--region", "eu-west-1"],
        ["--profile", "prod"],
        ["--role-arn", ROLE],
        ["--external-id", "inventory-42"],
        ["--anonymous"],
        ["--requester-pays"],
        ["--addressing-style", "auto"],
        ["--key-order", "auto"],
        ["--max-outage", "0"],
        ["--began", "2026-05-05T00:00Z"],
        ["--as-of", "2026-05-05"],
    ],
)
def test_a_source_s_name_excludes_each_option(run: Run, given: list[str]) -> None:
    outcome = run("verify", "source", *given)
    assert (outcome.code, outcome.output) == (ERROR, b"")
    name = given[0] if given[0].startswith("--") else "the URL"
    assert f"has the settings for the bucket of a source: leave out {name}, or" in outcome.error
    assert outcome.error.count("\n") == 1


@pytest.mark.usefixtures("profiles")
def test_a_profile_of_the_command_line_comes_before_that_of_the_environment(
    run: Run, tmp_path: Path
) -> None:
    with ScriptedServer([GOOD]) as server:
        to = ["s3://b", "--endpoint-url", server.url, "--profile", "two"]
        assert run("list", *to, "--out", tmp_path / "out").code == 0
        assert credential_of(server) == "AKIATWO"
        server.seen.clear()
        assert run("verify", tmp_path / "out", *to, "--ranges", "1").code == 0
        assert credential_of(server) == "AKIATWO"


def test_a_profile_that_does_not_exist_is_named_with_its_option(run: Run, tmp_path: Path) -> None:
    to = ["s3://b", "--endpoint-url", "http://127.0.0.1:9", "--profile", "nowhere"]
    outcome = run("list", *to, "--out", tmp_path / "out")
    assert outcome.code == 1
    assert "nowhere" in outcome.error
    assert "--profile (in the configuration: profile)" in outcome.error


@pytest.mark.usefixtures("profiles")
def test_a_role_is_assumed_with_its_external_id(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    credentials = (
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>"
        "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials></AssumeRoleResult>"
        "</AssumeRoleResponse>"
    )
    sts_answer = Answer(200, credentials.encode(), {"Content-Type": "text/xml"})
    with ScriptedServer([GOOD]) as server, ScriptedServer([sts_answer]) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        to = ["s3://b", "--endpoint-url", server.url, "--region", "eu-west-1"]
        role = ["--role-arn", ROLE, "--external-id", "inventory-42"]
        assert run("list", *to, *role, "--out", tmp_path / "out").code == 0
        assert len(sts.seen) == 1
        assert credential_of(server) == "ASIAROLE"
        assert "/eu-west-1/s3/" in server.seen[-1].headers["authorization"]


def test_the_bucket_s_name_is_where_the_addressing_style_says(run: Run, tmp_path: Path) -> None:
    with ScriptedServer([GOOD]) as server:
        local = server.url.replace("127.0.0.1", "localhost")
        for style in ("path", "virtual"):
            to = ["s3://local", "--endpoint-url", local, "--anonymous", "--addressing-style", style]
            outcome = run("list", *to, "--max-outage", "0", "--out", tmp_path / style)
            if style == "path":
                assert outcome.code == 0
                assert all(seen.path.startswith("/local?") for seen in server.seen)
            else:
                # No host has the name `local.localhost` here, or it is this machine.
                assert outcome.code == 1 or not server.seen[-1].path.startswith("/local?")


def test_a_key_order_that_is_given_is_not_detected(run: Run, tmp_path: Path) -> None:
    pages = [Answer(body=render([Listed("a/1"), Listed("a-b")]))]
    with ScriptedServer(pages) as server:
        to = ["s3://b", "--endpoint-url", server.url, "--anonymous", "--out", tmp_path / "out"]
        outcome = run("list", *to, "--key-order", "bytes")
    assert outcome.code == 1
    assert "--key-order says bytes: leave it out to detect the order" in outcome.error


# Options that `inventory resume` restores


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--region=eu-west-1", "--anonymous", "--requester-pays", "--addressing-style=path"],
        ["--endpoint-url=http://h:1", "--key-order=bytes", "--max-outage=0", "--processes=2"],
        ["--profile=two", f"--role-arn={ROLE}", "--external-id=inventory-42"],
        ["--concurrency=3", "--concurrency-policy=pid", "--encodings=plain", "--versions"],
        ["--as-of=2026-05-05T00:00:00+00:00", "--no-sign-request"],
    ],
)
def test_resume_takes_over_every_option_of_the_listing(given: list[str]) -> None:
    first = build_parser().parse_args(["list", "--out", "x", *given, "--", "s3://b/a b/-"])
    again = argparse.ArgumentParser()
    _add_arguments(again)
    repeated = vars(again.parse_args([*asked_for(first)]))
    assert repeated == {name: getattr(first, name) for name in repeated} | {
        "usage_error": again.error
    }


def interrupted(
    folder: Path, url: str, server: ScriptedServer, *options: str, waiting: int = 2
) -> None:
    """Kill `inventory list` once the server has stopped answering."""
    process = start(folder, "list", url, "--out", folder / "out", "--endpoint-url", server.url,
                    *options)  # fmt: skip
    until(lambda: len(server.seen) >= waiting, process)
    process.kill()
    process.communicate()


def until(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = datetime.now(UTC) + timedelta(seconds=60)
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert datetime.now(UTC) < end


def test_resume_keeps_anonymous_access_requester_pays_and_the_retry_limit(
    run: Run, tmp_path: Path
) -> None:
    with ScriptedServer([LEVEL, STUCK]) as server:
        interrupted(
            tmp_path, "s3://b/a b/-", server, "--anonymous", "--requester-pays", "--max-outage", "0"
        )
        server.script(Answer(503, error_document("SlowDown")))
        outcome = run("resume", tmp_path / "out")
        assert outcome.code == 1
        assert "--max-outage" in outcome.error
        assert len(server.seen) == 1

        server.script(LEVEL, STUCK)
        interrupted(tmp_path, "s3://b/a b/-", server, "--anonymous", "--requester-pays")
        server.script(Answer(body=render([Listed("a b/-1"), Listed("a b/-2")])))
        outcome = run("resume", tmp_path / "out", "--format", "json")
    assert outcome.code == 0, outcome.error
    assert json.loads(outcome.output)["objects"] == 2
    assert not any("authorization" in seen.headers for seen in server.seen)
    assert all(seen.headers["x-amz-request-payer"] == "requester" for seen in server.seen)


def test_an_endpoint_that_is_closed_is_given_up_after_max_outage(run: Run, tmp_path: Path) -> None:
    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    to = ["s3://b", "--endpoint-url", closed, "--anonymous", "--max-outage", "0"]
    outcome = run("list", *to, "--out", tmp_path / "out")
    assert outcome.code == 1
    assert "--max-outage" in outcome.error
