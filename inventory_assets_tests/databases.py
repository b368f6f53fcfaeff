"""PostgreSQL and Redis from the system's packages, in a folder and on a free port."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from inventory_assets_tests.external_servers import HOST, ServerProcess

NAME = "inventory"
"""Of the role and of the database that it owns."""

_INSTALLED = Path("/usr/lib/postgresql")
# For a server that is cut off: without these, a client waits for it for hours.
_LIMITS = (
    "connect_timeout=30&tcp_user_timeout=30000"
    "&keepalives_idle=10&keepalives_interval=10&keepalives_count=3"
)


def postgresql_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest of those installed; None without any."""
    versions = sorted(
        (folder for folder in _INSTALLED.glob("*/bin") if (folder / "initdb").exists()),
        key=lambda folder: float(folder.parent.name),
    )
    if versions:
        return versions[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def missing_programs() -> list[str]:
    """What is not installed, by the names of Debian's packages."""
    missing = []
    if postgresql_programs() is None:
        missing.append("postgresql")
    if shutil.which("redis-server") is None:
        missing.append("redis-server")
    return missing


class PostgreSQL(ServerProcess):
    """PostgreSQL with an empty database, which a role without other rights owns.

    It asks for a password on its port, and for none on the socket in its folder, which is closed to
    other users. It refuses to run as root, who starts it as the user `postgres`.

    Args:
        folder: Where the data lies; a short name, as that of a socket must be, in a folder that the
            user `postgres` may enter.
        host: The address to listen on.
    """

    # Ends at once, and closes all connections.
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, host: str = HOST) -> None:
        super().__init__(folder, host)
        found = postgresql_programs()
        assert found is not None, "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        self._programs = found
        self.password = secrets.token_hex(20)
        self.user = "postgres" if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """For SQLAlchemy, on the port; 2.1 takes `postgresql://` for psycopg 3."""
        where = f"{self.host}:{self._ports[0]}"
        return f"postgresql+psycopg2://{NAME}:{self.password}@{where}/{NAME}?{_LIMITS}"

    @property
    def socket_url(self) -> str:
        """For SQLAlchemy, on the socket."""
        where = f"host={quote(str(self.folder))}&port={self._ports[0]}"
        return f"postgresql+psycopg2://{NAME}@/{NAME}?{where}"

    def query(self, statements: str, database: str = NAME) -> str:
        """What statements return: a line a row, columns separated by `|`."""
        return self._run(
            "psql",
            f"--host={self.folder}",
            f"--port={self._ports[0]}",
            "--username=postgres",
            f"--dbname={database}",
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            given=statements,
        )

    def start(self) -> None:
        super().start()
        if NAME not in self.query("SELECT rolname FROM pg_roles", "postgres").split():
            self.query(
                f"CREATE ROLE {NAME} LOGIN PASSWORD '{self.password}';\n"
                f"CREATE DATABASE {NAME} OWNER {NAME};",
                "postgres",
            )

    def prepare(self) -> None:
        data = self.folder / "data"
        if data.exists():
            return
        self.folder.chmod(0o700)
        if self.user is not None:
            shutil.chown(self.folder, self.user, self.user)
        self._run(
            "initdb",
            f"--pgdata={data}",
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )
        with (data / "pg_hba.conf").open("a") as rules:  # initdb lets in this machine alone
            rules.write("host all all samenet scram-sha-256\n")

    def command(self, ports: list[int]) -> list[str]:
        options = {
            "listen_addresses": self.host,
            "port": ports[0],
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "max_connections": 200,
        }
        return [
            str(self._programs / "postgres"),
            f"-D{self.folder / 'data'}",
            *(f"-c{name}={value}" for name, value in options.items()),
        ]

    def is_ready(self) -> bool:
        said = subprocess.run(
            [
                str(self._programs / "pg_isready"),
                f"--host={self.folder}",
                f"--port={self._ports[0]}",
            ],
            capture_output=True,
            check=False,
        )
        return said.returncode == 0

    def _run(self, program: str, *arguments: str, given: str = "") -> str:
        return subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self.folder,
            user=self.user,
            check=True,
            input=given,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


class Redis(ServerProcess):
    """Redis, with a password, that writes nothing to the disk."""

    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, host)
        self.password = secrets.token_hex(20)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{self.host}:{self._ports[0]}"

    def prepare(self) -> None:
        # Not on the command line, which all users of the machine can read.
        (self.folder / "redis.conf").write_text(f"requirepass {self.password}\n")

    def command(self, ports: list[int]) -> list[str]:
        return [
            "redis-server",
            str(self.folder / "redis.conf"),
            "--bind",
            self.host,
            "--port",
            str(ports[0]),
            "--save",
            "",
        ]

    def is_ready(self) -> bool:
        with closing(socket.create_connection((self.host, self._ports[0]), 5)) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
