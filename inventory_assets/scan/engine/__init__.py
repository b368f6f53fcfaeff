"""The parallel scan: it splits ranges while it lists them, and yields events.

It must not know of files.
"""
