"""Retention: which dates are kept, which files no record names, and their garbage collection.

From each record, this package reads only which files it names and when it was written.
"""
