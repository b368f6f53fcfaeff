"""The number of requests in flight: a limiter, and the policies that set its limit.

This package knows no HTTP and no keys.
"""
