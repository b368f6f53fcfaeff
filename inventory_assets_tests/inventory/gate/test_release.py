"""A held date is released by a person, with a reason, and nothing else is."""

from dataclasses import replace

import pytest

from inventory_assets.inventory.errors import CorruptRecord, NotHeld
from inventory_assets.inventory.gate.held_date import HELD, held_dates, read_held
from inventory_assets.inventory.gate.publication import MAX_NAME, release_date
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.inventory.gate.gated_dates import (
    BECAUSE,
    failing,
    files_of_date,
    materialize,
    published_keys,
    quick,
    release,
)
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW


def test_a_release_publishes_what_was_held_with_who_when_and_why(store: Store) -> None:
    held = materialize(store, "abc", change=failing)
    released = release(store)
    assert released.release is not None
    assert replace(released, release=None) == held.manifest
    assert (released.release.released_by, released.release.because) == ("ada", BECAUSE)
    assert released.release.crossed == tuple(held.verdict.sentences)
    assert read_manifest(store, LAYOUT, DAY) == released
    assert len(files_of_date(store)) == 4
    assert published_keys(store) == "abc"
    record = HELD.read(store, LAYOUT.held(DAY))
    assert record is not None
    assert record.releases == (released.release,)
    assert list(held_dates(store, LAYOUT)) == []


def test_a_released_content_is_not_held_again(store: Store) -> None:
    materialize(store, "abc", change=failing)
    released = release(store)
    outcome = materialize(store, "abc", change=failing)
    assert not outcome.is_held
    assert outcome.manifest == released, "it is not even written anew"
    assert materialize(store, "abcd", change=failing).is_held, "this is another content"


def test_a_release_replaces_the_earlier_inventory_of_the_date(store: Store) -> None:
    materialize(store, "ab")
    materialize(store, "abc", change=failing)
    release(store)
    assert published_keys(store, DAY) == "abc"


@pytest.mark.parametrize("state", ["nothing", "published", "released", "held and then published"])
def test_what_is_not_held_cannot_be_released(store: Store, state: str) -> None:
    if state != "nothing":
        materialize(store, "ab", change=quick if state == "published" else failing)
    if state == "released":
        release(store)
    if state.startswith("held and"):
        materialize(store, "abc")
    says = {
        "nothing": "not published either; materialize inventory_manifest",
        "released": "ada released it at 2026-05-05",
    }
    with pytest.raises(NotHeld, match=f"source on 2026-05-05 is not held.*{says.get(state, '')}"):
        release(store)


@pytest.mark.parametrize("because", ["", "  \n", "x" * 501])
def test_a_release_needs_a_reason(store: Store, because: str) -> None:
    materialize(store, "abc", change=failing)
    with pytest.raises(NotHeld, match="needs a reason of 1 to 500 characters"):
        release(store, because=because)
    assert read_held(store, LAYOUT, DAY) is not None


def test_a_reason_cannot_hide_characters(store: Store) -> None:
    materialize(store, "abc", change=failing)
    released = release(store, because="fine\x1b[2J\u202e")
    assert released.release is not None
    assert released.release.because == "fine\\x1b[2J\\u202e"


def test_a_name_cannot_hide_characters_and_is_cut(store: Store) -> None:
    materialize(store, "abc", change=failing)
    by = "ada\x1b[2J" + "x" * 200
    released = release_date(store, LAYOUT, DAY, by, BECAUSE, lambda: NOW)
    assert released.release is not None
    assert released.release.released_by == ("ada\\x1b[2J" + "x" * 200)[:MAX_NAME]


def test_a_damaged_record_of_a_hold_is_an_error_with_a_way_out(store: Store) -> None:
    materialize(store, "abc", change=failing)
    store.publish(LAYOUT.held(DAY), b"{")
    with pytest.raises(CorruptRecord, match="remove it, then materialize inventory_manifest"):
        release(store)
    assert materialize(store, "abc", change=failing).is_held
    assert release(store).day == DAY
