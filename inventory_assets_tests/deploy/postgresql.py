"""A PostgreSQL of its own, in a folder, that listens on a Unix socket and nowhere else."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

_INSTALLED = Path("/usr/lib/postgresql")
_START_SECONDS = 120.0
_UNPRIVILEGED = "postgres"


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest of those installed; None without any."""
    versions = sorted(
        (folder for folder in _INSTALLED.glob("*/bin") if (folder / "initdb").exists()),
        key=lambda folder: float(folder.parent.name),
    )
    if versions:
        return versions[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class PostgreSQL:
    """A cluster with one role and one database, both of one name.

    PostgreSQL refuses to run as root: root starts it as the user `postgres`.

    Args:
        name: The name of the role and the database.

    Attributes:
        url: For SQLAlchemy.
    """

    def __init__(self, name: str) -> None:
        found = programs()
        assert found is not None, "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        self._programs = found
        # Sockets have short names, and the folders of pytest are of the user that runs the tests.
        self._folder = Path(tempfile.mkdtemp(prefix="inventory-postgresql-", dir="/tmp"))
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg2://{name}@/{name}?host={quote(str(self._folder))}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def query(self, statement: str) -> str:
        """What a statement returns: a line a row, columns separated by `|`."""
        return self._psql(self._name, statement)

    def stop(self) -> None:
        """End the server, and remove its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast: it disconnects its clients
            self._process.wait(60)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        if self._user() is not None:
            shutil.chown(self._folder, _UNPRIVILEGED)
        data = self._folder / "data"
        self._run(
            "initdb",
            f"--pgdata={data}",
            "--username=postgres",
            "--auth=trust",  # the folder of the socket is closed to others
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )
        command = [
            str(self._programs / "postgres"),
            f"-D{data}",
            f"-k{self._folder}",
            "-clisten_addresses=",
            "-cfsync=off",
        ]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, user=self._user(), stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._accepts():
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, (self._folder / "log").read_text(errors="replace")
            time.sleep(0.1)
        self._psql("postgres", f"CREATE ROLE {self._name} LOGIN")
        self._psql("postgres", f"CREATE DATABASE {self._name} OWNER {self._name}")

    def _accepts(self) -> bool:
        command = [str(self._programs / "pg_isready"), f"--host={self._folder}", "--quiet"]
        return subprocess.run(command, check=False).returncode == 0

    def _psql(self, database: str, statement: str) -> str:
        return self._run(
            "psql",
            f"--host={self._folder}",
            "--username=postgres",
            f"--dbname={database}",
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            f"--command={statement}",
        )

    def _run(self, program: str, *arguments: str) -> str:
        return subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self._folder,
            user=self._user(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @staticmethod
    def _user() -> int | None:
        """The user to run PostgreSQL's programs as; None for this one."""
        return pwd.getpwnam(_UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
