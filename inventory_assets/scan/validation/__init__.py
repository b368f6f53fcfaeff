"""Checks that a page and a range must pass before they are believed, and the evidence of them."""
