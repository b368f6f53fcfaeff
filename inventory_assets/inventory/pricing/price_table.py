"""The price table: what a store charges for storage and requests, by storage class."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from inventory_assets.config.loading import ConfigError, read_toml
from inventory_assets.config.strict import StrictTable
from inventory_assets.config.wording import describe_value, suggestion

SHIPPED_TABLE = Path(__file__).with_name("prices.toml")
"""S3's list prices in us-east-1."""

GB = 2**30
"""Bytes of the GB in which S3 bills storage (https://aws.amazon.com/s3/pricing/)."""

STANDARD = "STANDARD"

_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False, examples=[0.005])]
_Bytes = Annotated[int, Field(ge=0, le=2**40, examples=[131_072])]


class Tier(StrictTable):
    """The price of a share of the storage; the first GB of a month are in the first tier."""

    up_to_gb: Annotated[float | None, Field(gt=0, allow_inf_nan=False, examples=[51_200])] = None
    """Where the tier ends, in GB of 2**30 bytes; the last tier has no end."""
    usd_per_gb_month: Annotated[float, Field(ge=0, allow_inf_nan=False, examples=[0.023])]
    """The price of a GB for a month."""


class ClassPrices(StrictTable):
    """The prices of a storage class."""

    tiers: Annotated[
        tuple[Tier, ...],
        Field(strict=False, examples=[[{"usd_per_gb_month": 0.023}]]),
    ]
    """The prices of storage, by the total of the bucket."""
    minimum_billable_bytes: _Bytes = 0
    """A smaller object is billed as if it had this size."""
    overhead_bytes: _Bytes = 0
    """Bytes billed in addition to each object, at the price of the class."""
    overhead_standard_bytes: _Bytes = 0
    """Bytes billed in addition to each object, at the price of STANDARD."""
    minimum_days: Annotated[int, Field(ge=0, le=3650, examples=[30])] = 0
    """An object deleted or moved earlier is billed for this many days."""
    monitoring_usd_per_1000: _Usd = 0.0
    """The price of monitoring 1,000 objects for a month."""
    monitored_from_bytes: _Bytes = 0
    """Smaller objects are not monitored."""
    put_usd_per_1000: _Usd | None = None
    """The price of 1,000 PUT, COPY or POST requests; unknown if absent."""
    get_usd_per_1000: _Usd | None = None
    """The price of 1,000 GET or HEAD requests; unknown if absent."""
    transition_usd_per_1000: _Usd | None = None
    """The price of moving 1,000 objects into the class by lifecycle; unknown if absent."""

    @field_validator("tiers")
    @classmethod
    def _tiers_ascend(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if not tiers:
            raise ValueError(
                "found an empty list, expected one or more tiers; write for example "
                "tiers = [{ usd_per_gb_month = 0.023 }]"
            )
        *ends, last = (tier.up_to_gb for tier in tiers)
        if last is not None or None in ends:
            raise ValueError(
                "expected up_to_gb in every tier but the last; add it where it is missing, and "
                "leave it out in the last"
            )
        if any(after <= before for before, after in pairwise(filter(None, ends))):
            raise ValueError("expected ascending up_to_gb; sort the tiers")
        return tiers

    def average_usd_per_gb(self, gb: float) -> float:
        """The average price of a GB for a month, over all tiers that `gb` reaches."""
        if gb <= 0:
            return self.tiers[0].usd_per_gb_month
        usd = reached = 0.0
        for tier in self.tiers:
            end = gb if tier.up_to_gb is None else min(gb, tier.up_to_gb)
            usd += max(end - reached, 0.0) * tier.usd_per_gb_month
            reached = max(end, reached)
        return usd / gb


class Prices(StrictTable):
    """What a store charges. Every figure that follows from it is an estimate."""

    model_config = ConfigDict(title="prices.toml")

    date: dt.date
    """The date of the prices."""
    source: Annotated[str, Field(min_length=1, examples=["https://aws.amazon.com/s3/pricing/"])]
    """Where the prices were read."""
    region: Annotated[str, Field(min_length=1, examples=["us-east-1"])]
    """The region in which they hold."""
    currency: Literal["USD"] = "USD"
    """The currency of all prices."""
    list_usd_per_1000: _Usd
    """The price of 1,000 LIST requests, whatever the class of the objects."""
    unnamed_class: Annotated[str | None, Field(examples=[STANDARD])] = None
    """The class of objects for which the store names none; if absent, their cost is unknown."""
    classes: Annotated[dict[str, ClassPrices], Field(min_length=1)]
    """The prices by storage class, as the store names it."""

    @field_validator("classes")
    @classmethod
    def _names_have_prices(
        cls, classes: dict[str, ClassPrices], info: ValidationInfo
    ) -> dict[str, ClassPrices]:
        unnamed = info.data.get("unnamed_class")
        if unnamed is not None and unnamed not in classes:
            raise ValueError(
                f"found no table for unnamed_class = {json.dumps(unnamed)}, expected one; add "
                f"[classes.{unnamed}], or remove unnamed_class"
            )
        for name, found in classes.items():
            if found.overhead_standard_bytes and STANDARD not in classes:
                raise ValueError(
                    f"found overhead_standard_bytes in {name} but no prices of STANDARD, expected "
                    "both; add [classes.STANDARD], or remove overhead_standard_bytes"
                )
        return classes

    def of_class(self, storage_class: str | None) -> ClassPrices | None:
        """The prices of a class; None if they are unknown.

        Args:
            storage_class: The name of the class; "" or None where the store names none.
        """
        name = storage_class or self.unnamed_class
        return None if name is None else self.classes.get(name)

    def listing_usd(self, requests: int) -> float:
        """The estimated price of LIST requests."""
        return requests * self.list_usd_per_1000 / 1000

    @property
    def label(self) -> str:
        """What every figure says beside it: that it is an estimate, and of which prices."""
        return f"estimated, prices of {self.date} in {self.region}"


def load_prices(path: Path | None = None) -> Prices:
    """Read a price table; without a path, S3's list prices in us-east-1.

    Raises:
        ConfigError: The table cannot be read or is invalid; the message has a line for each
            mistake, with the field and the remedy.
    """
    if path is None or path == SHIPPED_TABLE:
        return _shipped_prices()
    return _load(path)


@cache
def _shipped_prices() -> Prices:
    return _load(SHIPPED_TABLE)


def _load(path: Path) -> Prices:
    document = read_toml(path, "create it, or correct the field prices")
    # Nothing is raised within `except`, so that the trace has no cause without a remedy.
    try:
        return Prices.model_validate(document)
    except ValidationError as error:
        mistakes = [_sentence(each) for each in error.errors(include_url=False)]
    raise ConfigError("\n".join(f"{path}: {mistake}" for mistake in mistakes))


def _sentence(error: ErrorDetails) -> str:
    """A mistake as one line: the field, what was found, what is expected, and the remedy."""
    kind, context = error["type"], error.get("ctx", {})
    where = ".".join(str(each) for each in error["loc"])
    model = _table_of(error["loc"])
    field = str(error["loc"][-1])
    if kind == "value_error":
        return f"{where}: {context['error']}"
    if kind == "extra_forbidden":
        known = model.model_fields
        remedy = suggestion(field, known) or f"remove it, or use one of {', '.join(known)}"
        return f"{where}: found an unknown field; {remedy}"
    if kind in {"model_type", "dict_type"}:
        found = describe_value(error["input"])
        return f"{where}: found {found}, expected a table; write [{where}] and its fields below it"
    info = model.model_fields.get(field)
    examples = (info.examples if info else None) or _EXAMPLES.get(field, [])
    remedy = f"; write for example {field} = {_toml(examples[0])}" if examples else ""
    found = "nothing" if kind == "missing" else describe_value(error["input"])
    expected = _EXPECTED.get(kind, f"a value that fits ({error['msg']})")
    if kind in {"greater_than_equal", "less_than_equal", "greater_than"}:
        (bound,) = (context[name] for name in ("ge", "le", "gt") if name in context)
        words = {"ge": "at least", "le": "at most", "gt": "more than"}
        expected = f"a number of {next(words[n] for n in words if n in context)} {bound:g}"
    if kind == "literal_error":
        expected = context["expected"]
    return f"{where}: found {found}, expected {expected}{remedy}"


_EXPECTED = {
    "missing": "a value",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a text in quotes",
    "string_too_short": "a text that is not empty",
    "tuple_type": "a list of tables",
    "too_short": "one or more",
    "date_type": "a date without a time and without quotes",
}
_EXAMPLES: Mapping[str, Sequence[object]] = {
    "date": [dt.date(2026, 11, 1)],
    "currency": ["USD"],
}


def _table_of(location: Sequence[int | str]) -> type[StrictTable]:
    """The model of the table that holds a field."""
    if location[0] == "classes" and len(location) > 2:
        return Tier if "tiers" in location[2:-1] else ClassPrices
    return Prices


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    match value:
        case dt.date():
            return value.isoformat()
        case list():
            return f"[{', '.join(_toml(each) for each in value)}]"
        case dict():
            inner = ", ".join(f"{name} = {_toml(each)}" for name, each in value.items())
            return f"{{ {inner} }}"
    return json.dumps(value)
