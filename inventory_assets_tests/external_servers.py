"""S3 servers in separate processes, on free ports of 127.0.0.1: ministack and SeaweedFS.

Both are started with their data in a folder and can be restarted on it. Each object is put by a
plain signed request, so that no client changes the bytes of its key.
"""

import hashlib
import hmac
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

from inventory_assets.s3.bucket_config import BucketConfig

HOST = "127.0.0.1"
REGION = "us-east-1"
_START_SECONDS = 60
_STARTS = 5
"""Tries to start: a port that was free may be taken before the server binds it."""


@dataclass(frozen=True, slots=True)
class Account:
    """A pair of keys."""

    access_key: str
    secret_key: str

    @classmethod
    def random(cls) -> "Account":
        return cls(f"AKID{secrets.token_hex(8).upper()}", secrets.token_hex(20))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that boto3's chain finds these keys in."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens, and an account that may do everything there.

    Attributes:
        url: Where it listens.
        account: Who may do everything.
        keeps_folders: It stores keys by folder and file name: no segment may be empty, `.`, `..`,
            or longer than 255 bytes, `a/` is no object, and `a/1` is listed before `a-b`.
        takes_trailers: An upload may be in chunks that a checksum follows (`aws-chunked`).
    """

    url: str
    account: Account
    keeps_folders: bool = False
    takes_trailers: bool = True

    def bucket_config(self, bucket: str, max_in_flight: int = 32) -> BucketConfig:
        return BucketConfig(
            bucket,
            self.url,
            region=REGION,
            access_key=self.account.access_key,
            secret_key=self.account.secret_key,
            max_in_flight=max_in_flight,
        )

    def send(self, method: str, path: str, body: bytes = b"") -> int:
        """Send one request on a connection of its own; its status."""
        with closing(RawClient(self)) as client:
            return client.send(method, path, body)

    def make_bucket(self, bucket: str, objects: Mapping[str, bytes] | None = None) -> str:
        """Make a bucket that holds `objects`; its name."""
        status = self.send("PUT", f"/{bucket}")
        assert status == 200, f"making the bucket {bucket} gave {status}"
        self.put(bucket, objects or {})
        return bucket

    def put(self, bucket: str, objects: Mapping[str, bytes], connections: int = 4) -> None:
        """Put objects, each under its key byte for byte."""
        folders = {key[:end] for key in objects for end, mark in enumerate(key) if mark == "/"}
        # SeaweedFS has lost `a`, put at the moment when `a/x` made a folder of that name.
        for is_folder in (False, True):
            some = {key: body for key, body in objects.items() if (key in folders) is is_folder}
            requests = [("PUT", _path(bucket, key), body) for key, body in some.items()]
            self._send_all(requests, connections)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        self._send_all([("DELETE", _path(bucket, key), b"") for key in keys], connections=4)

    def _send_all(self, requests: list[tuple[str, str, bytes]], connections: int) -> None:
        def send(share: list[tuple[str, str, bytes]]) -> None:
            with closing(RawClient(self)) as client:
                for method, path, body in share:
                    status = client.send(method, path, body)
                    assert status in (200, 204), f"{method} {path[:200]} gave {status}"

        shares = [requests[number::connections] for number in range(connections)]
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(send, shares))


class MotoEndpoint(Endpoint):
    """A moto server of this process: HTTP takes it milliseconds an object, and knows no newline."""

    def put(self, bucket: str, objects: Mapping[str, bytes], connections: int = 4) -> None:  # noqa: ARG002
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key, body in objects.items():
            backend.put_object(bucket, key, body)


class RawClient:
    """One connection that is kept alive and sends signed requests with paths exactly as given."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._account = endpoint.account
        self._host = urlsplit(endpoint.url).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=60)

    def send(self, method: str, path: str, body: bytes = b"") -> int:
        """Send a request to a percent-encoded path, read the answer, return its status."""
        self._connection.request(method, path, body, self._signature(method, path))
        with self._connection.getresponse() as response:
            response.read()
            return response.status

    def close(self) -> None:
        self._connection.close()

    def _signature(self, method: str, path: str) -> dict[str, str]:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = {
            "host": self._host,
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "x-amz-date": now,
        }
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        request = f"{method}\n{path}\n\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = _signing_key(self._account.secret_key, scope)
        signature = _hmac(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}").hex()
        return signed | {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self._account.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        }


