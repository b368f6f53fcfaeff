"""Unreadable records are kept as received, without loss of the page's other records."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.decoding.columnar_decoder import decode_columns
from inventory_assets.s3.decoding.page import MAX_UNREADABLE_BYTES, Page, Unreadable
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.decoding.record_fields import least_key_from
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    element,
    listing,
)
from inventory_assets_tests.fakes.versioned_s3 import Version, rendered


def page_of(body: bytes) -> Page:
    """The page, the same from all three decoders."""
    page, fast, received = decode_page(body), decode_columns(body), peek_page(body)
    assert isinstance(page, Page)
    assert isinstance(fast, Page)
    assert isinstance(received, RawPage)
    assert page == fast
    assert (received.last_key, received.next_token) == (page.last_key, page.next_token)
    assert received.is_truncated == page.is_truncated
    assert received.echo == page.echo
    return page


def among_others(*fields: str) -> Unreadable:
    """The `Unreadable` of a record between two readable ones."""
    record = contents(*fields)
    good = [contents(*contents_fields(Listed(key))) for key in ("a", "z")]
    page = page_of(listing(good[0], record, good[1]))
    assert page.objects.column("key").to_pylist() == ["a", "z"]
    (unreadable,) = page.unreadable
    assert unreadable.text == record.encode("utf-8", "surrogateescape")
    assert unreadable.row == 1
    return unreadable


def with_field(name: str, text: str) -> Unreadable:
    fields = [field for field in contents_fields(Listed("k")) if not field.startswith(f"<{name}>")]
    return among_others(*fields, element(name, text))


@pytest.mark.parametrize("name", ["Key", "Size", "LastModified"])
def test_a_record_without_a_required_field(name: str) -> None:
    fields = [field for field in contents_fields(Listed("k")) if not field.startswith(f"<{name}>")]
    unreadable = among_others(*fields)
    assert unreadable.reason == f"it has no <{name}>"
    assert unreadable.key == (None if name == "Key" else "k")
    assert unreadable.sort_key == ("a" if name == "Key" else "k")


def test_a_folder_marker_of_a_key_alone() -> None:
    unreadable = among_others("<Key>b/</Key>")
    assert (unreadable.key, unreadable.reason) == ("b/", "it has no <LastModified>")


@pytest.mark.parametrize(
    "rendered_key", ["%FF", "%C3%28", "%ED%A0%80", "%C0%80", "a%F0%9F", "\udce9", "&#xD800;"]
)
def test_a_key_that_is_not_utf_8(rendered_key: str) -> None:
    fields = [f"<Key>k{rendered_key}</Key>", *contents_fields(Listed("k"))[1:]]
    good = [contents(*contents_fields(Listed(key))) for key in ("a", "z")]
    body = listing(good[0], "RECORD", good[1])
    record = contents(*fields).encode("utf-8", "surrogateescape")
    page = page_of(body.replace(b"RECORD", record))
    assert page.objects.column("key").to_pylist() == ["a", "z"]
    (unreadable,) = page.unreadable
    assert unreadable.text == record
    assert "not UTF-8" in unreadable.reason
    assert unreadable.key is None
    assert "a" < unreadable.sort_key < "z"


def test_an_empty_key() -> None:
    unreadable = with_field("Key", "")
    assert unreadable.reason == "the key is empty"
    assert (unreadable.key, unreadable.sort_key) == (None, "a")


@pytest.mark.parametrize("name", ["Key", "Size", "LastModified", "ETag", "StorageClass"])
def test_a_record_with_contradicting_fields(name: str) -> None:
    unreadable = among_others(*contents_fields(Listed("k")), element(name, "1"))
    assert unreadable.reason == f"it has two <{name}>"
    assert unreadable.key == (None if name == "Key" else "k")


@pytest.mark.parametrize(
    "size", ["", "-1", "1.5", "1e3", "0x10", " 1", "\uff11\uff12", "ten", str(2**63), "9" * 5000]
)
def test_an_invalid_size(size: str) -> None:
    unreadable = with_field("Size", size[:3000])
    assert unreadable.reason.startswith("<Size> is ")
    assert (unreadable.key, unreadable.sort_key) == ("k", "k")


def test_an_invalid_time() -> None:
    assert with_field("LastModified", "yesterday").reason.startswith("<LastModified> is ")


def test_a_text_that_is_not_utf_8() -> None:
    body = listing(contents(*contents_fields(Listed("k")))).replace(b"STANDARD", b"\xff\xfe")
    page = page_of(body)
    assert page.objects.num_rows == 0
    assert page.unreadable[0].reason == "one of its texts is not UTF-8"
    assert b"\xff\xfe" in page.unreadable[0].text


def test_unreadable_records_are_stored_up_to_a_maximum_of_bytes() -> None:
    record = contents(*contents_fields(Listed("k", size=1), False)[1:], element("New", "x" * 9999))
    page = page_of(listing(record))
    assert page.unreadable[0].text == record.encode()[:MAX_UNREADABLE_BYTES]


def test_the_last_key_of_a_page_may_be_that_of_an_unreadable_record() -> None:
    bad = contents(*contents_fields(Listed("k")), "<Size>1</Size>")
    page = page_of(listing(contents(*contents_fields(Listed("a"))), bad))
    assert page.last_key == "k"
    assert page_of(listing(bad)).last_key == "k"


def test_a_common_prefix_that_is_not_utf_8() -> None:
    prefix = "<CommonPrefixes><Prefix>b%FF/</Prefix><Prefix>c/</Prefix></CommonPrefixes>"
    page = page_of(listing(contents(*contents_fields(Listed("a"))), prefix))
    assert page.common_prefixes == ("c/",)
    assert page.unreadable[0].text == prefix.encode()
    assert page.unreadable[0].reason.startswith("a common prefix: the key b'b\\xff/' is not UTF-8")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<IsLatest>true</IsLatest>", "", "it has no <IsLatest>"),
        ("<IsLatest>true", "<IsLatest>yes", "<IsLatest> is 'yes', neither true nor false"),
        ("<Size>1</Size>", "", "it has no <Size>"),
        ("<VersionId>v1</VersionId>", "<VersionId>v1</VersionId><VersionId>v2</VersionId>", "two"),
    ],
)
def test_a_version_that_lacks_required_fields(old: str, new: str, reason: str) -> None:
    body = rendered([Version("a", "v1", 0, 2, True), Version("k", "v1", 0, 1, True)])
    kept, _, changed = body.partition(b"</Version>")
    assert old.encode() in changed
    page = page_of(kept + b"</Version>" + changed.replace(old.encode(), new.encode()))
    assert page.objects.column("key").to_pylist() == ["a"]
    (unreadable,) = page.unreadable
    assert reason in unreadable.reason
    assert unreadable.key == "k"


def test_a_listing_of_versions_goes_on_after_a_record_that_is_unreadable() -> None:
    versions = [Version("a", "v1", 0, 2, True), Version("k", "v2", 0, 1, True)]
    body = rendered(versions, versions[-1]).replace(b"<Size>1</Size>", b"")
    assert page_of(body).next_token == "v2 k"


raw_keys = st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=4).map(b"".join)
valid = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@given(raw_keys | valid.map(str.encode), raw_keys, st.lists(valid, max_size=5))
def test_a_key_that_is_not_utf_8_sorts_by_its_bytes(
    raw: bytes, other: bytes, keys: Sequence[str]
) -> None:
    place = least_key_from(raw)
    near = [other.decode("utf-8", "ignore"), raw.decode("utf-8", "ignore"), place, *keys]
    for key in near:
        if "\U0010ffff" not in key:
            assert (raw <= key.encode()) == (place <= key)
    assert place.startswith(raw.decode("utf-8", "replace").partition("\ufffd")[0])
