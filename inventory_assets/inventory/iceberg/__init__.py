"""Published dates as snapshots of an Iceberg table."""
