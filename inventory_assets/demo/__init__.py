"""An embedded demo store: a bucket with realistic keys that changes from day to day.

`content` computes the objects of a date, as a pure function; `server` serves them within the
process, on the loopback address.
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
