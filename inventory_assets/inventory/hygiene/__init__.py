"""What is waste or odd in an inventory: findings with counts, bytes, prefixes and examples.

Findings that need the records are computed once for each part, and kept beside it under its name;
a date's report merges those of its parts. Others come from the aggregates by prefix, from the
unfinished uploads of the bucket, and from an exact search for duplicates. The package knows parts,
manifests and storage, and takes prices as a function. It must not know Dagster or listings.
"""
