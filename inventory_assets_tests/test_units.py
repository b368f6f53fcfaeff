import pytest

from inventory_assets.units import human_bytes, human_share, human_usd


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (67_752_840_403, "67.8 GB"),
        (10**13, "10.0 TB"),
        (5 * 10**21, "5,000.0 EB"),
    ],
)
def test_bytes_are_shown_with_a_unit(count: int, shown: str) -> None:
    assert human_bytes(count) == shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, "unknown"),
        (0.0, "0 USD"),
        (0.0004216, "0.00042 USD"),
        (0.5, "0.5 USD"),
        (0.999, "1.00 USD"),
        (5.034, "5.03 USD"),
        (1_234.5, "1,234 USD"),
        (-3.25, "-3.25 USD"),
    ],
)
def test_amounts_are_shown_with_the_digits_that_matter(usd: float | None, shown: str) -> None:
    assert human_usd(usd) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (12_800 * 10**9, "11.6 TiB"),
        (2**70, "1,024.0 EiB"),
        (-5 * 2**30, "-5.0 GiB"),
    ],
)
def test_bytes_are_also_shown_with_a_unit_of_1024(count: int, shown: str) -> None:
    assert human_bytes(count, binary=True) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (1, 8, "12.5 %"),
        (0, 8, "0.0 %"),
        (1, 10_000, "<0.1 %"),
        (-1, 10_000, "-<0.1 %"),
        (5, 0, "0.0 %"),
    ],
)
def test_a_share_is_in_per_cent(part: float, whole: float, shown: str) -> None:
    assert human_share(part, whole) == shown
