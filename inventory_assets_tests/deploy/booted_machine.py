"""A Debian with systemd as its first process: systemd-nspawn boots it from a folder.

It has this machine's network and clock, and files and processes of its own. It needs root,
systemd-nspawn (Debian: systemd-container) and debootstrap.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from inventory_assets_tests.deploy.image_root import PROJECT, copy_of, debian

RELEASE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "dbus",
    "postgresql",
    "python3-venv",
    "sudo",
    "systemd-sysv",
)
CHECKOUT = "/srv/checkout"
"""Where this project is on the machine, read-only."""

_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_AUTHORITIES_THERE = "/etc/authorities.crt"
_BOOT_SECONDS = 120.0


def missing_for_boot() -> str:
    """Why no machine can be booted here; "" if one can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in ("systemd-nspawn", "debootstrap") if shutil.which(name) is None]
    return f"not installed: {' '.join(absent)}" if absent else ""


class BootedMachine:
    """A machine that runs.

    Attributes:
        root: Its files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with (root / "console.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "systemd-nspawn",
                    "--quiet",
                    f"--directory={root}",
                    "--register=no",
                    "--keep-unit",
                    "--boot",
                    "--link-journal=no",
                    f"--bind-ro={PROJECT}:{CHECKOUT}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_booted(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._first() is not None:
                said = self.run("systemctl is-system-running").stdout.strip()
                if said in {"running", "degraded"}:
                    return
            time.sleep(0.5)
        raise AssertionError((self.root / "console.log").read_text(errors="replace")[-3000:])

    def run(self, script: str, *, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """What a script of the shell says, as root in the checkout."""
        first = self._first()
        assert first is not None, "the machine has ended"
        enter = ["nsenter", f"--target={first.pid}", "--mount", "--uts", "--ipc", "--pid"]
        return subprocess.run(
            [*enter, "--cgroup", "--root", "bash", "-euc", f"cd {CHECKOUT}\n{script}"],
            env={"PATH": "/usr/sbin:/usr/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def check(self, script: str, *, seconds: float = 120.0) -> str:
        """What a script says that must succeed."""
        done = self.run(script, seconds=seconds)
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def stop(self) -> None:
        """Switch it off."""
        first = self._first()
        if first is not None:
            self.run("systemctl poweroff --force")
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            if first is not None:
                first.kill()
            self._process.wait(30)

    def _first(self) -> psutil.Process | None:
        """Its first process, which is systemd."""
        try:
            children = psutil.Process(self._process.pid).children()
            return next((each for each in children if each.name() == "systemd"), None)
        except psutil.NoSuchProcess:
            return None


@contextmanager
def booted_machine() -> Iterator[BootedMachine]:
    """A fresh machine that has booted, with the package index of this one."""
    folder = Path(tempfile.mkdtemp(prefix="inventory-machine-", dir="/tmp"))
    machine = None
    try:
        root = copy_of(debian(RELEASE, PACKAGES), folder / "root").folder
        shutil.copy(_AUTHORITIES, root / _AUTHORITIES_THERE.lstrip("/"))
        shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        index = os.environ.get("PIP_INDEX_URL")
        lines = ["[global]", f"cert = {_AUTHORITIES_THERE}", "timeout = 180"]
        lines += [f"index-url = {index}"] if index else []
        (root / "etc" / "pip.conf").write_text("\n".join(lines))
        machine = BootedMachine(root)
        machine.wait_until_booted()
        yield machine
    finally:
        if machine is not None:
            machine.stop()
        shutil.rmtree(folder, ignore_errors=True)
