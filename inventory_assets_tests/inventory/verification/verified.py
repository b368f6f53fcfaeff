"""Inventories to verify, and the buckets that they are compared with."""

import random

from hypothesis import strategies as st

from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.verification.targets import VerificationTarget
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.inventory.samples import NOW, listed, parts_of

WHOLE = KeyRange.of_prefix("")
RECORDS = 5
"""Records in a range, in these tests."""


def chance(seed: int | str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it guards no secret


keys_strategy = st.sets(st.text("-/a\0\U0010ffff", min_size=1, max_size=3), max_size=30)


def inventory_of(store: LocalStore, keys: set[str], prefix: str = "") -> VerificationTarget:
    objects = listed(keys)
    cut = len(objects) // 3
    parts = parts_of(store, objects[:cut], objects[cut:])
    return VerificationTarget(store, parts, prefix, NOW)


def altered_sizes(keys: set[str]) -> dict[str, int]:
    return {key: len(key) + 1 for key in keys}
