from datetime import UTC, date, datetime

import pytest

from inventory_assets.inventory.errors import DateNotObservable
from inventory_assets.inventory.listing.listable_dates import require_observable, stand_for
from inventory_assets.scan.validation.object_versions import Versions

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize("day", [date(2026, 5, 5), date(2026, 5, 4)])
def test_a_listing_may_stand_for_today_and_the_day_before(day: date) -> None:
    require_observable(day, NOON, "UTC")


def test_an_older_date_cannot_be_observed_and_the_message_says_what_can() -> None:
    with pytest.raises(DateNotObservable, match=r"2026-05-03 cannot .* 2026-05-05 in UTC"):
        require_observable(date(2026, 5, 3), NOON, "UTC")


def test_a_date_to_come_is_rejected() -> None:
    with pytest.raises(DateNotObservable, match=r"2026-05-06 is in the future.*choose 2026-05-05"):
        require_observable(date(2026, 5, 6), NOON, "UTC")


def test_today_is_todays_date_in_the_sources_time_zone() -> None:
    late = datetime(2026, 5, 5, 23, tzinfo=UTC)
    require_observable(date(2026, 5, 6), late, "Asia/Tokyo")
    with pytest.raises(DateNotObservable, match="in America/New_York"):
        require_observable(date(2026, 5, 6), late, "America/New_York")


BEFORE, END, AFTER = (datetime(2026, 5, 5, hour, tzinfo=UTC) for hour in (1, 2, 3))


@pytest.mark.parametrize(
    ("listed", "wanted", "began_at", "expected"),
    [
        (None, None, AFTER, True),
        (None, Versions(), BEFORE, False),
        (Versions(), None, BEFORE, False),
        (Versions(END), Versions(END), AFTER, True),
        (Versions(), Versions(END), BEFORE, True),
        (Versions(), Versions(END), AFTER, False),
        (Versions(END), Versions(), AFTER, True),
        (Versions(BEFORE), Versions(END), BEFORE, False),
    ],
)
def test_a_listing_stands_for_a_date_that_ends_meanwhile(
    listed: Versions | None, wanted: Versions | None, began_at: datetime, expected: bool
) -> None:
    assert stand_for(listed, wanted, began_at) is expected