class ServerProcess(ABC):
    """A server with its data in a folder; used as a context, in which it runs.

    Args:
        folder: Where the data lies.
        host: The address to listen on.

    Attributes:
        endpoint: Where it listens, and who may do everything there.
        user: Whose processes it has; None for the present user.
    """

    port_count = 1
    keeps_folders = False
    stop_signal = signal.SIGTERM
    user: str | None = None

    def __init__(self, folder: Path, host: str = HOST) -> None:
        self.folder = folder
        self.host = host
        self.account = Account.random()
        self._ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{self.host}:{self._ports[0]}", self.account, self.keeps_folders)

    def start(self) -> None:
        """Start, and wait until requests are answered."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_STARTS):
            self._ports = self._ports or free_ports(self.port_count, self.host)
            self.prepare()
            with (self.folder / "server.log").open("wb") as log:
                self._process = subprocess.Popen(
                    self.command(self._ports),
                    cwd=self.folder,
                    env=self.environment(self._ports),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    user=self.user,
                )
            if self._becomes_ready(self._process):
                return
            self.stop()
            self._ports = []
        log_end = (self.folder / "server.log").read_text(errors="replace")[-3000:]
        raise AssertionError(f"{type(self).__name__} does not start:\n{log_end}")

    def stop(self) -> None:
        """End the process; the data stays."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(30)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    @abstractmethod
    def command(self, ports: list[int]) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    def environment(self, ports: list[int]) -> dict[str, str]:  # noqa: ARG002
        return {**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder)}

    def prepare(self) -> None:  # noqa: B027 - a server may need nothing
        """Write what the server reads when it starts."""

    def _becomes_ready(self, process: subprocess.Popen[bytes]) -> bool:
        end = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < end:
            try:
                # Another's server may have taken the port, whereupon this process ends.
                if self.is_ready() and process.poll() is None:
                    return True
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        return False


class Ministack(ServerProcess):
    """ministack's S3, IAM and STS: keys in byte order.

    Args:
        folder: Where the data lies.
        checks_access: Refuse unknown keys, wrong secrets, and users without a policy.
        keeps_data: Write every object to the disk, so that it outlives a restart.
        host: The address to listen on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        checks_access: bool = False,
        keeps_data: bool = False,
        host: str = HOST,
    ) -> None:
        super().__init__(folder, host)
        self._checks_access = checks_access
        self._keeps_data = keeps_data

    def command(self, ports: list[int]) -> list[str]:  # noqa: ARG002
        return [sys.executable, "-m", "ministack"]

    def environment(self, ports: list[int]) -> dict[str, str]:
        return {
            **super().environment(ports),
            **self.account.environment,
            "GATEWAY_PORT": str(ports[0]),
            "BIND_HOST": self.host,
            "MINISTACK_HOST": self.host,
            "SERVICES": "s3,iam,sts",
            "LOG_LEVEL": "ERROR",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "S3_PERSIST": str(int(self._keeps_data)),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "PERSIST_STATE": str(int(self._keeps_data)),
            "STATE_DIR": str(self.folder / "state"),
            "AUTH": "true" if self._checks_access else "false",
        }

    def is_ready(self) -> bool:
        return self.endpoint.send("GET", "/_ministack/health") == 200


class SeaweedFS(ServerProcess):
    """SeaweedFS: keys in directory order."""

    port_count = 8
    keeps_folders = True
    # SIGTERM takes 15 seconds; what was written a second ago outlives SIGKILL as well.
    stop_signal = signal.SIGKILL

    def prepare(self) -> None:
        identity = {
            "name": "admin",
            "credentials": [
                {"accessKey": self.account.access_key, "secretKey": self.account.secret_key}
            ],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")

    def command(self, ports: list[int]) -> list[str]:
        names = ("s3", "s3.grpc", "master", "master.grpc", "volume", "volume.grpc")
        where = dict(zip((*names, "filer", "filer.grpc"), ports, strict=True))
        return [
            str(Path(sys.executable).with_name("weed")),
            "server",
            f"-dir={self.folder}",
            f"-ip={self.host}",
            f"-ip.bind={self.host}",
            f"-master.port={where['master']}",
            f"-master.port.grpc={where['master.grpc']}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            f"-volume.port={where['volume']}",
            f"-volume.port.grpc={where['volume.grpc']}",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
            "-volume.minFreeSpace=100MiB",
            "-filer",
            f"-filer.port={where['filer']}",
            f"-filer.port.grpc={where['filer.grpc']}",
            "-filer.localSocket=f.sock",
            "-s3",
            f"-s3.port={where['s3']}",
            f"-s3.port.grpc={where['s3.grpc']}",
            f"-s3.config={self.folder}/s3.json",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            "-s3.localSocket=s.sock",
        ]

    def is_ready(self) -> bool:
        endpoint = self.endpoint
        return (
            endpoint.send("PUT", "/ready") in (200, 409)
            and endpoint.send("PUT", "/ready/now", b"x") == 200
            and endpoint.send("GET", "/ready/now") == 200
        )

    def stop(self) -> None:
        if self._process is not None:
            time.sleep(1)
        super().stop()
        for port in self._ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):  # noqa: S108
                left.unlink(missing_ok=True)


def free_ports(count: int, host: str = HOST) -> list[int]:
    """Ports of an address of this machine that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _path(bucket: str, key: str) -> str:
    return f"/{bucket}/{quote(key, safe='/~')}"


@cache
def _signing_key(secret_key: str, scope: str) -> bytes:
    key = b"AWS4" + secret_key.encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
