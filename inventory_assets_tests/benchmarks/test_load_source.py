import http.client
import shutil
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.load_source import SHAPES, LoadSource
from inventory_assets.s3.decoding.page import OBJECT_SCHEMA, ErrorDocument, Page
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets_tests.benchmarks.keys import keys_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

COUNT = 2_001
every_shape = pytest.mark.parametrize("shape", SHAPES)


@pytest.fixture(scope="module")
def load_source() -> Iterator[Callable[..., LoadSource]]:
    """Starts a load source, or hands out the one that runs with the same options."""
    running: dict[str, LoadSource] = {}
    with ExitStack() as stack:

        def start(shape: str = "flat", count: int = COUNT, **options: Any) -> LoadSource:
            name = repr((shape, count, options))
            if name not in running:
                running[name] = stack.enter_context(LoadSource(shape, count, **options))
            return running[name]

        yield start


def client_of(source: LoadSource) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=source.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        verify=str(source.ca_file) if source.ca_file else None,
        config=Config(retries={"total_max_attempts": 1}),
    )


def listed_by_boto3(source: LoadSource, max_keys: int = 1000) -> list[str]:
    paginator = client_of(source).get_paginator("list_objects_v2")
    pages = paginator.paginate(Bucket=source.bucket, PaginationConfig={"PageSize": max_keys})
    return [found["Key"] for page in pages for found in page["Contents"]]


def answer_of(source: LoadSource, target: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(source.url).netloc, timeout=30)
    with closing(connection):
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, response.read()


def page_of(source: LoadSource, **parameters: Any) -> Page:
    query = urlencode({"list-type": 2, **parameters})
    page = decode_page(answer_of(source, f"/{source.bucket}?{query}")[1])
    assert isinstance(page, Page)
    return page


def pages_of(source: LoadSource, **parameters: Any) -> list[Page]:
    """All pages of a listing, url-encoded."""
    parameters["encoding-type"] = "url"
    pages = [page_of(source, **parameters)]
    while pages[-1].is_truncated:
        parameters["continuation-token"] = pages[-1].next_token
        pages.append(page_of(source, **parameters))
    return pages


def keys_in(pages: list[Page]) -> list[str]:
    return [key for page in pages for key in page.objects["key"].to_pylist()]


def folders_in(pages: list[Page]) -> list[str]:
    return [folder for page in pages for folder in page.common_prefixes]


@every_shape
@pytest.mark.parametrize("max_keys", [1000, 997])
def test_a_listing_is_every_key_in_order(
    load_source: Callable[..., LoadSource], shape: str, max_keys: int
) -> None:
    source = load_source(shape)
    keys = keys_of(shape, COUNT)
    pages = pages_of(source, **{"max-keys": max_keys})
    assert keys_in(pages) == keys
    assert [len(page.objects) for page in pages[:-1]] == [max_keys] * 2


@pytest.mark.parametrize("max_keys", [1000, 997])
def test_boto3_lists_the_same(load_source: Callable[..., LoadSource], max_keys: int) -> None:
    assert listed_by_boto3(load_source("real"), max_keys) == keys_of("real", COUNT)


@every_shape
def test_keys_ascend_by_their_bytes(shape: str) -> None:
    keys = [key.encode() for key in keys_of(shape, COUNT, seed=5)]
    assert len(keys) == COUNT
    assert all(one < other for one, other in pairwise(keys))


@every_shape
def test_a_seed_makes_other_keys_and_attributes(
    load_source: Callable[..., LoadSource], shape: str
) -> None:
    one, other = page_of(load_source(shape)), page_of(load_source(shape, seed=5))
    assert one.objects["e_tag"] != other.objects["e_tag"]
    assert other.objects["key"].to_pylist() == keys_of(shape, COUNT, seed=5)[:1000]


@every_shape
def test_keys_are_the_same_url_encoded_and_not(
    load_source: Callable[..., LoadSource], shape: str
) -> None:
    source = load_source(shape)
    keys = keys_of(shape, COUNT)
    for after in (keys[0], keys[1000], keys[1900]):
        plain = page_of(source, **{"start-after": after})
        encoded = page_of(source, **{"start-after": after, "encoding-type": "url"})
        assert (plain.url_encoded, encoded.url_encoded) == (False, True)
        assert plain.objects == encoded.objects


def test_names_that_need_escapes_arrive_whole(tmp_path: Path) -> None:
    names = sorted({f"{mark}/x{mark}y" for mark in [*"&<>\"'+ %~*=?#\t\x1f", "é", "𠀀", "%2B"]})
    file = tmp_path / "names.txt"
    file.write_text("\n".join(names), "utf-8")
    with LoadSource("real", 3 * len(names), names=file) as source:
        keys = [f"{generation:06}/{name}" for generation in range(3) for name in names]
        assert keys_in(pages_of(source, **{"max-keys": 5})) == keys
        pages = pages_of(source, prefix="000001/", delimiter="/", **{"max-keys": 3})
        assert folders_in(pages) == [f"000001/{name.partition('/')[0]}/" for name in names]
        # XML 1.0 forbids control characters: without url-encoding such keys cannot be read.
        plain = page_of(source, **{"start-after": "000002/ "})
        assert plain.objects["key"].to_pylist() == [key for key in keys if key > "000002/ "][:1000]


@every_shape
def test_a_listing_begins_after_any_text(
    load_source: Callable[..., LoadSource], shape: str
) -> None:
    source = load_source(shape)
    keys = keys_of(shape, COUNT)
    for after in (keys[0], keys[-3], keys[999], keys[1501] + " ", keys[1234][:-1], "a", "zzz"):
        expected = [key for key in keys if key.encode() > after.encode()]
        assert (
            page_of(source, **{"start-after": after}).objects["key"].to_pylist()
            == (expected[:1000])
        )


