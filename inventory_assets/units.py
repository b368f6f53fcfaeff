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
