"""Errors of a connection: timeouts, addresses, and TLS."""

import datetime as dt
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from inventory_assets.s3 import bucket_config
from inventory_assets.s3.errors import RetriesExhausted, TlsFailure, TransientError
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.s3.error_requests import GOOD, error_of, list_once, to

pytestmark = pytest.mark.usefixtures("no_aws_environment")


def test_a_slow_answer_is_timed_out_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_config, "READ_TIMEOUT_SECONDS", 0.5)
    stats = RequestStats()
    with ScriptedServer([Answer(200, GOOD, delay=3.0), Answer(200, GOOD)]) as server:
        list_once(to(server.url), stats)
    assert stats.faults == {TransientError.TIMED_OUT: 1}


def test_a_refused_port_is_distinguished() -> None:
    with ScriptedServer([Answer()]) as server:
        closed = server.url
    stats = RequestStats()
    error = error_of(to(closed), stats)
    assert isinstance(error, RetriesExhausted)
    assert set(stats.faults) == {TransientError.REFUSED}
    assert stats.faults.total() > 2


def test_a_host_without_an_address_is_unreachable() -> None:
    stats = RequestStats()
    error = error_of(to("http://nonexistent.invalid:80"), stats)
    assert isinstance(error, RetriesExhausted)
    assert set(stats.faults) == {TransientError.UNREACHABLE}
    assert stats.faults.total() > 1


def test_tls_to_a_port_that_speaks_plain_http_fails_at_once() -> None:
    stats = RequestStats()
    with ScriptedServer([Answer(200, GOOD)]) as server:
        error = error_of(to(server.url.replace("http:", "https:")), stats)
    assert isinstance(error, TlsFailure)
    assert not stats.faults


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[tuple[ScriptedServer, Path]]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ScriptedServer([Answer(200, GOOD)], tls=context) as server:
        yield server, pem


def test_a_self_signed_certificate_is_not_trusted(
    self_signed: tuple[ScriptedServer, Path],
) -> None:
    stats = RequestStats()
    error = error_of(to(self_signed[0].url), stats)
    assert isinstance(error, TlsFailure)
    assert "AWS_CA_BUNDLE" in str(error)
    assert not stats.faults
    assert not self_signed[0].seen


def test_a_certificate_named_in_aws_ca_bundle_is_trusted(
    self_signed: tuple[ScriptedServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, pem = self_signed
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
    page = list_once(to(server.url.replace("127.0.0.1", "localhost")))
    assert page.objects.num_rows == 1
