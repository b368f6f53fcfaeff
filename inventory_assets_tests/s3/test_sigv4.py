"""Signatures are byte-equal to botocore's."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from unittest.mock import patch
from urllib.parse import quote, unquote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from botocore.utils import percent_encode_sequence
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.http.sigv4 import (
    Credentials,
    Signer,
    encoded_query,
    object_path,
    signed_headers,
)

KEY = Credentials("AKIATHEKEY", "s" * 40, None)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "+",
        "%",
        "%2B",
        "a b",
        "a  b",
        "=&",
        "~-_.",
        "/",
        "\0",
        "\x7f\x80",
        "é",
        "\U0010ffff",
    ]
)
PLAIN = st.text("abcXYZ019-", min_size=1, max_size=16)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)

credentials = st.builds(
    Credentials,
    access_key=st.text("ABCDEFGHIJ0123456789", min_size=1, max_size=20),
    secret_key=TEXT,
    token=st.none() | st.text("aB0+/= \t", min_size=1, max_size=60) | TEXT,
)
queries = st.fixed_dictionaries(
    {"list-type": st.just("2"), "encoding-type": st.just("url"), "max-keys": st.just("1000")},
    optional={
        "prefix": HOSTILE,
        "start-after": HOSTILE,
        "continuation-token": HOSTILE,
        "delimiter": HOSTILE,
        "fetch-owner": st.just("true"),
    },
)
ports = st.sampled_from(["", ":80", ":443", ":9000"])
names = st.sampled_from(
    ["ours.s3.eu-west-1.amazonaws.com", "127.0.0.1", "localhost", "ours.UPPER.example", "[::1]"]
)
paths = st.just("/") | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8
).map(lambda name: "/" + quote(name, safe="/~"))
extra = st.sampled_from([{}, {"x-amz-request-payer": "requester"}])
times = st.integers(0, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))


def as_botocore_signs(
    who: Credentials,
    region: str,
    service: str,
    when: datetime,
    url: str,
    more: Mapping[str, str],
    method: str = "GET",
) -> AWSRequest:
    request = AWSRequest(method=method, url=url, headers=more)
    signer = S3SigV4Auth(
        BotoCredentials(who.access_key, who.secret_key, who.token), service, region
    )
    with patch("botocore.auth.get_current_datetime", lambda: when.replace(tzinfo=None)):
        signer.add_auth(request)
    return request


def host_of(scheme: str, name: str, port: str) -> str:
    default = {"http": ":80", "https": ":443"}[scheme]
    return name.lower() + ("" if port == default else port)


@settings(max_examples=1000)
@given(
    credentials,
    PLAIN,
    st.sampled_from(["s3", "s3-outposts"]),
    times,
    st.sampled_from(["http", "https"]),
    names,
    ports,
    paths,
    queries,
    extra,
)
def test_a_request_is_signed_exactly_as_botocore_signs_it(
    who: Credentials,
    region: str,
    service: str,
    when: datetime,
    scheme: str,
    name: str,
    port: str,
    path: str,
    parameters: Mapping[str, str],
    more: Mapping[str, str],
) -> None:
    url = f"{scheme}://{name}{port}{path}?{percent_encode_sequence(parameters)}"
    expected = as_botocore_signs(who, region, service, when, url, more)
    signed = signed_headers(
        who,
        region,
        service,
        when,
        host_of(scheme, name, port),
        path,
        encoded_query(parameters),
        more,
    )
    assert signed["authorization"] == expected.headers["Authorization"]
    for header in (
        *("x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-request-payer"),
    ):
        assert signed.get(header) == expected.headers.get(header)


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60) | st.sampled_from(
    [
        *("/", "//", "a//b", ".", "..", "../up", "a/./b", "a/../b", "%", "%2F", "+", "a+b", "a b"),
        *("?", "#", "a\nb", "~", "\U0001f600" * 256, "q" * 1024, "&=;:@,$!*'()[]"),
    ]
)


@settings(max_examples=500)
@given(
    credentials,
    times,
    st.sampled_from(["/", "/bucket", "/base/bucket"]),
    KEYS,
    st.sampled_from([{}, {"versionId": "null"}, {"versionId": "a+b/c=="}, {"tagging": ""}]),
    st.sampled_from([{}, {"x-amz-checksum-mode": "ENABLED"}]),
    st.sampled_from(["HEAD", "GET"]),
)
def test_a_request_for_an_object_is_signed_exactly_as_botocore_signs_it(
    who: Credentials,
    when: datetime,
    base: str,
    key: str,
    parameters: Mapping[str, str],
    more: Mapping[str, str],
    method: str,
) -> None:
    path, query = object_path(base, key), encoded_query(parameters)
    url = f"https://ours.example{path}" + (f"?{query}" if query else "")
    expected = as_botocore_signs(who, "eu-west-1", "s3", when, url, more, method)
    signer = Signer(who, "eu-west-1", "s3", when, "ours.example", more)
    assert signer.authorization(method, path, query) == expected.headers["Authorization"]


@given(st.sampled_from(["/", "/bucket"]), KEYS)
def test_the_path_of_an_object_is_ascii_and_gives_its_key_back(base: str, key: str) -> None:
    path = object_path(base, key)
    assert path.isascii()
    assert unquote(path.removeprefix(base.rstrip("/") + "/")) == key


@settings(max_examples=300)
@given(st.dictionaries(HOSTILE, HOSTILE, max_size=6))
def test_a_query_is_its_own_canonical_form(parameters: Mapping[str, str]) -> None:
    signer = S3SigV4Auth(BotoCredentials("key", "secret"), "s3", "us-east-1")
    sent = AWSRequest(method="GET", url="http://x/", params=parameters)
    assert encoded_query(parameters) == signer.canonical_query_string(sent)


def test_every_secret_day_region_and_service_has_a_key_of_its_own() -> None:
    url = "https://ours.example/?list-type=2"
    seen = set()
    for _ in range(2):  # a second time, when all keys are known
        for secret, days, region, service in product(
            ["one", "two"], [0, 1, 365], ["eu-west-1", "us-east-1"], ["s3", "s3-outposts"]
        ):
            who, when = Credentials("AKIATHEKEY", secret, None), NOON + timedelta(days)
            expected = as_botocore_signs(who, region, service, when, url, {})
            signed = signed_headers(
                who, region, service, when, "ours.example", "/", "list-type=2", {}
            )
            assert signed["authorization"] == expected.headers["Authorization"]
            seen.add(signed["authorization"].rpartition("=")[2])
    assert len(seen) == 2 * 3 * 2 * 2


def test_the_last_second_of_a_day_and_the_first_of_the_next_are_of_two_days() -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    for when in (midnight - timedelta(seconds=1), midnight, midnight - timedelta(seconds=1)):
        expected = as_botocore_signs(KEY, "eu-west-1", "s3", when, "https://ours.example/", {})
        signed = signed_headers(KEY, "eu-west-1", "s3", when, "ours.example", "/", "", {})
        assert signed["authorization"] == expected.headers["Authorization"]


def test_the_headers_handed_in_are_not_changed() -> None:
    given_headers = {"x-amz-request-payer": "requester"}
    signed_headers(KEY, "eu-west-1", "s3", NOON, "ours.example", "/", "", given_headers)
    assert given_headers == {"x-amz-request-payer": "requester"}


def test_secrets_do_not_show_in_credentials() -> None:
    shown = Credentials("AKIATHEKEY", "the-secret", "the-token")
    assert "the-secret" not in f"{shown} {shown!r}"
    assert "the-token" not in f"{shown} {shown!r}"
