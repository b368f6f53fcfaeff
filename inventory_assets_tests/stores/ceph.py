"""Ceph's RADOS Gateway on a cluster of one: a monitor, an OSD that keeps all in memory, no systemd.

Debian's packages: radosgw ceph-mon ceph-osd ceph-common (`install_ceph.sh`).
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from inventory_assets_tests.external_servers import HOST, Account, Endpoint, free_ports

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")

INSTALL = Path(__file__).with_name("install_ceph.sh")

_START_SECONDS = 90

_MAY_DO_ALL = [word for what in ("mon", "osd") for word in ("--cap", what, "allow *")]


def missing_programs() -> list[str]:
    """The programs of Ceph that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class RadosGateway:
    """Used as a context, in which it runs.

    Args:
        folder: Where records and logs lie; objects lie in memory. Its path must be short, as it
            holds sockets.

    Attributes:
        endpoint: Where it listens, and who may do everything there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._account = Account.random()
        self._fsid = str(uuid4())
        self._processes: list[subprocess.Popen[bytes]] = []
        *self._monitor_ports, self._port = free_ports(3)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{HOST}:{self._port}", self._account)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self) -> None:
        for name in ("mon", "osd", "log", "run"):
            (self._folder / name).mkdir(parents=True)
        self._configure()
        v2, v1 = self._monitor_ports
        there, monitors = f"[v2:{HOST}:{v2},v1:{HOST}:{v1}]", str(self._folder / "monitors")
        keyring = str(self._folder / "keyring")
        self._run("ceph-authtool", "--create-keyring", keyring)
        for name in ("mon.", "client.admin", "client.rgw", "osd.0"):
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *_MAY_DO_ALL)
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", there, monitors)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", keyring)
        self._daemon("ceph-mon", "-i", "a")
        identity = str(uuid4())
        self._run("ceph", "--connect-timeout", "30", "osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._daemon("ceph-osd", "-i", "0")
        self._wait(
            "the OSD", lambda: '"num_up_osds":1' in self._run("ceph", "osd", "stat", "-fjson")
        )
        self._daemon("radosgw", "-n", "client.rgw")
        account = self._account
        keys = ("--access-key", account.access_key, "--secret-key", account.secret_key)
        self._run("radosgw-admin", "user", "create", "--uid=all", "--display-name=all", *keys)
        self._wait("the gateway", lambda: self.endpoint.send("PUT", "/ready") == 200)

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        self._processes.clear()

    def _configure(self) -> None:
        folder, (v2, v1) = self._folder, self._monitor_ports
        (folder / "ceph.conf").write_text(f"""
[global]
fsid = {self._fsid}
mon_host = [v2:{HOST}:{v2},v1:{HOST}:{v1}]
public_addr = {HOST}
cluster_addr = {HOST}
keyring = {folder}/keyring
mon_data = {folder}/mon
osd_data = {folder}/osd
log_file = {folder}/log/$name.log
admin_socket = {folder}/run/$name.sock
run_dir = {folder}/run
crash_dir = {folder}/run
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_class_load_list = *
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
rgw_frontends = beast endpoint={HOST}:{self._port}
rgw_enable_usage_log = false
rgw_override_bucket_index_max_shards = 3
""")

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [program, "-c", str(self._folder / "ceph.conf"), *arguments]

    def _run(self, program: str, *arguments: str) -> str:
        run = subprocess.run(
            self._command(program, *arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
        )
        assert run.returncode == 0, f"{program} {arguments}: {run.stderr[-2000:]}"
        return run.stdout

    def _daemon(self, program: str, *arguments: str) -> None:
        with (self._folder / "log" / f"{program}.out").open("wb") as out:
            process = subprocess.Popen(
                self._command(program, "-f", *arguments),
                env={**os.environ, "HOME": str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)

    def _wait(self, what: str, is_ready: Callable[[], bool]) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            try:
                if is_ready():
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"{what} does not start; see {self._folder}/log")
