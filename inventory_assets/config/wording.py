"""Texts of messages about mistakes, and the protection of secrets in them."""

import datetime as dt
import difflib
import re
from collections.abc import Iterable

NO_SECRETS = (
    "secrets do not belong in the file; remove it, and use the environment or the AWS credential"
    " chain (a profile, a role)"
)
NO_CATALOG_SECRETS = (
    "secrets do not belong in the file; remove it, and use pyiceberg's own configuration"
    " (~/.pyiceberg.yaml, or PYICEBERG_CATALOG__<catalog>__<property> in the environment)"
)
VERSIONS_IN_DIRECTORIES = (
    'found true together with key_order = "directory", expected a store that lists its keys in byte'
    " order; set versions = false"
)
_SECRET_NAME = re.compile(
    r"(?i)secret|passw|token|credential|authori[sz]ation|(access|api|private)[._-]?key"
)
_SECRET_TEXT = re.compile(r"(?s)://.*[@?]|A[KS]IA[A-Z0-9]{12}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """A question for the closest known name, or "" if none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else ""


def is_named_secret(name: str) -> bool:
    """Whether a field with this name is probably a secret."""
    return bool(_SECRET_NAME.search(name))


def may_be_secret(name: str, value: object) -> bool:
    """Whether a value may contain a secret, according to its name or text."""
    return is_named_secret(name) or bool(_SECRET_TEXT.search(str(value)))


def describe_value(value: object) -> str:
    """Describe a value with its type, without showing possible secrets."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str() if _SECRET_TEXT.search(value):
            return "a text that may hold a secret (not shown)"
        case str():
            return (
                f"the text {value!r}" if len(value) <= 80 else f"a text of {len(value)} characters"
            )
        case dt.datetime():
            return f"the date and time {value}"
        case dt.date():
            return f"the date {value}"
    return "a table" if isinstance(value, dict) else "a list or a time"
