"""An embedded demo store: a bucket with realistic keys that changes from day to day.

`content` and `neglect` compute the versions and the unfinished uploads of a date, as pure
functions; `server` serves them within the process, on the loopback address.
"""

from inventory_assets.demo.content import demo_objects, demo_versions
from inventory_assets.demo.neglect import demo_uploads
from inventory_assets.demo.server import ACCESS_KEY, BUCKET, SECRET_KEY, DemoServer, demo_server
from inventory_assets.demo.values import DemoMarker, DemoObject, DemoUpload, DemoVersion

__all__ = [
    "ACCESS_KEY",
    "BUCKET",
    "SECRET_KEY",
    "DemoMarker",
    "DemoObject",
    "DemoServer",
    "DemoUpload",
    "DemoVersion",
    "demo_objects",
    "demo_server",
    "demo_uploads",
    "demo_versions",
]
