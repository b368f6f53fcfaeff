"""The base class of the file's tables."""

from pydantic import BaseModel, ConfigDict


class StrictTable(BaseModel):
    """A frozen table without unknown fields."""

    # Strict: "2" for a number or 1 for true is a mistake to report.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )
