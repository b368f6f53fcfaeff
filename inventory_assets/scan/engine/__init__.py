"""The parallel scan: it splits ranges while listing them, and yields events.

This package knows no files.
"""
