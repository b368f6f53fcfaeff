import pytest

from inventory_assets.units import human_bytes


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
