"""The pages of an odd store as XML, with its habits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from inventory_assets_tests.fakes.listings import NAMESPACE
from inventory_assets_tests.stores.habits import (
    Contradiction,
    Echo,
    Encoding,
    Habits,
    Tokens,
    VersionMarker,
)
from inventory_assets_tests.stores.holdings import StoredObject, raw

BUCKET = "truth"

_DECLARING = (Encoding.DECLARED, Encoding.FALSELY_DECLARED, Encoding.PLUS_LITERAL)

_ECHOED = {
    "Prefix": "prefix",
    "Delimiter": "delimiter",
    "StartAfter": "start-after",
    "Marker": "marker",
    "KeyMarker": "key-marker",
}


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for of a listing.

    Attributes:
        given: The parameters as they came.
        number: How many requests came before.
    """

    given: Mapping[str, str]
    number: int

    def text(self, name: str) -> str:
        return self.given.get(name, "")

    @property
    def wants_versions(self) -> bool:
        return "versions" in self.given

    @property
    def wants_url(self) -> bool:
        return self.given.get("encoding-type") == "url"


@dataclass(frozen=True, slots=True)
class Pages:
    """Writes the answer to one request.

    Attributes:
        habits: How.
        query: The request.
        size: Keys that were asked for at most, and that the store sends at most.
    """

    habits: Habits
    query: Query
    size: int

    def of_objects(
        self, entries: Sequence[StoredObject | str], token: str | None, *, has_more: bool
    ) -> str:
        """A page of objects, and of folders as their names.

        Args:
            entries: What is listed.
            token: Where the listing goes on, if the store says so by token.
            has_more: Whether it does.
        """
        out = [self._head("ListBucketResult")]
        if self.habits.tokens in (Tokens.MARKER, Tokens.NEXT_MARKER):
            by_next = self.habits.tokens is Tokens.NEXT_MARKER or self.query.text("delimiter")
            if has_more and by_next and entries:
                out.append(element("NextMarker", self._name(name_of(entries[-1]))))
        else:
            out.append(element("KeyCount", str(len(entries))))
            if token:
                if self.habits.echo is Echo.PLAIN and entries:
                    token += "." + _escaped(name_of(entries[-1]))
                out.append(element("NextContinuationToken", token))
        out.append(element("IsTruncated", str(has_more).lower()))
        records = [self._record(each) for each in entries if isinstance(each, StoredObject)]
        out += [f"<Contents>{record}</Contents>" for record in records]
        folders = [self._name(each) for each in entries if isinstance(each, str)]
        out += [f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in folders]
        return "".join([*out, "</ListBucketResult>"])

    def of_versions(self, page: Sequence[StoredObject], *, has_more: bool) -> str:
        """A page of versions and delete markers."""
        out = [self._head("ListVersionsResult")]
        if has_more:
            last, way = page[-1], self.habits.version_marker
            is_plain = way is VersionMarker.KEY_PLAIN
            key = _escaped(last.key) if is_plain else self._name(last.key)
            version = "null" if way is VersionMarker.ID_NULL else last.version_id
            out += [element("NextKeyMarker", key), element("NextVersionIdMarker", version)]
        out.append(element("IsTruncated", str(has_more).lower()))
        for each in page:
            kind = "DeleteMarker" if each.is_delete_marker else "Version"
            identity = element("VersionId", each.version_id)
            identity += element("IsLatest", str(each.is_latest).lower())
            out.append(f"<{kind}>{self._record(each)}{identity}</{kind}>")
        return "".join([*out, "</ListVersionsResult>"])

    def _head(self, root: str) -> str:
        """The elements before the keys, which repeat the request."""
        habits, query = self.habits, self.query
        out = [f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{NAMESPACE}>']
        out += [element("Name", BUCKET), element("MaxKeys", str(self.size))]
        if query.wants_url and habits.encoding in _DECLARING:
            out.append(element("EncodingType", "url"))
        if habits.echo is Echo.NONE:
            return "".join(out)
        for name, parameter in _ECHOED.items():
            if (text := query.text(parameter)) or parameter == "prefix":
                is_plain = habits.echo is Echo.PLAIN and parameter != "prefix"
                out.append(element(name, _escaped(text) if is_plain else self._name(text)))
        if token := query.text("continuation-token"):
            out.append(element("ContinuationToken", _escaped(token)))
        return "".join(out)

    def _name(self, key: str) -> str:
        """A key as encoded in the response."""
        if not self.query.wants_url:
            return _escaped(key)
        match self.habits.encoding:
            case Encoding.DECLARED | Encoding.UNDECLARED:
                return quote_plus(raw(key), safe="/*-._~")
            case Encoding.PLUS_LITERAL | Encoding.PLUS_LITERAL_UNDECLARED:
                return quote(raw(key), safe="/+*-._~")
            case Encoding.RAW:
                return _escaped(key, controls=True)
            case _:
                return _escaped(key)

    def _record(self, each: StoredObject) -> str:
        elements: dict[str, str | None] = {
            "Key": self._name(each.key),
            "LastModified": each.modified.strftime(self.habits.times),
            "ETag": f"&quot;{each.e_tag}&quot;" if each.e_tag else None,
            "Size": str(each.size),
            "StorageClass": "STANDARD",
        }
        if each.is_delete_marker:
            elements |= {"ETag": None, "Size": None, "StorageClass": None}
        if each.key.endswith("/"):
            elements |= dict.fromkeys(self.habits.markers_lack)
        elements |= each.written
        return "".join(element(name, text) for name, text in elements.items() if text is not None)


def contradicting(page: str, kind: Contradiction, count: int) -> str:
    """A page that goes on and has a token, contradicting itself.

    Args:
        page: The page.
        kind: In what.
        count: What it lists.
    """
    true, false = element("IsTruncated", "true"), element("IsTruncated", "false")
    match kind:
        case Contradiction.ENDS_TWICE:
            return page.replace(true, false + true)
        case Contradiction.ENDS_WITH_TOKEN:
            return page.replace(true, false)
        case Contradiction.COUNTS_WRONG:
            old, new = (element("KeyCount", str(number)) for number in (count, count + 3))
            return page.replace(old, new)
        case Contradiction.GOES_ON_WITHOUT_TOKEN:
            before, found, rest = page.partition("<NextContinuationToken>")
            return before + rest.partition("</NextContinuationToken>")[2] if found else page


def name_of(entry: StoredObject | str) -> str:
    """The name of an object or a folder."""
    return entry if isinstance(entry, str) else entry.key


def element(name: str, text: str) -> str:
    """An element whose text is escaped already."""
    return f"<{name}>{text}</{name}>"


def _escaped(text: str, *, controls: bool = False) -> str:
    """Text as XML; control characters as references, which XML forbids too, or as they are."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if controls:
        return text
    return "".join(f"&#x{ord(c):x};" if ord(c) < 32 else c for c in text)
