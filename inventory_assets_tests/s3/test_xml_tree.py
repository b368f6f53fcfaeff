"""XML is parsed with its meaning, and forbidden characters are preserved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.decoding.columnar_decoder import decode_columns
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.decoding.xml_tree import MAX_ELEMENTS, is_legal, parse, utf8
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.store_profile import KeyEncoding
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    element,
    listing,
)

ANY = st.characters(exclude_categories=["Cs"])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"&#1;", "\x01"),
        (b"&#x1;&#x0001;&#01;", "\x01\x01\x01"),
        (b"\x01\x00\x1f", "\x01\0\x1f"),
        (b"&#xFFFE;\xef\xbf\xbf", "\ufffe\uffff"),
        (b"a\rb\r\nc\nd&#13;&#10;", "a\rb\r\nc\nd\r\n"),
        (b"\xe9\xff", "\udce9\udcff"),
        (b"&#xD800;", "\udced\udca0\udc80"),
        ("\U000f0000\x01".encode(), "\U000f0000\x01"),
        (b"<![CDATA[a\rb&#1;<]]>", "a\rb&#1;<"),
        (b"<![CDATA[\x01]]>", "\x01"),
    ],
)
def test_forbidden_characters_are_preserved(written: bytes, meant: str) -> None:
    document = b"<?xml version='1.0'?>\r\n<r>\r\n<e>" + written + b"</e>\r\n<f/></r>\r\n"
    root = parse(document)
    (found,) = root.all("e")
    assert found.text == meant
    assert found.verbatim() == b"<e>" + written + b"</e>"
    assert next(root.all("f")).verbatim() == b"<f/>"


@given(st.text(st.characters() | st.sampled_from("\r\n\x01\ufffe"), max_size=20))
def test_any_text_round_trips(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    for character, name in ((b"&", b"&amp;"), (b"<", b"&lt;"), (b">", b"&gt;")):
        raw = raw.replace(character, name)
    assert utf8(next(parse(b"<r><e>" + raw + b"</e></r>").all("e")).text) == text.encode(
        "utf-8", "surrogatepass"
    )


@pytest.mark.parametrize(
    "body", [b"\x01<r/>", b"<r/>\x01", b"<r\x01/>", b"<r>&#x110000;</r>", b"<r>&#1</r>", b"<\xff/>"]
)
def test_is_legal_rejects_control_characters(body: bytes) -> None:
    with pytest.raises(MalformedResponse):
        parse(body)


def test_a_document_of_a_great_many_elements_is_rejected_early() -> None:
    with pytest.raises(MalformedResponse, match="elements"):
        parse(b"<r>" + b"<a/>" * MAX_ELEMENTS + b"</r>")


def test_is_legal_recognises_xml_characters() -> None:
    assert is_legal("a\t\r\n\x7f\U0010ffff")
    assert not any(map(is_legal, ["\x01", "\ufffe", "\udce9"]))


def pages_of(body: bytes, encoding: KeyEncoding) -> Page:
    """The page, the same from all decoders."""
    page, received = decode_page(body, encoding), peek_page(body, encoding)
    assert isinstance(page, Page)
    assert isinstance(received, RawPage)
    assert decode_columns(body, encoding) == page
    assert (received.last_key, received.next_token) == (page.last_key, page.next_token)
    assert (received.is_truncated, received.echo) == (page.is_truncated, page.echo)
    return page


def rendered(key: str, extra: str = "", *, declared: bool = True) -> bytes:
    fields = [element("Key", key), *contents_fields(Listed("k"))[1:]]
    body = listing(contents(*fields), extra=extra)
    return body if declared else body.replace(b"<EncodingType>url</EncodingType>", b"")


@pytest.mark.parametrize(
    ("encoding", "declared", "key"),
    [
        (KeyEncoding.DECLARED, True, "a b+c"),
        (KeyEncoding.DECLARED, False, "a+b%2Bc"),
        (KeyEncoding.URL, True, "a b+c"),
        (KeyEncoding.URL, False, "a b+c"),
        (KeyEncoding.URL_PLUS_LITERAL, True, "a+b+c"),
        (KeyEncoding.URL_PLUS_LITERAL, False, "a+b+c"),
        (KeyEncoding.PLAIN, True, "a+b%2Bc"),
        (KeyEncoding.PLAIN, False, "a+b%2Bc"),
    ],
)
def test_keys_are_read_in_the_encoding_of_the_store(
    encoding: KeyEncoding, declared: bool, key: str
) -> None:
    page = pages_of(rendered("a+b%2Bc", declared=declared), encoding)
    assert page.objects.column("key").to_pylist() == [key]
    assert page.ambiguous == ((key, "a+b%2Bc"),)


@given(
    st.lists(st.text(st.sampled_from("ab%+ 2B\xe9\r\x01&<\ufffe") | ANY, min_size=1), max_size=5),
    st.sampled_from(KeyEncoding),
    st.booleans(),
    st.text(st.sampled_from("ab%+ &\x01"), max_size=3),
)
def test_all_decoders_agree_in_every_encoding(
    keys: list[str], encoding: KeyEncoding, declared: bool, prefix: str
) -> None:
    records = [contents(element("Key", key), *contents_fields(Listed("k"))[1:]) for key in keys]
    body = listing(*records, extra=element("Prefix", prefix) + element("MaxKeys", "7"))
    page = pages_of(
        body if declared else body.replace(b"<EncodingType>url</EncodingType>", b""), encoding
    )
    assert page.objects.num_rows + len(page.unreadable) == len(keys)
    assert page.echo.prefix == (prefix or None)
    assert page.echo.max_keys == "7"
    if encoding is KeyEncoding.PLAIN:
        assert page.objects.column("key").to_pylist() == keys


@pytest.mark.parametrize("forbidden", ["&#1;", "\x01", "&#xFFFE;", "\ufffe", "\udcff"])
def test_unknown_elements_of_the_envelope_do_not_matter(forbidden: str) -> None:
    extra = "".join(
        f"<{name}>a{forbidden}</{name}>" for name in ("StartAfter", "Prefix", "Marker", "Odd")
    )
    body = rendered("k", extra="EXTRA").replace(b"EXTRA", utf8(extra))
    page = pages_of(body, KeyEncoding.DECLARED)
    assert page.objects.column("key").to_pylist() == ["k"]
    assert (page.echo.start_after or "").startswith("a")


@pytest.mark.parametrize("forbidden", ["&#1;", "\x01", "&#xFFFE;", "\ufffe"])
def test_a_token_with_forbidden_characters_is_none(forbidden: str) -> None:
    body = rendered("k", f"<NextContinuationToken>t{forbidden}</NextContinuationToken>")
    page = pages_of(body.replace(b">false<", b">true<"), KeyEncoding.DECLARED)
    assert (page.is_truncated, page.next_token, page.last_key) == (True, None, "k")


def test_a_listing_of_version_1_has_no_token() -> None:
    body = rendered("k", "<Marker>a</Marker>").replace(b">false<", b">true<")
    page = pages_of(body, KeyEncoding.DECLARED)
    assert (page.is_truncated, page.next_token, page.last_key) == (True, None, "k")
    assert page.echo.start_after == "a"


PREFIX = "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"


@pytest.mark.parametrize(("count", "is_right"), [("1", True), ("2", True), ("", True), ("x", True)])
@pytest.mark.parametrize("place", [0, 1])
def test_key_count_may_include_common_prefixes(count: str, is_right: bool, place: int) -> None:
    body = rendered("k", element("KeyCount", count) + PREFIX * place)
    if count == "2" and not place:
        is_right = False
    if is_right:
        assert pages_of(body, KeyEncoding.DECLARED).common_prefixes == ("p/",) * place
        return
    for decode in (decode_page, decode_columns):
        with pytest.raises(MalformedResponse, match="<KeyCount> is 2, but there are 1 objects"):
            decode(body)


def test_several_prefixes_may_be_in_one_common_prefixes_element() -> None:
    both = PREFIX.replace("</Prefix>", "</Prefix><Prefix>q/</Prefix>")
    assert pages_of(rendered("k", both), KeyEncoding.DECLARED).common_prefixes == ("p/", "q/")
