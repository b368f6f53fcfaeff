"""Several runs list one shard together, through a shared listing, and publish its snapshot.

This room adds to `shared_listing` what a snapshot needs: parts in the folder of the source, hashes,
the baseline and the run record. It does not know Dagster.
"""
