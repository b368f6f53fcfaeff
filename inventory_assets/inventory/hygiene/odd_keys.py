"""Keys that hurt: names that other systems cannot hold, or read differently.

Each kind is an expression in RE2's syntax, which Arrow applies to a whole column of keys. Most keys
match none of them, so one expression for all kinds is applied first.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_CONTROL = r"[\x00-\x1f\x7f-\x{9f}]"

# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_WINDOWS_CHARACTERS = r'[<>:"\\|?*]'
_WINDOWS_NAMES = (
    r"(?i:(?:^|/)(?:con|prn|aux|nul|(?:com|lpt)[0-9\x{b9}\x{b2}\x{b3}])(?:\.[^/]*)?(?:/|$))"
)

# Hive's FileUtils.escapePathName writes these characters of a partition's column or value as %XX:
# https://github.com/apache/hive/blob/master/common/src/java/org/apache/hadoop/hive/common/FileUtils.java
_HIVE_ESCAPES = r"""\x01-\x1f\x7f"#'*:?\\{\[\]^"""
_NO_HIVE_ESCAPE = r"%(?:[^0-9A-Fa-f/]|[0-9A-Fa-f][^0-9A-Fa-f/]|[0-9A-Fa-f]?/)"

ODD_KEYS = {
    "empty_segments": r"^/|//",
    "dot_segments": r"(?:^|/)\.{1,2}(?:/|$)",
    "control_characters": _CONTROL,
    "trailing_spaces_or_dots": r"(?:[^/.]\.+| |(?:^|/)\.{3,})(?:/|$)",
    "invalid_in_windows": f"{_WINDOWS_CHARACTERS}|{_WINDOWS_NAMES}",
    "broken_hive_partitions": r"(?:^|/)(?:=[^/]*|[^/=]+=)/",
    "unescaped_for_hive": (
        # In the value, after which "/" follows; the expression for "%" may include it.
        rf"(?:^|/)[^/=]+=[^/]*(?:[{_HIVE_ESCAPES}=][^/]*/|{_NO_HIVE_ESCAPE})"
        rf"|(?:^|/)[^/=]*[{_HIVE_ESCAPES}][^/=]*=[^/]*/"
    ),
}
"""The expression of each kind, by its name.

- `empty_segments`: a name between slashes is empty, or the key starts with a slash.
- `dot_segments`: a name is `.` or `..`.
- `control_characters`: of ASCII or Latin-1.
- `trailing_spaces_or_dots`: a name ends in a space or a dot, which Windows drops.
- `invalid_in_windows`: a character or a device's name that Windows does not allow.
- `broken_hive_partitions`: a folder `column=value` without column or value.
- `unescaped_for_hive`: a folder `column=value` with a character that Hive and Spark escape.
"""

_ANY = "|".join(f"(?:{expression})" for expression in ODD_KEYS.values())


def odd_keys(keys: pa.StringArray) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """The kinds that apply to some of the keys, and the ascending positions of these."""
    found = np.flatnonzero(_matches(keys, _ANY))
    if not len(found):
        return
    candidates = keys.take(pa.array(found))
    for kind, expression in ODD_KEYS.items():
        matching = found[_matches(candidates, expression)]
        if len(matching):
            yield kind, matching


def _matches(keys: pa.StringArray, expression: str) -> npt.NDArray[np.bool_]:
    matches: npt.NDArray[np.bool_] = pc.match_substring_regex(keys, expression).to_numpy(
        zero_copy_only=False
    )
    return matches
