"""Ceph's RADOS Gateway on a cluster of one: a monitor, an OSD that keeps all in memory, no systemd.

Debian's packages: radosgw ceph-mon ceph-osd ceph-common (`install_servers.sh`).
"""

from pathlib import Path
from uuid import uuid4

from inventory_assets_tests.external_servers import HOST, Account, Endpoint, free_ports
from inventory_assets_tests.stores.daemons import Daemons

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")

_MAY_DO_ALL = [word for what in ("mon", "osd") for word in ("--cap", what, "allow *")]


class RadosGateway(Daemons):
    """Ceph's gateway and what it needs; objects lie in memory.

    Args:
        folder: Where records and logs lie; its path must be short, as it holds sockets.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._account = Account.random()
        self._fsid = str(uuid4())
        *self._monitor_ports, self._port = free_ports(3)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{HOST}:{self._port}", self._account, takes_trailers=False)

    def start(self) -> None:
        for name in ("mon", "osd", "log", "run"):
            (self.folder / name).mkdir(parents=True)
        self._configure()
        v2, v1 = self._monitor_ports
        there, monitors = f"[v2:{HOST}:{v2},v1:{HOST}:{v1}]", str(self.folder / "monitors")
        keyring = str(self.folder / "keyring")
        self._ceph("ceph-authtool", "--create-keyring", keyring)
        for name in ("mon.", "client.admin", "client.rgw", "osd.0"):
            self._ceph("ceph-authtool", keyring, "--gen-key", "-n", name, *_MAY_DO_ALL)
        self._ceph("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", there, monitors)
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", keyring)
        self.daemon(*self._command("ceph-mon", "-f", "-i", "a"))
        identity = str(uuid4())
        self._ceph("ceph", "--connect-timeout", "30", "osd", "new", identity)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self.daemon(*self._command("ceph-osd", "-f", "-i", "0"))
        self.wait_for(
            "the OSD", lambda: '"num_up_osds":1' in self._ceph("ceph", "osd", "stat", "-fjson")
        )
        self.daemon(*self._command("radosgw", "-f", "-n", "client.rgw"))
        account = self._account
        keys = ("--access-key", account.access_key, "--secret-key", account.secret_key)
        self._ceph("radosgw-admin", "user", "create", "--uid=all", "--display-name=all", *keys)
        self.wait_for("the gateway", lambda: self.endpoint.send("PUT", "/ready") == 200)

    def _configure(self) -> None:
        folder, (v2, v1) = self.folder, self._monitor_ports
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
        return [program, "-c", str(self.folder / "ceph.conf"), *arguments]

    def _ceph(self, program: str, *arguments: str) -> str:
        return self.run(*self._command(program, *arguments))
