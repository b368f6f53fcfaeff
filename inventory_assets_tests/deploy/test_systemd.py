"""`deploy/single-server` on a machine of its own: its README's commands, and systemd."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory_assets_tests.deploy.booted_machine import (
    BootedMachine,
    booted_machine,
    missing_for_boot,
)
from inventory_assets_tests.deploy.single_server import (
    LISTED_BUCKET,
    OBJECTS,
    RESULTS_BUCKET,
    at_endpoint,
)
from inventory_assets_tests.deploy.units import SERVICES, SINGLE_SERVER, UNITS, environment_file
from inventory_assets_tests.external_servers import Endpoint, Ministack, free_ports
from inventory_assets_tests.ui.dagster_client import DagsterClient

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.skipif(bool(missing_for_boot()), reason=missing_for_boot()),
]

README = (SINGLE_SERVER / "README.md").read_text()
UNIT_NAMES = [f"inventory-{name}" for name in SERVICES]
_INSTALL_SECONDS = 1_200.0


def commands(heading: str) -> list[str]:
    """The commands below a heading of the README, each continued one as one."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    joined = re.sub(r"\\\n\s*", "", "\n".join(blocks))
    return [line.partition(" #")[0].strip() for line in joined.splitlines() if line.strip()]


class InstalledServer(DagsterClient):
    """The three services on a machine, installed as the README says."""

    def __init__(self, machine: BootedMachine, store: Endpoint) -> None:
        super().__init__(free_ports(1)[0])
        self.machine = machine
        for command in commands("Install"):
            if command.startswith("sudoedit"):
                self._edit(Path(command.split()[1]), store)
            else:
                machine.check(command, seconds=_INSTALL_SECONDS)
        self.wait_until_it_answers()
        self.wait_until_its_location_is_loaded()

    def _edit(self, path: Path, store: Endpoint) -> None:
        """What the README asks a person to edit; credentials are in a file of their own."""
        there = self.machine.root / str(path).lstrip("/")
        if path.suffix == ".toml":
            there.write_text(at_endpoint(there.read_text(), store))
            return
        text = there.read_text().replace("PORT=3000", f"PORT={self._port}")
        there.write_text(text.replace("#AWS_SHARED", "AWS_SHARED"))
        keys = Path(environment_file(there.read_text())["AWS_SHARED_CREDENTIALS_FILE"])
        name, value = store.account.access_key, store.account.secret_key
        (self.machine.root / str(keys).lstrip("/")).write_text(
            f"[default]\naws_access_key_id = {name}\naws_secret_access_key = {value}\n"
        )
        self.machine.check(f"chown inventory {keys} && chmod 600 {keys}")

    def is_alive(self) -> bool:
        return (
            "failed" not in self.machine.run(f"systemctl is-failed {' '.join(UNIT_NAMES)}").stdout
        )

    def log_tail(self) -> str:
        return self.machine.run("journalctl --unit 'inventory-*' --lines 60").stdout

    def show(self, name: str, setting: str) -> str:
        """A property of a service."""
        return self.machine.check(f"systemctl show --value --property {setting} {name}").strip()

    def status_of(self, name: str) -> dict[str, str]:
        """What the kernel says of the main process of a service."""
        said = self.machine.check(f"cat /proc/{self.show(name, 'MainPID')}/status")
        return dict(line.split(":\t", 1) for line in said.splitlines())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Ministack(tmp_path_factory.mktemp("buckets")) as running:
        running.endpoint.make_bucket(LISTED_BUCKET, OBJECTS)
        running.endpoint.make_bucket(RESULTS_BUCKET)
        yield running.endpoint


@pytest.fixture(scope="module")
def server(store: Endpoint) -> Iterator[InstalledServer]:
    with booted_machine() as machine:
        yield InstalledServer(machine, store)


@pytest.fixture(scope="module")
def published(server: InstalledServer) -> str:
    """The date of an inventory that was made by runs under the restrictions of the units."""
    day = str(datetime.now(UTC).date())
    assert server.ended_run(server.materialize("logs/shards")) == "SUCCESS", server.log_tail()
    keys = server.shard_keys("logs/object_listing")
    listing = server.backfill("logs/object_listing", [f"{day}|{key}" for key in keys])
    assert server.ended_backfill(listing)["status"] == "COMPLETED_SUCCESS", server.log_tail()
    server.wait(
        "automation to publish the manifest",
        lambda: server.materializations("logs/inventory_manifest", day),
    )
    return day


