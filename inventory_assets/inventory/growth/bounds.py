"""The bounds beyond which a change is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GrowthBounds:
    """The bounds of a source; percentages are whole numbers, and are exceeded, not reached.

    Attributes:
        fell_percent: A fall of objects or bytes that is told, in per cent of those before.
        rose_percent: A rise that is told, in per cent of those before.
        prefix_percent: The share of all objects or bytes before, above which a prefix is compared.
        modified_percent: A share of modified objects that is told, in per cent of those before.
        deleted_percent: A share of deleted objects that is told.
        stopped_after_dates: On how many dates a prefix must have grown for its stop to be told; 0
            for never.
        min_objects: What held fewer objects before is not compared in per cent.
    """

    fell_percent: int
    rose_percent: int
    prefix_percent: int
    modified_percent: int
    deleted_percent: int
    stopped_after_dates: int
    min_objects: int
