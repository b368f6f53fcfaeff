"""An S3 bucket of any size on 127.0.0.1 that uses little CPU time: the load of the benchmarks.

The server is a C program, `load_source.c`, built here with the system's compiler. As a context
manager it is `LoadSource`; in the foreground, `python benchmarks/load_source.py --count 1000000`.
"""

import argparse
import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "benchmarks"
DEMO_NAMES = HERE.parent / "inventory_assets" / "demo" / "key_names.txt.zst"
SOURCES = tuple(HERE / f"load_source{end}" for end in (".c", "_keys.c", "_pages.c", "_requests.c"))
HEADER = HERE / "load_source.h"

HOST = "127.0.0.1"
BUCKET = "bench"
SHAPES = ("flat", "deep", "skewed", "real")
MOST_KEYS = 300_000_000


class NoCompiler(Exception):
    """The load source cannot be built here."""


class LoadSource:
    """A running load source; a context manager. It ends with this process at the latest.

    Args:
        shape: How keys look, one of `SHAPES`: uniform hashes; folders by date and host; 70 % of the
            keys under one of 20 top-level prefixes; real file names, repeated.
        count: The number of keys.
        latency: Milliseconds before a response begins.
        errors: The fraction of requests with a response of 503 SlowDown.
        resets: The fraction of responses that end in a connection reset halfway.
        seed: Determines keys, attributes and errors.
        checksums: Whether to list checksum algorithms.
        owners: Whether to list owners.
        tls: Whether to serve HTTPS, by a separate process whose CPU is not counted.
        names: Names for the shape `real`, one a line, sorted by bytes; plain or as `.zst`.
        port: The port to listen on; 0 for any free one. With `tls`, that process has a free one.
        host: The IPv4 address to listen on.

    Attributes:
        url: Its URL.
        bucket: The one bucket it has.
        ca_file: With `tls`, the certificate to trust.
    """

    bucket = BUCKET

    def __init__(
        self,
        shape: str = "flat",
        count: int = 1_000_000,
        *,
        latency: float = 0.0,
        errors: float = 0.0,
        resets: float = 0.0,
        seed: int = 0,
        checksums: bool = False,
        owners: bool = False,
        tls: bool = False,
        names: Path = DEMO_NAMES,
        port: int = 0,
        host: str = HOST,
    ) -> None:
        if shape not in SHAPES or not 0 <= count <= MOST_KEYS:
            raise ValueError(f"no load source of {count:,} keys of the shape {shape!r}")
        options = {
            "shape": shape,
            "count": count,
            "latency": latency,
            "errors": errors,
            "reset": resets,
            "seed": seed,
            "port": port,
            "host": host,
        }
        self.host = host
        if shape == "real":
            options["names"] = plain_text(names)
        flags = [f"--{name}" for name, on in (("checksums", checksums), ("owners", owners)) if on]
        command = [str(program()), "--attended", *flags]
        command += [f"--{name}={value}" for name, value in options.items()]
        self._processes = contextlib.ExitStack()
        self.ca_file: Path | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._server, self.port = self._start(command)
            self.url = f"http://{host}:{self.port}"
            if tls:
                folder = self._processes.enter_context(tempfile.TemporaryDirectory())
                self.ca_file, key = self_signed(Path(folder))
                terminator = [sys.executable, str(HERE / "tls_terminator.py")]
                _, tls_port = self._start(
                    [*terminator, str(self.port), str(self.ca_file), str(key)]
                )
                self.url = f"https://{HOST}:{tls_port}"
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def cpu_seconds(self) -> float:
        """User and system seconds the server has spent; sending is in it, TLS is not."""
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stats(self) -> tuple[int, int]:
        """The requests answered so far, and the objects in their responses."""
        requests, objects, _ = self._tally()
        return requests, objects

    def most_waiting(self) -> int:
        """The most requests so far that waited for the latency at the same time."""
        return self._tally()[2]

    def _tally(self) -> tuple[int, int, int]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/.tally")
            requests, objects, waiting = connection.getresponse().read().split()
        return int(requests), int(objects), int(waiting)

    def wait(self) -> None:
        """Wait until the server ends, which by itself it never does."""
        self._server.wait()

    def close(self) -> None:
        """End the server."""
        self._processes.close()

    def _start(self, command: list[str]) -> tuple[subprocess.Popen[str], int]:
        """Start a process that prints its port, and ends when its standard input does."""
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._processes.callback(_stop, process)
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise OSError(f"{Path(command[0]).name} did not start: exit code {process.wait()}")
        return process, int(line)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()


