"""Fixtures of the tests of the transport: servers, certificates, proxies, opened connections."""

import os
import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from botocore.loaders import JSONFileLoader
from urllib3.connection import HTTPConnection

from inventory_assets.s3.http.endpoint import Endpoint
from inventory_assets.s3.http.transport import Transport
from inventory_assets_tests.fakes.certificate import self_signed_certificate
from inventory_assets_tests.fakes.scripted_server import ScriptedServer
from inventory_assets_tests.s3.transport.requests import GOOD


@pytest.fixture(scope="package", autouse=True)
def models_read_once() -> Iterator[None]:
    """Read botocore's models once, not for every test."""
    with pytest.MonkeyPatch.context() as patch:
        load = JSONFileLoader().load_file
        read = cache(load)
        patch.setattr(JSONFileLoader, "load_file", lambda _self, path: read(path))
        yield


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([GOOD]) as scripted:
        yield scripted


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[HTTPConnection]:
    """The opened connections, in order."""
    found: list[HTTPConnection] = []
    connect = Transport._connect

    def counted(self: Transport, target: Endpoint) -> HTTPConnection:
        found.append(connect(self, target))
        return found[-1]

    monkeypatch.setattr(Transport, "_connect", counted)
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of this machine, with its key."""
    return self_signed_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def tls_server(tls: ssl.SSLContext) -> Iterator[ScriptedServer]:
    with ScriptedServer([GOOD], tls=tls) as scripted:
        yield scripted


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove all proxy variables, NO_PROXY included; the test sets its own."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch
