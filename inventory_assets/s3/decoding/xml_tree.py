"""Parse a store's XML with expat, leniently where stores violate the standard.

A DTD is rejected, nothing external is resolved, and the number of elements is bounded. Characters
that XML forbids and some stores send are preserved: raw control characters, references such as
`&#x1;`, U+FFFE. A byte that is not UTF-8 becomes a surrogate escape (PEP 383), and `utf8` restores
it. Raw carriage returns are preserved; standard XML would turn them into line feeds.
"""

import re
from collections.abc import Iterator
from xml.parsers import expat

from inventory_assets.s3.errors import MalformedResponse

Body = bytes | bytearray
"""A response's body."""

MAX_ELEMENTS = 64_000
"""Maximum elements in a document; a page of 1,000 objects has up to 16,000.

An element takes a few hundred bytes of memory, but as few as four bytes of a response.
"""

MAX_TEXTS = 4 * MAX_ELEMENTS
"""Maximum callbacks for text; comments can split text into single bytes."""

_FORBIDDEN = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\udc80-\udcff]"
    r"|&#(?:0*(?P<decimal>[0-9]{1,7})|x0*(?P<hexadecimal>[0-9a-fA-F]{1,6}));"
)
_RAW_FORBIDDEN = re.compile(_FORBIDDEN.partition("|")[0])
_ANY_FORBIDDEN = re.compile(_FORBIDDEN)
_FIRST_STAND_IN, _LAST_STAND_IN = 0xF0000, 0xFFFFD
"""Private use characters, which XML allows in text and forbids in names."""


class Element:
    """An XML element, without attributes, which listings do not use.

    Attributes:
        name: The local name, without a namespace prefix.
        chunks: The text directly in it, with stand-ins for forbidden characters.
        elements: Its child elements.
        start: Its offset in the parsed document, if it is a child of the root.
        stop: The offset after it.
    """

    __slots__ = ("_document", "chunks", "elements", "name", "start", "stop")

    def __init__(self, name: str, document: "_Document") -> None:
        self.name = name.rpartition(":")[2]
        self.chunks: list[str] = []
        self.elements: list[Element] = []
        self._document = document
        self.start = self.stop = 0

    @property
    def text(self) -> str:
        """The text directly in it."""
        return self._document.original_text("".join(self.chunks))

    def all(self, name: str) -> Iterator["Element"]:
        """The child elements with this name."""
        return (element for element in self.elements if element.name == name)

    def text_of(self, *path: str) -> str | None:
        """The text of the first element at `path`, or None if there is none."""
        element = self
        for name in path:
            found = next(element.all(name), None)
            if found is None:
                return None
            element = found
        return element.text

    def verbatim(self) -> bytes:
        """The bytes of the element as received; only for children of the root."""
        return self._document.source(self.start, self.stop)


def parse(body: Body) -> Element:
    """Parse a document; return its root element.

    Raises:
        MalformedResponse: It is truncated, not XML, too large, or has a DTD.
    """
    try:
        return _Document(body).parsed()
    except expat.ExpatError as error:
        repaired = _RepairedDocument(body)
        if repaired.is_unchanged:
            raise _malformed(error) from None
    try:
        return repaired.parsed()
    except expat.ExpatError as error:
        raise _malformed(error) from None


def utf8(text: str) -> bytes:
    """The original bytes of a text, including those that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def is_legal(text: str) -> bool:
    """Whether XML allows all characters of the text."""
    return _RAW_FORBIDDEN.search(text) is None


class _Document:
    """A well-formed document."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def original_text(self, text: str) -> str:
        """Replace stand-ins in a text of the document by the original characters."""
        return text

    def source(self, start: int, stop: int) -> bytes:
        """The bytes of the response between two offsets of the document."""
        return bytes(self._body[start:stop])

    def parsed(self) -> Element:
        """Parse it and return the root element.

        Raises:
            ExpatError: It is not well-formed.
            MalformedResponse: It is too large, or has a DTD.
        """
        top = _Tree(self, self._body).top
        return top.elements[0]


