"""The columnar decoder has the same results and errors as the XML decoder."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.decoding import columnar_decoder
from inventory_assets.s3.decoding.columnar_decoder import decode_columns, decode_pages
from inventory_assets.s3.decoding.page import ErrorDocument, Page
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers, PageBatch
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets_tests.fakes.listings import Listed, contents, contents_fields, listing, render
from inventory_assets_tests.s3.damaged_pages import damaged

SCRATCH = DecodeBuffers()
PIECES = (
    b"<",
    b"</Key>",
    b"<Key>",
    b"&amp;",
    b"%",
    b"%2",
    b"<!-- x -->",
    b"<![CDATA[a]]>",
    b"<Contents>",
    b"</Contents>",
    b"<Size>1</Size>",
    b"\xc3\xa9",
    b"<a/>",
    b"<a b='c'>",
    b"]]>",
    b" ",
)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
objects = st.builds(
    Listed,
    key=text,
    size=st.integers(0, 2**63 - 1),
    modified=st.integers(0, 4_000_000_000_000),
    e_tag=st.none() | st.text('abc0123-"', max_size=10),
    storage_class=st.sampled_from([None, "STANDARD", "GLACIER_IR", ""]),
    checksums=st.sampled_from([(), ("CRC32",), ("CRC32", "SHA1"), ("CRC64NVME",)]),
    owner=st.sampled_from([None, "abc"]),
)


def outcome(decode: object, body: bytes) -> Page | ErrorDocument | str:
    try:
        return decode(body)  # type: ignore[operator, no-any-return]
    except MalformedResponse as error:
        return str(error)


def assert_alike(body: bytes) -> None:
    plain, columnar = outcome(decode_page, body), outcome(decode_columns, body)
    if isinstance(plain, Page) and isinstance(columnar, Page):
        plain.objects.validate(full=True)
        columnar.objects.validate(full=True)
        assert plain.objects.equals(columnar.objects)
        assert plain.objects.schema == columnar.objects.schema
        assert replace(plain, objects=None) == replace(columnar, objects=None)
    else:
        assert plain == columnar


def regular(count: int) -> Sequence[Listed]:
    """Objects as in real buckets: some have a checksum, some an owner."""
    return [
        Listed(
            f"dt=2026-11-22/é {number}+%.parquet",
            size=number * 977,
            checksums=("CRC64NVME",) if number % 3 else (),
            owner="owner" if number % 2 else None,
        )
        for number in range(count)
    ]


@pytest.fixture
def no_plain_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if the XML decoder decodes more than the envelope."""

    def frame_only(body: bytes) -> Page | ErrorDocument:
        assert b"<Contents>" not in body
        return decode_page(body)

    monkeypatch.setattr(columnar_decoder, "decode_page", frame_only)


@settings(max_examples=200)
@given(st.lists(objects, max_size=8), st.lists(text, max_size=2), st.none() | st.just("token"))
def test_legal_pages_are_decoded_alike(
    listed: list[Listed], common_prefixes: list[str], token: str | None
) -> None:
    assert_alike(render(listed, common_prefixes, token))


@settings(max_examples=200)
@given(st.lists(objects, min_size=1, max_size=4), st.data())
def test_both_decoders_agree_on_damaged_pages(listed: list[Listed], data: st.DataObject) -> None:
    assert_alike(damaged(render(listed, [], "token"), PIECES, data))


def test_both_decoders_agree_on_thousands_of_shuffled_pages() -> None:
    chance = random.Random(1)  # noqa: S311
    page = render(regular(4), ["p/"], "token")
    for _ in range(3000):
        body = bytearray(page)
        for _ in range(chance.randint(1, 2)):
            here, there = chance.randrange(len(body)), chance.randrange(len(body))
            length = chance.randint(1, 40)
            replaced = chance.choice([0, 1, length])
            body[here : here + replaced] = body[there : there + length]
        assert_alike(bytes(body))


def test_a_page_truncated_anywhere_is_rejected_alike() -> None:
    page = render(regular(2), [], "token")
    for length in range(len(page)):
        assert_alike(page[:length])


