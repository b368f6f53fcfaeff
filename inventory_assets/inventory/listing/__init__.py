"""From a scan to a published snapshot: assembling parts, checkpoints, reuse of unchanged parts.

It does not know comparisons, exports, or the folders of the command line.
"""
