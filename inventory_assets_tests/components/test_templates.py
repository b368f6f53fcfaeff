"""Templates in a `defs.yaml`: in every field, with the type that the field has."""

import dagster as dg
import pytest

from inventory_assets.components.templates import render
from inventory_assets.config import SourceTable
from inventory_assets_tests.components.projects import loaded, mistakes

ENVIRONMENT = {
    "BUCKET": "acme-logs",
    "PREFIX": "2026",
    "DEPTH": "2",
    "ANONYMOUS": "true",
    "DATE": "2026-11-01",
    "FILES": "[csv.gz, jsonl]",
    "ORDER": "bytes",
    "OWNER": "team:storage",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ABSENT", raising=False)


def source(field: str) -> SourceTable:
    attributes = f"sources:\n  logs:\n    bucket: '{{{{ env.BUCKET }}}}'\n    {field}\n"
    with loaded(attributes) as (component, _, _):
        assert component.sources["logs"].bucket == "acme-logs"
        return component.sources["logs"]


def test_a_text_is_a_text_though_it_looks_like_a_number() -> None:
    assert source('prefix: "{{ env.PREFIX }}"').prefix == "2026"
    assert source('prefix: "2026"').prefix == "2026"
    assert source('prefix: "{{ env.PREFIX }}/{{ env.DEPTH }}/"').prefix == "2026/2/"


@pytest.mark.parametrize("template", ["{{ env.DEPTH }}", "{{ env.DEPTH | int }}", "{{ 1 + 1 }}"])
def test_a_number_can_be_a_template(template: str) -> None:
    assert source(f'shards: {{depth: "{template}"}}').shards.depth == 2


def test_other_types_can_be_templates() -> None:
    assert source('anonymous: "{{ env.ANONYMOUS }}"').anonymous is True
    assert source('key_order: "{{ env.ORDER }}"').key_order == "bytes"
    date = source('schedule: {start_date: "{{ env.DATE }}"}').schedule.start_date
    assert str(date) == "2026-11-01"
    assert source('exports: {files: "{{ env.FILES }}"}').exports.files == ("csv.gz", "jsonl")
    assert source("exports: {files: [\"{{ env('NO', 'csv') }}\"]}").exports.files == ("csv",)


def test_options_and_the_store_can_be_templates() -> None:
    attributes = """
        store: "results/{{ env.PREFIX }}"
        owners: ["{{ env.OWNER }}"]
        key_prefix: "{{ env.ORDER }}"
        automation: "{{ env('AUTOMATION', 'false') }}"
        sources: {logs: {bucket: acme-logs}}
    """
    with loaded(attributes) as (component, _, _):
        assert component.store == "results/2026"
        assert component.owners == ("team:storage",)
        assert component.key_prefix == ("bytes",)
        assert component.automation is False


def test_an_optional_field_whose_variable_is_absent_has_no_value() -> None:
    assert source('region: "{{ env.ABSENT }}"').region is None


def test_a_required_field_whose_variable_is_absent_is_a_mistake_that_names_it() -> None:
    (line,) = mistakes('sources: {logs: {bucket: "{{ env.ABSENT }}"}}')
    assert "sources.logs.bucket: found nothing, expected a text" in line
    assert line.endswith("; its template is {{ env.ABSENT }}")


def test_what_a_template_makes_is_validated() -> None:
    (line,) = mistakes('sources: {logs: {bucket: acme-logs, concurrency: "{{ env.BUCKET }}"}}')
    assert "sources.logs.concurrency: found the text 'acme-logs', expected a whole number" in line


def test_a_text_without_a_template_is_not_read_as_python() -> None:
    context = dg.ResolutionContext.default()
    texts = {"prefix": "1_000", "region": "None", "role_arn": "(1, 2)", "bucket": "'quoted'"}
    assert render(context, texts, SourceTable) == texts
