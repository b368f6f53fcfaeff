"""Cases of page contents: names, records, versions."""

from dataclasses import replace

from inventory_assets_tests.stores.buckets import (
    in_versions,
    last_on_page,
    named,
    odd_names,
    plain_names,
    small,
    wide,
    with_a_record,
    with_markers,
)
from inventory_assets_tests.stores.case import Case
from inventory_assets_tests.stores.habits import (
    AWS,
    Echo,
    Encoding,
    Habits,
    Order,
    Times,
    VersionListing,
    VersionMarker,
)

_VERSIONS = r"lists no versions|not list versions|versions"


def name_cases() -> list[Case]:
    encoded = [each for each in Encoding if each is not Encoding.DECLARED]
    one_page = last_on_page
    plain_echo = Habits(echo=Echo.PLAIN)
    not_utf8 = named("a", "caf\udce9.txt", "z")
    control = named("a", "b\x01c", "z")
    returned = named("a\rb", "a\nb", "b")
    readable = r"UTF-8|control character|XML|well-formed|exclude|set aside"
    return [
        Case("odd names, as AWS writes them", AWS, odd_names, is_fast=True),
        *(
            Case(
                f"odd names are {way}",
                Habits(encoding=way),
                odd_names,
                is_fast=True,
            )
            for way in encoded
        ),
        *(Case(f"plain names are {way}", Habits(encoding=way), plain_names) for way in encoded),
        *(
            Case(
                f"odd names are {way}, pages of 2",
                Habits(encoding=way, page_keys=2),
                odd_names,
            )
            for way in encoded
        ),
        *(
            Case(
                f"the token ends with a key's {name}, unencoded",
                plain_echo,
                one_page(f"a98{last}"),
                is_fast=last == "\x01",
            )
            for name, last in (("U+0001", "\x01"), ("U+FFFE", "\ufffe"), ("ampersand", "&"))
        ),
        Case("nothing of the request is repeated", Habits(echo=Echo.NONE), wide),
        Case("a name is no UTF-8", AWS, not_utf8, readable, is_fast=True),
        Case("a name is no UTF-8, unencoded", Habits(encoding=Encoding.RAW), not_utf8, readable),
        Case("a name holds U+0001", AWS, control),
        Case(
            "a name holds U+0001, versions",
            AWS,
            in_versions(control),
            with_versions=True,
        ),
        Case(
            "a name holds U+0001, as a reference",
            Habits(encoding=Encoding.IGNORED),
            control,
            readable,
        ),
        Case("a name holds U+0001, raw", Habits(encoding=Encoding.RAW), control, readable),
        Case(
            "a name holds a carriage return, raw",
            Habits(encoding=Encoding.RAW),
            returned,
            readable,
        ),
        Case("keys of 1,024 to 1,280 bytes", AWS, named("a" * 1024, "b" * 1280, "c"), r"1,?024"),
    ]


def record_cases() -> list[Case]:
    certain = {
        *(Times.SECONDS, Times.NANOSECONDS, Times.OFFSET, Times.OFFSET_WITHOUT_COLON),
        *(Times.RFC_1123, Times.SPACE),
    }
    cases = [
        Case(
            f"LastModified is written {way.name}",
            Habits(times=way),
            plain_names,
            None if way in certain else "LastModified",
            is_fast=way in (Times.RFC_1123, Times.NO_ZONE),
        )
        for way in Times
        if way is not Times.MILLISECONDS
    ]
    no_etag = Habits(markers_lack=frozenset({"ETag"}))
    bare = Habits(markers_lack=frozenset({"ETag", "LastModified", "StorageClass", "Size"}))
    cases += [
        Case("folder markers have no ETag", no_etag, with_markers, is_fast=True),
        Case(
            "folder markers have no ETag, in directory order",
            no_etag | Habits(order=Order.DIRECTORY, page_keys=3),
            with_markers,
            is_fast=True,
        ),
        Case(
            "folder markers have a key alone",
            bare,
            with_markers,
            r"b/.*(Size|LastModified)|(Size|LastModified).*b/",
            is_fast=True,
        ),
        Case(
            "folder markers have a key alone, in directory order",
            bare | Habits(order=Order.DIRECTORY),
            with_markers,
            r"Size|LastModified",
        ),
    ]
    for element, texts in (
        ("Size", ("-1", "1.5", "", "many", None)),
        ("LastModified", ("yesterday", "2026-13-01T00:00:00Z", "", None)),
        ("ETag", ("", None)),
    ):
        cases += [
            Case(
                f"one record has {element} {text!r}"
                if text is not None
                else f"one has no {element}",
                AWS,
                with_a_record(**{element: text}),
                element,
            )
            for text in texts
        ]
    return cases


def version_cases() -> list[Case]:
    markers = [each for each in VersionMarker if each is not VersionMarker.TRUE]
    refusing = [each for each in VersionListing if each is not VersionListing.LISTED]
    percent = last_on_page("pool/apt_1%3a2_amd64.deb", "pool/a")
    plus = last_on_page("pool/g++_12_amd64.deb", "pool/a")
    return [
        *(
            Case(
                f"versions are answered with {way}",
                Habits(versions=way),
                in_versions(small),
                _VERSIONS,
                must_refuse=True,
                with_versions=True,
                is_fast=True,
            )
            for way in refusing
        ),
        *(
            Case(
                f"a page of versions names {way}",
                Habits(version_marker=way),
                in_versions(wide),
                r"twice" if way is VersionMarker.INCLUSIVE else None,
                with_versions=True,
                is_fast=way is VersionMarker.ID_NULL,
            )
            for way in markers
        ),
        *(
            Case(
                f"a page of versions ends with {name} in a name, unencoded",
                Habits(version_marker=VersionMarker.KEY_PLAIN),
                in_versions(bucket, 1),
                with_versions=True,
                is_fast=True,
            )
            for name, bucket in (("a percent sign", percent), ("two plus signs", plus))
        ),
        Case(
            "keys none of whose versions is the latest",
            AWS,
            lambda: [replace(each, is_latest=False) for each in in_versions(small)()],
            r"latest",
            with_versions=True,
        ),
    ]
