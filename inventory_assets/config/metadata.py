"""The table `[sources.<name>.metadata]`: what is asked of each object, besides its listing."""

from typing import Annotated

from pydantic import Field

from inventory_assets.config.strict import StrictTable


class Metadata(StrictTable):
    """What is asked of each object; the table itself, even empty, switches the requests on."""

    tags: bool = False
    """Whether to ask for the tags of each object, too, by a second request."""
    max_requests: Annotated[int | None, Field(ge=1, examples=[1_000_000])] = None
    """Maximum requests of a run; the newest objects are asked for first, the next run continues."""
