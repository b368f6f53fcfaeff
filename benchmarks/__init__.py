"""Measures the listing against a load source, beside other listers.

`load_source` serves any number of keys at next to no cost. Run a module from the repository's root,
as in `python -m benchmarks.load_source`, with `--help` for its options.
"""
