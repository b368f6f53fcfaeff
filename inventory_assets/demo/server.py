"""Serve the demo bucket over HTTP by moto's server, in a thread of this process.

The demo thus uses the same code as a real bucket. Objects have a size but no content: they can be
listed and HEADed; a GET returns nothing.

moto is imported when the server starts, as the import takes a second.
"""

import datetime as dt
import logging
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from inventory_assets.demo.content import DemoObject, demo_objects

if TYPE_CHECKING:
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer
    from moto.s3.models import FakeBucket, FakeKey

BUCKET = "demo-bucket"
REGION = "us-east-1"
ACCESS_KEY = "demo"
SECRET_KEY = "demo"  # noqa: S105 - moto checks no credentials
HOST = "127.0.0.1"
PARTITION = "aws"
_HELD_BYTES = 1
"""moto's buffer per value, by default 16 MB; the values are empty."""


class DemoServer:
    """An S3 endpoint on a free port of the loopback address, started on first use.

    It is thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._server: ThreadedMotoServer | None = None
        self._endpoint_url = ""
        self._day: dt.date | None = None
        self._shown: Any = None

    @property
    def endpoint_url(self) -> str:
        """The URL of the server; starts it."""
        with self._lock:
            self._start()
            return self._endpoint_url

    def show(self, day: dt.date) -> None:
        """Set the bucket's content to `demo_objects(day)`, if it differs.

        The change is atomic for a request. A listing that runs meanwhile may see pages of both
        contents.
        """
        with self._lock:
            self._start()
            bucket = _bucket()
            # moto is shared: something else may have replaced the bucket or its keys.
            if self._day == day and bucket.keys is self._shown:
                return
            self._shown = bucket.keys = _key_store(bucket, demo_objects(day))
            self._day = day

    def stop(self) -> None:
        """Stop the server and empty the bucket; the next use starts it on another port."""
        with self._lock:
            if self._server is None:
                return
            self._server.stop()
            self._server = None
            self._day = self._shown = None
            _bucket().keys = _key_store(_bucket(), ())

    def _start(self) -> None:
        if self._server is not None:
            return
        from moto.moto_server.threaded_moto_server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no log line per request
        _bucket()
        server = ThreadedMotoServer(HOST, 0, verbose=False)
        server.start()
        _, port = server.get_host_and_port()
        self._endpoint_url = f"http://{HOST}:{port}"
        self._server = server


@cache
def demo_server() -> DemoServer:
    """The demo server of this process, started on first use.

    There is one per process, as moto's backends are global.
    """
    return DemoServer()


def _bucket() -> "FakeBucket":
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID][PARTITION]
    if BUCKET not in backend.buckets:
        backend.create_bucket(BUCKET, REGION)
    return backend.get_bucket(BUCKET)


def _key_store(bucket: "FakeBucket", objects: tuple[DemoObject, ...]) -> Any:
    from moto.s3.models import FakeKey

    store = type(bucket.keys)()
    for shown in objects:
        store.setlist(shown.key, [_fake_key(bucket, shown)])
    # moto tracks all keys to close the files of their values. These keys have no files, and would
    # accumulate over many days.
    made = {id(key) for key in store.values()}
    tracked = FakeKey.instances_tracked  # type: ignore[attr-defined]
    tracked[:] = [key for key in tracked if id(key) not in made]
    return store


def _fake_key(bucket: "FakeBucket", shown: DemoObject) -> "FakeKey":
    from moto.s3.models import FakeKey

    key = FakeKey(
        name=shown.key,
        value=b"",
        account_id=bucket.account_id,
        region_name=REGION,
        bucket_name=bucket.name,
        storage=shown.storage_class,
        etag=shown.e_tag,
        version_id="null",
        max_buffer_size=_HELD_BYTES,
    )
    key.contentsize = shown.size
    key.last_modified = shown.last_modified
    key.set_metadata({f"x-amz-meta-{name}": value for name, value in shown.metadata.items()})
    key.checksum_algorithm = shown.checksum_algorithm
    key.disposed = True  # there is no file to close; else moto warns
    return key
