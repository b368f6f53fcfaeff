"""Prefixes as partition keys and as file names.

A prefix is arbitrary text; a partition key must survive Dagster's own syntax (`|` between
dimensions, `...` in ranges, `*`, `,`, `[`, `]` in selections), a shell, a URL and a database index.
Ordinary prefixes such as `2024/01/` are not changed.
"""

import re
import unicodedata
from hashlib import sha256
from urllib.parse import unquote

REMAINDER = "@remainder"
"""The partition key of the shard that covers the keys of no other shard. No prefix has it."""

MAX_PARTITION_KEY = 240
"""Longer keys are truncated and end in a hash: databases index at most some 2,700 bytes."""

_PUNCTUATION = frozenset("/-_=+:.")
_LETTERS = frozenset({"Lu", "Ll", "Lo", "Nd"})
_HASH_MARK = "~"
_HASH_DIGITS = 24
_READABLE_BYTES = 80


def encode_prefix(prefix: str) -> str:
    """The partition key of a prefix; different prefixes have different keys.

    Letters, digits and `/ - _ = + : .` stand for themselves; a dot does so only if it is alone and
    within a name. All other characters are percent-encoded. A key longer than `MAX_PARTITION_KEY`
    is truncated and ends in `~` and a hash of the prefix.
    """
    encoded = "".join(
        character if _is_plain(prefix, index) else _percent(character)
        for index, character in enumerate(prefix)
    )
    if len(encoded) <= MAX_PARTITION_KEY:
        return encoded
    head = encoded[: MAX_PARTITION_KEY - len(_HASH_MARK) - _HASH_DIGITS]
    whole_escapes = re.sub("%.?$", "", head)
    return f"{whole_escapes}{_HASH_MARK}{sha256(prefix.encode()).hexdigest()[:_HASH_DIGITS]}"


def decode_prefix(partition_key: str) -> str | None:
    """The prefix of a partition key, or None for a truncated key, which must be looked up."""
    return None if _HASH_MARK in partition_key else unquote(partition_key, errors="strict")


def file_stem(prefix: str) -> str:
    """A readable file name for a prefix, unique on file systems that ignore case, too."""
    encoded = encode_prefix(prefix).replace("/", "!").encode()[:_READABLE_BYTES]
    readable = encoded.decode(errors="ignore").rstrip(".") or "all"
    return f"{readable}-{sha256(prefix.encode()).hexdigest()[:16]}"


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _is_plain(prefix: str, index: int) -> bool:
    character = prefix[index]
    if character == ".":
        # Dagster writes ranges with '...'; in paths, '.' and '..' are folders.
        neighbours = prefix[max(index - 1, 0) : index] + prefix[index + 1 : index + 2]
        return len(neighbours) == 2 and not set(neighbours) & set("./")
    if character in _PUNCTUATION:
        return True
    # Unicode 3.2 is frozen, so a key never changes with the version of Python.
    category = unicodedata.ucd_3_2_0.category(character)
    return category in _LETTERS and unicodedata.normalize("NFC", character) == character
