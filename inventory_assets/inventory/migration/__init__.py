"""Migration: copies what a store holds to another store, so that its sources continue there.

This package knows the order in which the files of a source count, and which of them name places. It
changes nothing in the store that it reads.
"""
