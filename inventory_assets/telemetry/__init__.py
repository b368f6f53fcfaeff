"""Traces and metrics of listings, by OpenTelemetry; off unless the `OTEL_*` variables ask for it.

The package implements the observers of `s3`, `scan` and `inventory`, and is wired to them where a
listing is opened. It is the only one that imports OpenTelemetry, and it does so only where
telemetry is on. It must never send a key or a prefix, and must never end or delay a listing.
"""