class _Tree:
    """Builds the elements of a document.

    Args:
        document: The document, for the elements to refer to.
        body: The bytes to parse.
    """

    def __init__(self, document: _Document, body: Body) -> None:
        self.top = Element("document", document)
        self._document = document
        self._body = body
        self._stack = [self.top]
        self._count = self._texts = 0
        self._parser = parser = expat.ParserCreate("UTF-8")
        parser.ordered_attributes = True
        has_returns = b"\r" in body
        # Without buffering, expat reports each line end in a callback of its own.
        parser.buffer_text = not has_returns
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text_with_returns if has_returns else self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.Parse(body, True)

    def _start(self, name: str, _attributes: list[str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise MalformedResponse(
                f"the response has more than {MAX_ELEMENTS:,} elements, which no listing has"
            )
        element = Element(name, self._document)
        stack = self._stack
        if len(stack) == 2:
            element.start = self._parser.CurrentByteIndex
        stack[-1].elements.append(element)
        stack.append(element)

    def _end(self, _name: str) -> None:
        element = self._stack.pop()
        if len(self._stack) == 2:
            at = self._parser.CurrentByteIndex  # after `<a/>`, or before `</a>`
            is_empty = not element.elements and not element.chunks
            is_behind = is_empty and self._body[at - 2 : at] == b"/>"
            element.stop = at if is_behind else self._body.find(b">", at) + 1

    def _text(self, data: str) -> None:
        self._texts += 1
        if self._texts > MAX_TEXTS:
            raise MalformedResponse(
                f"the response has more than {MAX_TEXTS:,} pieces of text, which no listing has"
            )
        self._stack[-1].chunks.append(data)

    def _text_with_returns(self, data: str) -> None:
        at = self._parser.CurrentByteIndex
        if data == "\n" and self._body[at] == ord("\r"):
            data = "\r\n" if self._body[at + 1 : at + 2] == b"\n" else "\r"
        self._text(data)

    def _doctype(self, *_declaration: object) -> None:
        raise MalformedResponse("the response declares a document type, which no listing does")


class _RepairedDocument(_Document):
    """A document whose forbidden characters are replaced by stand-ins."""

    def __init__(self, body: Body) -> None:
        text = body.decode("utf-8", "surrogateescape")
        self._originals: list[str] = []
        self._numbers: dict[str, int] = {}
        self._stand_in = next(
            (chr(n) for n in range(_FIRST_STAND_IN, _LAST_STAND_IN) if chr(n) not in text), ""
        )
        self._replaced = re.compile(f"{self._stand_in}([0-9]+);")
        if not self._stand_in:
            super().__init__(body)
            return
        # In a CDATA section, a reference is plain text.
        pattern = _RAW_FORBIDDEN if "<!" in text else _ANY_FORBIDDEN
        super().__init__(utf8(pattern.sub(self._replace, text)))

    @property
    def is_unchanged(self) -> bool:
        return not self._originals

    def original_text(self, text: str) -> str:
        return self._replaced.sub(lambda found: _character(self._original(found)), text)

    def source(self, start: int, stop: int) -> bytes:
        text = bytes(self._body[start:stop]).decode("utf-8")
        return utf8(self._replaced.sub(self._original, text))

    def _replace(self, found: re.Match[str]) -> str:
        original = found[0]
        if original.startswith("&") and is_legal(_character(original)):
            return original
        number = self._numbers.setdefault(original, len(self._originals))
        if number == len(self._originals):
            self._originals.append(original)
        return f"{self._stand_in}{number};"

    def _original(self, found: re.Match[str]) -> str:
        return self._originals[int(found[1])]


def _character(original: str) -> str:
    """The character of a reference; surrogates as surrogate escapes of their bytes."""
    found = _ANY_FORBIDDEN.fullmatch(original)
    if not found or not original.startswith("&"):
        return original
    decimal, hexadecimal = found["decimal"], found["hexadecimal"]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number > 0x10FFFF:
        return " "  # no such character: expat rejects the reference
    return chr(number).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def _malformed(error: expat.ExpatError) -> MalformedResponse:
    return MalformedResponse(f"the response is not complete, well-formed XML: {error}")
