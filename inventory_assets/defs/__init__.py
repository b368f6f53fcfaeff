"""The Dagster definitions: assets, checks, schedules, sensors, jobs and the run launcher.

Only this package and `definitions` use Dagster. `inventory` does the work of the assets; this
package binds it to partitions, metadata and runs.
"""