def test_an_inventory_is_published_to_the_bucket(
    server: InstalledServer, store: Endpoint, published: str
) -> None:
    (made,) = server.materializations("logs/inventory_manifest", published)
    counts = {entry["label"]: entry.get("intValue") for entry in made["metadataEntries"]}
    assert counts["dagster/row_count"] == len(OBJECTS)
    folder = f"/{RESULTS_BUCKET}/daily/{LISTED_BUCKET}/logs"
    assert store.send("GET", f"{folder}/{published}T00-00Z/manifest.json") == 200


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_a_service_runs_without_privileges(server: InstalledServer, name: str) -> None:
    status = server.status_of(name)
    number = server.machine.check("id --user inventory").strip()
    assert set(status["Uid"].split()) == {number}
    assert {int(status[each], 16) for each in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert (server.show(name, "NRestarts"), server.show(name, "ActiveState")) == ("0", "active")


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_a_service_can_write_to_its_own_folders_alone(server: InstalledServer, name: str) -> None:
    inside = f"nsenter --target {server.show(name, 'MainPID')} --mount"
    places = ("/etc/inventory", "/opt/inventory", "/usr", "/var/lib", "/srv", "/home")
    for place in places:
        tried = server.machine.run(f"{inside} touch {place}/x")
        assert tried.returncode == 1, place
        assert "Read-only file system" in tried.stderr, place
    for place in ("/var/lib/inventory", "/var/cache/inventory", "/tmp"):  # noqa: S108 - private
        server.machine.check(f"{inside} sh -c 'touch {place}/x && rm {place}/x'")
    assert not (server.machine.root / "tmp" / "x").exists()


def test_the_code_server_can_be_asked_by_its_group_alone(server: InstalledServer) -> None:
    server.machine.check("runuser -u inventory -- test -S /run/inventory/code.sock")
    assert server.machine.run("runuser -u nobody -- ls /run/inventory").returncode != 0


def test_a_command_of_a_person_sees_the_inventory(server: InstalledServer, published: str) -> None:
    (command,) = [each for each in commands("Operate") if "inventory status" in each]
    assert published in server.machine.check(command)


def test_the_history_outlives_a_restart_of_all_services(
    server: InstalledServer, published: str
) -> None:
    server.machine.check("systemctl restart 'inventory-*'")
    server.wait_until_it_answers()
    server.wait_until_its_location_is_loaded()
    assert server.materializations("logs/inventory_manifest", published)
    assert server.ended_run(server.materialize("logs/shards")) == "SUCCESS"


def test_a_service_that_is_killed_starts_again(server: InstalledServer) -> None:
    for name in UNIT_NAMES:
        killed = server.show(name, "MainPID")
        server.machine.check(f"systemctl kill --signal=KILL {name}")
        server.wait(
            f"{name} to start again",
            lambda name=name, killed=killed: (  # type: ignore[misc]
                server.show(name, "ActiveState") == "active"
                and server.show(name, "MainPID") not in {"0", killed}
            ),
        )
    server.wait_until_it_answers()
    server.wait_until_its_location_is_loaded()


def test_an_upgrade_keeps_what_a_person_has_edited(server: InstalledServer) -> None:
    before = server.machine.check("md5sum /etc/inventory/*")
    (install,) = [each for each in commands("Install") if "install.sh" in each]
    server.machine.check(install, seconds=_INSTALL_SECONDS)
    assert server.machine.check("md5sum /etc/inventory/*") == before


def test_the_journal_holds_no_key(server: InstalledServer, store: Endpoint, published: str) -> None:
    assert published
    said = server.machine.check("journalctl --unit 'inventory-*'")
    assert "Started Dagster code server" in said
    assert store.account.secret_key not in said
    assert store.account.access_key not in said


def test_all_units_are_installed(server: InstalledServer) -> None:
    for unit in UNITS.rglob("*.*"):
        if unit.is_file():
            there = Path("/etc/systemd/system") / unit.relative_to(UNITS)
            installed = server.machine.root / str(there).lstrip("/")
            assert installed.read_text() == unit.read_text()
    server.machine.check("systemd-tmpfiles --clean /etc/tmpfiles.d/inventory.conf")
