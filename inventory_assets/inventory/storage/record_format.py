"""The numbers of the formats of records: which of them this version reads, and replaces.

A record says its number in the field `format`. The number rises when older code could misread the
record. Code that meets a number that it does not know neither reads nor replaces nor removes the
file: the error is not one of a damaged file, so what handles damaged files by making them anew does
not handle it (docs/upgrading.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import TypeAdapter

from inventory_assets.inventory.errors import OtherFormat

UNNUMBERED = 1
"""The format of a record without a number, of a type whose first format had none."""


@dataclass(frozen=True, slots=True)
class _Numbered:
    format: int | None = None


def require_known_format(data: bytes, known: Sequence[int], title: str, where: str) -> None:
    """Check that this version reads the format of a record; damaged data passes.

    Args:
        data: The bytes of the record.
        known: The numbers that this version reads; none for a type without numbers.
        title: The name of such a record in messages.
        where: The place of the record.

    Raises:
        OtherFormat: The number is another one.
    """
    if known and (found := format_of(data, known)) is not None:
        require_known_number(found, known, title, where)


def format_of(data: bytes, known: Sequence[int]) -> int | None:
    """The number of a record; None if the record is damaged.

    Args:
        data: The bytes of the record.
        known: The numbers that this version reads.
    """
    try:
        found = _adapter().validate_json(data).format
    except ValueError:
        return None
    return UNNUMBERED if found is None and UNNUMBERED in known else found


def require_known_number(found: int, known: Sequence[int], title: str, where: str) -> None:
    """Check that this version reads a number.

    Args:
        found: The number.
        known: The numbers that it reads.
        title: The name of a record in messages.
        where: The place of the record.

    Raises:
        OtherFormat: It is another one.
    """
    if found in known:
        return
    if found > max(known):
        raise OtherFormat(
            f"{where} ({title}) has format {found}, and this version of inventory-assets reads "
            f"formats up to {max(known)}: a newer version wrote it, and it was left as it is; "
            "upgrade inventory-assets"
        )
    numbers = " and ".join(map(str, known))
    raise OtherFormat(
        f"{where} ({title}) has format {found}, and this version of inventory-assets reads "
        f"{numbers}: a version from before the first release wrote it, and it was left as it is; "
        "move the folder of the source out of the store, and list again"
    )


@cache
def _adapter() -> TypeAdapter[_Numbered]:
    return TypeAdapter(_Numbered)
