"""The Dagster definitions: assets, checks, schedules, sensors, jobs and the run launcher.

Only this room, `definitions` and the top level know Dagster. What an asset computes is
`inventory`'s; here it is bound to partitions, metadata and runs.
"""
