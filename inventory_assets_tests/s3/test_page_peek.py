"""The byte search of a page finds the same as the XML decoder."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.decoding import page_peek
from inventory_assets.s3.decoding.page import ErrorDocument, Page
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    element,
    listing,
    render,
)
from inventory_assets_tests.fakes.scripted_server import error_document
from inventory_assets_tests.s3.damaged_pages import damaged

PIECES = (
    b"<",
    b"</Key>",
    b"<Key>",
    b"<Key>k</Key>",
    b"&amp;",
    b"%",
    b"%2",
    b"<!-- x -->",
    b"<!-- <IsTruncated>false</IsTruncated> -->",
    b"<![CDATA[<IsTruncated>false</IsTruncated>]]>",
    b"<Contents>",
    b"</Contents>",
    b"<Contents/>",
    b"</ListBucketResult>",
    b"<IsTruncated/>",
    b"\xc3\xa9",
    b"<a/>",
    b"<a b='c'>",
    b"]]>",
    b" ",
)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
legal_xml = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=20,
)
tokens = st.none() | st.text("aB0+/=-_", min_size=1, max_size=40)
objects = st.builds(
    Listed,
    key=text,
    size=st.integers(0, 2**63 - 1),
    modified=st.integers(0, 4_000_000_000_000),
    storage_class=st.sampled_from([None, "STANDARD", ""]),
    checksums=st.sampled_from([(), ("CRC32", "SHA1")]),
    owner=st.sampled_from([None, "abc"]),
)


@dataclass(frozen=True, slots=True)
class Told:
    """The values that the next request needs."""

    is_truncated: bool
    next_token: str | None
    last_key: str | None


def decoded(body: bytes) -> Told | ErrorDocument | None:
    """The result of the XML decoder, or None if it rejects the body."""
    try:
        page = decode_page(body)
    except MalformedResponse:
        return None
    if isinstance(page, ErrorDocument):
        return page
    return Told(page.is_truncated, page.next_token, page.last_key)


def glanced(body: bytes) -> Told | ErrorDocument | None:
    """The result of the byte search, or None if it rejects the body."""
    try:
        found = peek_page(body)
    except MalformedResponse:
        return None
    if isinstance(found, ErrorDocument):
        return found
    assert found.body is body
    return Told(found.is_truncated, found.next_token, found.last_key)


def in_plain(listed: list[Listed], token: str | None) -> bytes:
    """A page from a store that does not url-encode keys."""
    rendered = [contents(*contents_fields(each, url_encoded=False)) for each in listed]
    page = listing(
        *rendered,
        truncated="true" if token else "false",
        extra=element("NextContinuationToken", token),
    )
    return page.replace(b"<EncodingType>url</EncodingType>", b"")


@pytest.fixture
def no_plain_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if the byte search is not conclusive."""

    def refuse(_body: bytes) -> Page | ErrorDocument:
        raise AssertionError("a page was left to the plain decoder")

    monkeypatch.setattr(page_peek, "decode_page", refuse)


@settings(max_examples=200)
@given(st.lists(objects, max_size=5), st.lists(text, max_size=2), tokens)
def test_the_search_and_the_decoder_agree_on_legal_pages(
    listed: list[Listed], common_prefixes: list[str], token: str | None
) -> None:
    body = render(listed, common_prefixes, token)
    last_key = listed[-1].key if listed else None
    assert glanced(body) == decoded(body) == Told(token is not None, token, last_key)


@given(st.lists(st.builds(Listed, key=legal_xml), min_size=1, max_size=4), st.none() | legal_xml)
def test_the_search_and_the_decoder_agree_without_url_encoding(
    listed: list[Listed], token: str | None
) -> None:
    body = in_plain(listed, token)
    assert glanced(body) == decoded(body) == Told(token is not None, token, listed[-1].key)


