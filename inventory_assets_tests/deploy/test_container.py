"""The image of `deploy/container`: what it is made of, and its steps, run in a clean root."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from inventory_assets_tests.deploy.containerfile import Instruction, Stage, stages_of
from inventory_assets_tests.deploy.image_root import (
    PROJECT,
    ImageRoot,
    allowed_files,
    copy_of,
    debian,
)
from inventory_assets_tests.deploy.units import DEPLOY
from inventory_assets_tests.external_servers import Endpoint, Ministack
from inventory_assets_tests.ui.running_dagster import free_port

LOCKS = ("requirements-server.lock", "requirements-build.lock")
IMAGE = stages_of()[-1]
VOLUMES = tuple(IMAGE.last("VOLUME").words)
USER = int(IMAGE.last("USER").value.partition(":")[0])
PATIENCE_SECONDS = 300.0

needs_debootstrap = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debootstrap") is None,
    reason="needs root and debootstrap (Debian: apt-get install debootstrap)",
)


def pinned(lock: str) -> dict[str, set[str]]:
    """The versions of each package in a lock file, which may depend on Python's version."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)", (PROJECT / lock).read_text(), re.MULTILINE
    ):
        found.setdefault(name, set()).add(version)
    return found


def test_all_stages_begin_with_one_debian() -> None:
    assert len({stage.base for stage in stages_of()}) == 1


