"""PostgreSQL and Redis from the system's packages, in a folder and on a free port."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path

from inventory_assets_tests.deploy.postgresql import programs
from inventory_assets_tests.external_servers import ServerProcess


def postgres_program(name: str) -> str | None:
    """A program of PostgreSQL; None where it is not installed."""
    folder = programs()
    return str(folder / name) if folder else None


def missing_programs() -> list[str]:
    """What is not installed, by the names of Debian's packages."""
    missing = []
    if postgres_program("initdb") is None:
        missing.append("postgresql")
    if shutil.which("redis-server") is None:
        missing.append("redis-server")
    return missing


class Postgres(ServerProcess):
    """PostgreSQL with one empty database, `dagster`."""

    # Ends at once, and closes all connections.
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, host)
        self.password = secrets.token_hex(20)
        # It refuses to run as root.
        self.user = "postgres" if os.getuid() == 0 else None

    @property
    def url(self) -> str:
        # SQLAlchemy 2.1 takes `postgresql://` for psycopg 3.
        where = f"{self.host}:{self._ports[0]}"
        limits = "connect_timeout=30&tcp_user_timeout=30000&keepalives_idle=10"
        more = "keepalives_interval=10&keepalives_count=3"
        user = f"postgres:{self.password}"
        return f"postgresql+psycopg2://{user}@{where}/postgres?{limits}&{more}"

    def prepare(self) -> None:
        data = self.folder / "data"
        if data.exists():
            return
        if self.user is not None:
            shutil.chown(self.folder, self.user, self.user)
        given = self.folder / "password"
        given.write_text(self.password)
        given.chmod(0o644)  # readable for the user of the server; the folder is not for others
        subprocess.run(
            [
                str(postgres_program("initdb")),
                f"--pgdata={data}",
                "--username=postgres",
                f"--pwfile={given}",
                "--auth=scram-sha-256",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=self.folder,
            user=self.user,
        )
        given.unlink()
        with (data / "pg_hba.conf").open("a") as rules:  # initdb lets in this machine alone
            rules.write("host all all samenet scram-sha-256\n")

    def command(self, ports: list[int]) -> list[str]:
        options = {
            "listen_addresses": self.host,
            "port": ports[0],
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
        }
        return [
            str(postgres_program("postgres")),
            "-D",
            str(self.folder / "data"),
            *(f"-c{name}={value}" for name, value in options.items()),
        ]

    def is_ready(self) -> bool:
        program = str(postgres_program("pg_isready"))
        said = subprocess.run(
            [program, f"--host={self.host}", f"--port={self._ports[0]}"],
            capture_output=True,
            check=False,
        )
        return said.returncode == 0


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
