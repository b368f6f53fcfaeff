"""From a scan to a published snapshot: assembling parts, checkpoints, reuse of unchanged parts.

It knows no comparison and no export, and no folder of the command line.
"""
