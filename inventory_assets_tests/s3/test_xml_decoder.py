import random
import sys
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.s3.decoding.page import (
    MAX_KEYS,
    MAX_RESPONSE_BYTES,
    OBJECT_SCHEMA,
    ErrorDocument,
    Page,
)
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

FULL = Listed(
    key="logs/2024/a b.txt",
    size=12_345_678_901,
    modified=1_704_067_200_789,
    e_tag="9b2cf535f27731c974343645a3985328-7",
    storage_class="GLACIER_IR",
    checksums=("CRC32", "SHA256"),
    owner="75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a",
)


def fill(piece: bytes, head: bytes = b"<IsTruncated>false</IsTruncated>") -> bytes:
    """A response of 16 MiB that repeats one text."""
    body = b"<ListBucketResult>" + head
    tail = b"</ListBucketResult>"
    return body + piece * ((MAX_RESPONSE_BYTES - len(body + tail)) // len(piece)) + tail


HOSTILE = {
    "elements": fill(b"<a/>"),
    "nested": fill(b"<a>"),
    "comments": fill(b"ab<!---->"),
    "objects": fill(
        b"<Contents><Key>a&amp;b</Key><Size>1</Size>"
        b"<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
    ),
    "prefixes": fill(b"<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_page_takes_little_memory(kind: str) -> None:
    tracemalloc.start()
    try:
        with suppress(MalformedResponse):
            decode_page(HOSTILE[kind])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 2**20


def test_a_page_of_as_many_elements_as_s3_sends_is_read() -> None:
    extra = "".join(f"<Extra>{number}</Extra>" for number in range(40))
    fields = [*contents_fields(FULL), extra]
    body = listing(contents(*fields) * MAX_KEYS)
    assert page_of(body).objects.num_rows == MAX_KEYS


def page_of(body: bytes) -> Page:
    page = decode_page(body)
    assert isinstance(page, Page)
    return page


def one(*fields: str) -> dict[str, object]:
    """The row that a single `<Contents>` of these fields decodes to."""
    rows: list[dict[str, object]] = page_of(listing(contents(*fields))).objects.to_pylist()
    assert len(rows) == 1
    return rows[0]


def key_of(rendered: str, extra: str = "") -> str:
    """The key that this text of `<Key>` decodes to in a url-encoded response."""
    fields = [f"<Key>{rendered}</Key>", *contents_fields(Listed("k"))[1:]]
    key: str = page_of(listing(contents(*fields), extra=extra)).objects.column("key")[0].as_py()
    return key


def with_field(name: str, text: str) -> bytes:
    fields = [field for field in contents_fields(Listed("k")) if not field.startswith(f"<{name}>")]
    return listing(contents(*fields, element(name, text)))


def test_every_field_is_read() -> None:
    assert one(*contents_fields(FULL)) == {
        "key": "logs/2024/a b.txt",
        "size": 12_345_678_901,
        "last_modified_date": datetime(2024, 1, 1, 0, 0, 0, 789_000, UTC),
        "e_tag": "9b2cf535f27731c974343645a3985328-7",
        "storage_class": "GLACIER_IR",
        "checksum_algorithm": "CRC32,SHA256",
        "object_owner": "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a",
    }


@given(st.permutations([field for field in contents_fields(FULL) if "Checksum" not in field]))
def test_fields_may_come_in_any_order(fields: list[str]) -> None:
    assert one(*fields) == {**FULL.row(), "checksum_algorithm": None}


@pytest.mark.parametrize(
    ("name", "column"),
    [("StorageClass", "storage_class"), ("Owner", "object_owner"), ("ETag", "e_tag")],
)
@pytest.mark.parametrize("stand_in", ["", "<{0}/>", "<{0}></{0}>"])
def test_a_missing_or_empty_optional_field_is_null(name: str, column: str, stand_in: str) -> None:
    fields = [field for field in contents_fields(FULL) if not field.startswith(f"<{name}>")]
    assert len(fields) == len(contents_fields(FULL)) - 1
    assert one(*fields, stand_in.format(name)) == {**FULL.row(), column: None}


def test_unknown_elements_and_restore_status_are_ignored() -> None:
    restore = (
        "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><Key>no</Key>"
        "<RestoreExpiryDate>2030-01-01T00:00:00Z</RestoreExpiryDate></RestoreStatus>"
    )
    odd = '<New a="1"><Size>7</Size><!-- note --><Deep><ETag>x</ETag></Deep></New>'
    page = page_of(
        listing(
            contents(restore, odd, *contents_fields(FULL)),
            extra="<RequestCharged>requester</RequestCharged><Grants><Contents/></Grants>",
        )
    )
    assert page.objects.to_pylist() == [FULL.row()]


def test_namespace_prefixes_do_not_matter() -> None:
    body = listing(contents(*contents_fields(FULL))).decode()
    prefixed = body.replace("</", "\0").replace("<?", "\1").replace("<", "<s3:")
    prefixed = prefixed.replace("\0", "</s3:").replace("\1", "<?").replace("xmlns=", "xmlns:s3=")
    assert page_of(prefixed.encode()).objects.to_pylist() == [FULL.row()]


def test_white_space_between_elements_does_not_matter() -> None:
    body = render([FULL], ["p/"], "t").replace(b"><", b">\n  <")
    assert page_of(body).objects.to_pylist() == [FULL.row()]


def test_the_owner_is_its_id_not_its_display_name() -> None:
    owner = "<Owner><DisplayName>ann</DisplayName><ID>42</ID></Owner>"
    assert one(*contents_fields(Listed("k")), owner)["object_owner"] == "42"


@pytest.mark.parametrize("quote", ["&#34;", "&quot;", '"', "&#x22;", ""])
def test_e_tags_lose_their_quotes_however_they_are_written(quote: str) -> None:
    fields = [field for field in contents_fields(FULL) if "ETag" not in field]
    assert one(*fields, f"<ETag>{quote}abc-2{quote}</ETag>")["e_tag"] == "abc-2"


@pytest.mark.parametrize(
    ("rendered", "key"),
    [
        ("a+b", "a b"),
        ("a%20b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%252Bb", "a%2Bb"),
        ("100%25", "100%"),
        ("%00%01%0A%0D%1F%7F", "\0\1\n\r\x1f\x7f"),
        ("%F0%9F%A6%84", "\U0001f984"),
        ("\U0001f984", "\U0001f984"),
        ("%f0%9f%a6%84", "\U0001f984"),
        ("a&amp;b&lt;c&gt;&quot;&apos;", "a&b<c>\"'"),
        ("%26amp%3B", "&amp;"),
        ("&#x1F984;&#43;", "\U0001f984 "),
        ("<![CDATA[a<b]]>", "a<b"),
        ("a//../%2F", "a//..//"),
        ("%EF%BF%BF", "\uffff"),
    ],
)
def test_url_encoded_keys_are_decoded_exactly_once(rendered: str, key: str) -> None:
    assert key_of(rendered) == key


@pytest.mark.parametrize("key", ["a+b", "a%2Bb", "100%25", "%F0%9F%A6%84"])
def test_keys_of_a_response_that_is_not_url_encoded_are_left_alone(key: str) -> None:
    body = listing(contents(*contents_fields(Listed(key), url_encoded=False)))
    plain = body.replace(b"<EncodingType>url</EncodingType>", b"")
    assert plain != body
    assert page_of(plain).objects.column("key").to_pylist() == [key]


def test_an_empty_page_has_the_schema_and_no_rows() -> None:
    page = page_of(listing())
    assert page.objects.schema.equals(OBJECT_SCHEMA)
    assert (page.objects.num_rows, page.common_prefixes) == (0, ())
    assert (page.is_truncated, page.next_token) == (False, None)


def test_common_prefixes_are_decoded_in_their_order() -> None:
    page = page_of(render([], ["b c/", "a+%/", "é/", "\U0010fffd/"]))
    assert page.common_prefixes == ("b c/", "a+%/", "é/", "\U0010fffd/")


def test_the_prefix_that_the_response_echoes_is_no_common_prefix() -> None:
    assert page_of(listing(extra="<Prefix>p/</Prefix>")).common_prefixes == ()


def test_a_truncated_page_says_where_the_listing_goes_on() -> None:
    page = page_of(render([FULL], token="1/ab+c=="))
    assert (page.is_truncated, page.next_token) == (True, "1/ab+c==")


@pytest.mark.parametrize(
    ("truncated", "extra"),
    [
        (None, ""),
        ("", ""),
        ("True", ""),
        ("1", ""),
        ("false", "<IsTruncated>true</IsTruncated>"),
        ("true", "<IsTruncated>true</IsTruncated>"),
        ("false", "<NextContinuationToken>t</NextContinuationToken>"),
        ("true", "<NextContinuationToken>t</NextContinuationToken>" * 2 + "<KeyCount>1</KeyCount>"),
        ("true", element("NextContinuationToken", "t") + element("NextContinuationToken", "u")),
    ],
)
def test_a_page_without_is_truncated_or_token_is_rejected(
    truncated: str | None, extra: str
) -> None:
    with pytest.raises(MalformedResponse):
        decode_page(listing(truncated=truncated, extra=extra))


def test_an_error_document_is_distinguished() -> None:
    body = b"<Error><Message>slow &amp; easy</Message><Code>SlowDown</Code></Error>"
    assert decode_page(body) == ErrorDocument("SlowDown", "slow & easy")
    assert decode_page(b"<Error/>") == ErrorDocument("Unknown", "")


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>hello</body></html>",
        b"<ListAllMyBucketsResult/>",
        b"{}",
        b"",
        b"   ",
        b"\x00",
        b"<?xml version='1.0'?>",
        render([FULL]) + render([FULL]),
        render([FULL]).replace(b"GLACIER", b"&unknown;"),
        render([FULL]).replace(b"GLACIER", b"&#x110000;"),
        render([FULL]).replace(b"<Size>", b"<Si\x01ze>"),
        render([FULL]).replace(b"<Size>", b"<Size &#1;>"),
        render([FULL]).replace(b"GLACIER", b"a & b"),
    ],
)
def test_a_response_that_is_no_listing_is_rejected(body: bytes) -> None:
    with pytest.raises(MalformedResponse):
        decode_page(body)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE ListBucketResult>",
        f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>',
        '<!DOCTYPE x [<!ENTITY k SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;]>',
    ],
)
def test_a_document_type_is_rejected_before_any_entity_is_looked_at(doctype: str) -> None:
    body = listing(contents("<Key>&l9;&k;</Key>", *contents_fields(Listed("k"))[1:]))
    with pytest.raises(MalformedResponse, match="document type"):
        decode_page(body.replace(b"?>\n", b"?>\n" + doctype.encode()))


