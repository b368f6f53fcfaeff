"""What all tables of the file have in common."""

from pydantic import BaseModel, ConfigDict


class StrictTable(BaseModel):
    """A frozen table that knows all its fields."""

    # Strict, because a "2" or a 1 where a number or a true belongs is a mistake worth showing.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )
