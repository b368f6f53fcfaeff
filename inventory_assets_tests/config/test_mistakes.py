"""Messages about mistakes in the file: their form, unknown fields, wrong values."""

from pathlib import Path

import pytest

from inventory_assets.config import ConfigError, load_config
from inventory_assets.errors import InventoryError
from inventory_assets_tests.config.files import mistake, mistakes, source


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
    ("shards", "partitions"),
    [("", "102,800"), ("[sources.logs.shards]\nmax_shards = 999", "400,000")],
)
def test_more_partitions_than_dagster_recommends_are_an_error(shards: str, partitions: str) -> None:
    told = mistake(f"{shards}\n[sources.logs.schedule]\nlisting_window_days = 400")
    assert f"up to {partitions} partitions by date and shard, expected at most 100,000" in told
    assert "lower schedule.listing_window_days or shards.max_shards" in told


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
