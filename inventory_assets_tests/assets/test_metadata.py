"""Metadata of a bucket with malicious keys."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from inventory_assets.errors import printable
from inventory_assets_tests.assets.world import TODAY, YESTERDAY, Buckets, World

KEYS = {
    "\x00/nul",
    "\x01\x1b[31m/red",
    " /space ",
    "../../etc/passwd",
    "a\nb/line\r\nbreak",
    "a\u202eb/bidi\u2066",
    "a|b/pipe",
    "...",
    "*,[]/selection",
    "<script>alert(1)</script>/x",
    "%2e%2e/percent",
    "\u2028/separator",
    "\ufeff\u200b/invisible",
    "e\u0301/combining",
    "\U0010ffff/last",
    "x" * 900 + "/long",
    "@remainder/x",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two days of a bucket with hostile keys, the second of them changed."""
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        buckets = Buckets(patch)
        buckets.keys["hostile"] = set(KEYS)
        world = World(tmp_path_factory.mktemp("hostile"), instance, {"bucket": "hostile"})
        world.pass_day(YESTERDAY)
        assert world.run("prefix_usage", str(YESTERDAY)).success
        buckets.keys["hostile"] = {key + "!" if "\u202e" in key else key for key in KEYS}
        world.pass_day(TODAY)
        assert world.run("prefix_usage", str(TODAY)).success
        yield world


def test_hostile_keys_are_inventoried_byte_for_byte(hostile: World) -> None:
    symlink = hostile.store.path(hostile.layout.symlink(YESTERDAY))
    assert pl.read_parquet(symlink.read_text().splitlines())["key"].to_list() == sorted(KEYS)


def test_hostile_changes_are_found(hostile: World) -> None:
    symlink = hostile.store.path(hostile.layout.change_log_symlink(TODAY))
    changes = pl.read_parquet(symlink.read_text().splitlines())
    assert dict(changes.select("key", "change").iter_rows()) == {
        "a\u202eb/bidi\u2066": "deleted",
        "a\u202eb/bidi\u2066!": "created",
    }


def test_no_hostile_prefix_leaves_the_store(hostile: World) -> None:
    allowed = {"hostile", ".scratch", ".drafts"}
    folder = hostile.store.root.parent
    assert [path.name for path in folder.iterdir()] == ["store"]
    assert list(hostile.store.root.iterdir()) == [
        path for path in hostile.store.root.iterdir() if path.name in allowed
    ]


def test_nothing_that_the_ui_shows_holds_an_unprintable_character(hostile: World) -> None:
    shown: list[str] = list(hostile.shard_keys)
    for run in hostile.instance.get_runs():
        for entry in hostile.instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is None:
                continue
            data = event.event_specific_data
            for value in getattr(getattr(data, "materialization", data), "metadata", {}).values():
                shown += strings(
                    value.records if isinstance(value, dg.TableMetadataValue) else value.value
                )
    assert any("\\u202e" in text for text in shown)
    assert [text for text in shown if not text.isprintable()] == []


def strings(value: object) -> list[str]:
    """All text within a metadata value."""
    if isinstance(value, dg.TableRecord):
        return strings(dict(value.data))
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe/日本", "Größe/日本"),
        ("a\x00b", "a\\x00b"),
        ("a\nb", "a\\nb"),
        ("a\u202eb", "a\\u202eb"),
        ("\U000e0001", "\\U000e0001"),
        ("\ufeff", "\\ufeff"),
    ],
)
def test_unprintable_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_records_of_hostile_shards_are_files_in_one_folder(hostile: World) -> None:
    folder: Path = hostile.store.path(hostile.layout.snapshot(TODAY, "")).parent
    prefixes = {json.loads(path.read_text())["shard"]["prefix"] for path in folder.iterdir()}
    assert len(prefixes) == len(hostile.shard_keys)
