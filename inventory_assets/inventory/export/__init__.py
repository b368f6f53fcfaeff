"""Export published manifests to Parquet, CSV and JSON Lines files, and to S3 Inventory's CSV.

This package reads published files and knows nothing of listings.
"""
