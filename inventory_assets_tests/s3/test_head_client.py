import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.errors import (
    AccessDenied,
    MalformedResponse,
    RetriesExhausted,
    TransientError,
)
from inventory_assets.s3.head_client import DENIALS_BEFORE_END, HeadClient
from inventory_assets.s3.object_answer import ObjectAnswer, ObjectError, tags_of
from inventory_assets.s3.request_observer import RequestEnd
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.object_server import ObjectServer, ServedObject
from inventory_assets_tests.fakes.scripted_server import Answer, Seen, error_document
from inventory_assets_tests.s3.head_requests import QUICK, read, read_one

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with ObjectServer() as served:
        yield served


def test_the_headers_of_an_object_are_read(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e", {"Content-Type": "text/css", "x-amz-meta-a": "b"})
    answer = read_one(server)
    assert answer.error is None
    assert answer.headers is not None
    assert (answer.headers["content-type"], answer.headers["x-amz-meta-a"]) == ("text/css", "b")
    assert (answer.tags, answer.requests) == (None, 1)
    (seen,) = server.seen
    assert (seen.method, seen.headers["x-amz-checksum-mode"]) == ("HEAD", "ENABLED")


def test_a_version_is_asked_for_by_its_id(server: ObjectServer) -> None:
    server.objects["k", "v1"] = ServedObject("old", {"x-amz-meta-a": "1"})
    server.objects["k", "null"] = ServedObject("new", {"x-amz-meta-a": "2"})
    answers = read(HeadClient(server.config()), [("k", "v1", "old"), ("k", "null", "new")])
    assert [(each.headers or {})["x-amz-meta-a"] for each in answers] == ["1", "2"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, ObjectError.MISSING),
        (405, ObjectError.MISSING),
        (403, ObjectError.FORBIDDEN),
        (400, ObjectError.REFUSED),
        (501, ObjectError.REFUSED),
    ],
)
def test_an_object_that_cannot_be_read_has_an_error_and_the_next_one_is_read(
    server: ObjectServer, status: int, error: ObjectError
) -> None:
    server.objects["bad", None] = ServedObject("e", status=status)
    server.objects["good", None] = ServedObject("e")
    bad, good = read(HeadClient(server.config()), [("bad", None, "e"), ("good", None, "e")])
    assert (bad.headers, bad.error) == (None, error)
    assert good.error is None


