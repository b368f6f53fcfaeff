"""Mistakes in a `defs.yaml`: the sentences of the configuration, with the file and line."""

import pytest

from inventory_assets_tests.components.projects import mistakes


def mistake(attributes: str) -> str:
    (line,) = mistakes(attributes)
    return line


def logs(field: str) -> str:
    return f"sources:\n  logs:\n    bucket: acme-logs\n    {field}\n"


def test_a_mistake_names_line_field_finding_expectation_and_remedy() -> None:
    assert mistake(logs("shards: {depth: two}")) == (
        "6: sources.logs.shards.depth: found the text 'two', expected a whole number from 0 to 10;"
        " write for example depth: 1"
    )


def test_all_mistakes_are_reported_at_once() -> None:
    lines = mistakes(
        """
        store: gs://results
        group_name: no/slash
        sources:
          logs:
            external_id: "42"
            shards: {depth: 11}
          pics:
            bucket: acme-pics
            colour: red
        """
    )
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [
        "store",
        "sources.logs.bucket",
        "sources.logs.external_id",
        "sources.logs.shards.depth",
        "sources.pics.colour",
        "group_name",
    ]


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ("stor: results\n" + logs(""), "stor: found an unknown field; did you mean 'store'?"),
        (
            logs("bukket: x"),
            "sources.logs.bukket: found an unknown field; did you mean 'bucket'?",
        ),
        (
            logs("owners: [team:storage]"),
            "sources.logs.owners: found an unknown field; it belongs directly below attributes",
        ),
        (
            "depth: 2\n" + logs(""),
            "depth: found an unknown field; it belongs in sources.<name>.shards:",
        ),
        (
            logs("aws_secret_access_key: abc"),
            "sources.logs.aws_secret_access_key: secrets do not belong in the file",
        ),
        ("store: results", "sources: found no source, expected one or more; add a table"),
        ("sources: {}", "sources: found no source"),
        (logs("shards: 3"), "sources.logs.shards: found no table, expected one; write"),
        (
            logs("schedule: {cron: hourly}"),
            "sources.logs.schedule.cron: found the text 'hourly', expected the five fields of cron",
        ),
        (
            logs("schedule: {start_date: tomorrow}"),
            "sources.logs.schedule.start_date: found the text 'tomorrow', expected a date",
        ),
        ("automation: 1\n" + logs(""), "automation: found the number 1, expected true or false"),
        (
            "owners: [jo]\n" + logs(""),
            "owners: found the text 'jo', expected e-mail addresses, or names of teams",
        ),
        ("owners: 3\n" + logs(""), "owners: found the number 3, expected a text or a list"),
        ("owners: [3]\n" + logs(""), "owners: found the number 3 in the list, expected texts"),
        ("key_prefix: a/b\n" + logs(""), "key_prefix: found the text 'a/b', expected names"),
        ("kinds: [a, b]\n" + logs(""), "kinds: found 2 kinds, expected at most 1"),
        ("tags: [a]\n" + logs(""), "tags: found a list or a time, expected tags with their values"),
        ("tags: {a: 1}\n" + logs(""), "tags: found the number 1 as 'a', expected a text"),
        (
            logs("versions: true\n    key_order: directory"),
            'sources.logs.versions: found true together with key_order: "directory", expected a',
        ),
        (
            "sources: {My-Logs: {bucket: abc}}",
            "sources.My-Logs: found the text 'My-Logs', expected",
        ),
    ],
)
def test_a_mistake_has_its_sentence(attributes: str, sentence: str) -> None:
    line = mistake(attributes)
    assert line.partition(": ")[2].startswith(sentence)


def test_remedies_are_written_in_yaml() -> None:
    assert mistake(logs("schedule: {cron: hourly}")).endswith('write for example cron: "0 1 * * *"')
    assert mistake(logs("schedule: {start_date: 1}")).endswith("for example start_date: 2026-01-01")
    assert mistake(logs("versions: true\n    key_order: directory")).endswith("set versions: false")
    assert mistake(logs("iceberg: true") + "store: s3://acme-inventories/daily").endswith(
        "add iceberg: with a catalog"
    )


def test_a_component_without_attributes_has_no_source() -> None:
    assert mistake("{}").partition(": ")[2].startswith("sources: found no source")
