"""The publish gate: which dates look so wrong that a person decides whether they are published.

`verdict.py` is pure: figures of dates and bounds in, a verdict out. `held_date.py` is the record of
a held date, `publication.py` publishes, holds and releases, and `unfinished_release.py` finds the
releases that were interrupted. It knows nothing of Dagster, and decides by manifests alone: it
reads no records.
"""