def test_a_response_beyond_the_bound_is_rejected() -> None:
    padding = "x" * (MAX_RESPONSE_BYTES - len(listing()))
    page_of(listing().replace(b"<Name>b", b"<Name>b" + padding.encode()))
    with pytest.raises(MalformedResponse, match="at most"):
        decode_page(listing().replace(b"<Name>b", b"<Name>bx" + padding.encode()))


def test_deep_nesting_does_no_harm() -> None:
    depth = 50 * sys.getrecursionlimit()
    page = page_of(listing(extra="<a>" * depth + "</a>" * depth))
    assert page.objects.num_rows == 0


def test_a_body_truncated_anywhere_is_rejected() -> None:
    body = render([FULL, Listed("k")], ["p/"], "token")
    page_of(body)
    for end in range(len(body)):
        with pytest.raises(MalformedResponse):
            decode_page(body[:end])


def test_the_largest_size_is_read() -> None:
    assert page_of(with_field("Size", str(2**63 - 1))).objects["size"][0].as_py() == 2**63 - 1


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-01T00:00:00Z", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-01-01T00:00:00.1Z", datetime(2024, 1, 1, 0, 0, 0, 100_000, UTC)),
        ("2024-01-01T00:00:00.123456789Z", datetime(2024, 1, 1, 0, 0, 0, 123_000, UTC)),
        ("2024-01-01T01:30:00+01:30", datetime(2024, 1, 1, tzinfo=UTC)),
        ("1969-12-31T23:59:59.999Z", datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)),
        ("9999-12-31T23:59:59.999Z", datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)),
    ],
)
def test_times_are_utc_to_the_millisecond(text: str, moment: datetime) -> None:
    page = page_of(with_field("LastModified", text))
    assert page.objects.column("last_modified_date")[0].as_py() == moment


