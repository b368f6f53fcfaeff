"""`inventory list --join`: one listing shared by processes of several machines, through a store.

The participants know each other only by small records in the store, which are written on condition
that nobody else wrote them meanwhile. This room does not know manifests, shards or Dagster.
"""
