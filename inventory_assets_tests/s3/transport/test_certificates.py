"""Certificates that are trusted, and bundles that cannot be read."""

from pathlib import Path

import pytest

from inventory_assets.s3.errors import RetriesExhausted, TlsFailure
from inventory_assets_tests.fakes.scripted_server import ScriptedServer
from inventory_assets_tests.s3.transport.requests import error_of, list_once, to
from inventory_assets_tests.s3.transport.servers import ConnectProxy

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@pytest.mark.parametrize("setting", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
def test_a_private_authority_is_trusted_wherever_it_is_named(
    setting: str,
    certificate: Path,
    tls_server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if setting == "ca_bundle":
        config = tmp_path / "config"
        config.write_text(f"[default]\nca_bundle = {certificate}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    else:
        monkeypatch.setenv(setting, str(certificate))
    assert list_once(to(tls_server.url)).objects.num_rows == 1


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_not_trusted(
    proxies: pytest.MonkeyPatch, tls_server: ScriptedServer
) -> None:
    port = tls_server.url.rpartition(":")[2]
    with ConnectProxy() as proxy:
        proxies.setenv("HTTPS_PROXY", proxy.url)
        error = error_of(to(f"https://s3.example.com:{port}"))
    assert isinstance(error, TlsFailure)
    assert not tls_server.seen


def test_a_bundle_that_does_not_exist_is_reported(
    tls_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    error = error_of(to(tls_server.url))
    assert not isinstance(error, RetriesExhausted)
    assert "AWS_CA_BUNDLE" in str(error)


@pytest.mark.parametrize(
    ("content", "words"), [("no PEM", "no certificates in PEM"), ("", "no certificates in PEM")]
)
def test_a_bundle_that_holds_no_certificates_is_reported(
    content: str,
    words: str,
    tls_server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    error = error_of(to(tls_server.url))
    assert type(error) is TlsFailure
    assert words in str(error)
    assert str(bundle) in str(error)
    assert not tls_server.seen


def test_a_bundle_that_is_a_folder_is_reported(
    tls_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path))
    error = error_of(to(tls_server.url))
    assert type(error) is TlsFailure
    assert str(tmp_path) in str(error)
