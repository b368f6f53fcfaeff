"""Types of the files that name data files: their place, their encoding, and what they name.

A record type is declared once, in the package that owns the record. Publication and garbage
collection use the declaration.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, make_dataclass
from datetime import datetime
from functools import cache
from types import GenericAlias
from typing import Any, Generic, TypeVar

from pydantic import AwareDatetime, TypeAdapter

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.storage.commit import RecordFile
from inventory_assets.inventory.storage.layout import FileKind, parse_path, path_in_source
from inventory_assets.inventory.storage.record_format import (
    UNNUMBERED,
    format_of,
    require_known_format,
)
from inventory_assets.inventory.storage.store import Store

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class References:
    """The data files that a file names.

    Attributes:
        keys: The keys or URIs of the data files that it names.
        written_at: When it was written; None if it does not say.
    """

    keys: list[str]
    written_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileType(ABC):
    """A type of files that name data files.

    Attributes:
        kind: The kind of its files, which determines their paths.
        title: The name of such a file in messages.
        remedy: The advice in messages about a damaged file; `{day}` is its date.
    """

    kind: FileKind
    title: str
    remedy: str

    @abstractmethod
    def references_in(self, data: bytes) -> References:
        """Read only the names of data files, and the time, from the bytes of a file.

        Raises:
            ValueError: The file is damaged.
        """

    def require_known_format(self, store: Store, key: str, data: bytes) -> None:  # noqa: B027 - a list of URIs has no number
        """Check that this version reads the format of a file; damaged bytes pass.

        Args:
            store: The store of the file.
            key: Its key.
            data: Its bytes.

        Raises:
            OtherFormat: It has another format.
        """

    def unreadable(
        self, store: Store, key: str, consequence: str = "", alternative: str = ""
    ) -> CorruptRecord:
        """The error for a file that cannot be read.

        Args:
            store: The store of the file.
            key: Its key.
            consequence: The consequence, appended to the description of the error.
            alternative: Another remedy, appended to the message.
        """
        parsed = parse_path(path_in_source(key))
        remedy = self.remedy.format(day=parsed.day if parsed else None)
        return CorruptRecord(
            f"{store.where(key)} is no {self.title} that this version can read{consequence}; "
            f"{remedy}{alternative}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UriList(FileType):
    """A text file with the URI of a data file in each line."""

    def references_in(self, data: bytes) -> References:
        return References(data.decode().splitlines(), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFile(FileType):
    """A JSON document.

    Attributes:
        data_files: The path to the keys of the data files that it names, in the document and in the
            decoded record. `parts[].key` is the field `key` of each element of `parts`. "" if it
            names none.
        written_at: The field with the time when the document was written.
        formats: The format numbers that can be read; empty if the document is no record of this
            project. A number that was read once stays here.
    """

    data_files: str = ""
    written_at: str = ""
    formats: tuple[int, ...] = ()

    def require_known_format(self, store: Store, key: str, data: bytes) -> None:
        require_known_format(data, self.formats, self.title, store.where(key))

    def references_in(self, data: bytes) -> References:
        projection = _adapter(_projection(self.data_files, self.written_at))
        found = projection.validate_json(data)
        return References([*_values(found, self.data_files)], getattr(found, self.written_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordType(JsonFile, Generic[T]):
    """A JSON document that is decoded to a value.

    Attributes:
        model: The dataclass of the value.
        indent: Spaces by which the document is indented; None for one line.
        formats: The format numbers that can be read. A type whose first format has no number begins
            with `UNNUMBERED`.
    """

    model: type[T]
    indent: int | None = 1
    formats: tuple[int, ...] = (UNNUMBERED,)

    def encode(self, record: T) -> bytes:
        """The bytes of a record."""
        return encode_json(record, self.indent)

    def decode(self, data: bytes) -> T:
        """Decode a record.

        Raises:
            ValueError: The bytes are damaged, or of another format.
        """
        if format_of(data, self.formats) not in self.formats:
            raise ValueError("the record has another format")
        return decode_json(self.model, data)

    def read(self, store: Store, key: str) -> T | None:
        """The record at a key, or None where there is none.

        Raises:
            OtherFormat: It has a format that this version does not read.
            CorruptRecord: It is damaged.
        """
        data = store.read(key)
        if data is None:
            return None
        self.require_known_format(store, key, data)
        try:
            return self.decode(data)
        except ValueError:
            raise self.unreadable(store, key) from None

    def file(self, key: str, record: T) -> RecordFile:
        """The file of a record, to be published or committed (`commit.py`)."""
        named = _values(record, self.data_files)
        return RecordFile(key, self.encode(record), named, self.title, self.formats)


def encode_json(record: Hashable, indent: int | None = None) -> bytes:
    """A dataclass as a JSON document.

    Args:
        record: The dataclass.
        indent: Spaces by which the document is indented; None for one line.
    """
    return _adapter(type(record)).dump_json(record, indent=indent)


def decode_json(model: type[T], data: bytes) -> T:
    """A dataclass from a JSON document.

    Raises:
        ValueError: The document is damaged, or is not one of `model`.
    """
    record: T = _adapter(model).validate_json(data)
    return record


def _values(value: Any, path: str) -> Iterator[str]:
    """The values at a path of a record or of its projection."""
    if not path:
        return
    step, _, rest = path.partition(".")
    found = getattr(value, step.removesuffix("[]"))
    for each in found if step.endswith("[]") else (found,):
        if rest:
            yield from _values(each, rest)
        else:
            yield each


@cache
def _projection(data_files: str, written_at: str) -> type[Hashable]:
    """A dataclass of the few fields that `references_in` needs; the others are skipped."""
    return _fields_at(data_files, {written_at: AwareDatetime})


def _fields_at(path: str, others: dict[str, Any]) -> type[Any]:
    if not path:
        return make_dataclass("Projection", others.items(), frozen=True, slots=True)
    step, _, rest = path.partition(".")
    kind: Any = _fields_at(rest, {}) if rest else str
    if step.endswith("[]"):
        kind = GenericAlias(tuple, (kind, ...))
    fields = {step.removesuffix("[]"): kind, **others}
    return make_dataclass("Projection", fields.items(), frozen=True, slots=True)


@cache
def _adapter(model: type[Hashable]) -> TypeAdapter[Any]:
    return TypeAdapter(model)
