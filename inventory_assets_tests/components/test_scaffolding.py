"""What `dg` finds, writes and checks: the registry, the first `defs.yaml`, the JSON Schema."""

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object
from dagster.components.core.package_entry import get_package_objects_in_module
from dagster.components.testing import create_defs_folder_sandbox
from jsonschema import Draft202012Validator

import inventory_assets
from inventory_assets import S3InventoryComponent
from inventory_assets.components.scaffolder import source_name
from inventory_assets_tests.components.projects import TYPE

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def scaffold(folder: Path, *, append: bool = False, scaffold_format: str = "yaml") -> None:
    path = folder / "defs.yaml" if append else folder
    scaffold_object(path, TYPE, None, scaffold_format, None, append)


def schema_errors(attributes: str) -> list[str]:
    """The path of each mistake that the JSON Schema finds."""
    schema: dict[str, Any] = S3InventoryComponent.model().model_json_schema()
    found = Draft202012Validator(schema).iter_errors(yaml.safe_load(attributes))
    return sorted(".".join(map(str, error.path)) for error in found)


def test_the_package_is_registered_and_its_only_component_found() -> None:
    groups = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]
    assert groups["dagster_dg_cli.registry_modules"] == {"inventory_assets": "inventory_assets"}
    found = dict(get_package_objects_in_module(inventory_assets))
    assert found == {"S3InventoryComponent": S3InventoryComponent}


def test_a_scaffolded_file_is_short_commented_and_loads() -> None:
    with create_defs_folder_sandbox() as project:
        folder = project.defs_folder_path / "logs"
        scaffold(folder)
        lines = (folder / "defs.yaml").read_text().splitlines()
        assert len(lines) <= 15
        assert sum("#" in line for line in lines) >= 5
        assert schema_errors("\n".join(lines).partition("attributes:")[2]) == []
        with project.build_component_tree() as tree:
            (component,) = tree.get_all_components(S3InventoryComponent)
            dg.Definitions.validate_loadable(tree.build_defs())
        assert list(component.sources) == ["logs"]


def test_a_scaffolded_source_has_no_dates_that_nothing_can_fill() -> None:
    before = datetime.now(UTC).date()
    with create_defs_folder_sandbox() as project:
        scaffold(project.defs_folder_path / "logs")
        with project.build_component_tree() as tree:
            (component,) = tree.get_all_components(S3InventoryComponent)
            assets = tree.build_defs().resolve_all_asset_specs()
    start = component.sources["logs"].schedule.start_date
    assert start in {before, datetime.now(UTC).date()}
    (manifest,) = [each for each in assets if each.key.path[-1] == "inventory_manifest"]
    assert manifest.partitions_def is not None
    assert manifest.partitions_def.get_partition_keys()[:1] == [str(start)]


def test_a_second_component_can_be_appended() -> None:
    with create_defs_folder_sandbox() as project:
        folder = project.defs_folder_path / "logs"
        scaffold(folder)
        scaffold(folder, append=True)
        file = folder / "defs.yaml"
        first, second = yaml.safe_load_all(file.read_text())
        assert first == second
        file.write_text(file.read_text()[::-1].replace("logs"[::-1], "pics"[::-1], 1)[::-1])
        with project.build_component_tree() as tree:
            found = tree.get_all_components(S3InventoryComponent)
        assert [list(component.sources) for component in found] == [["logs"], ["pics"]]


def test_a_component_can_be_scaffolded_in_python(tmp_path: Path) -> None:
    scaffold(tmp_path / "logs", scaffold_format="python")
    assert f"-> {S3InventoryComponent.__name__}" in (tmp_path / "logs/component.py").read_text()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("logs", "logs"), ("My-Logs", "my_logs"), ("2026", "s3_2026"), ("_", "s3"), ("é", "s3")],
)
def test_a_source_is_named_for_its_folder(folder: str, name: str) -> None:
    assert source_name(folder) == name


def fields_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of all tables of a JSON Schema."""
    for name, field in schema.get("properties", {}).items():
        yield name, field
        yield from fields_of(field)
    for table in schema.get("$defs", {}).values():
        yield from fields_of(table)


def test_every_attribute_has_a_description_for_editors() -> None:
    fields = list(fields_of(S3InventoryComponent.model().model_json_schema()))
    assert {"bucket", "depth", "cron", "files", "keep_days", "catalog", "owners"} <= {
        name for name, _ in fields
    }
    assert [name for name, field in fields if not field.get("description")] == []


@pytest.mark.parametrize(
    "attributes",
    [
        "{sources: {a: {bucket: abc}}}",
        "{sources: {a: {bucket: '{{ env.B }}', shards: {depth: '{{ env.D | int }}'}}}}",
        "{sources: {a: {bucket: abc}}, owners: 'team:x', tags: '{{ tags }}', automation: false}",
        "{sources: {a: {bucket: abc, region: null}}, store_bucket: {region: eu-west-1}}",
    ],
)
def test_the_schema_accepts_values_and_templates(attributes: str) -> None:
    assert schema_errors(attributes) == []


@pytest.mark.parametrize(
    ("attributes", "paths"),
    [
        ("{sources: {a: {bucket: abc, bukket: x}}}", ["sources.a"]),
        ("{sources: {a: {bucket: abc, shards: {depth: x}}}}", ["sources.a.shards.depth"]),
        ("{sources: {a: {}}}", ["sources.a"]),
        ("{sources: {}, stor: x}", ["", "sources"]),
        ("{store: x}", [""]),
        ("{sources: {A: {bucket: abc}}}", ["sources"]),
    ],
)
def test_the_schema_places_mistakes_where_they_are(attributes: str, paths: list[str]) -> None:
    assert schema_errors(attributes) == paths
