import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.errors import TransientError
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document

GOOD = Answer(200, render([Listed("k")]), {"Server": "AmazonS3"})
BUSY = Answer(503, error_document("SlowDown"))
PATIENT = RetryPolicy(base_seconds=60, cap_seconds=60)

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([GOOD]) as scripted:
        yield scripted


def lister_for(
    url: str,
    *,
    retry: RetryPolicy | None = None,
    requester_pays: bool = False,
    anonymous: bool = False,
    max_in_flight: int = 32,
) -> ListClient:
    return ListClient(
        BucketConfig(
            "ours",
            url,
            access_key=None if anonymous else "AKIATHEKEY",
            secret_key=None if anonymous else "s" * 40,
            addressing_style="path",
            requester_pays=requester_pays,
            anonymous=anonymous,
            max_in_flight=max_in_flight,
        ),
        retry,
    )


def asked(server: ScriptedServer) -> dict[str, str]:
    """The query of the only request that the server saw."""
    (seen,) = server.seen
    assert urlsplit(seen.path).path == "/ours"
    query = parse_qs(urlsplit(seen.path).query, keep_blank_values=True)
    return {name: value for name, (value,) in query.items()}


def test_the_smallest_request_asks_for_a_whole_page_url_encoded(server: ScriptedServer) -> None:
    lister_for(server.url).list_page_sync(PageRequest(), RequestStats())
    assert asked(server) == {"list-type": "2", "encoding-type": "url", "max-keys": "1000"}


def test_every_part_of_a_request_arrives_byte_for_byte(server: ScriptedServer) -> None:
    request = PageRequest("a +%2B&=\0/\U0010ffff", "a +\n#?é", None, "/", 7)
    lister_for(server.url).list_page_sync(request, RequestStats())
    assert asked(server) == {
        "list-type": "2",
        "encoding-type": "url",
        "max-keys": "7",
        "prefix": "a +%2B&=\0/\U0010ffff",
        "start-after": "a +\n#?é",
        "delimiter": "/",
    }


def test_a_token_replaces_start_after(server: ScriptedServer) -> None:
    lister_for(server.url).list_page_sync(PageRequest("p/", "p/a", "1/t+o=="), RequestStats())
    assert asked(server)["continuation-token"] == "1/t+o=="
    assert "start-after" not in asked(server)


def test_requests_are_signed(server: ScriptedServer) -> None:
    lister_for(server.url).list_page_sync(PageRequest(), RequestStats())
    assert "Credential=AKIATHEKEY/" in server.seen[0].headers["authorization"]
    assert "x-amz-request-payer" not in server.seen[0].headers


