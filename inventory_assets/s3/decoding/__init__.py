"""Decode the bytes of a page to Arrow columns; no I/O.

The columnar decoder is fast and handles regular responses; the XML decoder handles all responses.
Tests check that both return the same result.
"""