pages_strategy = st.lists(st.lists(objects, max_size=4), min_size=1, max_size=4)


@settings(max_examples=100)
@given(pages_strategy, st.booleans())
def test_pages_decoded_together_are_the_pages_decoded_alone(
    pages: list[list[Listed]], alike: bool
) -> None:
    if alike:
        pages = [list(regular(1)) * len(listed) for listed in pages]
    bodies = [render(listed, [], f"token{n}") for n, listed in enumerate(pages)]
    for body, page in zip(bodies, decode_pages(bodies, SCRATCH), strict=True):
        assert isinstance(page, Page)
        alone = decode_page(body)
        assert isinstance(alone, Page)
        assert page.objects.equals(alone.objects)
        assert page.next_token == alone.next_token


@pytest.mark.parametrize("place", range(3))
def test_a_damaged_page_among_good_ones_is_malformed(place: int) -> None:
    bodies = [render(regular(3), [], "token") for _ in range(3)]
    bodies[place] = bodies[place].replace(b"<Size>977<", b"<Size>9&7<")
    with pytest.raises(MalformedResponse, match="well-formed"):
        decode_pages(bodies, SCRATCH)


def test_no_pages_are_no_pages() -> None:
    assert decode_pages([], SCRATCH) == []


@pytest.mark.parametrize("quote", ['"', "&quot;", "&#34;", ""])
def test_objects_of_one_layout_are_never_grouped(
    quote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spans(_block: PageBatch) -> None:
        raise AssertionError("objects of one layout were grouped")

    monkeypatch.setattr(PageBatch, "_spans", spans)
    listed = [
        Listed(f"a b/{n}", size=10**n, e_tag=f"{n:032x}-{n}", owner="me", checksums=("CRC32",))
        for n in range(10)
    ]
    body = render(listed, [], "token").replace(b"&#34;", quote.encode())
    for page in decode_pages([body, body], SCRATCH):
        assert isinstance(page, Page)
        assert page.objects.to_pylist() == [each.row() for each in listed]


@pytest.mark.usefixtures("no_plain_decoder")
def test_objects_with_and_without_optional_fields_are_decoded_in_columns() -> None:
    listed = regular(50)
    page = decode_columns(render(listed, ["p/"], "token"))
    assert isinstance(page, Page)
    assert page.objects.to_pylist() == [each.row() for each in listed]
    assert (page.common_prefixes, page.next_token) == (("p/",), "token")


@pytest.mark.usefixtures("no_plain_decoder")
@pytest.mark.parametrize("quote", ['"', "&quot;", "&#34;"])
def test_e_tags_in_any_quotes_are_decoded_in_columns(quote: str) -> None:
    fields = [field.replace("&#34;", quote) for field in contents_fields(Listed("k", e_tag="0a-2"))]
    page = decode_columns(listing(contents(*fields)))
    assert isinstance(page, Page)
    assert page.objects.column("e_tag").to_pylist() == ["0a-2"]


@pytest.mark.parametrize("field", range(6))
@pytest.mark.parametrize("row", range(3))
def test_both_decoders_agree_on_an_object_without_a_field(field: int, row: int) -> None:
    rendered = [contents_fields(Listed(f"k{n}", checksums=("CRC32",))) for n in range(3)]
    del rendered[row][field]
    assert_alike(listing(*(contents(*fields) for fields in rendered)))


@pytest.mark.parametrize("field", range(6))
@pytest.mark.parametrize("row", range(3))
def test_both_decoders_agree_on_an_object_with_a_repeated_field(field: int, row: int) -> None:
    rendered = [contents_fields(Listed(f"k{n}", checksums=("CRC32",))) for n in range(3)]
    rendered[row].insert(0, rendered[row][field])
    assert_alike(listing(*(contents(*fields) for fields in rendered)))


def test_a_page_does_not_share_memory_with_its_response() -> None:
    body = bytearray(render(regular(20)))
    page = decode_columns(bytes(body))
    assert isinstance(page, Page)
    assert page.objects.to_pylist() == [each.row() for each in regular(20)]
    assert page.objects.nbytes < 2 * len(body)
