"""Which dates are kept, what nothing refers to any more, and how it is collected.

It knows all records by the files that they name, and nothing else of them.
"""