def test_the_image_is_of_a_user_without_privileges_that_has_a_number() -> None:
    user, _, group = IMAGE.last("USER").value.partition(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert [each.name for each in IMAGE.instructions][-1] != "USER"  # the command comes after it


def test_the_scratch_folder_is_on_a_volume() -> None:
    assert IMAGE.environment["TMPDIR"] in VOLUMES
    assert IMAGE.environment["HOME"] in VOLUMES
    assert set(VOLUMES) == {"/tmp", IMAGE.environment["TMPDIR"]}  # noqa: S108 - of the image


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_file_has_hashes(lock: str) -> None:
    text = re.sub(r"\\\n", " ", (PROJECT / lock).read_text())
    lines = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert lines
    assert [line for line in lines if "--hash=sha256:" not in line] == []


def test_nothing_is_installed_without_a_hash() -> None:
    installs = [
        command
        for stage in stages_of()
        for each in stage.instructions
        if each.name == "RUN"
        for command in each.value.split("&&")
        if "pip install" in command
    ]
    assert len(installs) == 3
    assert [
        each for each in installs if "--require-hashes" not in each and "--no-index" not in each
    ] == []
    assert all("--no-deps" in each for each in installs)


def test_the_server_has_the_versions_that_are_tested() -> None:
    server, tested = pinned("requirements-server.lock"), pinned("requirements.lock")
    assert set(server) <= set(tested)
    assert {name: versions for name, versions in server.items() if versions != tested[name]} == {}
    assert {"dagster-webserver", "dagster-postgres", "dagster-k8s", "dagster-aws"} <= set(server)
    assert not {"moto", "pytest"} & set(server)


def test_the_context_holds_what_is_copied_and_no_configuration() -> None:
    names = allowed_files(PROJECT)
    assert "inventory_assets/definitions.py" in names
    assert not [name for name in names if name.endswith((".env", "inventory.toml", ".pyc"))]
    assert (PROJECT / ".dockerignore").read_text() == (PROJECT / ".containerignore").read_text()


@pytest.fixture(scope="module")
def image() -> Iterator[ImageRoot]:
    """The image, built by its steps; some minutes."""
    work = PROJECT / "build" / "deploy" / "image"
    shutil.rmtree(work, ignore_errors=True)
    roots: dict[str, ImageRoot] = {}
    for number, stage in enumerate(stages_of()):
        roots[stage.name] = _built(stage, work / str(number), roots)
    yield roots[IMAGE.name]
    shutil.rmtree(work, ignore_errors=True)


def _built(stage: Stage, folder: Path, roots: Mapping[str, ImageRoot]) -> ImageRoot:
    found = re.fullmatch(r"docker\.io/library/debian:(\w+)-slim", stage.base)
    assert found is not None
    folder.mkdir(parents=True)
    root = copy_of(debian(found[1]), folder)
    root.build(stage, PROJECT, roots)
    return root


class Container:
    """The image with its volumes and a configuration, whose programs are run one at a time."""

    def __init__(self, image: ImageRoot, folder: Path, store: Endpoint) -> None:
        self._image = image
        self.store = store
        self._volumes = {place: folder / place.strip("/") for place in VOLUMES}
        for volume in self._volumes.values():
            volume.mkdir()
            volume.chmod(0o1777)
        self._settings = folder / "settings"
        self._settings.mkdir()
        self.settle(
            "inventory.toml",
            'store = "s3://acme-inventories/daily"\n[sources.logs]\nbucket = "acme-logs"\n'
            f'endpoint_url = "{store.url}"\n',
        )

    def settle(self, name: str, text: str) -> None:
        """Put a file beside the configuration, where the image cannot write."""
        (self._settings / name).write_text(text)

    def start(self, command: Sequence[str], **environment: str) -> "subprocess.Popen[str]":
        """Start a program in it."""
        mounts = {**self._volumes, "/etc/inventory": self._settings}
        return self._image.run(command, writable=mounts, user=USER, environment=environment)

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        """Run a program in it: its exit code, and all it said."""
        process = self.start(command, **environment)
        try:
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{command} did not end: {ended(process)}") from None
        return process.returncode, said

    def written(self, place: str) -> list[str]:
        """The names in one of its volumes."""
        return sorted(each.name for each in self._volumes[place].iterdir())


@pytest.fixture
def container(image: ImageRoot) -> Iterator[Container]:
    """The image beside a bucket of objects."""
    folder = Path(tempfile.mkdtemp(prefix="inventory-container-", dir="/tmp"))
    folder.chmod(0o755)
    server = Ministack(folder / "s3")
    try:
        server.start()
        server.endpoint.make_bucket("acme-logs", {f"logs/{n}": b"x" for n in range(30)})
        yield Container(image, folder, server.endpoint)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@needs_debootstrap
@pytest.mark.distributed
class TestTheImage:
    def test_writes_nowhere_but_to_its_volumes(self, container: Container) -> None:
        tried = ["/x", "/etc/inventory/x", "/opt/inventory/x", "/usr/x", "/var/x", "/root/x"]
        code, said = container.run(
            "sh", "-c", f"id -u; touch /scratch/y /tmp/y; touch {' '.join(tried)}"
        )
        assert code == 1
        assert said.startswith(f"{USER}\n")
        assert [place for place in tried if place not in said] == []
        assert said.count("touch: ") == len(tried)
        assert container.written("/scratch") == ["y"]

    def test_has_no_privileges(self, container: Container) -> None:
        _, said = container.run("grep", "-E", "^(Cap|NoNewPrivs)", "/proc/self/status")
        values = dict(line.split(":\t") for line in said.splitlines())
        assert {int(value, 16) for name, value in values.items() if name.startswith("Cap")} == {0}
        assert values["NoNewPrivs"] == "1"

    def test_has_no_compiler_and_no_pip(self, container: Container) -> None:
        code, said = container.run(
            "sh", "-c", "command -v gcc cc pip pip3 git curl wget; python -m pip"
        )
        assert code == 1
        assert "No module named pip" in said
        assert "/" not in said.replace("/opt/inventory/bin/python", "")

    def test_has_all_that_a_deployment_imports(self, container: Container) -> None:
        modules = "dagster_k8s, dagster_postgres, dagster_aws, dagster_webserver, duckdb, pyiceberg"
        code, said = container.run("python", "-c", f"import {modules}, opentelemetry.sdk, psycopg2")
        assert (code, said) == (0, "")

    def test_lists_a_bucket(self, container: Container) -> None:
        code, said = container.run(
            "inventory",
            "list",
            "s3://acme-logs/",
            "--endpoint-url",
            container.store.url,
            "--out",
            "/scratch/listing",
            **container.store.account.environment,
        )
        assert code == 0, said
        assert "30" in said
        assert container.written("/scratch") == ["listing"]

    @pytest.mark.parametrize("home", ["/scratch", "/etc/inventory"])
    def test_serves_the_sources_and_says_that_it_is_well(
        self, container: Container, home: str
    ) -> None:
        """As on Kubernetes, whose chart gives the code server no dagster.yaml, and as on ECS."""
        if home == "/etc/inventory":
            container.settle("dagster.yaml", _ecs_settings())
        port = str(free_port())
        command = [word.replace("4266", port) for word in IMAGE.last("CMD").words]
        check = Instruction("CMD", IMAGE.last("HEALTHCHECK").value.partition("CMD ")[2])
        asked = [word.replace("4266", port) for word in check.words]
        command[command.index("--host") + 1] = "127.0.0.1"  # the network is this machine's
        assert container.run(*asked)[0] != 0
        server = container.start(command, DAGSTER_HOME=home, AWS_REGION="eu-west-1")
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while container.run(*asked)[0] != 0:
                assert server.poll() is None, server.communicate()[0]
                assert time.monotonic() < deadline
        finally:
            said = ended(server)
        assert "Started Dagster code server" in said


def ended(process: "subprocess.Popen[str]") -> str:
    """Kill a program of a container; what it said.

    It outlives `unshare`, which started it, because its user changed.
    """
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    return process.communicate()[0]


def _ecs_settings() -> str:
    """ECS's dagster.yaml, but for the database."""
    settings = yaml.safe_load((DEPLOY / "ecs" / "dagster.yaml").read_text())
    settings["storage"] = {"sqlite": {"base_dir": "/scratch/history"}}
    return str(yaml.safe_dump(settings))


def test_the_health_check_and_the_command_name_one_port() -> None:
    port = IMAGE.last("EXPOSE").value
    assert port in IMAGE.last("HEALTHCHECK").value
    assert port in IMAGE.last("CMD").words
