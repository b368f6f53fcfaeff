"""`inventory verify` is right about all odd stores, and never agrees with an empty response."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory_assets.cli import main
from inventory_assets.cli.verify import AGREES
from inventory_assets_tests.stores.buckets import everything
from inventory_assets_tests.stores.case import Case
from inventory_assets_tests.stores.cases import ANY, SINGLE_HABITS
from inventory_assets_tests.stores.habits import AWS, Habits
from inventory_assets_tests.stores.odd_pages import BUCKET
from inventory_assets_tests.stores.odd_server import OddServer
from inventory_assets_tests.stores.odd_store import OddStore

ALWAYS_THERE = ["AWS", "StartAfter inclusive", "StartAfter within the prefix", "a plus is a plus"]

PASSING = {"one early end", "one stale answer"}
"""What may befall the verification instead of the listing."""


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Provide credentials, and restore the signal handlers."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    signal.signal(signal.SIGTERM, handler)


def verify(server: OddServer, folder: Path) -> int:
    began = ("--began", "2026-01-01T00:00Z")
    where = ("--endpoint-url", server.url, "--region", "us-east-1")
    ranges = ("--ranges", "100", "--seed", "1")
    return main(["verify", str(folder), f"s3://{BUCKET}/n0/", *where, *began, *ranges])


def list_to(server: OddServer, folder: Path) -> int:
    where = ("--endpoint-url", server.url, "--region", "us-east-1")
    return main(["list", f"s3://{BUCKET}/n0/", "--out", str(folder), *where])


@pytest.mark.parametrize(
    ("name", "habits"),
    [
        pytest.param(
            name, each, id=name, marks=[] if name in ALWAYS_THERE else [pytest.mark.stores]
        )
        for name, each in {"AWS": AWS, **SINGLE_HABITS}.items()
        if name not in PASSING
    ],
)
def test_a_listing_is_verified_or_the_command_reports_why_not(
    name: str, habits: Habits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case(name, habits, everything)
    with OddServer(OddStore(everything(), case.store_habits)) as server:
        listed = list_to(server, tmp_path / "out")
        if listed != 0:
            pytest.skip(f"nothing to verify: {capsys.readouterr().err}")
        capsys.readouterr()
        code = verify(server, tmp_path / "out")
    said = capsys.readouterr()
    if code == AGREES:
        assert " 0 gone" in f" {said.out}", said.out
    else:
        allowed = Case(name, habits, everything, ANY)
        assert allowed.allows(said.err), said.err


def test_an_emptied_bucket_does_not_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = OddStore(everything(), Habits(page_keys=100))
    with OddServer(store) as server:
        assert list_to(server, tmp_path / "out") == 0
        store.hold([])
        assert verify(server, tmp_path / "out") != AGREES
    assert "gone" in capsys.readouterr().out
