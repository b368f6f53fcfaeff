"""Numbers with the units that people read; tables and records keep the exact numbers."""


def human_usd(amount: float | None) -> str:
    """An amount of money: `$1,234.56`; one that is not known is "unknown"."""
    if amount is None:
        return "unknown"
    return "< $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"


def human_bytes(count: int) -> str:
    """A number of bytes with a decimal unit, as S3's console shows it: `67.8 GB`."""
    if abs(count) < 1000:
        return f"{count:,} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if abs(size) < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} EB"
