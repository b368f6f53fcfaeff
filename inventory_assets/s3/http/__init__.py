"""Sockets, HTTP/1.1 and signatures.

It knows what a response is, and nothing of what stands in it.
"""
