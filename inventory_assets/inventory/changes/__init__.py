"""What changed between a baseline and a snapshot, and the log of a date's changes.

It reads published parts alone, and speaks to no bucket that is inventoried.
"""
