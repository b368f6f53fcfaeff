"""The estimated storage cost of aggregated records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from inventory_assets.inventory.pricing.price_table import GB, STANDARD, Prices

DELETE_MARKER = "delete_marker"
"""The state of delete markers, whose storage (the bytes of their keys) is not priced."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StorageRates:
    """What a GB costs for a month on average, at the totals of a whole bucket.

    S3's tiers apply to the total of a month. A part of the bucket is priced by its share of the
    total, so the costs of all parts add up to that of the whole.

    Attributes:
        prices: The price table.
        usd_per_gb: By storage class with known prices.
    """

    prices: Prices
    usd_per_gb: Mapping[str, float]

    @classmethod
    def at(cls, prices: Prices, billed_bytes: Mapping[str, float]) -> "StorageRates":
        """The rates at the billed bytes of the bucket, by storage class."""
        return cls(
            prices,
            {
                name: found.average_usd_per_gb(billed_bytes.get(name, 0.0) / GB)
                for name, found in prices.classes.items()
            },
        )

    def monthly_usd(
        self, storage_class: str | None, objects: _Floats, sizes: _Floats
    ) -> _Floats | None:
        """The estimated cost of groups of objects of one class for a month, in USD.

        Args:
            storage_class: The class; "" or None where the store names none.
            objects: The number of objects in each group. All of a group must be below the class's
                minimum billable size, or none; so, too, for the smallest monitored size.
            sizes: The bytes of each group.

        Returns:
            The cost of each group; None if the prices of the class are unknown.
        """
        found = self.prices.of_class(storage_class)
        if found is None:
            return None
        own, standard = billed_bytes(self.prices, storage_class, objects, sizes)
        name = storage_class or self.prices.unnamed_class or ""
        usd: _Floats = own / GB * self.usd_per_gb[name]
        if found.overhead_standard_bytes:
            usd = usd + standard / GB * self.usd_per_gb[STANDARD]
        if found.monitoring_usd_per_1000:
            is_monitored = sizes >= objects * found.monitored_from_bytes
            usd = usd + is_monitored * objects * found.monitoring_usd_per_1000 / 1000
        return usd


def billed_bytes(
    prices: Prices, storage_class: str | None, objects: _Floats, sizes: _Floats
) -> tuple[_Floats, _Floats]:
    """The bytes billed for groups of objects of one class, at its price and at that of STANDARD.

    The prices of the class must be known; the groups are those of `StorageRates.monthly_usd`.
    """
    found = prices.of_class(storage_class)
    if found is None:
        raise KeyError(storage_class)
    own = np.maximum(sizes, objects * found.minimum_billable_bytes)
    return own + objects * found.overhead_bytes, objects * float(found.overhead_standard_bytes)


def rates_of(prices: Prices, whole: Any) -> StorageRates:
    """The rates at the totals of a bucket.

    Args:
        prices: The price table.
        whole: The rows of the whole bucket, each object once, as for `storage_usd`.
    """
    groups = _Groups.of(whole)
    billed: dict[str, float] = {}
    for name, mask in groups.by_class():
        if prices.of_class(name) is None:
            continue
        own, standard = billed_bytes(prices, name, groups.objects[mask], groups.sizes[mask])
        known = name or prices.unnamed_class or ""
        billed[known] = billed.get(known, 0.0) + float(own.sum())
        billed[STANDARD] = billed.get(STANDARD, 0.0) + float(standard.sum())
    return StorageRates.at(prices, billed)


def storage_usd(rates: StorageRates, rows: Any) -> pa.DoubleArray:
    """The estimated storage cost of each row for a month, in USD; null where it is unknown.

    Args:
        rates: The rates at the totals of the bucket (`rates_of`).
        rows: An Arrow table or Polars frame with the columns `storage_class` ("" or null where
            the store names none), `objects` and `bytes`, and optionally `state`. The objects of a
            row have one class and one size band, whose bounds include every minimum billable size;
            else the cost of small objects is a lower bound. Rows of `DELETE_MARKER` cost 0.
    """
    groups = _Groups.of(rows)
    usd = np.zeros(len(groups.objects))
    is_known = ~groups.priced
    for name, mask in groups.by_class():
        found = rates.monthly_usd(name, groups.objects[mask], groups.sizes[mask])
        if found is not None:
            usd[mask] = found
            is_known |= mask
    return pa.array(usd, mask=~is_known)


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows as arrays.

    Attributes:
        names: The distinct classes.
        codes: The index in `names` of each row's class.
        objects: The objects of each row.
        sizes: The bytes of each row.
        priced: Whether a row has a price, as delete markers have not.
    """

    names: list[str]
    codes: NDArray[np.int64]
    objects: _Floats
    sizes: _Floats
    priced: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Any) -> "_Groups":
        table = pa.table(rows)
        encoded = pc.fill_null(_texts(table, "storage_class"), "").dictionary_encode()
        priced = np.ones(table.num_rows, np.bool_)
        if "state" in table.column_names:
            is_priced = pc.not_equal(_texts(table, "state"), DELETE_MARKER)
            priced = pc.fill_null(is_priced, True).to_numpy(zero_copy_only=False)
        return cls(
            encoded.dictionary.to_pylist(),
            encoded.indices.to_numpy().astype(np.int64),
            table.column("objects").to_numpy().astype(np.float64),
            table.column("bytes").to_numpy().astype(np.float64),
            priced,
        )

    def by_class(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Each class, and the rows of it that have a price."""
        return [(name, (self.codes == i) & self.priced) for i, name in enumerate(self.names)]


def _texts(table: pa.Table, name: str) -> pa.StringArray:
    """A column as an array of texts. Arrow cannot decode the dictionaries of Polars by itself."""
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(pa.string()))
        if isinstance(chunk, pa.DictionaryArray)
        else chunk
        for chunk in table.column(name).chunks
    ]
    texts = [chunk.cast(pa.string()) for chunk in chunks]
    return pa.concat_arrays(texts) if texts else pa.array([], pa.string())
