from inventory_assets.inventory.report.report_data import PrefixRow, Total
from inventory_assets.inventory.report.usage_rows import most_changed


def changed(changes: dict[str, int | None]) -> list[str]:
    """The prefixes that are shown as changed, of some with a change of their bytes."""
    rows = [PrefixRow(prefix, Total(1, 10**6), "", 0, size) for prefix, size in changes.items()]
    return [row.prefix for row in most_changed(rows)]


def test_the_deepest_prefix_that_explains_a_change_is_shown() -> None:
    assert changed({"": 105, "a/": 100, "a/b/": 100, "a/b/c/": 98, "a/b/d/": 2, "e/": 5}) == [
        "a/b/c/",
        "e/",
        "a/b/d/",
    ]


def test_a_change_in_several_places_is_shown_above_them_too() -> None:
    assert changed({"": 100, "a/": 100, "a/b/": 60, "a/c/": 40}) == ["a/", "a/b/", "a/c/"]


def test_opposite_changes_do_not_explain_one_another() -> None:
    assert changed({"": 0, "a/": -50, "a/b/": 50, "a/c/": -100}) == ["a/c/", "a/", "a/b/"]


def test_what_did_not_change_or_is_unknown_is_not_shown() -> None:
    assert changed({"": 7, "a/": 7, "a/b/": None, "c/": 0, "d/": None}) == ["a/"]