xml_characters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
words = st.text(xml_characters, min_size=1, max_size=20)
listed_objects = st.builds(
    Listed,
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    size=st.integers(0, 2**63 - 1),
    modified=st.integers(0, 7_000_000_000_000),
    e_tag=st.none() | words.filter(lambda word: word.strip('"') == word),
    storage_class=st.none() | words,
    checksums=st.lists(st.sampled_from(["CRC32", "CRC64NVME", "SHA1"]), max_size=3).map(tuple),
    owner=st.none() | words,
)


@given(
    st.lists(listed_objects, max_size=8),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=4),
    st.none() | words,
)
def test_rendered_pages_are_decoded_exactly(
    objects: list[Listed], prefixes: list[str], token: str | None
) -> None:
    page = page_of(render(objects, prefixes, token))
    assert page.objects.to_pylist() == [listed.row() for listed in objects]
    assert page.common_prefixes == tuple(prefixes)
    assert (page.is_truncated, page.next_token) == (token is not None, token)


@given(st.sampled_from(["Size", "LastModified", "Key", "ETag"]), st.text(xml_characters))
@example("LastModified", "0001-01-01T00:00:00+23:59")
@example("LastModified", "9999-12-31T23:59:59-23:59")
def test_any_text_in_a_field_is_decoded_or_rejected(name: str, text: str) -> None:
    with suppress(MalformedResponse):
        page_of(with_field(name, text))


@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_random_damage_raises_nothing_but_malformed_response(
    chance: random.Random, damages: int
) -> None:
    sound = render([FULL, Listed("k")], ["p/"], "token")
    for _ in range(20):
        body = bytearray(sound)
        for _ in range(damages):
            at = chance.randrange(len(body))
            patch = bytes(chance.choices(b'<>&;/"%+ \0\xff\x80TZ-:19', k=chance.randrange(3)))
            body[at : at + chance.randrange(3)] = patch
        with suppress(MalformedResponse):
            decode_page(bytes(body))
