"""How many requests are in flight: the limiter, and the policies that set its limit.

It knows no HTTP and no keys.
"""