@every_shape
def test_prefixes_and_delimiters_select_as_s3_does(
    load_source: Callable[..., LoadSource], shape: str
) -> None:
    source = load_source(shape)
    keys = keys_of(shape, COUNT)
    middle = keys[COUNT // 2]
    for prefix in ("", keys[0][:5], middle[: len(middle) // 2], middle, "nothing"):
        matching = [key for key in keys if key.startswith(prefix)]
        assert keys_in(pages_of(source, prefix=prefix)) == matching
        for delimiter in ("/", "1", "rt-0"):
            pages = pages_of(source, prefix=prefix, delimiter=delimiter, **{"max-keys": 200})
            rolled_up = [key[len(prefix) :].partition(delimiter) for key in matching]
            assert keys_in(pages) == [prefix + name for name, found, _ in rolled_up if not found]
            folders = dict.fromkeys(prefix + name + found for name, found, _ in rolled_up if found)
            assert folders_in(pages) == list(folders)
            sizes = [len(page.objects) + len(page.common_prefixes) for page in pages]
            assert all(size == 200 for size in sizes[:-1])
            assert sizes[-1] <= 200


def test_a_delimiter_rolls_up_only_what_comes_after_the_start(
    load_source: Callable[..., LoadSource],
) -> None:
    source = load_source("skewed")
    keys = keys_of("skewed", COUNT)
    pages = pages_of(source, delimiter="/", **{"start-after": keys[-501], "max-keys": 2})
    assert folders_in(pages) == sorted({key[:10] for key in keys[-500:]})


def test_a_large_bucket_costs_no_time_before_its_first_page() -> None:
    with LoadSource("flat", 300_000_000) as source:
        last = page_of(source, **{"start-after": "data/ffffff"})
    assert not last.is_truncated
    assert 5 < len(last.objects) < 60  # 300 million in 2**24 parts: 18
    keys: list[str] = last.objects["key"].to_pylist()
    assert keys == sorted(keys)


def test_attributes_vary_as_those_of_a_bucket_do(load_source: Callable[..., LoadSource]) -> None:
    pages = pages_of(load_source())
    found = [entry for page in pages for entry in page.objects.to_pylist()]
    sizes = sorted(entry["size"] for entry in found)
    assert sizes[0] == 0
    assert 2**10 < sizes[COUNT // 2] < 2**22
    assert 2**32 < sizes[-1] < 2**33
    moments = sorted(entry["last_modified_date"] for entry in found)
    assert 1080 < (moments[-1] - moments[0]).days < 1096
    assert not any(moment.microsecond for moment in moments)
    assert len({entry["e_tag"] for entry in found}) == COUNT
    in_parts = sum("-" in entry["e_tag"] for entry in found)
    assert 0.01 * COUNT < in_parts < 0.1 * COUNT
    classes = Counter(entry["storage_class"] for entry in found)
    assert set(classes) == {"STANDARD", "STANDARD_IA", "GLACIER"}
    assert classes["STANDARD"] > 0.9 * COUNT


def test_checksums_and_owners_are_reported_when_asked_for(
    load_source: Callable[..., LoadSource],
) -> None:
    with_all = page_of(load_source(checksums=True, owners=True)).objects
    without = page_of(load_source()).objects
    assert with_all.schema.equals(OBJECT_SCHEMA)
    assert set(with_all["checksum_algorithm"].to_pylist()) == {"CRC64NVME"}
    assert {len(owner) for owner in with_all["object_owner"].to_pylist()} == {64}
    assert with_all.select(range(5)) == without.select(range(5))
    assert without["checksum_algorithm"].null_count == without["object_owner"].null_count == 1000


def test_few_or_no_keys_are_listed_as_well() -> None:
    for shape in SHAPES:
        for count in (0, 1, 2):
            with LoadSource(shape, count) as source:
                assert page_of(source).objects["key"].to_pylist() == keys_of(shape, count)


def test_clients_find_the_bucket_and_no_other(load_source: Callable[..., LoadSource]) -> None:
    source = load_source()
    client = client_of(source)
    client.head_bucket(Bucket=source.bucket)
    assert client.get_bucket_location(Bucket=source.bucket)["LocationConstraint"] is None
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == [source.bucket]
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.list_objects_v2(Bucket="other")
    assert answer_of(source, f"/{source.bucket}/?list-type=2&max-keys=3")[0] == 200
    assert answer_of(source, "/?list-type=2&max-keys=3")[0] == 200
    assert answer_of(source, f"/{source.bucket}?list-type=2", "HEAD") == (200, b"")
    assert answer_of(source, f"/{source.bucket}?list-type=2&continuation-token=x")[0] == 400


def test_requests_and_objects_told_are_counted() -> None:
    with LoadSource("skewed", COUNT) as source:
        assert source.stats() == (0, 0)
        pages_of(source)
        pages_of(source, delimiter="/")
        assert source.stats() == (COUNT // 1000 + 2, COUNT)


def test_the_most_requests_that_waited_at_once_are_counted() -> None:
    with LoadSource(latency=300) as source, ThreadPoolExecutor(7) as pool:
        assert source.most_waiting() == 0
        target = f"/{source.bucket}?list-type=2&max-keys=1"
        for many in (5, 7, 2):
            assert [*pool.map(lambda _: answer_of(source, target)[0], range(many))] == [200] * many
        assert source.most_waiting() == 7


def test_errors_come_as_often_as_asked_for() -> None:
    with LoadSource(errors=0.2, seed=3) as source:
        target = f"/{source.bucket}?list-type=2&max-keys=1"
        answers = [answer_of(source, target) for _ in range(400)]
    assert {status for status, _ in answers} == {200, 503}
    refused = [decode_page(body) for status, body in answers if status == 503]
    assert 40 < len(refused) < 130
    assert {page.code for page in refused if isinstance(page, ErrorDocument)} == {"SlowDown"}


def test_connections_are_reset_in_the_middle_of_a_response() -> None:
    with LoadSource(resets=0.3, seed=3) as source:
        failures = 0
        for _ in range(100):
            try:
                answer_of(source, f"/{source.bucket}?list-type=2")
            except (ConnectionResetError, http.client.IncompleteRead):
                failures += 1
    assert 10 < failures < 60


def test_a_response_waits_for_the_latency_and_costs_nothing_meanwhile() -> None:
    with LoadSource(latency=200) as source, ExitStack() as stack:
        netloc = urlsplit(source.url).netloc
        connections = [
            stack.enter_context(closing(http.client.HTTPConnection(netloc))) for _ in range(50)
        ]
        started = time.monotonic()
        for connection in connections:
            connection.request("GET", f"/{source.bucket}?list-type=2&max-keys=1")
        for connection in connections:
            assert connection.getresponse().read()
        waited = time.monotonic() - started
        spent = source.cpu_seconds()
    assert 0.2 <= waited < 1.5
    assert spent < 0.1


def test_hundreds_of_connections_are_served_at_once(
    load_source: Callable[..., LoadSource],
) -> None:
    source = load_source()
    netloc = urlsplit(source.url).netloc
    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(http.client.HTTPConnection(netloc))) for _ in range(520)
        ]
        for _ in range(2):
            for connection in connections:
                connection.request("GET", f"/{source.bucket}?list-type=2")
            bodies = {connection.getresponse().read() for connection in connections}
            assert len(bodies) == 1


def test_https_serves_the_same(load_source: Callable[..., LoadSource]) -> None:
    source = load_source(tls=True)
    assert source.url.startswith("https://")
    assert listed_by_boto3(source) == keys_of("flat", COUNT)
    with pytest.raises(ssl.SSLCertVerificationError):
        http.client.HTTPSConnection(urlsplit(source.url).netloc).request("GET", "/")


def test_names_out_of_order_are_rejected(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    for text in ("b\na\n", "a\na\n", "ab\na\n", "\na\n", ""):
        file.write_text(text)
        with pytest.raises(OSError, match="did not start"):
            LoadSource("real", 10, names=file)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.load_source.BUILD", tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(Exception, match="install a C compiler"):
        LoadSource()
