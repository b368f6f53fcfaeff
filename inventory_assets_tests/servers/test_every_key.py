"""Real servers, thousands of real and hostile keys: every key once, byte for byte, in order."""

from pathlib import Path

from inventory_assets_tests.external_servers import Endpoint, MotoEndpoint
from inventory_assets_tests.servers.inventories import (
    body_of,
    expected_fields,
    list_inventory,
    real_names,
)

HOSTILE_KEYS = (
    " ",
    "+",
    "%2B",
    "a b",
    "a+b",
    "a%20b",
    "a-b",
    "a.b",
    "a/1",
    "a/1/2",
    "a0",
    "a&b",
    "<a>",
    "</Key>",
    "]]>",
    "&lt;",
    "q\"q'",
    "ctl\x01x",
    "del\x7fx",
    "tab\tx",
    "new\nline",
    "cr\rx",
    "?x#y",
    "c:@;,=$![]{}|^`*~",
    "trailing ",
    "e\u0301",
    "\u00e9",
    "nbsp\u00a0",
    "\u202egnp.exe",
    "\ufeffbom",
    "\uffee",
    "\ufffe",
    "\U00010000",
    "\U0001f4a9\U0001f469\u200d\U0001f680",
    "\U0010fffd",
    "\U0010ffff/last",
    "file",
    "file/and folder",
    "s/" + "z" * 255,
    "w/" * 511 + "ww",
)
"""Stored by every server as they are."""

NAMES_NO_FILE_CAN_HAVE = (
    "/leading",
    "//two",
    "a//b",
    "a//",
    "folder/",
    "trailing/ /",
    "..",
    "../up",
    "x/../y",
    "x/./y",
    "x/..",
    "back\\slash",
    "q" * 1024,
    "\u00e9" * 512,
    "\U0001f600" * 256,
)
"""SeaweedFS refuses or alters these, as it stores keys by folder and name."""

CONTROL_CHARACTERS_IN_FOLDERS = ("\x01/first", "ctl\x1f/x")
"""moto repeats a request's StartAfter and Prefix unencoded, which makes these no XML."""


def objects_for(endpoint: Endpoint) -> dict[str, bytes]:
    keys = [*HOSTILE_KEYS, *(f"flat-{number:04}" for number in range(1100))]
    # A store of folders is asked folder by folder.
    keys += real_names()[:: 8 if endpoint.keeps_folders else 2]
    keys += [] if endpoint.keeps_folders else NAMES_NO_FILE_CAN_HAVE
    keys += [] if isinstance(endpoint, MotoEndpoint) else CONTROL_CHARACTERS_IN_FOLDERS
    return {key: body_of(key) for key in keys}


def test_every_key_is_inventoried_once_byte_for_byte_and_in_order(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    objects = objects_for(endpoint)
    endpoint.make_bucket("every-key", objects)

    inventory = list_inventory(endpoint, "every-key", tmp_path)

    assert inventory.fields == expected_fields(objects)
    assert inventory.manifest.object_bytes == sum(map(len, objects.values()))


def test_a_prefix_is_inventoried_alone(endpoint: Endpoint, tmp_path: Path) -> None:
    keys = ("a", "a-b", "a/\x01", "a/1", "a/b/2", "a/\U0010fffd", "a0", "b/a/1")
    endpoint.make_bucket("one-prefix", {key: body_of(key) for key in keys})

    inventory = list_inventory(endpoint, "one-prefix", tmp_path, prefix="a/")

    assert inventory.keys == ["a/\x01", "a/1", "a/b/2", "a/\U0010fffd"]
