"""The changes between a baseline and a snapshot, and the change log of a date.

This package reads only published parts. It does not access the bucket that is inventoried.
"""
