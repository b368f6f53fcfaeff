"""The table `[sources.<name>.growth]`: which changes between dates the checks tell."""

from typing import Annotated, Literal

from pydantic import Field

from inventory_assets.config.strict import StrictTable


class Growth(StrictTable):
    """Which changes from a date to the next are told by a check; the defaults are wide."""

    severity: Literal["warn", "error"] = "warn"
    """Whether such a change is a warning or an error; neither stops a run, but the gate may."""
    fell_percent: Annotated[int, Field(ge=1, le=100)] = 90
    """Objects or bytes fell by more, in all or in a large prefix; 100 tells nothing."""
    rose_percent: Annotated[int, Field(ge=1, le=1_000_000)] = 900
    """Objects or bytes rose by more, in all or in a large prefix; 900 is tenfold."""
    prefix_percent: Annotated[int, Field(ge=1, le=100)] = 50
    """A prefix is large if it held more of all objects or bytes before; with 100, none is."""
    modified_percent: Annotated[int, Field(ge=1, le=100)] = 90
    """More objects of the date before were overwritten; 100 tells nothing."""
    deleted_percent: Annotated[int, Field(ge=1, le=100)] = 90
    """More objects of the date before were deleted; 100 tells nothing."""
    stopped_after_dates: Annotated[int, Field(ge=0, le=366)] = 30
    """A prefix that grew on so many dates in a row does not any more; 0 tells nothing."""
    min_objects: Annotated[int, Field(ge=1)] = 1_000
    """What held fewer objects before is not compared in per cent."""
