"""The component in a project: what its attributes define, and beside what."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from inventory_assets import S3InventoryComponent
from inventory_assets.config import SourceTable, StoreBucket
from inventory_assets.defs.source.context import AssetOptions
from inventory_assets_tests.components.projects import loaded, refusal, write_component

ONE = "sources:\n  logs:\n    bucket: acme-logs\n"
ASSETS = [
    "change_log",
    "hygiene_report",
    "inventory_manifest",
    "object_changes",
    "object_listing",
    "prefix_usage",
    "shards",
    "storage_report",
]


def specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return list(definitions.resolve_all_asset_specs())


def keys(definitions: dg.Definitions) -> set[str]:
    return {spec.key.to_user_string() for spec in specs(definitions)}


def store_of(definitions: dg.Definitions, source: str) -> Path | StoreBucket:
    place: Path | StoreBucket = (definitions.resources or {})[f"{source}_store"].place
    return place


def test_a_source_needs_no_more_than_its_bucket() -> None:
    with loaded(ONE) as (component, definitions, _):
        assert component.sources == {"logs": SourceTable(bucket="acme-logs")}
        assert component.options == AssetOptions()
        assert keys(definitions) == {f"logs/{name}" for name in ASSETS}
        dg.Definitions.validate_loadable(definitions)


def test_a_relative_store_begins_at_the_root_of_the_project() -> None:
    with loaded(ONE) as (_, definitions, root):
        assert store_of(definitions, "logs") == root / "data/inventory"


def test_all_tables_of_the_file_are_attributes() -> None:
    attributes = """
        store: s3://acme-inventories/daily
        store_bucket:
          endpoint_url: http://127.0.0.1:9000
          addressing_style: path
        iceberg:
          catalog: production
          namespace: stock
          properties: {warehouse: s3://acme-inventories/iceberg}
        sources:
          logs:
            bucket: acme-logs
            prefix: "2026"
            anonymous: true
            concurrency: 64
            iceberg: true
            shards: {depth: 2}
            schedule: {start_date: 2026-11-01, cron: 0 2 * * *, timezone: Europe/Zurich}
            exports: {files: [csv.gz, jsonl.zst]}
            retention: {keep_days: 400}
          pictures:
            bucket: acme-pictures
    """
    with loaded(attributes) as (component, definitions, _):
        logs = component.sources["logs"]
        assert (logs.prefix, logs.anonymous, logs.concurrency) == ("2026", True, 64)
        assert (logs.shards.depth, str(logs.schedule.start_date)) == (2, "2026-11-01")
        assert logs.exports.files == ("csv.gz", "jsonl.zst")
        assert logs.retention.keep_days == 400
        store = store_of(definitions, "logs")
        assert isinstance(store, StoreBucket)
        assert (store.bucket, store.prefix, store.addressing_style) == (
            "acme-inventories",
            "daily",
            "path",
        )
        names = {f"logs/{name}" for name in [*ASSETS, "inventory_exports", "iceberg_tables"]}
        assert keys(definitions) == names | {f"pictures/{name}" for name in ASSETS}


def test_options_reach_every_asset() -> None:
    attributes = """
        key_prefix: [lake, raw]
        group_name: storage
        owners: [team:storage, jo@example.com]
        tags: {domain: storage}
        kinds: minio
        automation: false
        sources: {logs: {bucket: acme-logs}}
    """
    with loaded(attributes) as (_, definitions, _):
        for spec in specs(definitions):
            assert spec.key.path[:3] == ["lake", "raw", "logs"]
            assert spec.group_name == "storage"
            assert list(spec.owners) == ["team:storage", "jo@example.com"]
            assert spec.tags["domain"] == "storage"
            assert "minio" in spec.kinds
            assert spec.automation_condition is None
        sensors = {sensor.name for sensor in definitions.sensors or []}
        assert sensors == {"logs_new_prefixes"}
        dg.Definitions.validate_loadable(definitions)


def test_post_processing_changes_the_assets_it_selects() -> None:
    rest = """
        post_processing:
          assets:
            - target: "key:logs/change_log"
              attributes:
                owners: [team:audit]
                group_name: audited
                tags: {audited: "yes"}
            - target: "*"
              attributes:
                metadata: {cost_center: 42}
    """
    with loaded(ONE, rest) as (_, definitions, _):
        by_name = {spec.key.path[-1]: spec for spec in specs(definitions)}
        assert list(by_name["change_log"].owners) == ["team:audit"]
        assert by_name["change_log"].group_name == "audited"
        assert by_name["change_log"].tags["audited"] == "yes"
        assert by_name["shards"].group_name == "logs"
        assert {spec.metadata["cost_center"] for spec in by_name.values()} == {42}
        dg.Definitions.validate_loadable(definitions)


def host_definitions() -> dg.Definitions:
    """What a team has in its project: an executor, resources, an automation sensor, an asset."""

    @dg.asset(
        deps=[dg.AssetKey(["logs", "change_log"])],
        automation_condition=dg.AutomationCondition.eager(),
        required_resource_keys={"store", "clock"},
    )
    def ingested() -> None: ...

    return dg.Definitions(
        assets=[ingested],
        resources={"store": object(), "clock": object(), "bucket": object()},
        executor=dg.multiprocess_executor,
        sensors=[
            dg.AutomationConditionSensorDefinition(
                "host_automation", target=dg.AssetSelection.assets(ingested)
            )
        ],
    )


def targets(definitions: dg.Definitions) -> Iterable[set[str]]:
    """The assets of each automation sensor."""
    graph = definitions.resolve_asset_graph()
    for sensor in definitions.sensors or []:
        if isinstance(sensor, dg.AutomationConditionSensorDefinition):
            selected = sensor.asset_selection.resolve(graph)
            yield {key.to_user_string() for key in selected}


def test_two_instances_live_beside_the_definitions_of_a_host() -> None:
    with create_defs_folder_sandbox() as project:
        write_component(project, f"store: shared\n{ONE}")
        both = ONE.replace("logs", "pictures") + "  films:\n    bucket: acme-films\n"
        write_component(project, f"store: shared\n{both}", "media")
        with project.build_component_tree() as tree:
            ours = tree.build_defs()
        merged = dg.Definitions.merge(host_definitions(), ours)
        names = {f"{source}/{name}" for source in ("logs", "pictures", "films") for name in ASSETS}
        assert keys(merged) == names | {"ingested"}
        assert merged.executor is dg.multiprocess_executor
        assert ours.executor is None
        stores = {store_of(merged, source) for source in ("logs", "pictures", "films")}
        assert stores == {project.project_root / "shared"}
        every = sorted(targets(merged), key=sorted)
        assert len(every) == 4
        assert sum(map(len, every)) == len(set().union(*every))
        dg.Definitions.validate_loadable(merged)


def test_another_component_depends_on_the_change_log_by_its_key() -> None:
    script = "type: dagster.PythonScriptComponent\nattributes:\n  execution: {path: script.py}\n"
    with create_defs_folder_sandbox() as project:
        write_component(project, ONE)
        (project.defs_folder_path / "ingest").mkdir()
        (project.defs_folder_path / "ingest/defs.yaml").write_text(
            f"{script}  assets: [{{key: ingested, deps: [logs/change_log]}}]\n"
        )
        with project.build_component_tree() as tree:
            graph = tree.build_defs().resolve_asset_graph()
    upstream = graph.get(dg.AssetKey("ingested")).parent_keys
    assert upstream == {dg.AssetKey(["logs", "change_log"])}


def test_nothing_but_assets_and_jobs_lacks_the_name_of_a_source() -> None:
    with loaded(ONE) as (_, definitions, _):
        repository = definitions.get_repository_def()
        named = [
            *(definitions.resources or {}),
            *(job for job in repository.job_names if not job.startswith("__ASSET_JOB")),
            *(schedule.name for schedule in repository.schedule_defs),
            *(sensor.name for sensor in repository.sensor_defs),
        ]
        assert [name for name in named if not name.startswith("logs_")] == []


def test_a_source_of_two_instances_is_refused_with_both_files() -> None:
    with create_defs_folder_sandbox() as project:
        first, second = (write_component(project, ONE, folder) for folder in ("logs", "others"))
        message = refusal(project)
    assert message == (
        f"sources.logs: found in two components, {first}/defs.yaml:3 and {second}/defs.yaml:3, "
        "expected one, as assets are named for the source; rename one of them"
    )


def test_a_source_of_two_instances_in_one_file_is_refused_with_both_lines() -> None:
    with create_defs_folder_sandbox() as project:
        folder = write_component(project, ONE)
        file = folder / "defs.yaml"
        text = file.read_text()
        file.write_text(f"{text}---\n{text}")
        lines = [number for number, line in enumerate(text.splitlines(), 1) if "sources:" in line]
        second = lines[0] + len(text.splitlines()) + 1
        message = refusal(project)
    assert message == (
        f"sources.logs: found in two components, {file}:{lines[0]} and {file}:{second}, "
        "expected one, as assets are named for the source; rename one of them"
    )


def test_a_component_can_be_written_in_python() -> None:
    component = S3InventoryComponent(sources={"logs": SourceTable(bucket="acme-logs")})
    definitions = component.build_defs(dg.ComponentTree.for_test().load_context)
    assert keys(definitions) == {f"logs/{name}" for name in ASSETS}


def test_loading_opens_no_store_and_no_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_be_called(*_: object) -> None:
        raise AssertionError

    for name in ("open_results", "open_source_bucket", "open_catalog"):
        monkeypatch.setattr(f"inventory_assets.defs.source.resources.{name}", must_not_be_called)
    with loaded(ONE) as (_, definitions, root):
        dg.Definitions.validate_loadable(definitions)
        assert not (root / "data").exists()


def test_importing_the_component_reads_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("not TOML")
    code = "from inventory_assets import S3InventoryComponent as c; print(c.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "S3InventoryComponent"
