"""Sockets, HTTP/1.1 and signatures.

This package knows responses, but not their content.
"""
