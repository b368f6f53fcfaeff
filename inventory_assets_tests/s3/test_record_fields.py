"""A field is decoded if it is unambiguous."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.decoding.columnar_decoder import decode_columns
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.record_fields import Unclear, milliseconds
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    element,
    listing,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YEAR = 1_704_067_200_000


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00Z",
        "2024-01-01T00:00:00z",
        "2024-01-01t00:00:00Z",
        "2024-01-01 00:00:00",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00+0000",
        "2024-01-01T01:00:00+01",
        "2024-01-01T00:00:00.000000000Z",
        "2024-01-01T00:00:00,000Z",
        "2024-01-01 00:00:00 UTC",
        "2024-01-01 00:00:00 +0000 UTC",
        "2024-01-01T00:00:00 GMT",
        "20240101T000000Z",
        "2024-W01-1T00:00:00Z",
        "Mon, 01 Jan 2024 00:00:00 GMT",
        "Mon, 1 Jan 2024 00:00:00 +0000",
        "01 Jan 2024 01:00:00 +0100",
        "1704067200",
        "1704067200000",
        "1704067200000000",
        "1704067200000000000",
    ],
)
def test_a_time_is_read_in_all_its_forms(text: str) -> None:
    assert milliseconds(text) == NEW_YEAR


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-01-01",
        "20240101",
        "2024-W01-1",
        "2024-13-01T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        ":2024-01-01T00:00:00Z",
        "01/02/2024 00:00:00",
        "Monday, 01-Jan-24 00:00:00 GMT",
        "Mon, 32 Jan 2024 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 EST",
        "1704067",
        "-1704067200",
        "9" * 5000,
    ],
)
def test_an_ambiguous_or_invalid_time_is_rejected(text: str) -> None:
    with pytest.raises(Unclear, match="<LastModified> is "):
        milliseconds(text)


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001 - the zone is drawn
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_every_form_of_a_time_is_read_alike(moment: datetime, zone: timezone) -> None:
    local = moment.replace(tzinfo=zone, microsecond=0)
    expected = (local - EPOCH) // timedelta(milliseconds=1)
    assert milliseconds(local.isoformat()) == expected
    assert milliseconds(local.strftime("%a, %d %b %Y %H:%M:%S %z")) == expected
    assert milliseconds(str(expected // 1000)) == expected
    assert milliseconds(str(expected)) == expected


def test_a_folder_listed_as_an_object_has_no_bytes() -> None:
    fields = [element("Key", "b/"), element("LastModified", "2024-01-01T00:00:00Z")]
    body = listing(contents(*contents_fields(Listed("a"))), contents(*fields))
    page = decode_page(body)
    assert isinstance(page, Page)
    assert page == decode_columns(body)
    assert page.objects.column("key").to_pylist() == ["a", "b/"]
    assert page.objects.column("size").to_pylist() == [0, 0]
    assert page.objects.column("e_tag")[1].as_py() is None
