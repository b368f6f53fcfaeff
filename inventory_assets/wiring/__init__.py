"""Open what the configuration names: the store, the bucket of a source, files, notifiers.

It sends no request and knows nothing of Dagster.
"""
