"""The report: one HTML page about an inventory of a date, for people.

It renders values that other rooms computed. It knows no S3, no Dagster and no Parquet, and it never
puts a key or a prefix into the page as anything but text.
"""
