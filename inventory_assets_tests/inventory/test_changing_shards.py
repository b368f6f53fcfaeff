"""Each key is in one shard of a manifest, however prefixes became shards and ceased to be."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.manifest.manifest_merge import (
    violations_of,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot, without_outdated
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.inventory.samples import NOW
from inventory_assets_tests.inventory.tilings import (
    KEYS,
    keys,
    keys_of,
    merged,
    prefixes,
    snapshot_under,
    tiles,
)


def test_a_prefix_that_became_a_shard_later_neither_doubles_nor_loses_a_key(
    store: LocalStore,
) -> None:
    remainder = snapshot_under(store, "", [])
    shard = snapshot_under(store, "b/", ["b/"], [*KEYS, "b/new"])
    manifest = merged(store, {"": remainder, "b/": shard})
    assert keys_of(store, manifest) == sorted([*KEYS, "b/new"])
    assert violations_of(manifest) == []


@given(
    st.sets(keys, max_size=15),
    st.sets(prefixes, max_size=4),
    st.sets(prefixes, max_size=3),
    st.data(),
)
def test_every_key_is_in_one_shard_however_prefixes_became_shards(
    roomy_store: LocalStore,
    held: set[str],
    early: set[str],
    late: set[str],
    data: st.DataObject,
) -> None:
    snapshots: dict[str, Snapshot] = {}
    known = {"", *early}
    for prefix in sorted(known):
        snapshots[prefix] = snapshot_under(roomy_store, prefix, known, held)
    # Each late one is found and listed; some earlier shard may be listed again, now without it.
    for prefix in sorted(late - known):
        known.add(prefix)
        snapshots[prefix] = snapshot_under(roomy_store, prefix, known, held)
        again = data.draw(st.sampled_from(sorted(known)))
        snapshots[again] = snapshot_under(roomy_store, again, known, held)
    manifest = merged(roomy_store, snapshots)
    assert keys_of(roomy_store, manifest) == sorted(held)
    assert violations_of(manifest) == []
    assert manifest.rows == len(held)


@given(
    st.sets(keys, max_size=15),
    st.sets(prefixes, max_size=4),
    st.lists(st.tuples(prefixes, st.integers(0, 9)), max_size=6),
)
@example({"aab"}, {"aa"}, [("a", 1), ("aa", 1)])
def test_every_key_is_in_one_shard_however_prefixes_came_and_went(
    roomy_store: LocalStore, held: set[str], early: set[str], steps: list[tuple[str, int]]
) -> None:
    """Each step adds or removes a shard, and lists one of the others again."""
    known = {"", *early}
    snapshots = {
        prefix: snapshot_under(roomy_store, prefix, known, held) for prefix in sorted(known)
    }
    for number, (changed, choice) in enumerate(steps, 1):
        wanted = set[str]()
        if changed not in known:
            wanted.add(changed)
        known ^= {changed}
        wanted.add(sorted(known)[choice % len(known)])
        for prefix in sorted(wanted):
            now = NOW + number * timedelta(hours=1)
            found = snapshot_under(roomy_store, prefix, known, held)
            snapshots[prefix] = replace(found, started_at=now, finished_at=now)
    manifest = merged(roomy_store, without_outdated(snapshots))
    assert keys_of(roomy_store, manifest) == sorted(held)
    assert violations_of(manifest) == []
    assert manifest.rows == len(held)


def test_a_shard_that_is_none_any_more_counts_until_its_keys_are_listed_again(
    store: LocalStore,
) -> None:
    def listed_at(hours: int, found: Snapshot, versions: Versions | None = None) -> Snapshot:
        at = NOW + timedelta(hours=hours)
        return replace(found, started_at=at, finished_at=at, versions=versions)

    old = tiles(store, "b/", "b/x/", held=["b/gone", "b/x/1", "c"])
    again = snapshot_under(store, "", ["b/x/"], ["b/new", "b/x/1", "c"])
    for hours, expected in ((0, ["b/gone", "b/x/1", "c"]), (1, ["b/new", "b/x/1", "c"])):
        manifest = merged(store, without_outdated({**old, "": listed_at(hours, again)}))
        assert keys_of(store, manifest) == expected
        assert violations_of(manifest) == []
    # Since then the source lists versions, and `b/` cannot be listed so.
    snapshots = {
        **old,
        "": listed_at(1, again, Versions()),
        "b/x/": listed_at(1, old["b/x/"], Versions()),
    }
    assert violations_of(merged(store, without_outdated(snapshots))) == []


@given(st.sets(keys, max_size=15), st.sets(prefixes, max_size=4), st.data())
def test_a_key_belongs_to_the_longest_prefix_that_has_a_snapshot(
    roomy_store: LocalStore, held: set[str], late: set[str], data: st.DataObject
) -> None:
    # Every shard sees another bucket, so that it shows whose view of a key counts.
    views = {prefix: {k for k in held if data.draw(st.booleans())} for prefix in {"", *late}}
    snapshots = {
        prefix: snapshot_under(roomy_store, prefix, [], {k for k in view if k.startswith(prefix)})
        for prefix, view in views.items()
    }
    expected = {
        key for key in held if key in views[max((p for p in views if key.startswith(p)), key=len)]
    }
    assert keys_of(roomy_store, merged(roomy_store, snapshots)) == sorted(expected)
