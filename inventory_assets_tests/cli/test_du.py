"""`inventory du`: objects and bytes by prefix, of a source, a folder and a bucket."""

import csv
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest

from inventory_assets.cli import main
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.usage.date_usage import publish_usage
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA
from inventory_assets_tests.cli.conftest import KEYS, LATER, Outcome, on_a_terminal
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.versioned_moto import VersionedBucket, listing_versions_as_s3_does
from inventory_assets_tests.inventory.histories import publish_day
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW

Run = Callable[..., Outcome]
BYTES = sum(map(len, LATER))


@pytest.fixture
def used(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Iterator[Run]:
    """Runs the command where the usage of both days is published."""
    folder = tmp_path / "used"
    shutil.copytree(published, folder)
    store = LocalStore(folder / "store")
    for number in range(2):
        manifest = read_manifest(store, LAYOUT, DAY + timedelta(days=number))
        assert manifest is not None
        publish_usage(store, LAYOUT, manifest, NOW)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("INVENTORY_CONFIG", raising=False)

    def command(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        output, error = capfdbinary.readouterr()
        return Outcome(code, output, error.decode())

    handler = signal.getsignal(signal.SIGTERM)
    yield command
    signal.signal(signal.SIGTERM, handler)


def rows(outcome: Outcome) -> list[tuple[str, int, int]]:
    assert (outcome.code, outcome.error) == (0, "")
    found = csv.DictReader(StringIO(outcome.output.decode()))
    return [(row["prefix"], int(row["objects"]), int(row["bytes"])) for row in found]


# Of a source


def test_the_prefixes_of_the_only_source_are_shown_with_the_whole_first(used: Run) -> None:
    assert rows(used("du")) == [("", len(LATER), BYTES), ("b/", 2, 9), ("a/", 1, 3)]


def test_it_is_csv_with_all_columns(used: Run) -> None:
    header = used("du", "source").output.decode().splitlines()[0]
    assert next(csv.reader([header])) == PREFIX_SCHEMA.names


def test_json_is_an_object_for_each_prefix(used: Run) -> None:
    lines = used("du", "source", "--format", "json").output.decode().splitlines()
    found = [json.loads(line) for line in lines]
    assert list(found[0]) == PREFIX_SCHEMA.names
    assert [row["prefix"] for row in found] == ["", "b/", "a/"]
    assert (found[0]["objects"], found[0]["bytes"], found[2]["objects_change"]) == (8, BYTES, -1)
    assert found[0]["monthly_usd"] is None


def test_a_date_is_shown_with_and_without_published_usage(used: Run) -> None:
    expected = [("", len(KEYS), sum(map(len, KEYS))), ("b/", 2, 9), ("a/", 2, 6)]
    assert rows(used("du", "source@2026-05-05")) == expected
    shutil.rmtree(Path("store") / LAYOUT.base / "usage")
    assert rows(used("du", "source@2026-05-05")) == expected


def test_depth_order_and_number_can_be_chosen(used: Run) -> None:
    assert [row[0] for row in rows(used("du", "--depth", "0"))] == [""]
    assert [row[0] for row in rows(used("du", "--top", "1"))] == ["", "b/"]
    assert [row[0] for row in rows(used("du", "--sort", "objects"))] == ["", "b/", "a/"]
    assert [row[0] for row in rows(used("du", "--sort", "growth"))] == ["", "b/", "a/"]


def test_growth_that_is_unknown_is_no_order(run: Run) -> None:
    outcome = run("du", "source", "--sort", "growth")
    assert (outcome.code, outcome.output) == (1, b"")
    assert "no usage table of an earlier date; sort by bytes" in outcome.error


@pytest.mark.usefixtures("used")
def test_a_terminal_shows_a_table_with_units_and_the_total_last() -> None:
    code, shown = on_a_terminal(Path.cwd(), "du", "source", "--top", "1")
    lines = [line.rstrip() for line in shown.decode().splitlines()]
    assert code == 0
    assert lines == [
        "size  objects  growth  prefix",
        " 9 B        2     0 B  b/",
        "                       (and 1 more)",
        f"{BYTES} B        8    -2 B  (total)",
    ]


def test_costs_are_estimated(run: Run, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    manifest = publish_day(store, DAY, {"a/1", "a/2", "b"})
    publish_usage(
        store,
        LAYOUT,
        manifest,
        NOW,
        pricing=lambda rows: rows.column("objects").cast("float64").combine_chunks(),
    )
    lines = run("du", tmp_path / LAYOUT.base, "--format", "table").output.decode().splitlines()
    assert lines == [
        "size  objects  estimated a month  prefix",
        " 6 B        2           2.00 USD  a/",
        " 7 B        3           3.00 USD  (total)",
    ]


def test_nothing_in_a_prefix_controls_a_terminal(tmp_path: Path) -> None:
    publish_day(LocalStore(tmp_path), DAY, {"\x1b[31mred/x", "new\nline/x"})
    code, shown = on_a_terminal(tmp_path, "du", tmp_path / LAYOUT.base)
    assert code == 0
    assert b"\\x1b[31mred/" in shown
    assert b"\x1b" not in shown


# Of a folder


def test_the_folder_of_a_date_and_of_a_source_have_the_same(used: Run) -> None:
    base = Path.cwd() / "store" / LAYOUT.base
    expected = rows(used("du", "source"))
    assert rows(used("du", base)) == expected
    assert rows(used("du", base / f"{DAY + timedelta(days=1)}T00-00Z")) == expected


def test_levels_count_below_what_all_keys_have_in_common(run: Run, tmp_path: Path) -> None:
    publish_day(LocalStore(tmp_path), DAY, {"a/b/c/1", "a/b/c/2", "a/b/d/e/3"})
    found = rows(run("du", tmp_path / LAYOUT.base))
    assert [row[0] for row in found] == ["", "a/", "a/b/", "a/b/c/", "a/b/d/"]


# Of a bucket


@pytest.fixture
def credentials(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    for name, text in moto.account.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("NO_PROXY", "*")
    return moto


def test_a_bucket_is_listed_and_nothing_is_left_behind(
    run: Run, credentials: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    credentials.make_bucket("du-bucket", {"a/1": b"12", "a/b/2": b"123", "c": b"1"})
    url = ["--endpoint-url", credentials.url]
    assert rows(run("du", "s3://du-bucket", *url)) == [("", 3, 6), ("a/", 2, 5)]
    assert rows(run("du", "s3://du-bucket/a/b", *url)) == [("", 1, 3), ("a/", 1, 3), ("a/b/", 1, 3)]
    assert rows(run("du", "s3://du-bucket/none", *url)) == [("", 0, 0)]
    assert list(tmp_path.iterdir()) == []


def test_the_versions_of_a_bucket_are_shown_apart(run: Run, credentials: Endpoint) -> None:
    bucket = VersionedBucket.new("du-versions")
    for day in (1, 2):
        bucket.put(datetime(2026, 5, day, 12, tzinfo=UTC), "k/1", b"x" * day)
    bucket.delete(datetime(2026, 5, 3, 12, tzinfo=UTC), "k/1")
    with listing_versions_as_s3_does():
        arguments = ["du", f"s3://{bucket.name}", "--endpoint-url", credentials.url, "--versions"]
        found = run(*arguments, "--format", "json").output
        table = run(*arguments, "--format", "table").output.decode().splitlines()
    whole = json.loads(found.splitlines()[0])
    assert [whole[name] for name in ("objects", "bytes", "delete_markers")] == [2, 3, 1]
    assert table == [
        "size  objects  noncurrent  delete markers  prefix",
        " 3 B        2         3 B               1  k/",
        " 3 B        2         3 B               1  (total)",
    ]


# For ncdu


def test_a_file_for_ncdu_is_written(used: Run, tmp_path: Path) -> None:
    file = tmp_path / "usage.json"
    outcome = used("du", "source", "--ncdu", "-o", file)
    assert (outcome.code, outcome.output) == (0, b"")
    assert outcome.error == f"open {file} with: ncdu -f {file}\n"
    document = json.loads(file.read_text())
    assert [each[0]["name"] for each in document[3][1:3]] == ["a", "b"]
    assert (
        used("du", "source", "--ncdu").output.splitlines()[1:]
        == (file.read_bytes().splitlines()[1:])
    )
    if shutil.which("ncdu"):
        subprocess.run(["ncdu", "-f", file, "-o", os.devnull], check=True)


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ncdu", "--depth", "1"], "--ncdu writes everything: leave out --depth"),
        (["--ncdu", "--format", "csv"], "--ncdu writes everything: leave out --format"),
        (["source", "--region", "eu-west-1"], "--region is for a bucket: leave it out"),
        (["source", "--versions"], "--versions is for a bucket: leave it out"),
        (["s3://"], "'s3://' is not of the form s3://BUCKET[/PREFIX]"),
        (["--depth", "-1"], "'-1' is not a whole number"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    run: Run, capfdbinary: pytest.CaptureFixture[bytes], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("du", *arguments)
    assert words in capfdbinary.readouterr().err.decode()


def test_of_several_sources_one_must_be_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = "".join(f'[sources.{name}]\nbucket = "{name}"\n' for name in ("one", "two"))
    (tmp_path / "inventory.toml").write_text(sources)
    monkeypatch.chdir(tmp_path)
    outcome = run("du")
    assert (outcome.code, outcome.output) == (1, b"")
    assert "there are several sources; name one: one, two" in outcome.error
