"""Complete, sorted, daily inventories of S3 buckets of any size, as Dagster data assets."""
