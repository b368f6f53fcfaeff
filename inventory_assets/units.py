"""Numbers with the units that people read; tables and records keep the exact numbers."""

_DECIMAL = ("kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def human_bytes(count: int, *, binary: bool = False) -> str:
    """A number of bytes with a unit: `67.8 GB`, as S3's console shows it.

    Args:
        count: The number, which may be negative.
        binary: Use units of 1,024 (`63.1 GiB`) instead of 1,000.
    """
    base, units = (1024, _BINARY) if binary else (1000, _DECIMAL)
    if abs(count) < base:
        return f"{count:,} B"
    size = float(count)
    for unit in units[:-1]:
        size /= base
        if abs(size) < base - 0.05:
            return f"{size:,.1f} {unit}"
    return f"{size / base:,.1f} {units[-1]}"


def human_change(count: int) -> str:
    """A number of bytes more or less, with its sign: `+67.8 GB`."""
    return f"{'+' if count > 0 else ''}{human_bytes(count)}"


def human_bytes_of(count: int, whole: int) -> str:
    """A number of bytes and its share of all: `1.6 TB, 12.5 % of all bytes`."""
    return f"{human_bytes(count)}, {human_share(count, whole)} of all bytes"


def human_usd(usd: float | None) -> str:
    """An amount with the digits that matter: `1,234 USD`, `5.03 USD`, `0.00042 USD`, `unknown`."""
    if usd is None:
        return "unknown"
    size = abs(usd)
    if size >= 100:
        return f"{usd:,.0f} USD"
    if size >= 0.995:
        return f"{usd:,.2f} USD"
    return f"{float(f'{usd:.2g}'):.10f}".rstrip("0").rstrip(".") + " USD"


def human_share(part: float, whole: float) -> str:
    """A share in per cent: `12.5 %`, and `<0.1 %` where it is small but not zero."""
    share = 100 * part / whole if whole else 0.0
    if 0 < abs(share) < 0.05:
        return "<0.1 %" if share > 0 else "-<0.1 %"
    return f"{share:,.1f} %"
