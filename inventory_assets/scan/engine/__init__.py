"""The parallel walk: ranges that are split while they are listed, and told as events.

It knows no files.
"""
