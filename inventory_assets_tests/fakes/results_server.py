"""A bucket of results on 127.0.0.1 with configurable conditional writes."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets_tests.fakes.common_prefixes import rolled_up
from inventory_assets_tests.fakes.scripted_server import error_document
from inventory_assets_tests.fakes.served import Served

BUCKET = "results"

Condition = Callable[[str | None, str | None, str | None], str | None]
"""Judges a write by its If-None-Match, its If-Match and the ETag of what is there, without quotes:
None to make it, or what is answered instead, such as `412 PreconditionFailed`."""

Answered = tuple[int, dict[str, str], bytes]
"""A status, headers and a body."""

FAILED = "412 PreconditionFailed"


def like_aws(if_none_match: str | None, if_match: str | None, etag: str | None) -> str | None:
    """As AWS documents it."""
    if if_none_match:
        return FAILED if etag else None
    if if_match and etag is None:
        return "404 NoSuchKey"
    return FAILED if if_match and if_match != f'"{etag}"' else None


def like_rgw(if_none_match: str | None, if_match: str | None, etag: str | None) -> str | None:
    """As Ceph RGW: the ETag is compared without quotes."""
    if if_none_match:
        return FAILED if etag else None
    return FAILED if if_match and if_match != etag else None


def ignored(_if_none_match: str | None, _if_match: str | None, _etag: str | None) -> None:
    """Every write is made."""


def new_only(if_none_match: str | None, if_match: str | None, etag: str | None) -> str | None:
    """Only If-None-Match is known."""
    return "501 NotImplemented" if if_match else like_aws(if_none_match, None, etag)


def unquoted_is_ignored(
    if_none_match: str | None, if_match: str | None, etag: str | None
) -> str | None:
    """A quoted If-Match never matches, and an unquoted one is ignored."""
    if if_match and not if_match.startswith('"'):
        return None
    return FAILED if if_match else like_aws(if_none_match, None, etag)


def says(words: str) -> Condition:
    """Every write on a condition is answered with a status and a code."""

    def check(if_none_match: str | None, if_match: str | None, _etag: str | None) -> str | None:
        return words if if_none_match or if_match else None

    return check


def refusing(condition: Condition, words: str) -> Condition:
    """A condition that does not hold is answered with another status and code."""

    def check(if_none_match: str | None, if_match: str | None, etag: str | None) -> str | None:
        return words if condition(if_none_match, if_match, etag) else None

    return check


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object."""

    body: bytes
    headers: Mapping[str, str]
    written: datetime

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Habits:
    """The differences of the server from AWS.

    Attributes:
        condition: How PutObject handles conditions.
        etag: How ETags are written in responses.
        removes: Whether objects may be removed.
        lists: Whether listings contain the objects.
        now: The clock for modification times.
    """

    condition: Condition = like_aws
    etag: Callable[[str], str] = '"{}"'.format
    removes: bool = True
    lists: bool = True
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


class ResultsServer(Served):
    """Serves one bucket; CompleteMultipartUpload ignores conditions, as that of Ceph RGW does.

    Attributes:
        habits: The differences from AWS.
        objects: The objects, by key.
        seen: Method, key and conditions of the requests, in order.
    """

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.objects: dict[str, StoredObject] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self._uploads: dict[str, tuple[dict[str, str], dict[int, bytes]]] = {}
        self._lock = threading.Lock()
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with served._lock:
                    status, told, answer = served._answer(self.command, self.path, headers, body)
                self.send_response_only(status)
                for name, value in told.items():
                    self.send_header(name, value)
                if "Content-Length" not in told:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests need no log."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self._url = f"http://127.0.0.1:{server.server_port}"
        super().__init__(server)

    def begin(self, habits: Habits) -> None:
        """Begin anew, with nothing there."""
        with self._lock:
            self.habits, self.objects, self.seen, self._uploads = habits, {}, [], {}

    @property
    def bucket_config(self) -> BucketConfig:
        """The configuration to access the bucket."""
        url = self._url
        return BucketConfig(
            BUCKET, url, access_key="any", secret_key="any", addressing_style="path"
        )

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answered:
        parts = urlsplit(path)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        conditions: dict[str, str] = {
            name: headers[name] for name in ("if-match", "if-none-match") if name in headers
        }
        self.seen.append((f"{method} {' '.join(sorted(query))}".strip(), key, conditions))
        if method == "GET" and not key:
            return 200, {"Content-Type": "application/xml"}, self._listing(query)
        if {"uploads", "uploadId"} & query.keys():
            return self._upload(key, query, headers, body)
        if method == "PUT":
            return self._put(key, headers, body)
        if method == "DELETE":
            if not self.habits.removes:
                return self._refused("403 AccessDenied")
            self.objects.pop(key, None)
            return 204, {}, b""
        return self._read(method, key, headers)

    def _put(self, key: str, headers: Mapping[str, str], body: bytes) -> Answered:
        there = self.objects.get(key)
        error_response = self.habits.condition(
            headers.get("if-none-match"), headers.get("if-match"), there.etag if there else None
        )
        if error_response:
            return self._refused(error_response)
        stored = self._store(key, body, headers)
        return 200, {"ETag": self.habits.etag(stored.etag)}, b""

    def _upload(
        self, key: str, query: Mapping[str, str], headers: dict[str, str], body: bytes
    ) -> Answered:
        if "uploads" in query:
            self._uploads[name := str(len(self._uploads))] = headers, {}
            told = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId>"
            return 200, {}, f"{told}</InitiateMultipartUploadResult>".encode()
        if "partNumber" in query:
            self._uploads[query["uploadId"]][1][int(query["partNumber"])] = body
            return 200, {"ETag": '"part"'}, b""
        headers, pieces = self._uploads.pop(query["uploadId"])
        self._store(key, b"".join(pieces[number] for number in sorted(pieces)), headers)
        told = "<CompleteMultipartUploadResult><ETag>x</ETag>"
        return 200, {}, f"{told}</CompleteMultipartUploadResult>".encode()

    def _read(self, method: str, key: str, headers: Mapping[str, str]) -> Answered:
        stored = self.objects.get(key)
        if stored is None:
            return self._refused("404 NoSuchKey")
        told = {"ETag": self.habits.etag(stored.etag), **stored.headers}
        if method == "HEAD":
            return 200, {**told, "Content-Length": str(len(stored.body))}, b""
        if "range" in headers:
            low, _, high = headers["range"].removeprefix("bytes=").partition("-")
            return 206, told, stored.body[int(low) : int(high) + 1]
        return 200, told, stored.body

    def _store(self, key: str, body: bytes, headers: Mapping[str, str]) -> StoredObject:
        meta = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
        self.objects[key] = stored = StoredObject(body, meta, self.habits.now())
        return stored

    def _listing(self, query: Mapping[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        found: list[str] = []
        for key in sorted(self.objects) if self.habits.lists else ():
            if not key.startswith(prefix):
                continue
            name, is_folder = rolled_up(key, prefix, delimiter)
            if is_folder:
                found.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
                continue
            stored = self.objects[key]
            found.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(stored.body)}</Size>"
                f"<LastModified>{stored.written:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
            )
        entries = "".join(dict.fromkeys(found))
        told = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        return told.encode()

    @staticmethod
    def _refused(words: str) -> Answered:
        status, _, code = words.partition(" ")
        told = {"Content-Type": "application/xml"}
        return int(status), told, b"" if status == "304" else error_document(code)
