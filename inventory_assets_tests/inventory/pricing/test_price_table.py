"""The price table: the one that is shipped, one of your own, and the messages about mistakes."""

import datetime as dt
from pathlib import Path

import pytest

from inventory_assets.config import ConfigError
from inventory_assets.inventory.pricing.price_table import (
    SHIPPED_TABLE,
    ClassPrices,
    Prices,
    Tier,
    load_prices,
)

CLASSES = {
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
    "EXPRESS_ONEZONE",
}
HEAD = 'date = 2026-11-01\nsource = "contract 42"\nregion = "here"\nlist_usd_per_1000 = 0.01\n'
STANDARD = "[classes.STANDARD]\ntiers = [{ usd_per_gb_month = 0.02 }]\n"


def load(tmp_path: Path, text: str) -> Prices:
    path = tmp_path / "prices.toml"
    path.write_text(text, "utf-8")
    return load_prices(path)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    head = f"{tmp_path / 'prices.toml'}: "
    lines = str(caught.value).splitlines()
    assert all(line.startswith(head) for line in lines)
    return [line.removeprefix(head) for line in lines]


def mistake(tmp_path: Path, text: str) -> str:
    (line,) = mistakes(tmp_path, text)
    return line


def test_the_shipped_table_has_the_classes_of_s3() -> None:
    prices = load_prices()
    assert set(prices.classes) == CLASSES
    assert prices.region == "us-east-1"
    assert prices.source == "https://aws.amazon.com/s3/pricing/"
    assert prices.label == f"estimated, prices of {prices.date} in us-east-1"


def test_the_shipped_table_is_loaded_by_its_path_too() -> None:
    assert load_prices(SHIPPED_TABLE) == load_prices()


@pytest.mark.parametrize(
    ("name", "smallest", "days"),
    [
        ("STANDARD", 0, 0),
        ("STANDARD_IA", 131_072, 30),
        ("ONEZONE_IA", 131_072, 30),
        ("GLACIER_IR", 131_072, 90),
        ("GLACIER", 0, 90),
        ("DEEP_ARCHIVE", 0, 180),
    ],
)
def test_minimum_sizes_and_durations_are_those_of_s3(name: str, smallest: int, days: int) -> None:
    found = load_prices().classes[name]
    assert (found.minimum_billable_bytes, found.minimum_days) == (smallest, days)


@pytest.mark.parametrize("name", ["GLACIER", "DEEP_ARCHIVE"])
def test_archived_objects_have_an_overhead_of_40_kib(name: str) -> None:
    found = load_prices().classes[name]
    assert (found.overhead_bytes, found.overhead_standard_bytes) == (32 * 1024, 8 * 1024)


