"""Pages of versions are decoded exactly, in the order of the response."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.decoding import columnar_decoder, page_peek
from inventory_assets.s3.decoding.columnar_decoder import decode_pages
from inventory_assets.s3.decoding.page import (
    VERSION_SCHEMA,
    ErrorDocument,
    Page,
    versions_markers,
    versions_token,
)
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.validation.page_validation import matches_header
from inventory_assets_tests.fakes.versioned_s3 import Version, batch_of, rendered
from inventory_assets_tests.s3.damaged_pages import damaged

PIECES = (
    b"<Version>",
    b"</Version>",
    b"<DeleteMarker>",
    b"</DeleteMarker>",
    b"<Key>k</Key>",
    b"<VersionId/>",
    b"<IsLatest>true</IsLatest>",
    b"<Size>1</Size>",
    b"<Contents>",
    b"<!-- x -->",
    b"</ListVersionsResult>",
    b"<NextKeyMarker>k</NextKeyMarker>",
)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
versions = st.builds(
    Version,
    key=text,
    version_id=st.sampled_from(
        ["null", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQ"]
    ),
    modified=st.integers(0, 4_000_000_000_000),
    size=st.none() | st.integers(0, 2**63 - 1),
    is_latest=st.booleans(),
)


@settings(max_examples=200)
@given(st.lists(versions, max_size=8), st.booleans())
def test_rendered_pages_are_decoded_exactly(listed: list[Version], has_more: bool) -> None:
    marker = listed[-1] if listed and has_more else None
    body = rendered(listed, marker)
    page = decode_page(body)
    assert isinstance(page, Page)
    assert page.objects.equals(batch_of(listed))
    assert page.is_truncated is (marker is not None)
    if marker:
        assert versions_markers(page.next_token or "") == (marker.key, marker.version_id)
    assert matches_header(page, raw_page(peek_page(body)))


@settings(max_examples=100)
@given(st.lists(st.lists(versions, max_size=4), min_size=1, max_size=4))
def test_pages_decoded_together_are_the_pages_decoded_alone(pages: list[list[Version]]) -> None:
    found = decode_pages([rendered(page) for page in pages], DecodeBuffers())
    for page, listed in zip(found, pages, strict=True):
        assert isinstance(page, Page)
        assert page.objects.equals(batch_of(listed))


@pytest.mark.parametrize("every", [1, 2, 5, 1000])
def test_versions_and_delete_markers_are_decoded_without_the_plain_decoder(
    monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    def frame_only(body: bytes) -> Page | ErrorDocument:
        assert b"<Key>" not in body
        return decode_page(body)

    monkeypatch.setattr(columnar_decoder, "decode_page", frame_only)
    listed = [
        Version(f"é {n // 3}+%", f"v{n}", n, None if n % every == every - 1 else n, n % 3 == 0)
        for n in range(60)
    ]
    pages = decode_pages(
        [rendered(listed[:30], listed[29]), rendered(listed[30:])], DecodeBuffers()
    )
    assert [page.objects for page in pages if isinstance(page, Page)] == [
        batch_of(listed[:30]),
        batch_of(listed[30:]),
    ]


def test_both_decoders_agree_on_thousands_of_shuffled_pages() -> None:
    chance = random.Random(1)  # noqa: S311
    listed = [
        Version(f"k{n // 2}", f"v{n}", n, None if n % 3 == 2 else n, n % 2 == 0) for n in range(5)
    ]
    page = rendered(listed, listed[-1])
    scratch = DecodeBuffers()
    for _ in range(1000):
        body = bytearray(page)
        for _ in range(chance.randint(1, 2)):
            here, there = chance.randrange(len(body)), chance.randrange(len(body))
            length = chance.randint(1, 40)
            replaced = chance.choice([0, 1, length])
            body[here : here + replaced] = body[there : there + length]
        assert_alike(bytes(body), scratch)


def outcome(decode: Callable[[], Page | ErrorDocument]) -> Page | ErrorDocument | str:
    try:
        return decode()
    except MalformedResponse as error:
        return str(error)


def test_a_delete_marker_with_a_size_has_none_and_a_version_must_have_one() -> None:
    body = rendered([Version("k", "v2", 1, None, True), Version("k", "v1", 0, 1)])
    assert_alike(body.replace(b"<DeleteMarker>", b"<DeleteMarker><Size>5</Size>"), DecodeBuffers())
    assert_alike(body.replace(b"<Size>1</Size>", b""), DecodeBuffers())


def assert_alike(body: bytes, scratch: DecodeBuffers) -> None:
    """Both decoders return the same result or raise the same error."""
    plain = outcome(lambda: decode_page(body))
    fast = outcome(lambda: decode_pages([body], scratch)[0])
    if isinstance(plain, Page) and isinstance(fast, Page):
        fast.objects.validate(full=True)
        assert plain.objects.equals(fast.objects)
        assert plain.objects.schema == fast.objects.schema
        assert replace(plain, objects=None) == replace(fast, objects=None)
        assert matches_header(plain, raw_page(peek_page(body)))
    else:
        assert plain == fast


def raw_page(found: RawPage | ErrorDocument) -> RawPage:
    assert isinstance(found, RawPage)
    return found


def test_a_regular_page_is_peeked_without_decoding_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_peek, "decode_page", None)
    listed = [Version("k +", "v2", 1, None, True), Version("k +", "v1", 0, 1)]
    found = raw_page(peek_page(rendered(listed, listed[-1])))
    assert (found.last_key, found.next_token) == ("k +", versions_token("k +", "v1"))


@settings(max_examples=200)
@given(st.lists(versions, min_size=1, max_size=4), st.data())
def test_peeking_agrees_with_the_xml_decoder_on_damaged_pages(
    listed: list[Version], data: st.DataObject
) -> None:
    assert_alike(damaged(rendered(listed, listed[-1]), PIECES, data), DecodeBuffers())


@pytest.mark.parametrize("version_id", ["<VersionId></VersionId>", ""])
def test_a_version_without_an_id_is_the_null_version(version_id: str) -> None:
    body = rendered([Version("k", "v1", 0, 1)]).replace(b"<VersionId>v1</VersionId>", b"%b")
    page = decode_page(body.replace(b"%b", version_id.encode()))
    assert isinstance(page, Page)
    assert page.objects.column("version_id").to_pylist() == ["null"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<NextKeyMarker>k%252</NextKeyMarker>", b""),
        (b"<NextKeyMarker>k%252</NextKeyMarker>", b"<NextKeyMarker>k%2</NextKeyMarker>"),
        (b"<NextKeyMarker>k%252</NextKeyMarker>", b"<NextKeyMarker>k&#1;</NextKeyMarker>"),
        (b"<NextVersionIdMarker>v1</NextVersionIdMarker>", b""),
        (
            b"<NextVersionIdMarker>v1</NextVersionIdMarker>",
            b"<NextVersionIdMarker>null</NextVersionIdMarker>",
        ),
    ],
)
def test_a_listing_continues_after_its_last_version_whatever_the_markers_say(
    old: bytes, new: bytes
) -> None:
    version = Version("k%2", "v1", 0, 1, True)
    body = rendered([Version("a", "v0", 0, 1, True), version], version)
    assert old in body
    page, found = decode_page(body.replace(old, new)), peek_page(body.replace(old, new))
    assert isinstance(page, Page)
    assert versions_markers(page.next_token or "") == ("k%2", "v1")
    assert raw_page(found).next_token == page.next_token


def test_a_page_without_versions_continues_at_its_markers() -> None:
    body = rendered([], Version("k +", "v1", 0, 1))
    page = decode_page(body)
    assert isinstance(page, Page)
    assert versions_markers(page.next_token or "") == ("k +", "v1")
    with pytest.raises(MalformedResponse, match="no key to continue after"):
        decode_page(body.replace(b"NextKeyMarker", b"Other"))


@given(text, st.text(" %+2v", min_size=1))
def test_a_versions_token_contains_its_markers(key: str, version_id: str) -> None:
    assert versions_markers(versions_token(key, version_id)) == (key, version_id)


def test_a_versions_request_continues_after_a_key_or_a_version() -> None:
    asked = PageRequest("p/", start_after="p/k", versions=True).parameters()
    assert asked == {
        "versions": "",
        "encoding-type": "url",
        "max-keys": "1000",
        "prefix": "p/",
        "key-marker": "p/k",
    }
    token = versions_token("p/a b", "v1")
    asked = PageRequest("p/", token=token, versions=True).parameters()
    assert (asked["key-marker"], asked["version-id-marker"]) == ("p/a b", "v1")


def test_the_schema_of_versions_has_s3_inventorys_order() -> None:
    assert VERSION_SCHEMA.names[:5] == [
        "key",
        "version_id",
        "is_latest",
        "is_delete_marker",
        "size",
    ]
