"""The wheel in a new environment: a project of `create-dagster` lists a bucket for two days.

These tests need a package index. They prove the oldest and the newest version of Dagster that
`pyproject.toml` accepts.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inventory_assets import Dataset
from inventory_assets_tests.components.projects import TYPE
from inventory_assets_tests.external_servers import REGION, Endpoint

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KEYS = ["a/1", "a/2", "b/1", "loose"]


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and the project in it."""

    python: Path
    project: Path

    def install(self, *packages: str) -> None:
        uv = shutil.which("uv")
        python = str(self.python)
        pip = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
        subprocess.run([*pip, "-q", *packages], check=True, timeout=900)

    def run(self, program: str, *arguments: str, **variables: str) -> str:
        """Run a program of the environment in the project, and return what it prints."""
        environ = {name: value for name, value in os.environ.items() if name[:4] != "AWS_"}
        environ |= {"PATH": f"{self.python.parent}:{environ['PATH']}", "AWS_REGION": REGION}
        environ |= {"DAGSTER_HOME": str(self.project.parent / "home"), "NO_PROXY": "*"}
        ended = subprocess.run(
            [self.python.parent / program, *arguments],
            cwd=self.project if self.project.exists() else self.project.parent,
            env=environ | variables,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def supported_versions() -> tuple[str, str]:
    """The requirements of the oldest and of the newest version of Dagster."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = (each for each in project["dependencies"] if re.match("dagster>", each))
    oldest, newest = re.fullmatch(r"dagster>=([\d.]+),(<[\d.]+)", requirement).groups()  # type: ignore[union-attr]
    return f"dagster=={oldest}", f"dagster{newest}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    command = [uv, "build", "-q", "--wheel", "-o", str(folder)] if uv else pip
    subprocess.run([*command, str(ROOT)], check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module", params=supported_versions())
def environment(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with the wheel and a new project, and without the extras."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "home").mkdir()
    (folder / "home/dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    venv.create(folder / "venv", with_pip=not shutil.which("uv"))
    environment = Environment(folder / "venv/bin/python", folder / "host")
    environment.install(str(wheel), request.param, "create-dagster", "dagster-dg-cli")
    environment.run("create-dagster", "project", "host", "--no-uv-sync")
    environment.install("-e", str(environment.project))
    return environment


def test_the_wheel_has_the_package_its_schemas_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in ("inventory.schema.json", "manifest.schema.json"):
            packed = archive.read(f"inventory_assets/schemas/{name}")
            assert json.loads(packed) == json.loads((ROOT / "docs" / name).read_text())
    assert "inventory_assets/py.typed" in names
    assert sum(name.endswith(".dist-info/licenses/LICENSE") for name in names) == 1
    code = re.compile(r"inventory_assets/.*\.py|inventory_assets-[\d.]+\.dist-info/.*")
    data = {name for name in names if not code.fullmatch(name)}
    package = (path.relative_to(ROOT) for path in (ROOT / "inventory_assets").rglob("*.*"))
    assert data == {str(path) for path in package if path.suffix not in {".py", ".pyc"}} | {
        "inventory_assets/schemas/inventory.schema.json",
        "inventory_assets/schemas/manifest.schema.json",
    }


def test_a_project_of_create_dagster_lists_a_bucket_for_two_days(
    environment: Environment, moto: Endpoint
) -> None:
    bucket = moto.make_bucket(
        f"listed-by-{environment.project.parent.name}", dict.fromkeys(KEYS, b"")
    )

    environment.run("dg", "scaffold", "defs", TYPE, "logs")
    file = environment.project / "src/host/defs/logs/defs.yaml"
    environment.run("dg", "check", "yaml")
    environment.run("dg", "check", "defs")
    text = file.read_text().replace("bucket: my-bucket", 'bucket: "{{ env.LOGS_BUCKET }}"')
    text = text.replace("region: eu-west-1", f"endpoint_url: {moto.url}")
    text = text.replace("depth: 1", 'depth: "{{ env.LOGS_DEPTH | int }}"')
    today = datetime.now(UTC).date()
    # The file begins today; this is written a day later.
    text = re.sub(r'start_date: ".*"', f'start_date: "{today - timedelta(days=1)}"', text)
    file.write_text(text + "      addressing_style: path\n")

    def dg(*arguments: str) -> str:
        account = moto.account
        return environment.run(
            "dg",
            *arguments,
            LOGS_BUCKET=bucket,
            LOGS_DEPTH="1",
            AWS_ACCESS_KEY_ID=account.access_key,
            AWS_SECRET_ACCESS_KEY=account.secret_key,
        )

    dg("check", "yaml")
    dg("check", "defs")
    listed = dg("list", "defs", "--json")
    for name in ("logs/shards", "logs/object_listing", "logs/change_log", "logs_daily"):
        assert f'"{name}"' in listed

    dg("launch", "--assets", "logs/shards")
    for day in (today - timedelta(days=1), today):
        shards = f"{day}|@remainder...{day}|b/"
        dg("launch", "--assets", "logs/object_listing", "--partition-range", shards)
        dg("launch", "--assets", "logs/inventory_manifest", "--partition", str(day))
        moto.delete(bucket, KEYS[:1])
    inventory = environment.project / f"data/inventory/{bucket}/logs"
    for day, expected in ((today - timedelta(days=1), KEYS), (today, KEYS[1:])):
        records = Dataset.at(inventory / f"{day}T00-00Z").scan().collect()
        assert records["key"].to_list() == expected


def test_without_the_extra_the_demo_says_what_to_install(environment: Environment) -> None:
    code = "import importlib.util as u; print(*map(u.find_spec, ['moto', 'dagster_webserver']))"
    assert environment.run("python", "-c", code).split() == ["None", "None"]
    with pytest.raises(AssertionError, match=r"pip install 'inventory-assets\[demo\]'"):
        environment.run("inventory", "demo")
