import datetime as dt
import json
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from inventory_assets.config import (
    Config,
    ConfigError,
    Iceberg,
    Schedule,
    Shards,
    Source,
    StoreBucket,
    json_schema,
    load_config,
)
from inventory_assets.config.cron import is_cron
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.export.export_format import ExportFormat

DOCS = Path(__file__).parent.parent / "docs"
SECRET = "wJalrXUtnFEMI0K7MDENG0bPxRfiCYEXAMPLEKEY"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INVENTORY_CONFIG", raising=False)


def load(text: str) -> Config:
    Path("inventory.toml").write_text(text, "utf-8")
    return load_config()


def source(text: str = "") -> Source:
    return load(f'[sources.logs]\nbucket = "acme-logs"\n{text}').sources["logs"]


def mistakes(text: str) -> list[str]:
    """Return the lines of the error, and hold what is true of every one of them."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("inventory.toml: ") for line in lines)
    return [line.removeprefix("inventory.toml: ") for line in lines]


def mistake(text: str) -> str:
    """Return the one mistake in a source called logs that is right but for this text."""
    (line,) = mistakes(f'[sources.logs]\nbucket = "acme-logs"\n{text}')
    return line


def bucket_mistake(bucket: str) -> str:
    (line,) = mistakes(f'[sources.logs]\nbucket = "{bucket}"')
    return line


# Where the configuration comes from


def test_without_a_file_the_embedded_demo_is_the_configuration(tmp_path: Path) -> None:
    config = load_config(environ={})

    assert config.store == tmp_path / "data/inventory"
    assert list(config.sources) == ["demo"]
    demo = config.sources["demo"]
    assert (demo.name, demo.bucket, demo.demo, demo.shards.depth) == (
        "demo",
        "demo-bucket",
        True,
        2,
    )


def test_the_file_in_the_working_directory_replaces_the_demo() -> None:
    config = load('[sources.logs]\nbucket = "acme-logs"')

    assert list(config.sources) == ["logs"]
    assert config.sources["logs"].demo is False


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    load('[sources.here]\nbucket = "here"')
    other = tmp_path / "other.toml"
    other.write_text('[sources.there]\nbucket = "there"')

    assert list(load_config(environ={"INVENTORY_CONFIG": str(other)}).sources) == ["there"]


def test_a_path_given_comes_before_the_environment(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[sources.there]\nbucket = "there"')

    config = load_config(other, environ={"INVENTORY_CONFIG": "elsewhere.toml"})

    assert list(config.sources) == ["there"]


def test_an_empty_variable_names_no_file() -> None:
    assert list(load_config(environ={"INVENTORY_CONFIG": ""}).sources) == ["demo"]


def test_a_missing_file_that_the_environment_names_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^gone\.toml: found no such file.*INVENTORY_CONFIG"):
        load_config(environ={"INVENTORY_CONFIG": "gone.toml"})


def test_a_link_to_nothing_is_an_error_and_not_the_demo(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").symlink_to("gone.toml")

    with pytest.raises(ConfigError, match="no such file"):
        load_config()


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").mkdir()

    with pytest.raises(ConfigError, match="cannot be read"):
        load_config()


def test_importing_the_module_reads_no_file_and_imports_no_dagster(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("not TOML")
    code = (
        "import sys, inventory_assets.config;"
        "sys.exit(any(name.partition('.')[0].startswith('dagster') for name in sys.modules))"
    )
    root = str(DOCS.parent)

    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": root})


# Valid files


def test_the_example_in_the_documentation_loads() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]

    config = load(example)

    assert config.sources["logs"].shards == Shards(depth=2, min_objects=1_000)


def test_defaults_are_the_documented_ones() -> None:
    logs = source()

    assert logs.model_dump() == {
        "name": "logs",
        "demo": False,
        "bucket": "acme-logs",
        "prefix": "",
        "endpoint_url": None,
        "region": None,
        "profile": None,
        "role_arn": None,
        "external_id": None,
        "anonymous": False,
        "versions": False,
        "requester_pays": False,
        "addressing_style": "auto",
        "key_order": "auto",
        "encodings": "compact",
        "concurrency": 32,
        "concurrency_policy": "adaptive",
        "max_outage_seconds": 1800,
        "shards": {
            "depth": 1,
            "max_shards": 256,
            "min_objects": 0,
            "split_objects": 5_000_000,
        },
        "schedule": {
            "cron": "0 1 * * *",
            "timezone": "UTC",
            "start_date": dt.date(2026, 1, 1),
            "sensor_interval_seconds": 300,
        },
        "exports": {"csv_inventory": False, "files": ()},
        "iceberg": False,
        "retention": {"keep_days": None, "keep_last": None},
    }


def test_the_store_is_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "my.toml").write_text('store = "results"\n[sources.logs]\nbucket = "acme-logs"')

    assert load_config(Path("etc/my.toml")).store == folder / "results"


def test_an_absolute_store_stays_where_it_is() -> None:
    config = load('store = "/srv/inventory"\n[sources.logs]\nbucket = "acme-logs"')

    assert config.store == Path("/srv/inventory")


def test_the_configuration_is_frozen() -> None:
    logs = source()

    with pytest.raises(ValidationError, match="frozen"):
        logs.bucket = "other"


def test_two_sources_may_share_a_bucket_and_prefix() -> None:
    config = load('[sources.a]\nbucket = "same"\n[sources.b]\nbucket = "same"')

    assert [each.bucket for each in config.sources.values()] == ["same", "same"]


def test_a_byte_order_mark_at_the_start_is_read_over() -> None:
    assert list(load('\ufeff[sources.logs]\nbucket = "acme-logs"').sources) == ["logs"]


@pytest.mark.parametrize("bucket", ["abc", "Old_Bucket", "a.b.c", "a" * 63, "0--x-s3-0"])
def test_old_and_s3_compatible_bucket_names_are_allowed(bucket: str) -> None:
    assert load(f'[sources.logs]\nbucket = "{bucket}"').sources["logs"].bucket == bucket


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "https://s3.example.org", "http://[::1]:9000"]
)
def test_an_endpoint_is_a_scheme_and_a_host_and_perhaps_a_port(url: str) -> None:
    assert source(f'endpoint_url = "{url}"').endpoint_url == url


def test_a_slash_after_the_endpoint_is_dropped() -> None:
    assert source('endpoint_url = "http://minio:9000/"').endpoint_url == "http://minio:9000"


def test_a_prefix_of_1024_bytes_is_allowed() -> None:
    assert len(source(f'prefix = "{"é" * 512}"').prefix) == 512


def test_a_role_may_come_with_a_profile_and_an_external_id() -> None:
    logs = source(
        'profile = "p"\nrole_arn = "arn:aws:iam::123456789012:role/r"\nexternal_id = "42"'
    )

    assert (logs.profile, logs.external_id) == ("p", "42")


def test_a_schedule_has_any_cron_time_zone_and_date() -> None:
    logs = source(
        '[sources.logs.schedule]\ncron = "*/30 2-4 * * MON"\ntimezone = "Europe/Zurich"\n'
        "start_date = 2025-02-28\nsensor_interval_seconds = 30"
    )

    assert logs.schedule == Schedule(
        cron="*/30 2-4 * * MON",
        timezone="Europe/Zurich",
        start_date=dt.date(2025, 2, 28),
        sensor_interval_seconds=30,
    )


def test_exports_are_suffixes_with_a_dialect_before_a_csv() -> None:
    names = ("csv.gz", "jsonl", "parquet.zst", "spreadsheet.csv", "batch-operations.csv.gz")
    logs = source(f"[sources.logs.exports]\nfiles = {list(names)}")

    assert logs.exports.files == names
    assert [ExportFormat.named(name).shape for name in names] == [
        "csv",
        "jsonl",
        "parquet",
        "csv",
        "csv",
    ]


# Messages about mistakes


def test_a_mistake_names_file_field_finding_expectation_and_remedy() -> None:
    with pytest.raises(InventoryError) as caught:
        source('[sources.logs.shards]\ndepth = "two"')

    assert str(caught.value) == (
        "inventory.toml: sources.logs.shards.depth: found the text 'two',"
        " expected a whole number from 0 to 10; write for example depth = 1"
    )


def test_all_mistakes_are_listed_a_line_each() -> None:
    lines = mistakes(
        """
        store = "gs://results"
        [sources.logs]
        external_id = "42"
        [sources.logs.shards]
        depth = 11
        [sources.pics]
        bucket = "acme-pics"
        colour = "red"
        """
    )

    assert [line.partition(": ")[0] for line in lines] == [
        "store",
        "sources.logs.bucket",
        "sources.logs.external_id",
        "sources.logs.shards.depth",
        "sources.pics.colour",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[sources.logs\n", "at line 1, column 14"),
        ('[sources.logs]\nbucket = acme"\n', "at line 2, column 10"),
        ('[sources.logs]\nbucket = "acme', "at line 2, column 15, the end"),
        ("[sources.logs]\n[sources.logs]\n", "at line 2, column 14"),
    ],
)
def test_a_mistake_in_the_toml_gives_line_and_column(text: str, place: str) -> None:
    (line,) = mistakes(text)

    assert line.startswith("found a mistake in the TOML: ")
    assert f"({place})" in line


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_bytes(b'store = "\xff"')

    with pytest.raises(ConfigError, match="found byte 9 not to be UTF-8"):
        load_config()


@pytest.mark.parametrize("value", ['["objects.xml"]', '["spreadsheet.jsonl"]', "[3]", '"csv"'])
def test_an_unknown_format_is_reported_with_an_example(value: str) -> None:
    line = mistake(f"[sources.logs.exports]\nfiles = {value}")

    assert line.startswith("sources.logs.exports.files: found the ")
    assert line.endswith('; write for example files = ["csv.gz"]')


@pytest.mark.parametrize(("value", "what"), [("0", "number 0"), ('"30"', "text '30'")])
def test_an_invalid_retention_is_reported_with_an_example(value: str, what: str) -> None:
    line = mistake(f"[sources.logs.retention]\nkeep_days = {value}")

    assert line == (
        f"sources.logs.retention.keep_days: found the {what}, expected a whole number from 1 to "
        "36500; write for example keep_days = 400"
    )


def test_the_message_says_where_a_misplaced_retention_field_belongs() -> None:
    assert "it belongs in [sources.<name>.retention]" in mistake("keep_last = 3")


@pytest.mark.parametrize("text", ["", 'store = "results"', "[sources]"])
def test_a_file_without_sources_is_an_error(text: str) -> None:
    assert mistakes(text) == [
        "sources: found no source, expected one or more; add a table [sources.<name>]"
    ]


def test_a_source_without_a_bucket_is_an_error() -> None:
    (line,) = mistakes("[sources.logs]")

    assert line.startswith("sources.logs.bucket: found nothing, expected 3 to 63 letters")
    assert line.endswith('; write for example bucket = "acme-logs"')


@pytest.mark.parametrize("name", ["Logs", "1logs", "my-logs", "a" * 41, "", "../x"])
def test_a_source_name_that_assets_cannot_have_is_an_error(name: str) -> None:
    (line,) = mistakes(f'[sources."{name}"]\nbucket = "acme-logs"')

    assert f"found the text '{name}', expected a name of 1 to 40" in line


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            'prefixes = "a/"',
            "sources.logs.prefixes: found an unknown field; did you mean 'prefix'?",
        ),
        ("depth = 2", "it belongs in [sources.<name>.shards]"),
        ('cron = "0 1 * * *"', "it belongs in [sources.<name>.schedule]"),
        ('store = "results"', "it belongs at the top of the file"),
        ('name = "logs"', "found an unknown field; remove it, or use one of bucket, prefix"),
        ("demo = true", "found an unknown field; remove it, or use one of bucket, prefix"),
        ("[sources.logs.shards]\ndeptj = 1", "sources.logs.shards.deptj: found an unknown field"),
        ("[sources.logs.shards]\nmax_shard = 1", "did you mean 'max_shards'?"),
        ('[sources.logs.schedule]\ntime_zone = "UTC"', "did you mean 'timezone'?"),
        ("[source.pics]", "source: found an unknown field; did you mean 'sources'?"),
    ],
)
def test_an_unknown_field_gets_advice(text: str, advice: str) -> None:
    assert advice in mistake(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("concurrency = true", "found true, expected a whole number from 1 to 1024"),
        ("concurrency = 2.0", "found the number 2.0, expected a whole number from 1 to 1024"),
        ("anonymous = 1", "found the number 1, expected true or false"),
        ("prefix = 2024-01-01", "found the date 2024-01-01, expected a text in quotes"),
        ("prefix = 2024-01-01T00:00:00", "found the date and time 2024-01-01 00:00:00, expected"),
        ('prefix = ["a/"]', "found a list or a time, expected a text in quotes"),
        ("[sources.logs.prefix]", "found a table, expected a text in quotes"),
        ('[sources.logs.schedule]\nstart_date = "2026-11-01"', "expected a date without"),
        ("[sources.logs.schedule]\nstart_date = 2026-11-01T01:00:00", "expected a date without"),
        ("shards = 3", "found no table, expected one; write [sources.logs.shards]"),
    ],
)
def test_a_value_of_the_wrong_type_is_described(text: str, told: str) -> None:
    assert told in mistake(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("concurrency = 0", "a whole number from 1 to 1024"),
        ("concurrency = 1025", "a whole number from 1 to 1024"),
        ("[sources.logs.shards]\ndepth = -1", "a whole number from 0 to 10"),
        ("[sources.logs.shards]\nmax_shards = 10001", "a whole number from 1 to 10000"),
        ("[sources.logs.shards]\nmin_objects = -1", "a whole number from 0 up"),
        ("[sources.logs.shards]\nsplit_objects = 0", "a whole number from 1 up"),
        ("[sources.logs.schedule]\nsensor_interval_seconds = 29", "a whole number from 30 up"),
    ],
)
def test_the_message_for_a_number_out_of_bounds_has_the_bounds(text: str, told: str) -> None:
    assert f"expected {told}; write for example" in mistake(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'key_order = "random"',
            "found the text 'random', expected 'auto', 'bytes' or 'directory'",
        ),
        ('addressing_style = "dns"', "found the text 'dns', expected 'auto', 'path' or 'virtual'"),
    ],
)
def test_the_message_for_an_unknown_choice_lists_the_choices(text: str, told: str) -> None:
    assert told in mistake(text)


@pytest.mark.parametrize("bucket", ["ab", "a" * 64, "-abc", "abc.", "a b", "a/b", "straße"])
def test_a_bucket_name_that_s3_does_not_have_is_an_error(bucket: str) -> None:
    assert "expected 3 to 63 letters" in bucket_mistake(bucket)


@pytest.mark.parametrize(
    ("bucket", "told"),
    [
        ("acme--use1-az4--x-s3", "directory buckets do not list their keys in order"),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", "access points are not supported"),
        ("s3://acme-logs/a/", "put what follows the name into 'prefix'"),
        ("a..b", "without '..'"),
        ("192.168.1.1", "not an IP address"),
    ],
)
def test_the_message_says_why_a_bucket_cannot_be_inventoried(bucket: str, told: str) -> None:
    assert told in bucket_mistake(bucket)


def test_a_prefix_longer_than_a_key_is_an_error() -> None:
    assert "found 1025 bytes, expected at most 1024 bytes" in mistake(f'prefix = "{"é" * 512}a"')


@pytest.mark.parametrize(
    "url", ["minio:9000", "ftp://minio", "http://minio/path", "http://minio:", "http://mi nio"]
)
def test_an_endpoint_that_is_no_http_address_is_an_error(url: str) -> None:
    assert "expected http:// or https://, a host" in mistake(f'endpoint_url = "{url}"')


def test_a_port_that_does_not_exist_is_an_error() -> None:
    assert "found port 70000" in mistake('endpoint_url = "http://minio:70000"')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('region = "eu west"', "expected letters, digits and '-'"),
        ('profile = ""', "expected the name of an AWS profile"),
        ('role_arn = "inventory"', "expected the ARN of an IAM role"),
        (
            'role_arn = "arn:aws:iam::123456789012:role/r"\nexternal_id = "a b"',
            "expected 2 to 1224 letters",
        ),
    ],
)
def test_an_identity_of_the_wrong_form_is_an_error(text: str, told: str) -> None:
    assert told in mistake(text)


def test_an_external_id_without_a_role_is_an_error() -> None:
    assert "found without role_arn" in mistake('external_id = "inventory-42"')


def test_an_external_id_with_a_mistaken_role_is_not_a_second_mistake() -> None:
    assert mistake('external_id = "42"\nrole_arn = "r"').startswith("sources.logs.role_arn: ")


def test_versions_in_directory_order_are_an_error() -> None:
    line = mistake('key_order = "directory"\nversions = true')
    assert 'sources.logs.versions: found true together with key_order = "directory"' in line


def test_anonymous_requests_with_an_identity_are_an_error() -> None:
    line = mistake(
        'anonymous = true\nprofile = "p"\nrole_arn = "arn:aws:iam::123456789012:role/r"\n'
        'external_id = "42"'
    )

    assert "sources.logs.anonymous: found true together with profile, role_arn, external_id" in line


@pytest.mark.parametrize(
    "cron", ["", "0 1 * *", "0 1 * * * *", "61 * * * *", "@daily", "0 0 30 2 *", "daily"]
)
def test_a_cron_that_dagster_cannot_run_is_an_error(cron: str) -> None:
    line = mistake(f'[sources.logs.schedule]\ncron = "{cron}"')

    assert f"found the text '{cron}', expected the five fields of cron" in line


_NAMES = ["sun", "mon", "TUE", "sat", "jan", "Feb", "DEC"]
_NUMBERS = st.integers(0, 70).map(str) | st.sampled_from([*_NAMES, "*", "l", "", "05"])
_RANGES = st.builds("{}-{}".format, _NUMBERS, _NUMBERS)
_STEPS = st.builds("{}/{}".format, _NUMBERS | _RANGES, st.integers(0, 70))
_FIELDS = st.lists(_NUMBERS | _RANGES | _STEPS, min_size=1, max_size=2).map(",".join)
_CRONS = st.tuples(*[st.just("*") | _FIELDS] * 5).map(" ".join)


@given(cron=_CRONS)
@example(cron="1,2-4/2,*/5 0-23/2 31 */2,jan-Dec 0-7")
@example(cron="0 0 29 feb 7")
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore:Found a cron schedule with an interval")
def test_dagster_runs_every_cron_that_is_accepted(cron: str) -> None:
    if is_cron(cron):
        dg.ScheduleDefinition(job_name="any", cron_schedule=cron)


@pytest.mark.parametrize(
    "cron",
    [
        "59 23 31 12 7",
        "0,30 */6 * * *",
        "5/15 0 1-7 jan,APR-jun SUN",
        "0 0 29 2 *",
        "0 0 30 2-3 *",
        "0-59/10  08 * * mon-fri",
    ],
)
def test_a_standard_cron_is_accepted(cron: str) -> None:
    assert is_cron(cron)


@pytest.mark.parametrize(
    "cron",
    [
        "* * 0 * *",
        "* * * 13 *",
        "* 24 * * *",
        "* * * * 8",
        "* * 31 4,6 *",
        "*/0 * * * *",
        "5-1 * * * *",
        "1, * * * *",
        "-1 * * * *",
        "mon * * * *",
        "* * * mon *",
        "* * L * *",
        "\u0661 * * * *",
    ],
)
def test_what_is_no_standard_cron_is_refused(cron: str) -> None:
    assert not is_cron(cron)


@pytest.mark.parametrize(
    ("timezone", "remedy"),
    [
        ("Europe/Zürich", "did you mean 'Europe/Zurich'?"),
        ("Mars", 'write for example timezone = "UTC"'),
        ("/etc/localtime", "expected the name of an IANA time zone"),
        ("", 'write for example timezone = "UTC"'),
    ],
)
def test_a_time_zone_that_does_not_exist_is_an_error(timezone: str, remedy: str) -> None:
    assert remedy in mistake(f'[sources.logs.schedule]\ntimezone = "{timezone}"')


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("gs://results", "found the address gs://..., "),
        ("", "that is not empty"),
        ("~/results", "not in '~'"),
        ("s3://", "a bucket's name has 3 to 63 letters"),
        ("s3:///daily", "a bucket's name has 3 to 63 letters"),
        ("s3://a..b/daily", "a bucket's name has 3 to 63 letters"),
        ("s3://acme--use1-az4--x-s3/daily", "directory buckets are not supported"),
        ("s3://results/../other", "no name '..'"),
        ("s3://results/a//b", "'/' between names"),
        ("s3://results/a?b", "a prefix has at most 300 letters"),
        ("s3://results/" + "a" * 301, "a prefix has at most 300 letters"),
    ],
)
def test_a_store_that_is_no_folder_and_no_bucket_is_an_error(store: str, why: str) -> None:
    (line,) = mistakes(f'store = "{store}"\n[sources.logs]\nbucket = "acme-logs"')

    assert line.startswith("store: found ")
    assert "expected the path of a folder, or s3:// with a bucket and a prefix: " in line
    assert why in line


@pytest.mark.parametrize(
    ("store", "prefix"),
    [
        ("s3://results", ""),
        ("s3://results/", ""),
        ("s3://results/a/dt=1", "a/dt=1"),
        ("s3://results/a/b/", "a/b"),
    ],
)
def test_a_store_may_be_a_bucket(store: str, prefix: str) -> None:
    config = load(f'store = "{store}"\n[sources.logs]\nbucket = "acme-logs"')

    assert config.store == StoreBucket(bucket="results", prefix=prefix)


def test_a_store_bucket_has_access_settings() -> None:
    config = load(
        """
        store = "s3://results/daily"
        [store_bucket]
        endpoint_url = "http://127.0.0.1:9000/"
        region = "eu-west-1"
        profile = "prod"
        addressing_style = "path"
        [sources.logs]
        bucket = "acme-logs"
        """
    )

    assert config.store == StoreBucket(
        bucket="results",
        prefix="daily",
        endpoint_url="http://127.0.0.1:9000",
        region="eu-west-1",
        profile="prod",
        addressing_style="path",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('endpoint_url = "minio:9000"', "store_bucket.endpoint_url: found the text 'minio:9000'"),
        ("region = 1", "store_bucket.region: found the number 1, expected a text in quotes"),
        ('addressing_style = "dns"', "expected 'auto', 'path' or 'virtual'"),
        ('profil = "prod"', "store_bucket.profil: found an unknown field; did you mean 'profile'?"),
        ('secret = "x"', "store_bucket.secret: secrets do not belong in the file"),
    ],
)
def test_a_mistake_in_the_store_bucket_is_named(text: str, message: str) -> None:
    start = f'store = "s3://results"\n[store_bucket]\n{text}\n'
    (line,) = mistakes(f'{start}[sources.logs]\nbucket = "acme-logs"')

    assert message in line


def test_a_store_bucket_without_a_bucket_is_an_error() -> None:
    (line,) = mistakes('[store_bucket]\nregion = "eu-west-1"\n[sources.logs]\nbucket = "acme-logs"')

    assert line.startswith("store_bucket: found although the store is a folder")


# Secrets


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


# Editors


def test_the_schema_for_editors_is_up_to_date() -> None:
    text = (DOCS / "inventory.schema.json").read_text("utf-8")

    assert text == json.dumps(json_schema(), indent=2) + "\n"


def tables(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from schema["$defs"].values()


def test_the_schema_describes_every_field() -> None:
    for table in tables(json_schema()):
        assert table["title"]
        assert table["additionalProperties"] is False
        for name, field in table["properties"].items():
            assert field["description"], name
            assert field.get("title") or field.get("$ref"), name


def test_the_schema_knows_no_null_as_toml_has_none() -> None:
    assert "null" not in json.dumps(json_schema())


def test_the_reference_names_every_field_with_its_default() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text("utf-8")

    for table in tables(json_schema()):
        for name, field in table["properties"].items():
            if "default" in field and "$ref" not in field:
                default = field["default"]
                shown = default if name == "start_date" else json.dumps(default)
                assert f"| `{name}` | `{shown}` |" in page
            else:
                assert f"`{name}`" in page


def test_the_example_in_the_documentation_names_every_field() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    example = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])

    logs = example["sources"]["logs"]
    schema = json_schema()
    assert set(logs["shards"]) == set(schema["$defs"]["Shards"]["properties"])
    assert set(logs["schedule"]) == set(schema["$defs"]["Schedule"]["properties"])
    assert set(logs["exports"]) == set(schema["$defs"]["Exports"]["properties"])
    assert set(logs["retention"]) == set(schema["$defs"]["Retention"]["properties"])
    given = {name for table in example["sources"].values() for name in table}
    assert given == set(schema["$defs"]["SourceTable"]["properties"])


# Iceberg tables


def test_iceberg_tables_are_registered_in_sqlite_unless_a_catalogue_is_named() -> None:
    text = '[sources.logs]\nbucket = "acme-logs"\niceberg = true\n'
    assert load(text).iceberg == Iceberg()

    table = '[iceberg]\ncatalog = "prod"\nnamespace = "s3"\n[iceberg.properties]\ntype = "rest"\n'
    properties = {"type": "rest"}
    assert load(table + text).iceberg == Iceberg(
        catalog="prod", namespace="s3", properties=properties
    )


def test_iceberg_tables_on_a_bucket_need_a_catalogue() -> None:
    source = '[sources.logs]\nbucket = "acme-logs"\niceberg = true\n'
    store = 'store = "s3://acme-inventories/daily"\n'
    for table in ("", '[iceberg]\nnamespace = "s3"\n'):
        (line,) = mistakes(store + table + source)
        assert line.startswith("sources: found iceberg = true in logs, expected a catalogue")
        assert line.endswith("add [iceberg] with a catalog")
    assert load(store + '[iceberg]\ncatalog = "prod"\n' + source).iceberg.catalog == "prod"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token", "hunter2"),
        ("s3.secret-access-key", "hunter2"),
        ("s3.access-key-id", "hunter2"),
        ("header.Authorization", "hunter2"),
        ("uri", "postgresql://me:hunter2@db/catalog"),
    ],
)
def test_a_secret_of_a_catalogue_is_rejected_and_not_repeated(name: str, value: str) -> None:
    table = f'[iceberg]\ncatalog = "prod"\nproperties = {{ "{name}" = "{value}" }}\n'
    (line,) = mistakes(f'{table}[sources.logs]\nbucket = "acme-logs"')

    assert line.startswith("iceberg.properties: found a secret in one of them")
    assert "PYICEBERG_CATALOG__" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('catalog = "no spaces"', "iceberg.catalog: found the text 'no spaces', expected 1 to 40"),
        ('namespace = "Upper"', "iceberg.namespace: found the text 'Upper', expected 1 to 40"),
        ("properties = 3", "iceberg.properties: found no table, expected one; write [iceberg"),
        (
            'catalog = "prod"\nproperties = { port = 1 }',
            "iceberg.properties: found the number 1 as 'port', expected a text",
        ),
        ('properties = { type = "rest" }', "iceberg.properties: found without catalog"),
        ('catalogue = "prod"', "iceberg.catalogue: found an unknown field; did you mean 'catalog'"),
    ],
)
def test_a_mistake_in_the_catalogue_is_reported_with_its_remedy(text: str, expected: str) -> None:
    (line,) = mistakes(f'[iceberg]\n{text}\n[sources.logs]\nbucket = "acme-logs"')

    assert line.startswith(expected)


def test_a_field_of_the_catalogue_in_the_wrong_table_is_sent_to_its_own() -> None:
    line = mistake('catalog = "prod"')

    assert line == "sources.logs.catalog: found an unknown field; it belongs in [iceberg]"
