"""Compare a published inventory with its bucket.

This package lists samples again and reports differences. It publishes nothing.
"""
