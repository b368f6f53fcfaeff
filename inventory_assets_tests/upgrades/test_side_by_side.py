"""Two versions work on one store for a day, as during an upgrade, and corrupt nothing.

The former version is that of the newest tag `v*` before this commit. Until there is one, it is the
commit before the first that has `record_format.py`, the last one that did not know of other
formats. Its wheel is built from git and unpacked; where pip cannot build one, as without an index,
the package is taken from git as it is. Both versions use the present dependencies.
"""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig

from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.manifest.snapshot import files_that_differ
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets_tests.assets.world import TODAY, YESTERDAY

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "run_version.py"
MARK = "inventory_assets/inventory/storage/record_format.py"

FIRST = {"a/1": b"1", "a/gone": b"gone", "b/1": b"1", "c/1": b"1", "root": b"root"}
SECOND = {**{k: v for k, v in FIRST.items() if k != "a/gone"}, "b/2": b"2", "root": b"modified"}
SECOND_CHANGES = {"a/gone": "deleted", "b/2": "created", "root": "modified"}
THIRD = {**{k: v for k, v in SECOND.items() if k != "c/1"}, "d/1": b"1"}
THIRD_CHANGES = {**SECOND_CHANGES, "c/1": "deleted", "d/1": "created"}
BY_DATE = ["object_changes", "inventory_manifest", "change_log", "prefix_usage", "hygiene_report"]


def git(*arguments: str) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, timeout=60
    )
    return done.stdout


def former_commit() -> str:
    """The commit of the former version."""
    try:
        tags = git("tag", "--list", "v*", "--merged", "HEAD~1", "--sort=-v:refname").decode()
        if tags.split():
            return tags.split()[0]
        added = git("log", "--format=%H", "--diff-filter=A", "--", MARK).decode().split()
        return git("rev-parse", f"{added[-1]}^").decode().strip()
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        pytest.skip(f"there is no git history with a former version ({error})")


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package of the former version."""
    folder = tmp_path_factory.mktemp("former")
    checkout, wheels, unpacked = folder / "checkout", folder / "wheels", folder / "unpacked"
    with tarfile.open(fileobj=BytesIO(git("archive", former_commit()))) as archive:
        archive.extractall(checkout, filter="data")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels)]
    built = subprocess.run([*pip, str(checkout)], check=False, capture_output=True, timeout=300)
    if built.returncode:
        unpacked.mkdir()
        (checkout / "inventory_assets").rename(unpacked / "inventory_assets")
    else:
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(unpacked)  # noqa: S202 - our own wheel
    return unpacked


@dataclass(frozen=True)
class Versions:
    """Both versions, over one store and one instance of Dagster.

    Attributes:
        home: The folder with the configuration, the store and the instance.
        former: The folder with the package of the former version.
        client: A client of the bucket.
        bucket: The bucket.
    """

    home: Path
    former: Path
    client: Any
    bucket: str

    def start(self, who: str, day: Any, *actions: str) -> "subprocess.Popen[str]":
        """Start a version, `former` or `present`."""
        code = self.former if who == "former" else ROOT
        environ = {
            **os.environ,
            "PYTHONPATH": str(code),
            "DAGSTER_HOME": str(self.home),
            "INVENTORY_CONFIG": str(self.home / "inventory.toml"),
        }
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), str(day), *actions],
            env=environ,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, who: str, process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
        """What came of a version that was started."""
        output, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors[-3000:]
        found = json.loads(output.splitlines()[-1])
        is_former = found["package"].startswith(str(self.former))
        assert is_former == (who == "former"), found["package"]
        outcomes: list[dict[str, Any]] = found["outcomes"]
        return outcomes

    def run(self, who: str, day: Any, *actions: str) -> list[dict[str, Any]]:
        outcomes = self.end(who, self.start(who, day, *actions))
        failed = [each for each in outcomes if not each.get("success", True)]
        assert not failed
        return outcomes

    def fill(self, content: dict[str, bytes]) -> None:
        listed = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        for key in {each["Key"] for each in listed} - content.keys():
            self.client.delete_object(Bucket=self.bucket, Key=key)
        have = {
            each["Key"]: self.client.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read()
            for each in listed
            if each["Key"] in content
        }
        for key, body in content.items():
            if have.get(key) != body:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def run_and_read(
        self, who: str, content: dict[str, bytes], changes: dict[str, str], *actions: str
    ) -> None:
        """Run a version for today; then it reads what is true of both dates."""
        *_, read = self.run(who, TODAY, *actions, "read")
        assert read["dates"][str(YESTERDAY)]["keys"] == sorted(FIRST), who
        assert read["dates"][str(TODAY)] == {"keys": sorted(content), "changes": changes}, who


@pytest.fixture
def versions(
    tmp_path: Path,
    former: Path,
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
    no_aws_environment: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Versions:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    connection = moto_bucket([])
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    (tmp_path / "inventory.toml").write_text(
        f'store = "store"\n[sources.src]\nbucket = "{connection.bucket}"\n'
        f'endpoint_url = "{connection.endpoint_url}"\naddressing_style = "path"\n'
        f"[sources.src.schedule]\nstart_date = {YESTERDAY}\n"
    )
    client = boto3.client(
        "s3",
        endpoint_url=connection.endpoint_url,
        region_name="us-east-1",
        config=BotoConfig(s3={"addressing_style": "path"}),
    )
    return Versions(tmp_path, former, client, connection.bucket)


def test_both_versions_work_on_one_store_for_a_day(versions: Versions) -> None:
    layout = Layout(versions.bucket, "src")
    store = LocalStore(versions.home / "store")

    # The former version alone.
    versions.fill(FIRST)
    versions.run("former", YESTERDAY, "shards", "listing", *BY_DATE)

    # Both list the next date at the same time, each some shards.
    versions.fill(SECOND)
    shares = {"former": "listing=@remainder,a/", "present": "listing=b/,c/"}
    started = {who: versions.start(who, TODAY, share) for who, share in shares.items()}
    for who, process in started.items():
        assert all(each["success"] for each in versions.end(who, process)), who

    # Each continues what the other has begun.
    versions.run("present", TODAY, "object_changes")
    versions.run("former", TODAY, "inventory_manifest")
    versions.run_and_read("present", SECOND, SECOND_CHANGES, "change_log", "prefix_usage")
    again = ("change_log", "prefix_usage", "hygiene_report")
    versions.run_and_read("former", SECOND, SECOND_CHANGES, *again)

    # Both list the whole date again, and merge it, at the same time: one of two may be refused.
    versions.fill(THIRD)
    work = ("shards", "listing", *BY_DATE)
    started = {who: versions.start(who, TODAY, *work) for who in ("former", "present")}
    for who, process in started.items():
        assert any(each["success"] for each in versions.end(who, process)), who
    versions.run_and_read("former", THIRD, THIRD_CHANGES, "listing", *BY_DATE)
    versions.run_and_read("present", THIRD, THIRD_CHANGES, *BY_DATE)

    # Both collect, in turns, until what no record names is removed.
    for days, who in ((3, "former"), (6, "present"), (9, "former"), (12, "present")):
        versions.run_and_read(who, THIRD, THIRD_CHANGES, f"collect={days}")
    for day in (YESTERDAY, TODAY):
        manifest = read_manifest(store, layout, day)
        assert manifest is not None
        assert files_that_differ(store, manifest.parts) == []
