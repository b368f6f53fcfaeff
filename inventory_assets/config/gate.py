"""The table `[sources.<name>.gate]`: which dates are held until a person releases them."""

from typing import Annotated

from pydantic import Field

from inventory_assets.config.strict import StrictTable


class Gate(StrictTable):
    """Which dates are held until a person releases them; see docs/gate.md."""

    enabled: bool = True
    """Whether dates are held at all."""
    failed_percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.8
    """A larger share of the requests failed, and 10 or more; 100 holds nothing."""
    slower_ms: Annotated[int, Field(ge=1)] = 150
    """P95 of the page latency is so much above the median of the last seven dates."""
    growth: bool | None = None
    """Whether a fall or rise beyond `growth` holds a date; by default, if a bound is set there."""
