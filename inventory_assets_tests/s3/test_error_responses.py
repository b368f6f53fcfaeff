"""Responses that are not from S3 are recognised and described."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.columnar_decoder import decode_columns
from inventory_assets.s3.error_classification import Repetition, classify, to_user_error
from inventory_assets.s3.errors import (
    AccessDenied,
    MalformedResponse,
    RequestRejected,
    S3Error,
    UnusableResponse,
    VersionsUnsupported,
)
from inventory_assets.s3.foreign_responses import foreign_response
from inventory_assets.s3.http.response import (
    ErrorResponse,
    RequestContext,
    Response,
    UnexpectedResponse,
    decoded,
    lacks_versions,
)
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import error_document

WHERE = BucketConfig("ours", endpoint_url="http://127.0.0.1:9001")
VERSIONS = "s3:ListBucketVersions"
NOT_S3 = {
    "nothing": (b"", "an empty body"),
    "HTML": (
        b"<!DOCTYPE html>\n<html><title>MinIO\n Console</title>",
        "a web page (MinIO Console)",
    ),
    "XHTML": (b"<?xml version='1.0'?><html xmlns='x'><head/></html>", "a web page"),
    "HTML behind a mark": (b"\xef\xbb\xbf  <HTML>", "a web page"),
    "JSON": (b'{"message":"Forbidden"}', "JSON (Forbidden)"),
    "a list": (b"[]", "JSON"),
    "JSON cut off": (b'{"message":', "JSON"),
    "buckets": (b"<ListAllMyBucketsResult><Owner/></ListAllMyBucketsResult>", "<ListAllMyBuckets"),
    "another service": (
        b"<ErrorResponse><Error><Code>InvalidAction</Code><Message>no</Message></Error>",
        "<ErrorResponse> (InvalidAction: no)",
    ),
    "Azure": (
        b"<?xml version='1.0'?><EnumerationResults ServiceEndpoint='x'>",
        "<EnumerationResults>",
    ),
    "WebDAV": (b"<?xml version='1.0'?><D:multistatus xmlns:D='DAV:'>", "<multistatus>"),
    "a document type": (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "a document type"),
    "gzip": (b"\x1f\x8b\x08", "compressed"),
    "nginx with TLS": (
        b"<html><title>400 The plain HTTP request was sent to HTTPS port</title>",
        "use https://",
    ),
    "Go with TLS": (b"Client sent an HTTP request to an HTTPS server.\n", "use https://"),
    "text": (b"backend is down", "text (backend is down)"),
}
OF_S3 = [
    render([Listed("k")]),
    render([Listed("k")])[:90],
    b"<Error><Code>SlowDown</Code></Error>",
    b"<!-- a proxy was here --><ListBucketResult>",
    b"<s3:ListBucketResult xmlns:s3='x'>",
    b"<!DOCTYPE ListBucketResult><ListBucketResult/>",
]


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, bytearray(body), RequestContext("us-east-1", timedelta(0), None))


def error_of(
    answer: Response, where: BucketConfig = WHERE, action: str = "s3:ListBucket"
) -> S3Error:
    with pytest.raises((ErrorResponse, UnexpectedResponse)) as caught:
        decoded(answer, decode_columns)
    return to_user_error(caught.value, where, action)


@pytest.mark.parametrize("kind", NOT_S3)
@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_a_response_that_is_not_from_s3_is_described(kind: str, status: int) -> None:
    body, words = NOT_S3[kind]
    error = error_of(response(status, body, content_type="text/plain"))
    if status != 200 and not body:
        return  # S3 itself answers so to some requests
    assert type(error) is RequestRejected
    assert words in str(error)
    assert "not from S3" in str(error)
    assert "s3:ListBucket" not in str(error)


@pytest.mark.parametrize("body", OF_S3)
def test_a_response_of_s3_is_not_a_foreign_one(body: bytes) -> None:
    assert foreign_response({"content-type": "application/xml"}, body) is None


def test_a_response_damaged_twice_in_the_same_way_is_not_retried() -> None:
    error = error_of(response(200, render([Listed("k")])[:90]))
    assert type(error) is UnusableResponse
    assert "twice" in str(error)


def test_web_pages_are_transient_errors_only_with_transient_statuses() -> None:
    page = b"<html>Bad Gateway</html>"
    waited_out = {500, 502, 503, 504, 520, 429}
    final = {501, 505, 511, 400, 401, 403, 404, 405, 410, 418, 451, 302}
    found = {
        status: classify(ErrorResponse(response(status, page))) for status in waited_out | final
    }
    assert {status for status, fault in found.items() if fault} == waited_out


@pytest.mark.parametrize("status", [202, 204, 206])
def test_a_success_status_other_than_200_is_not_from_s3(status: int) -> None:
    assert f"its status is {status}" in str(error_of(response(status)))


def test_a_page_of_listobjects_version_1_is_reported_as_such() -> None:
    body = b"<ListBucketResult><Marker/><IsTruncated>maybe</IsTruncated></ListBucketResult>"
    assert "version 1" in str(error_of(response(200, body)))


def test_only_two_equal_errors_in_a_row_are_a_repetition() -> None:
    repetition = Repetition()
    one, two, page = (
        UnexpectedResponse(response(200, body), MalformedResponse("damaged"))
        for body in (b"\0one", b"\0two", b"<html>1</html>")
    )
    another_page = UnexpectedResponse(
        response(200, b"<html>2</html>"), MalformedResponse("damaged")
    )
    busy = ErrorResponse(response(503))
    told = [
        repetition.is_repeated(error) for error in (one, two, one, busy, one, page, another_page)
    ]
    assert told == [False, False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://login.example/x?token=hush", "another host, login.example"),
        ("https://127.0.0.1:9001/", "redirects to https://"),
        ("/console", "another path"),
        ("http://127.0.0.1:9001/ours/", "another path"),
        ("http://[::1", "invalid URL"),
    ],
)
def test_a_redirect_is_not_followed_and_says_where_it_leads(location: str, words: str) -> None:
    error = error_of(response(302, b"<html>moved</html>", location=location))
    assert words in str(error)
    assert "hush" not in str(error)


@pytest.mark.parametrize("code", ["SecondLevelDomainForbidden", "PathStyleDomainForbidden"])
def test_a_store_that_forbids_paths_has_the_addressing_style_named(code: str) -> None:
    error = error_of(response(403, error_document(code)))
    assert "addressing_style = virtual" in str(error)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (501, "NotImplemented"),
        (405, "MethodNotAllowed"),
        (400, "InvalidArgument"),
        (400, "NotImplemented"),
    ],
)
def test_a_store_that_rejects_a_versions_request_lists_no_versions(status: int, code: str) -> None:
    error_response = response(status, error_document(code))
    error = error_of(error_response, action=VERSIONS)
    assert type(error) is VersionsUnsupported
    assert "lists no versions" in str(error)
    assert type(error_of(error_response)) is RequestRejected
    assert classify(ErrorResponse(error_response)) is None


def test_an_empty_versions_document_means_that_versions_are_unsupported() -> None:
    empty = bytearray(b"<ListVersionsResult><Name>b</Name></ListVersionsResult>")
    assert lacks_versions(empty)
    assert lacks_versions(bytearray(render([Listed("k")])))
    for sign in (b"<IsTruncated>false</IsTruncated>", b"<Version>", b"<DeleteMarker>"):
        assert not lacks_versions(bytearray(empty.replace(b"<Name>", sign + b"<Name>")))


@pytest.mark.parametrize("end", ["</ListVersionsResult>", "</ListVersionsResult\n>", "/>"])
def test_a_versions_document_that_was_cut_off_says_nothing_of_the_store(end: str) -> None:
    whole = f"<ListVersionsResult xmlns='http://s3/'{'' if end == '/>' else '>'}{end}".encode()
    assert lacks_versions(bytearray(whole))
    assert not any(lacks_versions(bytearray(whole[:size])) for size in range(len(whole)))


def test_a_denied_listing_names_what_may_help() -> None:
    denied = response(403, error_document("AccessDenied"))
    assert "--requester-pays" in str(error_of(denied))
    payer = BucketConfig("ours", requester_pays=True)
    assert "requester" not in str(error_of(denied, payer))
    error = error_of(denied, BucketConfig("ours", anonymous=True))
    assert type(error) is AccessDenied
    assert "leave out --anonymous" in str(error)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("a resource-based policy", "the statement of the bucket's policy that denies"),
        ("an identity-based policy", "the statement of a policy of the user or role that denies"),
        ("a service control policy", "a service control policy of the organization that denies"),
        ("a new kind of rule", "the statement of the policy that denies"),
    ],
)
def test_an_explicit_denial_is_not_answered_by_a_grant(named: str, words: str) -> None:
    message = (
        "User: arn:aws:iam::123456789012:user/reader is not authorized to perform: s3:ListBucket "
        f'on resource: "arn:aws:s3:::ours" with an explicit deny in {named}'
    )
    error = error_of(response(403, error_document("AccessDenied", message)))
    assert type(error) is AccessDenied
    assert f"{words} s3:ListBucket on arn:aws:s3:::" in str(error)
    assert "grant s3:ListBucket" not in str(error)


def test_a_region_is_blamed_only_if_the_response_names_another() -> None:
    named = response(301, error_document("PermanentRedirect"), x_amz_bucket_region="eu-west-1")
    assert "set --region" in str(error_of(named))
    for region in ("us-east-1", ""):
        body = error_document("PermanentRedirect").replace(
            b"<Message>", b"<Endpoint>ours.s3.example</Endpoint><Message>"
        )
        error = str(error_of(response(301, body, x_amz_bucket_region=region)))
        assert "ours.s3.example" in error
        assert "leave out --endpoint-url" in error
        assert "--region" not in error


HEADERS = st.dictionaries(
    st.sampled_from(["date", "location", "content-type", "x-amz-bucket-region", "retry-after"]),
    st.text(max_size=60)
    | st.sampled_from(["https://user:hush@other/", "text/html", "Thu, 01 Jan 2026 00:00:00 GMT"]),
)
BODIES = (
    st.binary(max_size=300)
    | st.sampled_from([body for body, _ in NOT_S3.values()] + OF_S3)
    | st.builds(
        error_document,
        st.sampled_from(["AccessDenied", "PermanentRedirect", "InvalidArgument", "x" * 900]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=900),
    )
)


@given(st.integers(100, 599), BODIES, HEADERS, st.sampled_from(["s3:ListBucket", VERSIONS]))
def test_any_response_is_reported_in_one_safe_bounded_line(
    status: int, body: bytes, headers: dict[str, str], action: str
) -> None:
    answer = Response(
        status, headers, bytearray(body), RequestContext("us-east-1", timedelta(0), None)
    )
    try:
        decoded(answer, decode_columns)
    except (ErrorResponse, MalformedResponse) as error:
        classify(error)
        message = str(to_user_error(error, WHERE, action))
        assert message.isprintable()
        assert len(message) < 1200
        assert "hush" not in message