def test_an_object_that_was_replaced_since_it_was_listed_has_changed(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("new")
    assert read_one(server, e_tag="old").error is ObjectError.CHANGED


def test_an_answer_that_is_not_from_s3_is_no_metadata(server: ObjectServer) -> None:
    server.answering = lambda _seen: Answer(200, headers={"Content-Type": "text/html"})
    assert read_one(server).error is ObjectError.REFUSED


def test_tags_are_read_where_they_are_asked_for(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e", tags={"team": "a&b", "": "<"})
    server.objects["none", None] = ServedObject("e")
    client = HeadClient(server.config(), with_tags=True)
    some, none = read(client, [("k", None, "e"), ("none", None, "e")])
    assert (some.tags, none.tags) == ({"team": "a&b", "": "<"}, {})
    assert some.requests == client.requests_per_object == 2


def test_denied_tags_leave_the_headers(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e", {"Content-Type": "a/b"}, tags_status=403)
    (answer,) = read(HeadClient(server.config(), with_tags=True), [("k", None, "e")])
    assert (answer.error, answer.tags) == (ObjectError.FORBIDDEN, None)
    assert answer.headers is not None
    assert answer.headers["content-type"] == "a/b"


def test_an_archived_object_whose_tags_are_not_told_is_archived(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e")
    head = server.answer

    def reply(seen: Seen) -> Answer:
        if seen.method == "HEAD":
            return head(seen)
        return Answer(403, error_document("InvalidObjectState"))

    server.answering = reply
    (answer,) = read(HeadClient(server.config(), with_tags=True), [("k", None, "e")])
    assert answer.error is ObjectError.ARCHIVED


def test_a_missing_permission_ends_the_work_and_names_the_policy(server: ObjectServer) -> None:
    for number in range(1000):
        server.objects[f"k{number}", None] = ServedObject("e", status=403)
    asked = [(f"k{number}", None, "e") for number in range(1000)]
    with pytest.raises(AccessDenied, match=r"grant s3:GetObject on arn:aws:s3:::objects/\*"):
        read(HeadClient(server.config()), asked)
    # Each denial is confirmed without checksums, whose absence may be the reason.
    assert len(server.heads) == DENIALS_BEFORE_END
    assert server.heads.total() == 2 * DENIALS_BEFORE_END


def test_a_missing_permission_for_tags_names_its_policy_and_setting(server: ObjectServer) -> None:
    for number in range(40):
        server.objects[f"k{number}", "v"] = ServedObject("e", tags_status=403)
    asked = [(f"k{number}", "v", "e") for number in range(40)]
    with pytest.raises(AccessDenied, match=r"s3:GetObjectVersionTagging .*metadata\.tags = false"):
        read(HeadClient(server.config(), with_tags=True), asked)


def test_denied_objects_among_others_do_not_end_the_work(server: ObjectServer) -> None:
    server.objects["first", None] = ServedObject("e")
    asked = [("first", None, "e"), *((f"k{number}", None, "e") for number in range(100))]
    for key, _, _ in asked[1:]:
        server.objects[key, None] = ServedObject("e", status=403)
    answers = read(HeadClient(server.config()), asked)
    assert [each.error for each in answers[1:]] == [ObjectError.FORBIDDEN] * 100


def test_without_permission_to_decrypt_everything_but_checksums_is_read(
    server: ObjectServer,
) -> None:
    head = server.answer

    def reply(seen: Seen) -> Answer:
        return Answer(403) if "x-amz-checksum-mode" in seen.headers else head(seen)

    server.answering = reply
    asked = [(f"k{number}", None, "e") for number in range(50)]
    for key, _, _ in asked:
        server.objects[key, None] = ServedObject("e", {"Content-Type": "a/b"})
    answers = read(HeadClient(server.config()), asked)
    assert all(each.error is None for each in answers)
    assert (answers[0].requests, answers[-1].requests) == (2, 1)  # soon it asks without


def test_transient_errors_are_retried_and_counted(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e")
    good = server.answer
    faults = [Answer(503), Answer(500), Answer(reset=True), Answer(429)]

    def reply(seen: Seen) -> Answer:
        return faults.pop() if faults else good(seen)

    server.answering = reply
    client = HeadClient(server.config(), QUICK)
    (answer,) = read(client, [("k", None, "e")])
    assert (answer.error, answer.requests) == (None, 5)
    assert client.stats.faults == {
        TransientError.THROTTLED: 2,
        TransientError.SERVER_ERROR: 1,
        TransientError.RESET: 1,
    }


class Ends:
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.told: list[RequestEnd] = []

    def request_ended(self, end: RequestEnd, /) -> None:
        self.told.append(end)


def test_an_observer_is_told_of_each_request_and_its_end(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e", tags_status=403)
    good = server.answer
    first = [Answer(reset=True), Answer(503, headers={"x-amz-request-id": "ID7"})]

    def reply(seen: Seen) -> Answer:
        return first.pop(0) if first else good(seen)

    server.answering = reply
    ends = Ends()
    client = HeadClient(server.config(), QUICK, with_tags=True, observer=ends)
    read(client, [("k", None, "e")])
    assert [(each.operation, each.method, each.status, each.fault) for each in ends.told] == [
        ("HeadObject", "HEAD", None, TransientError.RESET),
        ("HeadObject", "HEAD", 503, TransientError.THROTTLED),
        ("HeadObject", "HEAD", 200, None),
        ("GetObjectTagging", "GET", 403, None),
    ]
    assert [each.is_success for each in ends.told] == [False, False, True, False]
    assert ends.told[1].request_id == "ID7"
    assert all(each.seconds > 0 for each in ends.told)
    assert ends.told[2].response_bytes == 0 < ends.told[3].response_bytes


def test_an_outage_ends_the_work_after_its_budget(server: ObjectServer) -> None:
    server.answering = lambda _seen: Answer(500)
    impatient = RetryPolicy(outage_seconds=0.05, base_seconds=0.001, cap_seconds=0.002)
    with pytest.raises(RetriesExhausted):
        read(HeadClient(server.config(), impatient), [("k", None, "e")])


def test_an_object_that_always_fails_while_others_succeed_is_given_up(
    server: ObjectServer,
) -> None:
    server.objects["bad", None] = ServedObject("e", status=500)
    server.objects["good", None] = ServedObject("e")
    client = HeadClient(server.config(), RetryPolicy(60, 0.001, 0.02))
    done = threading.Event()

    async def run() -> ObjectAnswer:
        async def others() -> None:
            reader = client.reader()
            while not done.is_set():
                await reader.read("good", None, "e")
            reader.close()

        beside = asyncio.create_task(others())
        reader = client.reader()
        answer = await reader.read("bad", None, "e")
        done.set()
        await beside
        reader.close()
        return answer

    assert asyncio.run(run()).error is ObjectError.FAILED
    client.close()


def test_the_limit_holds_and_a_cancelled_client_ends_its_requests(server: ObjectServer) -> None:
    server.objects["k", None] = ServedObject("e")
    under_way: set[int] = set()
    at_once: list[int] = []

    def reply(seen: Seen) -> Answer:
        under_way.add(threading.get_ident())
        at_once.append(len(under_way))
        time.sleep(0.02)
        under_way.discard(threading.get_ident())
        return server.answer(seen)

    server.answering = reply
    client = HeadClient(server.config(max_in_flight=3))

    async def run() -> None:
        async def one() -> None:
            reader = client.reader()
            try:
                while True:
                    await reader.read("k", None, "e")
            finally:
                reader.close()

        await asyncio.gather(*(one() for _ in range(8)))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, run())
        while server.heads["k"] < 12:
            time.sleep(0.01)
        client.cancel()
        with pytest.raises(Cancelled):
            running.result(10)
    assert max(at_once) == 3
    client.close()


@pytest.mark.parametrize("after", [b"", b"X", b'HTTP/1.1 200 OK\r\nETag: "wrong"\r\n\r\n'])
def test_what_follows_a_response_is_never_the_next_one(server: ObjectServer, after: bytes) -> None:
    """A connection that has ended, or holds unread bytes, is not used again."""
    raw = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 5\r\n\r\n'
    server.answering = lambda _seen: Answer(raw=raw + after)
    answers = read(HeadClient(server.config(), QUICK), [("k", None, "e")] * 20)
    assert [each.error for each in answers] == [None] * 20


def test_a_response_that_is_no_tagging_is_rejected() -> None:
    with pytest.raises(MalformedResponse):
        tags_of(bytearray(b"<ListBucketResult/>"))
