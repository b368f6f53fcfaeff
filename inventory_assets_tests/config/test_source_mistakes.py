"""Messages about mistakes in a source: its bucket, identity, schedule."""

import pytest

from inventory_assets_tests.config.files import bucket_mistake, load, mistake, mistakes


@pytest.mark.parametrize("bucket", ["ab", "a" * 64, "-abc", "abc.", "a b", "a/b", "straße"])
def test_a_bucket_name_that_s3_does_not_have_is_an_error(bucket: str) -> None:
    assert "expected 3 to 63 letters" in bucket_mistake(bucket)


@pytest.mark.parametrize(
    ("bucket", "told"),
    [
        ("acme--use1-az4--x-s3", "directory buckets do not list their keys in order"),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", "access points are not supported"),
        ("s3://acme-logs/a/", "put the rest of the URL into 'prefix'"),
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


def test_shared_shards_need_a_bucket_for_the_results() -> None:
    text = '[sources.logs]\nbucket = "acme-logs"\nshards.shared = true\n'
    (line,) = mistakes(text)
    assert line.startswith("sources: found shards.shared = true in logs, and a folder as the store")
    assert 'write for example store = "s3://acme-inventories/daily"' in line
    config = load(f'store = "s3://acme-inventories/daily"\n{text}versions = true\n')
    assert config.sources["logs"].has_several_runs
    (line,) = mistakes(f"store = 7\n{text}")  # told once
    assert line.startswith("store: ")


def test_shared_shards_of_a_bucket_in_directory_order_are_an_error() -> None:
    store = 'store = "s3://acme-inventories/daily"\n'
    (line,) = mistakes(
        f'{store}[sources.logs]\nbucket = "acme-logs"\nkey_order = "directory"\n'
        "shards.shared = true\n"
    )
    assert line.startswith('sources.logs.shards: found shared = true with key_order = "directory"')


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
    ("text", "told"),
    [
        ("requests = 0", "budget.requests: found the number 0, expected a whole number from 1 up"),
        ('usd = "1"', "budget.usd: found the text '1', expected a number; write for example usd ="),
        ("usd = 0", "budget.usd: found the number 0.0, expected a number above 0"),
        ("usd = inf", "budget.usd: found the number inf, expected a number above 0"),
        ("dollars = 1", "budget.dollars: found an unknown field"),
    ],
)
def test_a_budget_that_is_no_bound_is_an_error(text: str, told: str) -> None:
    assert told in mistake(f"[sources.logs.budget]\n{text}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'fell_percent = "half"',
            "found the text 'half', expected a whole number from 1 to 100; write for example fell",
        ),
        (
            "rose_percent = 0.5",
            "growth.rose_percent: found the number 0.5, expected a whole",
        ),
        ("prefix_percent = 0", "growth.prefix_percent: found the number 0, expected a whole"),
        ("modified_percent = 101", "expected a whole number from 1 to 100"),
        ("deleted_percent = nan", "found the number nan, expected a whole number from 1 to 100"),
        ("stopped_after_dates = -1", "expected a whole number from 0 to 366"),
        ("min_objects = true", "growth.min_objects: found true, expected a whole number from 1 up"),
        (
            'severity = "fatal"',
            "found the text 'fatal', expected 'warn' or 'error'",
        ),
        ("fel_percent = 1", "found an unknown field; did you mean 'fell_percent'?"),
        (
            "depth = 1",
            "found an unknown field; it belongs in [sources.<name>.shards]",
        ),
    ],
)
def test_a_bound_of_growth_that_is_none_is_an_error(text: str, told: str) -> None:
    assert told in mistake(f"[sources.logs.growth]\n{text}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'failed_percent = "0.8"',
            (
                "gate.failed_percent: found the text '0.8', expected a number; write for example "
                "failed_percent = 0.8"
            ),
        ),
        ("failed_percent = nan", "gate.failed_percent: found the number nan, expected a number"),
        ("failed_percent = inf", "gate.failed_percent: found the number inf, expected a number"),
        ("failed_percent = -1", "expected a number from 0 to 100; write for"),
        ("failed_percent = 101", "expected a number from 0 to 100; write for"),
        ("slower_ms = 1.5", "gate.slower_ms: found the number 1.5, expected a whole number"),
        ("slower_ms = 0", "expected a whole number from 1 up"),
        ("enabled = 1", "gate.enabled: found the number 1, expected true or false"),
        ('growth = "no"', "gate.growth: found the text 'no', expected true or false"),
        ("slow_ms = 1", "found an unknown field; did you mean 'slower_ms'?"),
    ],
)
def test_a_threshold_of_the_gate_that_is_none_is_an_error(text: str, told: str) -> None:
    assert told in mistake(f"[sources.logs.gate]\n{text}")


