"""From a scan to a published snapshot: parts, checkpoints, reuse of unchanged parts.

This package does not know comparisons, exports, or the folders of the command line.
"""
