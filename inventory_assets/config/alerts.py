"""The table `[sources.<name>.alerts]`: who is told what is wrong with a source."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from inventory_assets.config.strict import StrictTable

ALERT_FORMS: dict[str, tuple[str, str | list[str], str]] = {
    "host": (r"^[A-Za-z0-9._:-]{1,253}$", "smtp.example.com", "the name or address of a host"),
    "sender": (
        r"^[^\s@<>,;:\"]+@[^\s@<>,;:\"]+$",
        "inventory@example.com",
        "an e-mail address",
    ),
    "to": (r"", ["ops@example.com"], "a list of one or more e-mail addresses"),
    "ui_url": (
        r"^https?://[^\s@?#]+$",
        "https://dagster.example.com",
        "http:// or https://, a host, and no user name and no query",
    ),
}
"""For each field: the pattern of its text, an example, and a description of the pattern."""


def _form(field: str) -> Any:
    pattern, example, _ = ALERT_FORMS[field]
    return Field(pattern=pattern, examples=[example])


def _is_the_name_of_a_variable(name: object) -> object:
    # What stands here by mistake is likely to be the secret itself, so it is not shown.
    if isinstance(name, str) and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
        raise ValueError(
            "found a text that is no name of an environment variable (not shown), expected the "
            "name of the variable that holds it; secrets do not belong in the file"
        )
    return name


VariableName = Annotated[
    str | None,
    BeforeValidator(_is_the_name_of_a_variable),
    Field(examples=["INVENTORY_ALERTS_URL"]),
]


class Email(StrictTable):
    """The SMTP server and the addresses of messages by e-mail."""

    host: Annotated[str, _form("host")]
    """The SMTP server."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """Its port."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted."""
    sender: Annotated[str, _form("sender")]
    """The address of the sender."""
    to: Annotated[
        tuple[Annotated[str, _form("sender")], ...],
        Field(strict=False, min_length=1, examples=[["ops@example.com"]]),
    ]
    """The addresses of the receivers."""
    user_env: VariableName = None
    """The environment variable with the user's name; without it, there is no login."""
    password_env: VariableName = None
    """The environment variable with the password."""


class Alerts(StrictTable):
    """Who is told of failed runs, and of late, held and odd dates; see docs/alerts.md."""

    webhook_env: VariableName = None
    """The environment variable with the URL to which a JSON document is posted."""
    slack_env: VariableName = None
    """The environment variable with the URL of an incoming webhook of Slack, or compatible."""
    email: Email | None = None
    """Who gets messages by e-mail, and from which server."""
    late_after_hours: Annotated[int, Field(ge=1, le=720)] = 6
    """A date that is not published so many hours after its schedule is late."""
    ui_url: Annotated[str | None, _form("ui_url")] = None
    """The address of Dagster's UI, for links to runs."""

    @property
    def tells_someone(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.webhook_env or self.slack_env or self.email)