@settings(max_examples=400)
@given(
    st.lists(objects, min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from([None, "token"]),
    st.data(),
)
def test_the_search_and_the_decoder_agree_on_damaged_pages_that_both_accept(
    listed: list[Listed], url_encoded: bool, token: str | None, data: st.DataObject
) -> None:
    """The decoder rejects all pages that the search rejects, and possibly more; the reader then
    notices that."""
    page = render(listed, [], token) if url_encoded else in_plain(listed, token)
    body = damaged(page, PIECES, data)
    plain = decoded(body)
    assert plain is None or glanced(body) == plain


def test_an_unknown_element_with_a_key_is_not_an_object() -> None:
    body = render([Listed("a"), Listed("b")], [], None)
    for place in (b"<Key>b</Key>", b"</Contents></ListBucketResult>"):
        tagged = body.replace(place, b"<Tag><Key>k</Key></Tag>" + place)
        assert tagged != body
        assert decoded(tagged) == Told(False, None, "b")
        received = peek_page(tagged)
        assert isinstance(received, RawPage)
        assert received.last_key == "b"


def test_a_page_truncated_anywhere_is_rejected_at_once() -> None:
    body = render([Listed("a/b c"), Listed("é")], ["p/"], "token")
    for length in range(len(body)):
        with pytest.raises(MalformedResponse):
            peek_page(body[:length])


@pytest.mark.usefixtures("no_plain_decoder")
@pytest.mark.parametrize("token", [None, "1/t+o=="])
def test_an_ordinary_page_is_not_decoded(token: str | None) -> None:
    body = render([Listed("a"), Listed("dt=1/é +%.gz", owner="me")], [], token)
    found = peek_page(body)
    assert isinstance(found, RawPage)
    assert (found.is_truncated, found.next_token) == (token is not None, token)
    assert found.last_key == "dt=1/é +%.gz"


@pytest.mark.usefixtures("no_plain_decoder")
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n\n"])
def test_trailing_white_space_does_not_matter(end: bytes) -> None:
    found = peek_page(render([Listed("k")], [], "token") + end)
    assert isinstance(found, RawPage)
    assert (found.next_token, found.last_key) == ("token", "k")


@pytest.mark.usefixtures("no_plain_decoder")
def test_the_search_works_in_reused_memory() -> None:
    body = bytearray(render([Listed("k")], [], "token"))
    found = peek_page(body)
    assert isinstance(found, RawPage)
    assert found.body is body
    body[:] = bytes(len(body))
    assert (found.next_token, found.last_key) == ("token", "k")


FAKES = [
    "<!-- <IsTruncated>false</IsTruncated> -->",
    "<![CDATA[<IsTruncated>false</IsTruncated>]]>",
    "<!-- </Contents><IsTruncated>false</IsTruncated></ListBucketResult> -->",
    "<!-- <Contents><Key>fake</Key></Contents> -->",
    "<x><![CDATA[<NextContinuationToken>fake</NextContinuationToken>]]></x>",
]


@pytest.mark.parametrize("fake", FAKES)
@pytest.mark.parametrize("place", ["<Name>", "<Contents>", "</ListBucketResult>"])
def test_comments_and_cdata_are_not_misread(fake: str, place: str) -> None:
    page = render([Listed("k")], [], "token")
    body = page.replace(place.encode(), (fake + place).encode())
    assert glanced(body) == decoded(body) == Told(True, "token", "k")
    without = body.replace(b"<IsTruncated>true</IsTruncated>", b"", 1)
    assert glanced(without) is decoded(without) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<IsTruncated>", "<IsTruncated >"),
        ("<EncodingType>url", "<EncodingType> url"),
        ("<NextContinuationToken>token", "<NextContinuationToken>t&amp;ken&#61;"),
        ("<NextContinuationToken>token", "<NextContinuationToken>tök"),
        ("<NextContinuationToken>token", "<NextContinuationToken>"),
        ("<IsTruncated>true", "<IsTruncated>TRUE"),
        ("<IsTruncated>true", "<IsTruncated>"),
        ("<Key>k", "<Key>"),
        ("<Key>k", "<Key>a&amp;b"),
        ("<Key>k", "<Key>a&#13;b"),
        ("<Key>k", "<Key>a\r\nb"),
        ("<Key>k", "<Key>%ff"),
        ("<Key>k", "<Key>%"),
        ("Contents>", "x:Contents>"),
        ("ListBucketResult", "x:ListBucketResult"),
        ("<Contents>", "<Wrapped/><Contents>"),
    ],
)
def test_the_search_and_the_decoder_agree_on_unusual_spellings(old: str, new: str) -> None:
    page = render([Listed("k")], [], "token")
    body = page.replace(old.encode(), new.encode())
    assert body != page
    assert glanced(body) == decoded(body)


@pytest.mark.parametrize(
    "odd",
    [
        "<IsTruncated >false</IsTruncated ><IsTruncated>true</IsTruncated>",
        "<IsTruncated>true</IsTruncated><IsTruncated>true</IsTruncated>",
    ],
)
def test_a_page_with_two_is_truncated_is_rejected_at_once(odd: str) -> None:
    body = render([Listed("k +")], [], "token")
    with pytest.raises(MalformedResponse, match="two <IsTruncated>"):
        peek_page(body.replace(b"<IsTruncated>true</IsTruncated>", odd.encode(), 1))


@pytest.mark.parametrize("odd", ["<?x <IsTruncated>false</IsTruncated>?>", "<a><b>c</b></a>"])
def test_text_around_the_objects_is_not_misread(odd: str) -> None:
    body = render([Listed("k +")], [], "token").replace(b"<IsTr", odd.encode() + b"<IsTr", 1)
    assert glanced(body) == decoded(body) == Told(True, "token", "k +")


def test_a_token_keeps_its_carriage_return() -> None:
    body = render([Listed("k")], [], "token").replace(b"token", b"to\rken")
    assert glanced(body) == decoded(body) == Told(True, "to\rken", "k")


def test_an_error_document_is_returned() -> None:
    found = peek_page(error_document("SlowDown", "easy"))
    assert found == ErrorDocument("SlowDown", "easy")


@pytest.mark.parametrize("body", [b"", b"<html>hotel</html>", b"<html><br>hotel", b"\x00\xff"])
def test_a_response_that_is_no_listing_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedResponse):
        peek_page(body)
