"""Errors of listings, published inventories and their readers."""

from inventory_assets.errors import InventoryError


class StoreError(InventoryError):
    """Results could not be written to, or read from, the store."""


class DiskFull(StoreError, OSError):
    """A disk is full or a quota is used up; the message names the path and the bytes needed."""


class CorruptRecord(StoreError):
    """A file of the store is missing, damaged, or of an unknown format."""


class OtherFormat(StoreError):
    """A file of the store has a format that this version does not read; it is left as it is."""


class FolderInUse(StoreError):
    """Another process is listing into the folder."""


class OtherSource(StoreError):
    """The folder of the results belongs to another bucket, or to another prefix of it."""


class OtherListing(StoreError):
    """The folder holds the work of a listing other than the requested one."""


class ConflictError(StoreError):
    """Another run published the same record in the meantime; its record remains."""


class RunEnded(StoreError):
    """The run that wants to publish a record has ended for Dagster, so that another replaces it."""


def superseded(where: object) -> ConflictError:
    """The error for a record that another run published; `where` names its place."""
    return ConflictError(
        f"{where} was published by another run in the meantime and was not replaced; materialize "
        "again to start over"
    )


class DateNotObservable(InventoryError):
    """A listing shows the bucket as it is now, so it cannot stand for this date."""


class ManifestIncomplete(InventoryError):
    """Some shard of the date has no snapshot yet."""


class NotHeld(InventoryError):
    """A date cannot be released: it is not held, or no reason was given."""


class IncompleteListing(InventoryError):
    """The evidence does not prove that a listing is complete; it is not published."""


class ChangesDoNotReconcile(InventoryError):
    """The changes of a shard do not lead from its baseline to its snapshot; not published."""


class RecordsUnreadable(InventoryError):
    """Most records of a listing cannot be decoded; it is not published."""


class VersionsNotListed(InventoryError):
    """Versions cannot be listed in the store's order."""


def versions_in_directories(display_name: str) -> VersionsNotListed:
    """The error for a listing of versions from a store that lists in directory order."""
    return VersionsNotListed(
        f"{display_name}: the store lists in directory order, in which its versions cannot be "
        "listed; set versions = false, or leave out --versions"
    )


class UnknownShard(InventoryError):
    """A partition key does not belong to a known prefix of the source."""


class WorkerDied(InventoryError):
    """A process that took part in a listing was killed."""


class UnknownFormat(InventoryError):
    """The format of a file cannot be derived from its name."""


class InventoryNotFound(InventoryError):
    """No inventory or listing was found at a place."""


class CursorRefused(InventoryError):
    """A cursor does not say where to continue: it is damaged, of another source, or too old."""


class PackageMissing(InventoryError):
    """An optional package is needed and not installed."""


class IcebergError(StoreError):
    """An Iceberg table, or its catalogue, could not be used."""


class QueryRefused(InventoryError):
    """A query is not a single SELECT, or it failed."""


class NotVerifiable(InventoryError):
    """An inventory cannot be compared with its bucket range by range."""


class RulesInvalid(InventoryError):
    """S3 would refuse a lifecycle configuration; the message has one line for each mistake."""


class ClaimLost(InventoryError):
    """Another participant of a shared listing has taken over the ranges of this one."""


class JoinRefused(InventoryError):
    """A process cannot take part in a shared listing; the message says why."""
