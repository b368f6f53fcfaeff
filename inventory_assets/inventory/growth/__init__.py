"""Changes between dates that nobody may have wanted: sudden growth or loss, a feed that stopped.

Bounds and the tables of usage in, findings out; `dated_sizes.py` alone reads files. It knows no
records, no prices and nothing of Dagster.
"""
