"""The table `[sources.<name>.metadata]`: what is asked of each object, besides its listing."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from inventory_assets.config.strict import StrictTable
from inventory_assets.config.wording import describe_value

_REQUESTS_WITH_TAGS = 2


class Metadata(StrictTable):
    """What is asked of each object; the table itself, even empty, switches the requests on."""

    tags: bool = False
    """Whether to ask for the tags of each object, too, by a second request."""
    max_requests: Annotated[int | None, Field(ge=1, examples=[1_000_000])] = None
    """Maximum requests of a run; the newest objects are asked for first, the next run continues."""

    @field_validator("max_requests")
    @classmethod
    def _an_object_can_be_asked_for(
        cls, max_requests: int | None, info: ValidationInfo
    ) -> int | None:
        if max_requests is None or not info.data.get("tags"):
            return max_requests
        if max_requests < _REQUESTS_WITH_TAGS:
            raise ValueError(
                f"found {describe_value(max_requests)} with tags = true, expected at least "
                f"{_REQUESTS_WITH_TAGS}, the requests for one object and its tags; raise it, or "
                "set tags = false"
            )
        return max_requests
