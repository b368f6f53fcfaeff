"""Checks that pages and ranges must pass before they are used, and the evidence of the result."""
