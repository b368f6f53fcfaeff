"""The catalogue of Iceberg tables."""

import pytest

from inventory_assets.config import Iceberg
from inventory_assets_tests.config.files import load, mistake, mistakes


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