def test_an_anonymous_request_carries_no_signature(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATHEKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s" * 40)
    lister_for(server.url, anonymous=True).list_page_sync(PageRequest(), RequestStats())
    assert not {"authorization", "x-amz-security-token"} & set(server.seen[0].headers)
    assert "X-Amz" not in server.seen[0].path


def test_requester_pays_is_sent_in_a_header(server: ScriptedServer) -> None:
    lister_for(server.url, requester_pays=True).list_page_sync(PageRequest(), RequestStats())
    assert server.seen[0].headers["x-amz-request-payer"] == "requester"


def test_the_server_header_is_stored(server: ScriptedServer) -> None:
    lister = lister_for(server.url)
    assert lister.server is None
    lister.list_page_sync(PageRequest(), RequestStats())
    assert (lister.server or "").endswith("AmazonS3")


def test_request_stats_count_requests_and_bytes(server: ScriptedServer) -> None:
    lister, stats = lister_for(server.url, retry=RetryPolicy(base_seconds=0)), RequestStats()
    server.script(BUSY, GOOD)
    lister.list_page_sync(PageRequest(), stats)
    lister.list_page_sync(PageRequest(), stats)
    assert stats.requests == 3
    assert stats.response_bytes == len(BUSY.body) + 2 * len(GOOD.body)
    assert stats.faults == {TransientError.THROTTLED: 1}


def test_only_successful_requests_have_a_latency() -> None:
    stats = RequestStats()
    with ScriptedServer([BUSY, GOOD]) as server:
        quick = RetryPolicy(base_seconds=0.001)
        lister_for(server.url, retry=quick).list_page_sync(PageRequest(), stats)
    assert (stats.requests, stats.latency.total) == (2, 1)


def test_a_stop_set_before_sends_nothing(server: ScriptedServer) -> None:
    lister, stats = lister_for(server.url), RequestStats()
    lister.cancel()
    with pytest.raises(Cancelled):
        lister.list_page_sync(PageRequest(), stats)
    assert not server.seen
    assert stats.requests == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_stop_ends_a_backoff_within_a_second(server: ScriptedServer) -> None:
    server.script(BUSY)
    lister, stats = lister_for(server.url, retry=PATIENT), RequestStats()
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(lister.list_page_sync, PageRequest(), stats)
        until(lambda: bool(stats.faults))
        stopped = time.monotonic()
        lister.cancel()
        with pytest.raises(Cancelled):
            page.result(timeout=10)
    assert time.monotonic() - stopped < 1
    assert len(server.seen) == 1


def test_a_cancellation_ends_the_request_in_flight_and_keeps_those_that_wait_from_sending(
    server: ScriptedServer,
) -> None:
    server.script(Answer(200, GOOD.body, delay=30))
    lister, stats = lister_for(server.url, max_in_flight=1), RequestStats()
    with ThreadPoolExecutor(4) as pool:
        pages = [pool.submit(lister.list_page_sync, PageRequest(), stats) for _ in range(4)]
        until(lambda: bool(server.seen))
        cancelled_at = time.monotonic()
        lister.cancel()
        assert all(isinstance(page.exception(timeout=10), Cancelled) for page in pages)
    assert time.monotonic() - cancelled_at < 1
    assert len(server.seen) == 1


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_requests_are_in_flight_than_allowed(server: ScriptedServer, limit: int) -> None:
    server.script(*[Answer(200, GOOD.body, delay=0.01)] * 20, BUSY, GOOD)
    lister = lister_for(server.url, retry=RetryPolicy(base_seconds=0), max_in_flight=limit)
    with ThreadPoolExecutor(12) as pool:
        for page in [
            pool.submit(lister.list_page_sync, PageRequest(), RequestStats()) for _ in range(24)
        ]:
            assert page.result(timeout=10).objects.num_rows == 1
    assert server.most_at_once == limit


def test_a_failed_request_releases_its_slot(server: ScriptedServer) -> None:
    server.script(*(Answer(200, b"junk %d" % number) for number in range(5)), GOOD)
    lister = lister_for(
        server.url, retry=RetryPolicy(base_seconds=0, malformed_attempts=6), max_in_flight=1
    )
    assert lister.list_page_sync(PageRequest(), RequestStats()).objects.num_rows == 1


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_full_jitter_below_a_doubling_bound_and_the_cap(
    failures: int, chance: float
) -> None:
    policy = RetryPolicy(base_seconds=0.1, cap_seconds=20)
    bound = min(20, 0.1 * 2**failures) if failures < 100 else 20
    assert policy.delay(failures, chance) == pytest.approx(chance * bound)


def test_waits_before_retries_follow_the_policy(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(BUSY, BUSY, BUSY, GOOD)
    lister = lister_for(server.url, retry=RetryPolicy(base_seconds=1, cap_seconds=3))
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(lister._limiter, "sleep", pause)
    monkeypatch.setattr("random.random", lambda: 0.5)
    lister.list_page_sync(PageRequest(), RequestStats())
    assert waited == [1.0, 1.5, 1.5]


HOSTILE_KEYS = [
    "..",
    "../up",
    ".",
    "/",
    "//",
    "/lead",
    "a",
    "a b",
    "a+b",
    "a%2Bb",
    "a%",
    "a&b<c>d",
    "a\"b'c",
    "a\rb",
    "a\tb",
    "a\x01b",
    "a\x7fb",
    "a/../b",
    "a//b",
    "é",
    "e\u0301",
    "\U0001f984",
    "\uffff",
    "\U0010ffff",
    "x" * 1024,
]


def test_hostile_keys_of_a_real_server_arrive_byte_for_byte(
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
) -> None:
    lister, stats = ListClient(moto_bucket(HOSTILE_KEYS)), RequestStats()
    found: list[dict[str, object]] = []
    token: str | None = None
    while True:
        page = lister.list_page_sync(PageRequest(token=token, max_keys=5), stats)
        found += page.objects.to_pylist()
        token = page.next_token
        if not page.is_truncated:
            break
    assert [row["key"] for row in found] == sorted(HOSTILE_KEYS)
    assert {row["e_tag"] for row in found} == {"d41d8cd98f00b204e9800998ecf8427e"}
    assert stats.requests == -(-len(HOSTILE_KEYS) // 5)
    assert not stats.faults


def test_request_stats_are_thread_safe() -> None:
    stats, together = RequestStats(), threading.Barrier(4)

    def count() -> None:
        together.wait()
        for _ in range(300):
            stats.sent()
            stats.failed(TransientError.RESET)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count) for _ in range(4)]:
            done.result()
    assert (stats.requests, stats.faults) == (1200, {TransientError.RESET: 1200})
