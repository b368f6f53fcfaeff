"""Bounds of key ranges as JSON.

The upper bound of a prefix is a key of 1,024 bytes. It is written as `{"through": prefix}`.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, SerializerFunctionWrapHandler, WrapSerializer

from inventory_assets.scan.keyspace.key_range import prefix_of_upper_bound, prefix_upper_bound

_Row = TypeVar("_Row")


def _decode(rows: Any) -> Any:
    try:
        for row in rows:
            bounds = row["key_range"]
            row["key_range"] = {side: _key_of(bound) for side, bound in bounds.items()}
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a list of values with a `key_range`") from None
    return rows


def _encode(rows: Any, encode: SerializerFunctionWrapHandler) -> Any:
    document = encode(rows)
    for row in document:
        bounds = row["key_range"]
        row["key_range"] = {side: _bound_of(key) for side, key in bounds.items()}
    return document


def _bound_of(key: str) -> str | dict[str, str]:
    prefix = prefix_of_upper_bound(key)
    return key if prefix is None else {"through": prefix}


def _key_of(bound: Any) -> str:
    return prefix_upper_bound(bound["through"]) if isinstance(bound, dict) else str(bound)


Ranges = Annotated[tuple[_Row, ...], BeforeValidator(_decode), WrapSerializer(_encode)]
"""Values with a `key_range`, whose bounds are written in the short form."""
