import threading
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.storage.local_store import LocalStore


def files(store: LocalStore) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file())


def test_what_is_published_is_read_back(store: LocalStore) -> None:
    store.publish("a/b/c.json", b"one")
    assert store.read("a/b/c.json") == b"one"
    assert store.size("a/b/c.json") == 3
    assert files(store) == ["a/b/c.json"]


def test_a_reader_sees_the_old_or_the_new_whole(store: LocalStore) -> None:
    contents = [bytes([number]) * 200_000 for number in range(30)]
    store.publish("x", contents[0])
    seen: set[bytes | None] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(store.read("x"))

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents:
        store.publish("x", content)
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert store.read("x") == contents[-1]


def test_a_crash_before_the_rename_leaves_what_was_there(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish("x", b"old")

    def crash(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        for key in ("x", "y"):
            with pytest.raises(KeyboardInterrupt):
                store.publish(key, b"new")
    assert files(store) == ["x"]
    assert store.read("x") == b"old"


def test_the_content_is_on_the_disk_before_its_name(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    plain_replace = Path.replace

    def replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return plain_replace(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr("os.fsync", lambda _descriptor: events.append("flush"))
    store.publish("x", b"1")
    assert events == ["flush", "rename", "flush"]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a/..", "..", "a/../b"])
def test_no_key_leads_out_of_the_store(store: LocalStore, key: str) -> None:
    for use in (store.path, store.read, lambda key: store.publish(key, b"")):
        with pytest.raises(StoreError, match="leads out of the store"):
            use(key)
    assert not store.root.exists() or files(store) == []


def test_an_absolute_key_stays_inside(store: LocalStore) -> None:
    assert store.path("/etc/passwd") == store.root / "etc/passwd"


def test_a_folder_removed_while_it_was_empty_is_created_again(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, removals = Path.replace, [1]

    def removed_before(file: Path, target: Path) -> Path:
        if removals:
            removals.pop()
            store.remove_folder("a/b")
        return replace(file, target)

    monkeypatch.setattr(Path, "replace", removed_before)
    store.publish("a/b/c", b"one")
    assert (removals, store.read("a/b/c")) == ([], b"one")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = LocalStore(tmp_path / "file" / "store")
    with pytest.raises(StoreError, match=r"cannot write to the store at .*file/store"):
        store.publish("x", b"")


def test_a_place_that_cannot_be_written_is_named(store: LocalStore) -> None:
    store.publish("x", b"")
    with pytest.raises(StoreError, match=r"cannot publish .*x/y"):
        store.publish("x/y", b"")
    assert files(store) == ["x"]


def test_a_folder_in_a_files_place_cannot_be_read(store: LocalStore) -> None:
    store.publish("x/y", b"")
    with pytest.raises(StoreError, match=r"cannot read .*x: "):
        store.read("x")


def test_scratch_is_gone_with_the_block_even_after_an_error(store: LocalStore) -> None:
    def fail(kept: list[Path]) -> None:
        with store.scratch() as folder:
            kept.append(folder)
            (folder / "x").touch()
            raise ZeroDivisionError

    folders: list[Path] = []
    with pytest.raises(ZeroDivisionError):
        fail(folders)
    assert not folders[0].exists()


def test_a_removed_store_leaves_nothing(store: LocalStore) -> None:
    store.publish("x", b"")
    store.remove()
    assert not store.root.exists()


def test_a_removed_key_is_gone_and_its_neighbours_stay(store: LocalStore) -> None:
    for key in ("a/x", "a/y"):
        store.publish(key, b"")
    for _ in range(2):
        store.remove_key("a/x")
    assert store.list_names("a") == ["y"]


def test_an_empty_folder_is_removed_and_no_other(store: LocalStore) -> None:
    store.publish("f/a/x", b"")
    store.remove_key("f/a/x")
    store.remove_folder("f")
    assert store.list_names("f") == ["a"]
    store.remove_folder("f/a")
    assert store.list_names("f") == []
