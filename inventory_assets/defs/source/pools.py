"""The pool of the runs that send requests for a source, and what to say if it is not configured."""

import dagster as dg

from inventory_assets.config import Source


def pool_of(source: Source) -> str | None:
    """The name of the pool; None if one run lists a date, which needs no pool."""
    return f"inventory_{source.name}" if source.schedule.runs > 1 else None


def pool_mistake(instance: dg.DagsterInstance, source: Source) -> str | None:
    """What is wrong with the limit of the source's pool, with the remedy; None if nothing is."""
    pool, runs = pool_of(source), source.schedule.runs
    if pool is None:
        return None
    storage = instance.event_log_storage
    limits = {each.name: each.limit for each in storage.get_pool_limits()}
    limit = limits.get(pool, storage.get_pool_config().default_pool_limit)
    if limit is not None and limit >= runs:
        return None
    problem = (
        f"the pool {pool} has no limit, so any number of runs of the source {source.name} may be "
        "in progress at a time, and share its requests"
        if limit is None
        else f"the pool {pool} allows {limit:,} run(s) at a time, and schedule.runs of the source "
        f"{source.name} is {runs}: the others wait"
    )
    return (
        f"{problem}; run `dagster instance concurrency set {pool} {runs}`, or set "
        f"concurrency.pools.default_limit to {runs} in dagster.yaml, and granularity to run "
        "(docs/many-runs.md)"
    )
