"""Quote servers, proxies and libraries in an error message: bounded, printable, no passwords."""

import re

from botocore import exceptions as boto

_MESSAGE_LIMIT = 300
_USER_INFORMATION = re.compile(r"(?<=://)[^/\s?#]*@")


def one_line(error: BaseException) -> str:
    """The message of an error, as one safe line."""
    match error.args:
        case (str(words), Exception() as cause):  # urllib3's errors: message and cause
            return one_line_text(f"{words}: {cause}")
        case _:
            return one_line_text(str(error) or type(error).__name__)


def one_line_text(text: str) -> str:
    """A text as one bounded line, without control characters and passwords in URLs."""
    start = text[: 4 * _MESSAGE_LIMIT]
    line = "".join(character if character.isprintable() else " " for character in start)
    line = _USER_INFORMATION.sub("…@", line)
    return line if len(line) <= _MESSAGE_LIMIT else line[:_MESSAGE_LIMIT] + "…"


def said(code: str, message: str, who: str = "the endpoint") -> str:
    """A server's code and message, to end a sentence in parentheses."""
    words = one_line_text(message)
    return f"{who} said {one_line_text(code)}" + (f": {words}" if words else "")


def code_of(error: boto.ClientError) -> str:
    """The S3 error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: boto.ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def words_of(error: boto.ClientError) -> str:
    """The S3 error message."""
    return str(error.response.get("Error", {}).get("Message", ""))
