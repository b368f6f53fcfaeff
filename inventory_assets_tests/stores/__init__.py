"""Stores that speak S3 in their own way, and what an inventory of each must be.

`habits.py` names the ways, `odd_store.py` lists a bucket in any of them, over HTTP
(`odd_server.py`) or within the process (`odd_network.py`), and `proxy.py` stands between a client
and a server and mixes up the answers. The tests state the truth; `report.py` tells how each store
was listed. A small selection runs with the other tests, all of them with `make test-stores`.
"""
