"""Serve the demo bucket over HTTP by moto's application, in a thread of this process.

The demo thus uses the same code as a real bucket. Objects have a size but no content: they can be
listed and HEADed; a GET returns nothing. Versions and uploads are listed by `listings.py`.

moto is imported when the server starts, as the import takes a second.
"""

import datetime as dt
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from inventory_assets.demo.content import demo_versions
from inventory_assets.demo.listings import VersionListing, parts_page, uploads_page
from inventory_assets.demo.neglect import demo_uploads
from inventory_assets.demo.values import DemoObject, DemoUpload, DemoVersion

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from moto.s3.models import FakeBucket, FakeKey
    from werkzeug.serving import BaseWSGIServer

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
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._application: _Application | None = None
        self._day: dt.date | None = None
        self._shown: Any = None

    @property
    def endpoint_url(self) -> str:
        """The URL of the server; starts it."""
        with self._lock:
            server, _ = self._started()
            return f"http://{HOST}:{server.server_port}"

    def show(self, day: dt.date) -> None:
        """Set the bucket's content to that of `day`, if it differs.

        The change is atomic for a request. A listing that runs meanwhile may see pages of both
        contents.
        """
        with self._lock:
            _, application = self._started()
            bucket = _bucket()
            # moto is shared: something else may have replaced the bucket or its keys.
            if self._day == day and bucket.keys is self._shown:
                return
            versions = demo_versions(day)
            application.listing = VersionListing(BUCKET, versions)
            application.uploads = demo_uploads(day)
            self._shown = bucket.keys = _key_store(bucket, versions)
            self._day = day

    def stop(self) -> None:
        """Stop the server and empty the bucket; the next use starts it on another port."""
        with self._lock:
            if self._server is None or self._thread is None:
                return
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = self._application = None
            self._day = self._shown = None
            _bucket().keys = _key_store(_bucket(), {})

    def _started(self) -> tuple["BaseWSGIServer", "_Application"]:
        if self._server is None or self._application is None:
            from moto.moto_server.werkzeug_app import (
                DomainDispatcherApplication,
                MotoRequestHandler,
                create_backend_app,
            )
            from werkzeug.serving import make_server

            logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no log line per request
            _bucket()
            self._application = _Application(DomainDispatcherApplication(create_backend_app))
            self._server = make_server(
                HOST, 0, self._application, threaded=True, request_handler=MotoRequestHandler
            )
            self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
            self._thread.start()
        return self._server, self._application


class _Application:
    """Answers the requests that `listings.py` is for, and passes on all others to moto."""

    def __init__(self, moto: "WSGIApplication") -> None:
        self._moto = moto
        self.listing = VersionListing(BUCKET, {})
        self.uploads: Sequence[DemoUpload] = ()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        answer = self._answer(environ["PATH_INFO"].strip("/") == BUCKET, query)
        if environ["REQUEST_METHOD"] != "GET" or answer is None:
            return self._moto(environ, start_response)
        body = answer.encode()
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    def _answer(self, is_bucket: bool, query: Mapping[str, str]) -> str | None:
        if is_bucket and "versions" in query:
            return self.listing.page(query)
        if is_bucket and "uploads" in query:
            return uploads_page(BUCKET, self.uploads, query)
        asked = [each for each in self.uploads if each.upload_id == query.get("uploadId")]
        return parts_page(BUCKET, asked[0]) if asked else None


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


def _key_store(bucket: "FakeBucket", versions: Mapping[str, Sequence[DemoVersion]]) -> Any:
    """The current objects for moto, which knows no other versions."""
    from moto.s3.models import FakeKey

    store = type(bucket.keys)()
    for key, (latest, *_) in versions.items():
        if isinstance(latest, DemoObject):
            store.setlist(key, [_fake_key(bucket, latest)])
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
