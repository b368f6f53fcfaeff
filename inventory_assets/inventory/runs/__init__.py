"""Run records: how the listing of a shard, and of a date's shards, spent its time.

They say what limited a run, and compare it with earlier ones. The figures are pure values of what
the client and the scan counted. This package knows neither objects nor Dagster.
"""
