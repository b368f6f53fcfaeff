"""OpenStack Swift with its S3 middleware: a proxy, and servers for accounts, containers, objects.

Debian's packages: swift-proxy swift-account swift-container swift-object (`install_servers.sh`).
"""

from pathlib import Path

from inventory_assets_tests.external_servers import HOST, Account, Endpoint, free_ports
from inventory_assets_tests.stores.daemons import Daemons

KINDS = ("object", "container", "account")

PROGRAMS = ("swift-ring-builder", "swift-proxy-server", *(f"swift-{kind}-server" for kind in KINDS))

_PIPELINE = (
    "catch_errors gatekeeper cache listing_formats s3api tempauth copy slo dlo versioned_writes "
    "symlink"
)
"""`cache` must be there, though no memcached is."""

_KINDS_OF_FILTERS = {"cache": "memcache"}

_OPTIONS = {
    "s3api": "s3_acl = false\nlocation = us-east-1\nauth_pipeline_check = false",
    "versioned_writes": "allow_versioned_writes = true\nallow_object_versioning = true",
}


class Swift(Daemons):
    """Swift on one disk, whose user may do everything.

    Args:
        folder: Where all lies.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._account = Account("test:tester", Account.random().secret_key)
        self._port, *ports = free_ports(1 + len(KINDS))
        self._ports = dict(zip(KINDS, ports, strict=True))

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{HOST}:{self._port}", self._account, takes_trailers=False)

    def start(self) -> None:
        (self.folder / "disks" / "one").mkdir(parents=True)
        for kind, port in self._ports.items():
            self._serve_kind(kind, port)
        self._serve_all()
        self.wait_for("Swift", lambda: self.endpoint.send("PUT", "/ready") == 200)

    def _serve_kind(self, kind: str, port: int) -> None:
        ring = str(self.folder / f"{kind}.builder")
        self.run("swift-ring-builder", ring, "create", "4", "1", "1")
        self.run("swift-ring-builder", ring, "add", f"r1z1-{HOST}:{port}/one", "1")
        self.run("swift-ring-builder", ring, "rebalance")
        config = self.folder / f"{kind}.conf"
        config.write_text(f"""
[DEFAULT]
{self._common(port)}
devices = {self.folder}/disks
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
""")
        self.daemon(f"swift-{kind}-server", str(config))

    def _serve_all(self) -> None:
        options = {**_OPTIONS, "tempauth": f"user_test_tester = {self._account.secret_key} .admin"}
        filters = "".join(
            f"[filter:{name}]\nuse = egg:swift#{_KINDS_OF_FILTERS.get(name, name)}\n"
            f"{options.get(name, '')}\n"
            for name in _PIPELINE.split()
        )
        config = self.folder / "proxy.conf"
        config.write_text(f"""
[DEFAULT]
{self._common(self._port)}
[pipeline:main]
pipeline = {_PIPELINE} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
{filters}""")
        self.daemon("swift-proxy-server", str(config))

    def _common(self, port: int) -> str:
        return (
            f"bind_ip = {HOST}\nbind_port = {port}\nworkers = 0\nuser = root\n"
            f"swift_dir = {self.folder}"
        )
