from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Config, ConfigError, Schedule, Source
from inventory_assets.definitions import VALIDATION_VARIABLE, build_definitions, defs

NAMES = ["one", "two", "three", "four", "five"]
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


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """Five sources, two of them of the same bucket."""
    store = tmp_path_factory.mktemp("store")
    sources = {name: Source(name=name, bucket="shared" if name < "o" else name) for name in NAMES}
    return build_definitions(Config(store=store, sources=sources))


def test_five_sources_can_be_loaded(five: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(five)


def test_each_source_has_a_group_of_its_own(five: dg.Definitions) -> None:
    groups: dict[str, set[str]] = {}
    for asset in five.assets or []:
        assert isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs:
            groups.setdefault(str(spec.group_name), set()).add(spec.key.to_user_string())
    assert groups == {name: {f"{name}/{asset}" for asset in ASSETS} for name in NAMES}


def test_each_source_has_a_schedule_a_sensor_and_a_job(five: dg.Definitions) -> None:
    repository = five.get_repository_def()
    assert {s.name for s in repository.schedule_defs} == {
        f"{name}_{each}" for name in NAMES for each in ("daily", "collect_garbage_daily")
    }
    assert {s.name for s in repository.sensor_defs} == {
        f"{name}_{each}" for name in NAMES for each in ("new_prefixes", "automation", "releases")
    }
    assert set(repository.job_names) >= {
        f"{name}_{each}" for name in NAMES for each in ("listing", "release_date")
    }


def test_no_resource_holds_a_secret(five: dg.Definitions) -> None:
    held = [resource for key, resource in (five.resources or {}).items() if "bucket" in key]
    assert len(held) == len(NAMES)
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    assert {getattr(resource, name) for resource in held for name in names} == {None}


def test_without_a_configuration_there_is_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INVENTORY_CONFIG", raising=False)
    definitions = defs()
    keys = definitions.resolve_all_asset_keys()
    names = [*ASSETS, "lifecycle_simulation"]  # the demo has rules to simulate
    assert {key.to_user_string() for key in keys} == {f"demo/{name}" for name in names}


@pytest.mark.parametrize(("days", "warns"), [(31, False), (194, False), (195, True), (380, True)])
def test_many_partitions_are_warned_about_when_the_location_is_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, warns: bool
) -> None:
    source = Source(name="x", bucket="b-c", schedule=Schedule(listing_window_days=days))
    build_definitions(Config(store=tmp_path, sources={"x": source}))
    assert ("lower schedule.listing_window_days" in caplog.text) == warns


def test_an_invalid_configuration_is_reported_when_the_location_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text("[sources.x]\n")
    monkeypatch.setenv("INVENTORY_CONFIG", str(path))
    with pytest.raises(ConfigError, match="bucket"):
        defs()


BROKEN = """
[sources.good]
bucket = "good"

[sources.bad]
bucket = "bad"
colour = "re`d"

["sources"."worse name"]
bucket = 7
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "inventory.toml"
    path.write_text(BROKEN)
    monkeypatch.setenv("INVENTORY_CONFIG", str(path))
    monkeypatch.delenv(VALIDATION_VARIABLE, raising=False)
    return path


def test_a_mistake_in_one_source_leaves_the_others_loaded(broken: Path) -> None:
    definitions = defs()
    keys = {key.to_user_string() for key in definitions.resolve_all_asset_keys()}
    assert keys == {
        *(f"good/{name}" for name in ASSETS),
        "bad/invalid_configuration",
        "worse_name/invalid_configuration",
    }
    bad = definitions.resolve_assets_def(dg.AssetKey(["bad", "invalid_configuration"]))
    with pytest.raises(dg.Failure, match=r"sources\.bad\.colour: found an unknown field") as raised:
        dg.materialize([bad])
    assert str(broken) in str(raised.value.description)
    assert "bad.colour" in (bad.specs_by_key[bad.key].description or "")


@pytest.mark.usefixtures("broken")
def test_a_mistake_in_one_source_fails_the_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VALIDATION_VARIABLE, "1")
    with pytest.raises(ConfigError, match=r"bad\.colour(.|\n)*worse name"):
        defs()


@pytest.mark.parametrize("also", ["", "store = 7\n"])
def test_without_a_valid_source_nothing_is_loaded(also: str, broken: Path) -> None:
    broken.write_text(also + BROKEN.replace('bucket = "good"', "bucket = 7"))
    with pytest.raises(ConfigError, match=r"sources\.good\.bucket"):
        defs()


def test_a_mistake_outside_of_sources_is_not_ignored(broken: Path) -> None:
    broken.write_text("store = 7\n" + BROKEN)
    with pytest.raises(ConfigError, match="store: found the number 7"):
        defs()


def test_a_mistake_in_a_price_table_is_one_of_its_source(broken: Path) -> None:
    broken.write_text(
        '[sources.good]\nbucket = "good"\n[sources.bad]\nbucket = "bad"\nprices = "gone.toml"\n'
    )
    keys = {key.to_user_string() for key in defs().resolve_all_asset_keys()}
    assert keys == {*(f"good/{name}" for name in ASSETS), "bad/invalid_configuration"}
