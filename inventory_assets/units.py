"""Numbers with the units that people read; tables and records keep the exact numbers."""


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


def human_change(count: int) -> str:
    """A number of bytes more or less, with its sign: `+67.8 GB`."""
    return f"{'+' if count > 0 else ''}{human_bytes(count)}"
