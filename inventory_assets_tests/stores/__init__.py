"""Stores with unusual behaviour, and the expected inventory of each.

`habits.py` defines the behaviours, `odd_store.py` lists a bucket with any of them, over HTTP
(`odd_server.py`) or in-process (`odd_network.py`), and `proxy.py` is a proxy that exchanges
responses. The tests compare results with the truth; `report.py` reports how each store was listed.
A small selection runs with the other tests, all of them with `make test-stores`.
"""
