"""Retention: which dates are kept, which files no record names, and their garbage collection.

This package reads of each record only which files it names and when it was written.
"""