SECRET_URL = "https://hooks.example.com/T000/very-secret"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("late_after_hours = 6", "alerts: found nobody who would be told, expected one or more"),
        (f'webhook_env = "{SECRET_URL}"', "alerts.webhook_env: found a text that is no name of"),
        (
            'webhook_env = "A"\nui_url = "https://ada:very-secret@example.com"',
            "alerts.ui_url: found a text that may",
        ),
        ('webhook_env = "A"\nui_url = "dagster"', "alerts.ui_url: found the text 'dagster', exp"),
        ('slack_env = "A"\nlate_after_hours = 0', "a whole number from 1 to 720"),
        ('webhook = "A"', "found an unknown field; did you mean 'webhook_env'?"),
        ('[sources.logs.alerts.email]\nhost = "h"\nsender = "a@b"\nto = []', "alerts.email.to: "),
        (
            '[sources.logs.alerts.email]\nhost = "h"\nsender = "a"\nto = ["a@b"]',
            "alerts.email.sender: found the text 'a', expected an e-mail address; write for",
        ),
        (
            '[sources.logs.alerts.email]\nhost = "h"\nto = ["a@b"]',
            "alerts.email.sender: found nothing, expected",
        ),
        (
            '[sources.logs.alerts.email]\nhost = ""\nsender = "a@b"\nto = ["a@b"]',
            "alerts.email.host: found the text '', expected",
        ),
        (
            (
                '[sources.logs.alerts.email]\nhost = "h"\nsender = "a@b"\nto = ["a@b"]\n'
                'security = "ssl"'
            ),
            "alerts.email.security: found the text 'ssl', expected 'starttls', 'tls' or 'none'",
        ),
        (
            (
                '[sources.logs.alerts.email]\nhost = "h"\nsender = "a@b"\nto = ["a@b"]\n'
                'password = "very-secret"'
            ),
            "alerts.email.password: secrets do not belong in the file",
        ),
    ],
)
def test_a_mistake_in_alerts_says_what_is_expected_and_shows_no_secret(
    text: str, told: str
) -> None:
    line = mistake(f"[sources.logs.alerts]\n{text}")
    assert told in line
    assert "very-secret" not in line


def test_a_mistake_in_hygiene_says_what_is_expected() -> None:
    line = mistake('[sources.logs.hygiene]\npart_requests = "many"')
    assert "hygiene.part_requests: found the text 'many', expected a whole number from 0" in line


def test_a_price_table_without_a_name_is_an_error() -> None:
    assert "expected the path of a price table" in mistake('prices = ""')


def test_two_sources_in_one_folder_are_an_error() -> None:
    (line,) = mistakes(
        '[sources.new]\nbucket = "acme-logs"\nfolder = "old"\n[sources.old]\nbucket = "acme-logs"'
    )
    assert line == (
        "sources: found the folder 'old' of the bucket 'acme-logs' for new and for old, expected "
        "one for each source; remove the field 'folder' of one"
    )


def test_sources_of_different_buckets_may_have_folders_of_one_name() -> None:
    config = load(
        '[sources.new]\nbucket = "acme-logs"\nfolder = "old"\n[sources.old]\nbucket = "others"'
    )
    assert [source.folder_name for source in config.sources.values()] == ["old", "old"]


@pytest.mark.parametrize("runs", [0, -1, 65])
def test_the_number_of_runs_has_bounds(runs: int) -> None:
    told = mistake(f"schedule.runs = {runs}")
    assert f"schedule.runs: found the number {runs}, expected a whole number from 1 to 64" in told


@pytest.mark.parametrize("value", ['"auto"', "2.5", "true"])
def test_the_number_of_runs_is_a_whole_number(value: str) -> None:
    assert "expected a whole number from 1 to 64" in mistake(f"schedule.runs = {value}")


def test_more_runs_than_requests_in_flight_are_an_error() -> None:
    told = mistake("concurrency = 4\nschedule.runs = 5")
    assert "found runs = 5, expected at most 4, as these runs share concurrency = 4" in told
    assert "lower schedule.runs or raise concurrency" in told
    config = load('[sources.logs]\nbucket = "acme-logs"\nconcurrency = 4\nschedule.runs = 4')
    assert config.sources["logs"].schedule.runs == 4


def test_a_run_lists_at_least_one_object() -> None:
    assert "found the number 0" in mistake("schedule.objects_per_run = 0")


def test_a_budget_smaller_than_one_object_is_an_error() -> None:
    line = mistake("[sources.logs.metadata]\ntags = true\nmax_requests = 1")
    assert line.startswith(
        "sources.logs.metadata.max_requests: found the number 1 with tags = true"
    )
    assert "expected at least 2, the requests for one object and its tags" in line


@pytest.mark.parametrize("table", ["tags = true\nmax_requests = 2", "max_requests = 1"])
def test_a_budget_for_one_object_is_enough(table: str) -> None:
    load(f'[sources.logs]\nbucket = "acme-logs"\n[sources.logs.metadata]\n{table}')


def test_metadata_that_is_not_collected_cannot_be_exported() -> None:
    line = mistake("[sources.logs.exports]\nmetadata = true")
    assert line.startswith("sources.logs.exports: found metadata = true without a table")
    assert "add [sources.<name>.metadata]" in line


def test_metadata_with_a_mistake_is_no_second_mistake_of_the_exports() -> None:
    line = mistake("[sources.logs.exports]\nmetadata = true\n[sources.logs.metadata]\ntags = 1")
    assert line.startswith("sources.logs.metadata.tags: ")


def test_metadata_that_is_collected_can_be_exported() -> None:
    load(
        '[sources.logs]\nbucket = "acme-logs"\n[sources.logs.exports]\nmetadata = true\n'
        'files = ["parquet"]\n[sources.logs.metadata]'
    )
