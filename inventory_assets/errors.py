"""The base class of all errors, and messages for exhausted resources of the machine.

Each layer derives its own errors from `InventoryError`. Memory, disk space, threads or file
descriptors may run out in any layer, so the messages for that are here.
"""

import errno
import resource


class InventoryError(Exception):
    """Base of every error this project raises on purpose; its message is written for the user."""


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The error numbers of a full disk or an exhausted quota."""

_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})


def printable(text: str) -> str:
    """Escape characters of untrusted text that are not printable, such as bidi marks."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def machine_words(error: BaseException) -> str | None:
    """The message for an error of exhausted resources, with a remedy; None for other errors."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return (
            "memory has run out; ask for fewer requests at once (--concurrency) and fewer "
            "processes (--processes), or give more memory"
        )
    if number in _NO_DESCRIPTORS:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"no more files or connections can be opened (the limit is {limit:,}); raise it with "
            "`ulimit -n`, or ask for fewer requests at once (--concurrency; in the configuration: "
            "concurrency)"
        )
    if number in FULL:
        file = getattr(error, "filename", None)
        return f"the disk is full: {file or 'a file'} could not be written; free some space there"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return (
            "no more threads can be started; raise the limit of processes (`ulimit -u`), or ask "
            "for fewer requests at once (--concurrency; in the configuration: concurrency)"
        )
    return None
