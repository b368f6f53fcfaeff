"""What can go wrong between a listing and a published inventory."""

from inventory_assets.errors import InventoryError


class StoreError(InventoryError):
    """Results could not be written to, or read from, the store."""


class DiskFull(StoreError, OSError):
    """A disk has no room, or a quota is used up; which path, and how much was needed, is said."""


class CorruptRecord(StoreError):
    """A file of the store is not what was published."""


class FolderInUse(StoreError):
    """Another process is listing into the folder."""


class OtherListing(StoreError):
    """The folder holds the work of a listing that is not the one asked for."""


class ConflictError(StoreError):
    """Another run published the same thing in the meantime; what it published stands."""


def superseded(where: object) -> ConflictError:
    """The error for a record at some place that another run published."""
    return ConflictError(
        f"{where} was published by another run in the meantime; what that run published stands, "
        "and materializing again begins afresh"
    )


class DateNotObservable(InventoryError):
    """A listing sees now: this date is over, or has not come."""


class ManifestIncomplete(InventoryError):
    """Some shard of the date has no snapshot yet."""


class IncompleteListing(InventoryError):
    """A snapshot does not prove what it must; it is not published."""


class RecordsUnreadable(InventoryError):
    """Most records of a listing cannot be decoded; it is not published."""


class VersionsNotListed(InventoryError):
    """Versions cannot be listed in the store's order."""


def versions_in_directories(where: str) -> VersionsNotListed:
    """The error for a store whose versions are wanted, and that lists in directory order."""
    return VersionsNotListed(
        f"{where}: the store lists in directory order, in which its versions cannot be listed; set "
        "versions = false, or leave out --versions"
    )


class UnknownShard(InventoryError):
    """A partition key stands for no prefix that is known here."""


class WorkerDied(InventoryError):
    """A process that took part in a listing was killed."""


class UnknownFormat(InventoryError):
    """A file's name does not say how to write it."""


class InventoryNotFound(InventoryError):
    """There is no inventory where one was looked for."""


class CursorRefused(InventoryError):
    """A cursor does not say where to continue: it is damaged, of another source, or too old."""


class PackageMissing(InventoryError):
    """A package that is not always needed is not installed."""


class IcebergError(StoreError):
    """An Iceberg table, or its catalogue, could not be used."""


class QueryRefused(InventoryError):
    """A query is none that can be answered."""


class NotVerifiable(InventoryError):
    """An inventory cannot be compared with its bucket a range at a time."""
