"""A bucket in another region than the configured one."""

from dataclasses import replace

import pytest

from inventory_assets.s3.errors import RequestRejected
from inventory_assets.s3.http.response import ErrorResponse
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document
from inventory_assets_tests.s3.transport.requests import (
    GOOD,
    QUICK,
    error_of,
    get,
    list_once,
    scope_of,
    to,
)

pytestmark = pytest.mark.usefixtures("no_aws_environment")


def elsewhere(region: str) -> Answer:
    return Answer(301, error_document("PermanentRedirect"), {"x-amz-bucket-region": region})


def malformed_for(region: str) -> Answer:
    body = error_document("AuthorizationHeaderMalformed").replace(
        b"</Message>", f"</Message><Region>{region}</Region>".encode()
    )
    return Answer(400, body)


@pytest.mark.parametrize("error_response", [elsewhere("eu-west-3"), malformed_for("eu-west-3")])
def test_a_bucket_of_another_region_is_asked_again_in_its_own(
    error_response: Answer, server: ScriptedServer
) -> None:
    server.script(error_response, GOOD)
    stats = RequestStats()
    lister = ListClient(to(server.url), QUICK)
    lister.list_page_sync(PageRequest(), stats)
    lister.list_page_sync(PageRequest(), stats)
    regions = [scope_of(seen)[0] for seen in server.seen]
    assert regions == ["us-east-1", "eu-west-3", "eu-west-3"]
    assert not stats.faults


@pytest.mark.parametrize(
    "error_response",
    [
        Answer(400, error_document("IllegalLocationConstraintException")),
        Answer(301, error_document("PermanentRedirect")),
    ],
)
def test_a_region_that_an_error_response_does_not_name_is_looked_up(
    error_response: Answer, server: ScriptedServer
) -> None:
    server.script(error_response, Answer(200, headers={"x-amz-bucket-region": "af-south-1"}), GOOD)
    stats = RequestStats()
    list_once(to(server.url), stats)
    assert scope_of(server.seen[-1])[0] == "af-south-1"
    assert not stats.faults
    assert len(server.seen) == 3


def test_the_user_is_asked_for_a_region_that_no_response_names(server: ScriptedServer) -> None:
    server.script(Answer(400, error_document("IllegalLocationConstraintException")))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "--region" in str(error)


def test_a_redirect_to_the_requested_region_blames_the_endpoint(
    server: ScriptedServer,
) -> None:
    server.script(elsewhere("us-east-1"))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "leave out --endpoint-url" in str(error)
    assert "another region" not in str(error)
    assert len(server.seen) == 1


def test_regions_that_name_each_other_end_the_listing_soon(server: ScriptedServer) -> None:
    server.script(*[elsewhere("eu-west-3"), elsewhere("us-east-1")] * 20)
    error = error_of(to(server.url))
    assert isinstance(error, RequestRejected)
    assert "region" in str(error)
    assert len(server.seen) <= 6


def test_an_invalid_region_is_not_followed(server: ScriptedServer) -> None:
    server.script(elsewhere("no/such.region#"))
    assert isinstance(error_of(to(server.url)), RequestRejected)
    assert len(server.seen) == 1


def test_an_anonymous_listing_follows_the_bucket_to_its_region(server: ScriptedServer) -> None:
    server.script(elsewhere("eu-west-3"))
    nobody = to(server.url, access_key=None, secret_key=None, anonymous=True)
    error_response = ErrorResponse(get(Transport(nobody), {}, bytearray()))
    way = Transport(replace(nobody, endpoint_url=None, addressing_style="virtual"))
    assert way._resolve_endpoint(None).region == "us-east-1"
    assert way.adapt_to_error(error_response)
    assert way._resolve_endpoint(None).host == "ours.s3.eu-west-3.amazonaws.com"
    assert way._resolve_endpoint(None).scope is None


def test_an_anonymous_listing_without_another_region_ends(server: ScriptedServer) -> None:
    server.script(elsewhere("us-east-1"))
    nobody = to(server.url, access_key=None, secret_key=None, anonymous=True)
    assert isinstance(error_of(nobody), RequestRejected)
    assert len(server.seen) == 1


@pytest.mark.parametrize("error_response", [elsewhere("eu-west-3"), malformed_for("eu-west-3")])
def test_a_region_found_by_one_request_applies_to_earlier_ones(
    error_response: Answer, server: ScriptedServer
) -> None:
    server.script(error_response)
    way = Transport(to(server.url))
    before = [ErrorResponse(get(way, {}, bytearray())) for _ in range(2)]
    assert [way.adapt_to_error(each) for each in before] == [True, True]
    assert not way.adapt_to_error(ErrorResponse(get(way, {}, bytearray())))
