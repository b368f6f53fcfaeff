"""Iceberg tables with a snapshot for each published date."""
