"""The contents of the buckets of the cases."""

from collections.abc import Callable
from functools import cache

from inventory_assets_tests.stores.holdings import StoredObject, folders, held, objects, versions


@cache
def _wide() -> tuple[StoredObject, ...]:
    return tuple(folders([f"d{number:02}/" for number in range(12)], 300))


def wide() -> list[StoredObject]:
    """Folders of more than a page each, in the same order for every order but that backwards."""
    return list(_wide())


def small() -> list[StoredObject]:
    """Less than three pages of 100."""
    return folders(["a/", "b/"], 130)


def siblings(level: int, *names: str, keys: int = 330) -> Callable[[], list[StoredObject]]:
    """Folders that orders tell apart, that far below the root, among others."""

    def bucket() -> list[StoredObject]:
        above = "".join(f"n{number}/" for number in range(level))
        around = [f"{name}{number}/" for name in "ms" for number in range(3)]
        return folders([above + name for name in (*names, *around)], keys)

    return bucket


def mixed_case() -> list[StoredObject]:
    return folders(["A/", "b/", "C/", "d/", "a1/", "B1/"], 330)


def astral() -> list[StoredObject]:
    """Names whose order in UTF-16 differs from that in UTF-8."""
    return folders(["a/", "\uffed/", "\U0001f600/", "z/"], 330)


ODD_NAMES = [
    *("a b", "a+b", "50% off", "%41", "A", "%2B", "z&<>\"'", "plain", "~*-._"),
    *("\u00c6ther/a+b", "\U0001f600", "tab\there", "line\nfeed", "a//b", "/", "dir/", "dir/x y"),
]


def odd_names() -> list[StoredObject]:
    return objects(ODD_NAMES)


def plain_names() -> list[StoredObject]:
    return objects(["a/b", "a_b.c-d", "plain"])


def numbered_years() -> list[StoredObject]:
    return folders([f"2026/{month:02}/" for month in range(1, 13)], 250) + folders(["zz/"], 10)


def named(*keys: str) -> Callable[[], list[StoredObject]]:
    return lambda: objects(keys)


def last_on_page(key: str, before: str = "a") -> Callable[[], list[StoredObject]]:
    """A page of keys that ends with one, and more behind it."""
    return lambda: objects(
        [*(f"{before}{number:02}" for number in range(99)), key, *(f"{key}~{n}" for n in range(9))]
        + [f"~{number:03}" for number in range(160)]
    )


def in_versions(
    bucket: Callable[[], list[StoredObject]], each: int = 2
) -> Callable[[], list[StoredObject]]:
    """The same keys, in some versions each."""
    return lambda: versions([one.key for one in bucket()], each)


def with_markers() -> list[StoredObject]:
    """Folders with and without an object of their own."""
    return [
        *objects(["a", "b/x", "c", "obj/1", "obj-1/1", "obj/sub/2"]),
        *(StoredObject(name, e_tag=None) for name in ("b/", "obj/", "obj/sub/")),
    ]


def with_a_record(**written: str | None) -> Callable[[], list[StoredObject]]:
    """One record among others is written otherwise."""
    e_tag = None if "ETag" in written else "0" * 32
    return lambda: [*objects(["a", "c"]), StoredObject("b", written=written, e_tag=e_tag)]


def everything() -> list[StoredObject]:
    """Keys that reveal all habits: siblings, many pages, unusual names, folder markers."""
    return [
        *siblings(1, "obj/", "obj-1/", keys=110)(),
        *folders(["a/", "b/"], 330),
        *odd_names()[:9],
        held("b/", e_tag=None),
        held("n0/obj/", e_tag=None),
    ]