def test_colder_classes_are_cheaper_to_store_in_and_dearer_to_move_to() -> None:
    names = ["STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]
    found = [load_prices().classes[name] for name in names]
    storage = [each.average_usd_per_gb(1) for each in found]
    assert storage == sorted(storage, reverse=True)
    moving = [each.transition_usd_per_1000 or 0.0 for each in found]
    assert moving == sorted(moving)


def test_an_own_table_replaces_the_shipped_one(tmp_path: Path) -> None:
    prices = load(tmp_path, HEAD + STANDARD)
    assert prices.date == dt.date(2026, 11, 1)
    assert prices.listing_usd(2_000) == pytest.approx(0.02)
    assert prices.of_class("STANDARD") == ClassPrices(tiers=(Tier(usd_per_gb_month=0.02),))
    assert prices.of_class("GLACIER") is None


@pytest.mark.parametrize("unnamed", ["", None])
def test_objects_without_a_class_have_a_price_only_if_the_table_says_so(
    tmp_path: Path, unnamed: str | None
) -> None:
    assert load(tmp_path, HEAD + STANDARD).of_class(unnamed) is None
    prices = load(tmp_path, f'{HEAD}unnamed_class = "STANDARD"\n{STANDARD}')
    assert prices.of_class(unnamed) == prices.classes["STANDARD"]


def test_a_tier_prices_only_what_is_in_it() -> None:
    standard = load_prices().classes["STANDARD"]
    assert standard.average_usd_per_gb(0) == 0.023
    assert standard.average_usd_per_gb(51_200) == pytest.approx(0.023)
    assert standard.average_usd_per_gb(102_400) == pytest.approx((0.023 + 0.022) / 2)
    assert standard.average_usd_per_gb(10**9) == pytest.approx(0.021, rel=0.01)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: found no such file.*field prices"):
        load_prices(tmp_path / "gone.toml")


def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path) -> None:
    assert "mistake in the TOML" in mistake(tmp_path, "date = ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            HEAD + "[classes.STANDARD]\n",
            (
                "classes.STANDARD.tiers: found nothing, expected a value; write for example "
                "tiers = [{ usd_per_gb_month = 0.023 }]"
            ),
        ),
        (
            HEAD + '[classes.STANDARD]\ntiers = [{ usd_per_gb_month = "0.02" }]\n',
            (
                "classes.STANDARD.tiers.0.usd_per_gb_month: "
                "found the text '0.02', expected a number; "
                "write for example usd_per_gb_month = 0.023"
            ),
        ),
        (
            HEAD + "[classes.STANDARD]\ntiers = [{ usd_per_gb_month = -1 }]\n",
            (
                "classes.STANDARD.tiers.0.usd_per_gb_month: "
                "found the number -1, expected a number of "
                "at least 0; write for example usd_per_gb_month = 0.023"
            ),
        ),
        (
            HEAD + "[classes.STANDARD]\ntiers = [{ usd_per_gb_month = nan }]\n",
            (
                "classes.STANDARD.tiers.0.usd_per_gb_month: "
                "found the number nan, expected a finite "
                "number; write for example usd_per_gb_month = 0.023"
            ),
        ),
        (
            HEAD + STANDARD + "minimum_day = 30\n",
            "classes.STANDARD.minimum_day: found an unknown field; did you mean 'minimum_days'?",
        ),
        (
            HEAD + STANDARD + "minimum_days = 1.5\n",
            (
                "classes.STANDARD.minimum_days: "
                "found the number 1.5, expected a whole number; write "
                "for example minimum_days = 30"
            ),
        ),
        (
            HEAD + "[classes.STANDARD]\ntiers = []\n",
            (
                "classes.STANDARD.tiers: "
                "found an empty list, expected one or more tiers; write for "
                "example tiers = [{ usd_per_gb_month = 0.023 }]"
            ),
        ),
        (
            HEAD,
            "classes: found nothing, expected a value",
        ),
        (
            HEAD + "[classes]\nSTANDARD = 0.023\n",
            (
                "classes.STANDARD: found the number 0.023, expected a table; write "
                "[classes.STANDARD] and its fields below it"
            ),
        ),
        (
            HEAD + 'currency = "EUR"\n' + STANDARD,
            "currency: found the text 'EUR', expected 'USD'; write for example currency = \"USD\"",
        ),
        (
            HEAD.replace("2026-11-01", '"2026-11-01"') + STANDARD,
            (
                "date: found the text '2026-11-01', expected a date without a time and without "
                "quotes; write for example date = 2026-11-01"
            ),
        ),
        (
            HEAD + 'unnamed_class = "STANDRD"\n' + STANDARD,
            (
                'classes: found no table for unnamed_class = "STANDRD", expected one; add '
                "[classes.STANDRD], or remove unnamed_class"
            ),
        ),
        (
            HEAD + "[classes.COLD]\ntiers = [{ usd_per_gb_month = 0 }]\n"
            "overhead_standard_bytes = 1\n",
            (
                "classes: "
                "found overhead_standard_bytes in COLD but no prices of STANDARD, expected "
                "both; add [classes.STANDARD], or remove overhead_standard_bytes"
            ),
        ),
        (
            HEAD + "[classes.STANDARD]\ntiers = [{ usd_per_gb_month = 1 }, "
            "{ usd_per_gb_month = 2 }]\n",
            (
                "classes.STANDARD.tiers: "
                "expected up_to_gb in every tier but the last; add it where "
                "it is missing, and leave it out in the last"
            ),
        ),
        (
            HEAD + "[classes.STANDARD]\ntiers = [{ up_to_gb = 2, usd_per_gb_month = 1 }, "
            "{ up_to_gb = 1, usd_per_gb_month = 1 }, { usd_per_gb_month = 2 }]\n",
            "classes.STANDARD.tiers: expected ascending up_to_gb; sort the tiers",
        ),
    ],
)
def test_a_mistake_names_the_field_and_the_remedy(tmp_path: Path, text: str, told: str) -> None:
    assert mistake(tmp_path, text) == told


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "region = 1\n" + STANDARD)
    assert [line.partition(":")[0] for line in found] == [
        "date",
        "source",
        "region",
        "list_usd_per_1000",
    ]