def program() -> Path:
    """The server's program, built if its source is newer.

    Raises:
        NoCompiler: There is no C compiler, or it failed.
    """
    built = BUILD / "load_source"
    changed = max(file.stat().st_mtime for file in (*SOURCES, HEADER))
    if built.exists() and built.stat().st_mtime > changed:
        return built
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompiler("the load source is a C program: install a C compiler, or name one in CC")
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        fresh = Path(folder) / "load_source"
        command = [compiler, "-O2", "-o", str(fresh), *map(str, SOURCES)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise NoCompiler(f"the load source cannot be compiled:\n{result.stderr[-2000:]}")
        fresh.replace(built)
    return built


def plain_text(names: Path) -> Path:
    """A file of names as plain text; unpacked into the build folder if it is compressed."""
    if names.suffix != ".zst":
        return names
    unpacked = BUILD / names.stem
    if not unpacked.exists() or unpacked.stat().st_mtime <= names.stat().st_mtime:
        import zstandard

        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            fresh = Path(folder) / names.stem
            with names.open("rb") as packed, fresh.open("wb") as out:
                zstandard.ZstdDecompressor().copy_stream(packed, out)
            fresh.replace(unpacked)
    return unpacked


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1; its file and that of its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "load source")])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def drain(port: int) -> int:
    """List everything on one bare connection, looking at nothing but the tokens; the bytes."""
    received, token = 0, ""
    buffer = bytearray(16 * 2**20)
    with socket.create_connection((HOST, port)) as connection:
        while True:
            target = f"/{BUCKET}?list-type=2&encoding-type=url{token}"
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            size, expected = 0, len(buffer)
            while size < expected:
                size += connection.recv_into(memoryview(buffer)[size:])
                if expected == len(buffer) and (end := buffer.find(b"\r\n\r\n", 0, size)) >= 0:
                    length = buffer[:end].rpartition(b"Content-Length: ")[2]
                    expected = end + 4 + int(length)
            received += size
            found = re.search(rb"<NextContinuationToken>(.*?)<", buffer[:4096])
            if found is None:
                return received
            token = f"&continuation-token={quote(found[1], safe='')}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve in the foreground, or measure what serving costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="flat")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS")
    parser.add_argument("--errors", type=float, default=0.0, metavar="FRACTION")
    parser.add_argument("--reset", dest="resets", type=float, default=0.0, metavar="FRACTION")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checksums", action="store_true")
    parser.add_argument("--owners", action="store_true")
    parser.add_argument("--names", type=Path, default=DEMO_NAMES, metavar="FILE")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument(
        "--measure", action="store_true", help="list everything once and print the CPU it cost"
    )
    options = vars(parser.parse_args(arguments))
    measure = options.pop("measure")
    with LoadSource(**options) as source, contextlib.suppress(KeyboardInterrupt):
        if not measure:
            trust = f", certificate {source.ca_file}" if source.ca_file else ""
            print(f"s3://{BUCKET} at {source.url}{trust}; ends with Ctrl-C", flush=True)
            source.wait()
            return
        before = source.cpu_seconds()
        received = drain(source.port)
        spent = (source.cpu_seconds() - before) / options["count"] * 1e6
        print(
            f"{options['shape']}: {spent:.2f} CPU seconds per million keys, "
            f"{received / options['count']:.0f} bytes a key"
        )


if __name__ == "__main__":
    main()
