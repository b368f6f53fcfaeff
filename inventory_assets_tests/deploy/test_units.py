"""The units of `deploy/single-server`, as systemd judges them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from inventory_assets.config import load_config
from inventory_assets_tests.deploy.units import (
    COMMON,
    SERVICES,
    SINGLE_SERVER,
    UNITS,
    environment_file,
    service_of,
    settings_of,
)

MOST_EXPOSURE = 15
"""In tenths, of 100; systemd calls up to 20 "OK"."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)
EXAMPLE = (SINGLE_SERVER / "inventory.env.example").read_text()


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a folder, with programs that exist."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for unit in folder.glob("*.service"):
        unit.write_text(re.sub(r"=/opt/inventory/bin/\S+", "=/bin/true", unit.read_text()))
    return folder


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of units in a folder."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_accepts_a_unit(units: Path, name: str) -> None:
    said = analyze(units, "verify", "--man=no", f"inventory-{name}.service")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@needs_systemd
def test_systemd_finds_a_misspelt_setting(units: Path) -> None:
    drop_in = units / COMMON.parent.name / COMMON.name
    drop_in.write_text(drop_in.read_text().replace("ProtectSystem=", "ProtectSytem="))
    said = analyze(units, "verify", "--man=no", "inventory-code.service")
    assert "ProtectSytem" in said.stderr


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_exposes_little(units: Path, name: str) -> None:
    said = analyze(
        units,
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSURE}",
        "--json=short",
        f"inventory-{name}.service",
    )
    assert said.returncode == 0, said.stderr
    assert len(json.loads(said.stdout)) > 50


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_privileges_and_writes_to_its_own_folders(name: str) -> None:
    service = settings_of(name)["Service"]
    assert service["User"] == ["inventory"]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["CapabilityBoundingSet"] == [""]
    assert "ReadWritePaths" not in service
    written = {
        path
        for setting, root in (("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache"))
        for path in [f"{root}/{service[setting][0]}"]
    }
    started = service_of(name, environment_file(EXAMPLE)).environment
    assert {started["HOME"], started["TMPDIR"]} == written


def test_the_ui_listens_on_the_loopback_address() -> None:
    command = service_of("webserver", environment_file(EXAMPLE)).command
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "3000"


def test_the_code_server_is_reached_by_its_socket_alone() -> None:
    command = service_of("code", environment_file(EXAMPLE)).command
    socket = command[command.index("--socket") + 1]
    assert "--port" not in command
    assert f"socket: {socket}" in (SINGLE_SERVER / "workspace.yaml").read_text()
    assert settings_of("code")["Service"]["RuntimeDirectoryMode"] == ["0750"]


def test_the_launcher_can_see_when_a_process_began() -> None:
    """It compares a run's process with /proc/stat, which `ProcSubset=pid` hides."""
    assert all("ProcSubset" not in settings_of(name)["Service"] for name in SERVICES)


def test_the_example_of_the_environment_holds_no_secret() -> None:
    values = environment_file(EXAMPLE.replace("#DAGSTER", "DAGSTER").replace("#AWS", "AWS"))
    assert re.fullmatch(r"postgresql\+psycopg2://[a-z]+@\S*", values["DAGSTER_POSTGRES_URL"])
    assert not [name for name in values if re.search("SECRET|PASSWORD|TOKEN", name)]


def test_the_sources_are_valid() -> None:
    assert load_config(SINGLE_SERVER / "inventory.toml").sources
