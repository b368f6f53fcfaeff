"""`deploy/single-server` at work: its units' commands, with its files, in a folder.

`make single-server` starts it with a PostgreSQL and buckets of its own, until Ctrl-C.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from inventory_assets_tests.databases import PostgreSQL
from inventory_assets_tests.deploy.units import (
    SERVICES,
    SINGLE_SERVER,
    environment_file,
    service_of,
)
from inventory_assets_tests.external_servers import Endpoint, Ministack
from inventory_assets_tests.ui.dagster_client import PATIENCE_SECONDS, DagsterClient
from inventory_assets_tests.ui.running_dagster import free_port

SETTINGS = ("dagster.yaml", "inventory.toml", "workspace.yaml")
LISTED_BUCKET = "acme-logs"
RESULTS_BUCKET = "acme-inventories"
OBJECTS: Mapping[str, bytes] = {
    f"{prefix}{number:03}": b"x" * number
    for prefix in ("2025/", "2026/", "")
    for number in range(40)
}

_STOP_SECONDS = 30.0
_LOG_TAIL = 4000


class SingleServer(DagsterClient):
    """The three services, whose files are where a server has them, below a folder.

    Args:
        folder: An empty folder with a short name, because it holds a socket.
        database_url: PostgreSQL, as `DAGSTER_POSTGRES_URL` names it.
        store: The S3 server of both buckets.
        more_sources: Added to `inventory.toml`.
    """

    def __init__(
        self, folder: Path, database_url: str, store: Endpoint, more_sources: str = ""
    ) -> None:
        super().__init__(free_port())
        self.folder = folder
        self._moved = {
            "/opt/inventory/bin": str(Path(sys.executable).parent),
            **{
                place: f"{folder}{place}"
                for place in (
                    "/etc/inventory",
                    "/var/lib/inventory",
                    "/var/cache/inventory",
                    "/run/inventory",
                )
            },
        }
        for place in self._moved.values():
            Path(place).mkdir(parents=True, exist_ok=True)
        self._configure(store, more_sources)
        self.variables = {
            **environment_file((SINGLE_SERVER / "inventory.env.example").read_text()),
            "DAGSTER_POSTGRES_URL": database_url,
            "INVENTORY_UI_PORT": str(self._port),
            **store.account.environment,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            for name in SERVICES:
                self.start(name)
            self.wait_until_it_answers()
            self.wait_until_its_location_is_loaded()
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(self, name: str) -> None:
        """Start a service as its unit does, and wait until it is ready."""
        service = service_of(name, self.variables)
        environment = self.environment_of(name)
        with self._log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [self._place(argument) for argument in service.command],
                cwd=self._place("/var/lib/inventory"),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if service.started:
                subprocess.run(
                    [self._place(argument) for argument in service.started],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=True,
                    timeout=PATIENCE_SECONDS,
                )

    def environment_of(self, name: str) -> dict[str, str]:
        """The variables of a service, and of a command that a person runs as its user."""
        given = service_of(name, self.variables).environment
        return {"LANG": "C.UTF-8", **{key: self._place(value) for key, value in given.items()}}

    def stop(self, name: str, signum: int = signal.SIGTERM) -> None:
        """Send a signal to all processes of a service, as systemd does, and wait for their end."""
        process = self.processes.pop(name)
        started = [psutil.Process(process.pid)] if process.poll() is None else []
        with suppress(psutil.NoSuchProcess):
            started += [child for parent in started for child in parent.children(recursive=True)]
        for each in started:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signum)
        _, left = psutil.wait_procs(started, _STOP_SECONDS)
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(_STOP_SECONDS)

    def children(self, name: str) -> set[psutil.Process]:
        """All processes that the program of a service started, and that are still there."""
        return set(psutil.Process(self.processes[name].pid).children(recursive=True))

    def stop_all(self) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)

    def is_alive(self) -> bool:
        return all(process.poll() is None for process in self.processes.values())

    def log_tail(self) -> str:
        return "\n".join(
            f"--- {name}\n{self._log(name).read_text(errors='replace')[-_LOG_TAIL:]}"
            for name in SERVICES
            if self._log(name).exists()
        )

    def listening(self) -> set[tuple[str, int]]:
        """The TCP addresses that any of the services listens on."""
        parents = [psutil.Process(process.pid) for process in self.processes.values()]
        everything = [*parents, *(child for each in parents for child in each.children(True))]
        found: set[tuple[str, int]] = set()
        for each in everything:
            with suppress(psutil.NoSuchProcess):
                found |= {
                    (connection.laddr.ip, connection.laddr.port)
                    for connection in each.net_connections("tcp")
                    if connection.status == psutil.CONN_LISTEN
                }
        return found

    def written(self, place: str) -> list[str]:
        """The files below one of a server's folders."""
        root = Path(self._place(place))
        return sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())

    def _configure(self, store: Endpoint, more_sources: str) -> None:
        for name in SETTINGS:
            text = at_endpoint(self._place((SINGLE_SERVER / name).read_text()), store)
            more = more_sources if name == "inventory.toml" else ""
            (Path(self._place("/etc/inventory")) / name).write_text(text + more)

    def _place(self, text: str) -> str:
        """A text whose paths are below the folder."""
        for place, moved in self._moved.items():
            text = text.replace(place, moved)
        return text

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def at_endpoint(settings: str, store: Endpoint) -> str:
    """The settings with both buckets on an S3 server instead of on AWS."""
    return settings.replace('region = "eu-west-1"', f'endpoint_url = "{store.url}"')


@contextmanager
def single_server(
    more_sources: str = "",
) -> Iterator[tuple[SingleServer, PostgreSQL, Endpoint]]:
    """The services with a PostgreSQL, a bucket to list and a bucket for results."""
    folder = Path(tempfile.mkdtemp(prefix="inventory-server-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL does not run as root
    bucket_server = Ministack(folder / "s3")
    try:
        bucket_server.start()
        store = bucket_server.endpoint
        store.make_bucket(LISTED_BUCKET, OBJECTS)
        store.make_bucket(RESULTS_BUCKET)
        with PostgreSQL(folder / "postgresql") as database:
            (folder / "server").mkdir()
            url = database.socket_url
            with SingleServer(folder / "server", url, store, more_sources) as server:
                yield server, database, store
    finally:
        bucket_server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Start everything, say where it is, and wait for Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print("starting PostgreSQL, two buckets and the three services ...", flush=True)
    with single_server() as (server, _, store):
        where = f"UI: {server.url}\nbuckets: {store.url}\nfiles: {server.folder}"
        with suppress(KeyboardInterrupt):
            print(f"{where}\nCtrl-C ends it", flush=True)
            while server.is_alive():
                time.sleep(1)
            print(server.log_tail(), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
