"""Benchmarks of this project and of other listers, against a load source.

`load_source` serves any number of keys with little CPU time. Run a module from the repository's
root, as in `python -m benchmarks.load_source`; `--help` shows its options.
"""
