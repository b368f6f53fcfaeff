"""What servers, proxies and libraries say, as one harmless line of an error message."""

import re

from botocore import exceptions as boto

_MESSAGE_LIMIT = 300
_USER_INFORMATION = re.compile(r"(?<=://)[^/\s?#]*@")


def one_line(error: BaseException) -> str:
    """What an error says, as one harmless line."""
    match error.args:
        case (str(words), Exception() as cause):  # as urllib3 has it: what, and why
            return one_line_text(f"{words}: {cause}")
        case _:
            return one_line_text(str(error) or type(error).__name__)


def one_line_text(text: str) -> str:
    """Someone else's words as one bounded line, without control characters or passwords of URLs."""
    cut = text[: 4 * _MESSAGE_LIMIT]
    line = "".join(character if character.isprintable() else " " for character in cut)
    line = _USER_INFORMATION.sub("…@", line)
    return line if len(line) <= _MESSAGE_LIMIT else line[:_MESSAGE_LIMIT] + "…"


def said(code: str, message: str, who: str = "the endpoint") -> str:
    """What a server said, for the end of a sentence in parentheses."""
    words = one_line_text(message)
    return f"{who} said {one_line_text(code)}" + (f": {words}" if words else "")


def code_of(error: boto.ClientError) -> str:
    """S3's code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: boto.ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def words_of(error: boto.ClientError) -> str:
    """S3's message."""
    return str(error.response.get("Error", {}).get("Message", ""))
