"""The store must be one that all machines with runs reach."""

from pathlib import Path

import pytest

from inventory_assets.config import (
    DISTRIBUTED_VARIABLE,
    Config,
    ConfigError,
    is_distributed,
    require_shared_store,
)
from inventory_assets.definitions import build_definitions
from inventory_assets_tests.config.files import load

SOURCE = '[sources.logs]\nbucket = "acme-logs"\n'
SPREAD = {DISTRIBUTED_VARIABLE: "1"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("true", True), (" TRUE ", True), ("0", False), ("false", False), ("", False)],
)
def test_the_variable_says_whether_runs_are_spread(value: str, *, expected: bool) -> None:
    assert is_distributed({DISTRIBUTED_VARIABLE: value}) is expected


def test_without_the_variable_all_runs_are_on_one_machine() -> None:
    assert not is_distributed({})


def test_another_value_of_the_variable_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match=r"INVENTORY_DISTRIBUTED: found .*'many', expected 1 where"
    ):
        is_distributed({DISTRIBUTED_VARIABLE: "many"})


def test_a_folder_is_refused_where_runs_are_spread_over_machines() -> None:
    config = load(SOURCE)
    with pytest.raises(ConfigError) as caught:
        require_shared_store(config, SPREAD)
    told = str(caught.value)
    assert told.startswith(f"store: found the folder {config.store} while INVENTORY_DISTRIBUTED")
    assert 'store = "s3://acme-inventories/daily", or store_is_shared = true' in told


@pytest.mark.parametrize("text", ['store = "s3://results/daily"\n', "store_is_shared = true\n"])
def test_a_store_that_all_machines_reach_is_not(text: str) -> None:
    require_shared_store(load(text + SOURCE), SPREAD)


def test_a_folder_is_fine_on_one_machine() -> None:
    require_shared_store(load(SOURCE), {})


def test_the_definitions_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = Config(store=tmp_path, sources=load(SOURCE).sources)
    build_definitions(config)
    monkeypatch.setenv(DISTRIBUTED_VARIABLE, "1")
    with pytest.raises(ConfigError, match="expected a store that all of them reach"):
        build_definitions(config)
    build_definitions(config.model_copy(update={"store_is_shared": True}))
