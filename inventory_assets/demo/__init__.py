"""A store to try the product with: a bucket of real key names that changes from day to day.

What the bucket holds on a day (`content`) is a pure function of the date; the server that shows it
(`server`) runs inside the process, on the loopback address. Nothing else of the product may depend
on this room.
"""

from inventory_assets.demo.content import DemoObject, demo_objects
from inventory_assets.demo.server import ACCESS_KEY, BUCKET, SECRET_KEY, DemoServer, demo_server

__all__ = [
    "ACCESS_KEY",
    "BUCKET",
    "SECRET_KEY",
    "DemoObject",
    "DemoServer",
    "demo_objects",
    "demo_server",
]
