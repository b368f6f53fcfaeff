"""`hygiene_report`: what is waste or odd in a date's inventory."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from inventory_assets.config import Hygiene
from inventory_assets.inventory.hygiene.survey import read_report
from inventory_assets_tests.assets.world import (
    TODAY,
    World,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    table_of,
)

DAY = str(TODAY)


@pytest.fixture
def made(make_world: Callable[..., World]) -> World:
    world = make_world(
        ["a/1", "a//2", "b/c:d"], hygiene=Hygiene(duplicates=True, multipart_uploads=True)
    )
    world.discover()
    assert world.list_all().success
    assert world.run("inventory_manifest", DAY).success
    return world


def test_a_report_is_published_and_shown(made: World) -> None:
    client: Any = boto3.client("s3", endpoint_url=made.source.endpoint_url, region_name="us-east-1")
    client.create_multipart_upload(Bucket=made.source.bucket, Key="b/unfinished")
    outcome = made.run("hygiene_report", DAY)
    assert outcome.success
    event = materializations(outcome)[DAY]
    by_title = {row["finding"]: row for row in table_of(event, "findings")}
    assert by_title["Keys with an empty segment"]["objects"] == 1
    assert by_title["Keys that Windows does not allow"]["example"] == "b/c:d"
    assert by_title["Incomplete multipart uploads"]["objects"] == 1
    assert metadata_of(event, "empty_segments") == 1
    assert metadata_of(event, "incomplete_uploads_bytes") == 0
    assert metadata_of(event, "waste") == "0 B, 0.0 % of all bytes"
    assert metadata_of(event, "waste_bytes") == metadata_of(event, "waste_monthly_usd") == 0
    assert metadata_of(event, "waste_cost") == "0 USD a month"
    assert metadata_of(event, "html_report").endswith("report.html")
    assert [row["key"] for row in table_of(event, "oldest_uploads")] == ["b/unfinished"]
    report = read_report(made.store, made.layout, TODAY)
    assert report
    assert report.objects == 3


def test_a_report_of_equal_findings_has_an_equal_data_version(made: World) -> None:
    first = data_versions(made.run("hygiene_report", DAY))
    assert first == data_versions(made.run("hygiene_report", DAY)) != {}


def test_without_a_manifest_there_is_no_report(world: World) -> None:
    outcome = world.run("hygiene_report", DAY)
    assert not outcome.success
    assert "materialize inventory_manifest first" in failure_text(outcome)


def test_a_source_may_have_no_reports(make_world: Callable[..., World]) -> None:
    world = make_world([], hygiene=Hygiene(enabled=False))
    keys = world.definitions.resolve_asset_graph().get_all_asset_keys()
    assert world.assets.key("hygiene_report") not in keys
