"""The steps of a Containerfile, run in a clean root: Debian as debootstrap makes it, and chroot.

There is no container engine and no image registry here. Each stage is a copy of a fresh Debian of
the release that its base names; a step sees nothing of this machine but its network, its
certificate authorities and its package index. It needs root and debootstrap.
"""

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from inventory_assets_tests.deploy.containerfile import Stage

PROJECT = Path(__file__).parents[2]
MIRROR = "http://deb.debian.org/debian"

_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_AUTHORITIES_THERE = "/run/authorities.crt"
_PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUILD_SECONDS = 3_000
_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec")
"""A shell with mounts and processes of its own."""


class ImageRoot:
    """The files of an image that is being built, in a folder.

    Args:
        folder: The root; a copy of a base.

    Attributes:
        environment: What `ENV` set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {"PATH": _PLAIN_PATH}
        self._folder_there = "/"

    def build(self, stage: Stage, context: Path, stages: Mapping[str, "ImageRoot"]) -> None:
        """Do what the instructions of a stage say.

        Args:
            stage: The instructions.
            context: The folder that `COPY` takes files from, as far as `.containerignore` allows.
            stages: The earlier stages, by name.
        """
        for each in stage.instructions:
            if each.name == "ENV":
                self.environment |= dict(word.split("=", 1) for word in each.words)
            elif each.name == "WORKDIR":
                self._folder_there = each.value
                self.at(each.value).mkdir(parents=True, exist_ok=True)
            elif each.name == "RUN":
                self._step(each.value)
            elif each.name == "COPY":
                self._copy(each.words, context, stages)

    def at(self, place: str) -> Path:
        """A path of the image as a path of this machine."""
        return self.folder / place.lstrip("/")

    def run(
        self,
        command: Sequence[str],
        *,
        writable: Mapping[str, Path],
        user: int,
        environment: Mapping[str, str],
    ) -> subprocess.Popen[str]:
        """Start a program as a container would be: a read-only root, a user without privileges.

        Args:
            command: The program and its arguments.
            writable: The volumes: places of the image, and the folders that are mounted there.
            user: The number of the user and the group.
            environment: Variables beside those of the image.
        """
        root = self.folder
        mounts = [f"mount --rbind {root} {root}", f"mount -o remount,bind,ro {root}"]
        mounts += [f"mount --bind {folder} {root}{place}" for place, folder in writable.items()]
        mounts += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        drop = f"setpriv --reuid={user} --regid={user} --clear-groups --no-new-privs"
        script = " && ".join(
            [
                *mounts,
                f'exec chroot {root} /usr/bin/{drop} --bounding-set=-all -- /usr/bin/env "$@"',
            ]
        )
        variables = [
            f"{name}={value}" for name, value in {**self.environment, **environment}.items()
        ]
        return subprocess.Popen(
            [*_APART, script, "sh", "-i", "-C", self._folder_there, *variables, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _step(self, command: str) -> None:
        """Run a `RUN` as root, with the package index of this machine."""
        settings = {name: value for name, value in os.environ.items() if name.endswith("_proxy")}
        settings |= {"PIP_CERT": _AUTHORITIES_THERE, "PIP_DEFAULT_TIMEOUT": "180"}
        if index := os.environ.get("PIP_INDEX_URL"):
            settings["PIP_INDEX_URL"] = index
        root = self.folder
        (root / "run" / "authorities.crt").touch()
        script = " && ".join(
            [
                f"mount -t proc proc {root}/proc",
                f"mount --rbind /dev {root}/dev",
                f"mount --bind {_AUTHORITIES} {root}{_AUTHORITIES_THERE}",
                f'exec chroot {root} /usr/bin/env -i -C {self._folder_there} "$@"',
            ]
        )
        variables = [f"{name}={value}" for name, value in {**self.environment, **settings}.items()]
        shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        done = subprocess.run(
            [*_APART, script, "sh", *variables, "/bin/bash", "-euo", "pipefail", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"

    def _copy(self, words: list[str], context: Path, stages: Mapping[str, "ImageRoot"]) -> None:
        if words[0].startswith("--from="):
            (source, place), origin = words[1:], stages[words[0].removeprefix("--from=")]
            shutil.copytree(origin.at(source), self.at(place), symlinks=True, dirs_exist_ok=True)
            return
        *sources, place = words
        there = self.at(place if place.startswith("/") else f"{self._folder_there}/{place}")
        allowed = allowed_files(context)
        for source in sources:
            chosen = [name for name in allowed if name == source or name.startswith(f"{source}/")]
            assert chosen, f"COPY {source}: .containerignore keeps it out, or it does not exist"
            is_folder = (context / source).is_dir()
            for name in chosen:
                below = name.removeprefix(f"{source}/") if is_folder else Path(name).name
                (there / below).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(context / name, there / below)


def allowed_files(context: Path) -> list[str]:
    """The files of a context that `.containerignore` does not keep out: those after a `!`."""
    lines = (context / ".containerignore").read_text().splitlines()
    assert "*" in lines
    names: list[str] = []
    for kept in (line.removeprefix("!") for line in lines if line.startswith("!")):
        place = context / kept
        names += (
            [str(file.relative_to(context)) for file in place.rglob("*") if file.is_file()]
            if place.is_dir()
            else [kept]
        )
    return sorted(name for name in names if not fnmatch.fnmatch(name, "*/__pycache__/*"))


def debian(release: str, packages: Sequence[str] = ()) -> Path:
    """A fresh Debian of a release, made once and kept in `build/`.

    Args:
        release: Its name.
        packages: What it has beside the least.
    """
    name = "-".join(["debian", release, *(["server"] if packages else [])])
    root = PROJECT / "build" / "deploy" / name
    if not (root / "etc" / "debian_version").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        unfinished = root.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        more = [f"--include={','.join(packages)}"] if packages else []
        command = ["debootstrap", "--variant=minbase", *more, release, str(unfinished), MIRROR]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_BUILD_SECONDS)
        unfinished.rename(root)
    return root


def copy_of(base: Path, folder: Path) -> ImageRoot:
    """A root that begins as a copy of another."""
    subprocess.run(["cp", "-a", "--reflink=auto", f"{base}/.", str(folder)], check=True)
    return ImageRoot(folder)
