"""What a tombstone says: since when no record names its file, and what collections did about it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from inventory_assets.inventory.storage.record_format import UNNUMBERED, require_known_format
from inventory_assets.inventory.storage.store import NO_ETAG, Store
from inventory_assets.inventory.storage.tombstones import tombstone_key

FOUND, CONFIRMED, REMOVED = "found", "confirmed", "removed"


@dataclass(frozen=True, slots=True)
class TombstoneState:
    """The content of a tombstone.

    Attributes:
        state: `found` if no record named the file, `confirmed` if a later collection found the
            same, `removed` if the file was removed.
        since: When the state began.
        etag: The ETag of the tombstone in the store.
    """

    state: str
    since: datetime
    etag: str


NO_STATE = TombstoneState("", datetime.fromtimestamp(0, UTC), NO_ETAG)


def read_state(store: Store, key: str) -> TombstoneState | None:
    """The state of a file, by its key; None where it has no tombstone.

    Raises:
        OtherFormat: The tombstone has a format that this version does not read.
    """
    etag = store.etag(tombstone_key(key))
    data = store.read(tombstone_key(key))
    if data is None:
        return None
    where = store.where(tombstone_key(key))
    require_known_format(data, (UNNUMBERED,), "tombstone", where)
    try:
        document = json.loads(data)
        since = datetime.fromisoformat(document["since"]).astimezone(UTC)
        return TombstoneState(document["state"], since, etag)
    except (ValueError, KeyError, TypeError):
        return TombstoneState("damaged", NO_STATE.since, etag)  # replaced by a new one


def write_state(store: Store, key: str, state: str, since: datetime, etag: str) -> None:
    """Write the tombstone of a file.

    Args:
        store: The store of the file.
        key: The key of the file.
        state: The state.
        since: When it begins.
        etag: The ETag of the tombstone that is replaced.

    Raises:
        ConflictError: The tombstone has changed.
    """
    content = {"state": state, "since": since.isoformat(), "run": uuid4().hex}
    store.put_if_match(tombstone_key(key), json.dumps(content).encode(), etag)
