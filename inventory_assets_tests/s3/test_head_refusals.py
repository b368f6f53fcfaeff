"""A refused HEAD has no body: why it was refused is found out by other requests."""

from collections.abc import Callable, Iterator

import pytest

from inventory_assets.s3.errors import (
    CredentialsRefused,
)
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.object_answer import ObjectAnswer, ObjectError
from inventory_assets_tests.fakes.object_server import ObjectServer, ServedObject
from inventory_assets_tests.fakes.scripted_server import Answer, Seen, error_document
from inventory_assets_tests.s3.head_requests import QUICK, ends_of, read, read_one

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer() as served:
        yield served


def expired(seen: Seen) -> Answer:
    """The response to credentials that have expired."""
    return Answer(400, b"" if seen.method == "HEAD" else error_document("ExpiredToken"))


def of_another_time(server: ObjectServer) -> Callable[[Seen], Answer]:
    """The responses of a server whose clock shows the first day of 2030."""
    good = server.answer

    def reply(seen: Seen) -> Answer:
        if seen.headers["x-amz-date"].startswith("20300101"):
            return good(seen)
        body = b"" if seen.method == "HEAD" else error_document("RequestTimeTooSkewed")
        return Answer(403, body, {"Date": "Tue, 01 Jan 2030 00:00:00 GMT"})

    return reply


def test_refused_credentials_are_noticed_although_a_head_has_no_body(
    server: ObjectServer,
) -> None:
    server.answering = expired
    with pytest.raises(CredentialsRefused, match="expired"):
        read(HeadClient(server.config(), QUICK), [("k", None, "e")])


def test_a_wrong_clock_is_corrected_although_a_head_has_no_body(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e")
    server.answering = of_another_time(server)
    assert read_one(server).error is None


def test_a_wrong_clock_is_corrected_for_all_requests_in_flight(server: ObjectServer) -> None:
    keys = [f"k{number}" for number in range(40)]
    for key in keys:
        server.objects[key, None] = ServedObject("e")
    server.answering = of_another_time(server)
    ends = ends_of(HeadClient(server.config(40), QUICK), keys)
    assert [end for end in ends if not isinstance(end, ObjectAnswer) or end.error] == []


def test_expired_credentials_are_not_taken_for_refusals_of_the_objects_in_flight(
    server: ObjectServer,
) -> None:
    keys = [f"k{number}" for number in range(40)]

    server.answering = expired
    client = HeadClient(server.config(40), QUICK)
    assert {type(end) for end in ends_of(client, keys)} == {CredentialsRefused}


def test_credentials_that_expire_after_a_refusal_was_checked_are_noticed_soon(
    server: ObjectServer,
) -> None:
    server.objects["k", None] = ServedObject("e", status=400)
    good = server.answer

    def expire(seen: Seen) -> Answer:
        if server.heads["k"] < 2:
            return good(seen)
        return expired(seen)

    server.answering = expire
    with pytest.raises(CredentialsRefused, match="expired"):
        read(HeadClient(server.config(), QUICK), [("k", None, "e")] * 20)


def test_many_refusals_in_a_row_are_checked_a_few_times(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e", status=400)
    answers = read(HeadClient(server.config(), QUICK), [("k", None, "e")] * 200)
    assert {each.error for each in answers} == {ObjectError.REFUSED}
    assert sum(seen.method == "GET" for seen in server.seen) == 5  # 1, 16, 32, 64, 128
