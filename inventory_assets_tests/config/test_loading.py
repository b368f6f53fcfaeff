"""Where the configuration comes from, and what a right one says."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from inventory_assets.config import ConfigError, Schedule, Shards, load_config
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets_tests.config.files import DOCS, load, source


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


def test_the_dates_of_the_demo_begin_with_those_that_it_has() -> None:
    def nine_days_ago() -> dt.date:
        return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=9)

    def first_date() -> dt.date | None:
        return load_config(environ={}).sources["demo"].schedule.start_date

    began = nine_days_ago()
    assert first_date() in {began, nine_days_ago()}
    results = load_config(environ={}).store
    assert isinstance(results, Path)
    for day in (began - dt.timedelta(days=9), began):
        (results / f"demo-bucket/demo/{day}T00-00Z").mkdir(parents=True)
    assert first_date() == began - dt.timedelta(days=9)


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
        "folder": None,
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
            "retire_after_days": 30,
            "shared": False,
        },
        "schedule": {
            "cron": "0 1 * * *",
            "timezone": "UTC",
            "start_date": None,
            "listing_window_days": 31,
            "runs": 1,
            "objects_per_run": None,
            "sensor_interval_seconds": 300,
        },
        "exports": {"csv_inventory": False, "files": (), "metadata": False},
        "iceberg": False,
        "hygiene": {
            "enabled": True,
            "duplicates": False,
            "multipart_uploads": False,
            "part_requests": 1_000,
        },
        "growth": {
            "severity": "warn",
            "fell_percent": 90,
            "rose_percent": 900,
            "prefix_percent": 50,
            "modified_percent": 90,
            "deleted_percent": 90,
            "stopped_after_dates": 30,
            "min_objects": 1_000,
        },
        "metadata": None,
        "gate": {"enabled": True, "failed_percent": 0.8, "slower_ms": 150, "growth": None},
        "alerts": None,
        "retention": {"keep_days": None, "keep_last": None},
        "budget": {"requests": None, "usd": None},
        "lifecycle": None,
        "prices": None,
    }


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", False),
        ("growth.severity = 'error'", False),
        ("growth.fell_percent = 50", True),
        ("growth.rose_percent = 100", True),
        ("growth.fell_percent = 50\ngate.growth = false", False),
        ("gate.growth = true", True),
    ],
)
def test_growth_holds_a_date_where_one_of_its_bounds_is_set_or_the_gate_says_so(
    text: str, holds: bool
) -> None:
    assert source(text).growth_holds is holds


def test_alerts_name_the_variables_that_hold_secrets() -> None:
    alerts = source(
        "[sources.logs.alerts]\nwebhook_env = 'HOOK'\n"
        "[sources.logs.alerts.email]\nhost = 'smtp.example.com'\nsender = 'a@b.example'\n"
        "to = ['ops@b.example']\npassword_env = 'SMTP_PASSWORD'"
    ).alerts
    assert alerts is not None
    assert alerts.email is not None
    assert (alerts.webhook_env, alerts.email.password_env) == ("HOOK", "SMTP_PASSWORD")


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


def test_the_price_table_lies_beside_the_file(tmp_path: Path) -> None:
    assert source('prices = "own.toml"').prices == str(tmp_path / "own.toml")


def test_the_rules_lie_beside_the_file_or_in_the_bucket(tmp_path: Path) -> None:
    assert source('lifecycle = "rules.json"').lifecycle == str(tmp_path / "rules.json")
    assert source('lifecycle = "bucket"').lifecycle == "bucket"
