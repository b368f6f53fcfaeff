"""Published manifests as other files: Parquet, CSV, NDJSON, and S3 Inventory's CSV.

It reads what is published and knows nothing of listings.
"""
