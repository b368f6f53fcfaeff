"""How to connect to an endpoint: the proxy, and the trusted certificate authorities."""

import errno
import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

import urllib3
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from inventory_assets.s3.errors import RequestRejected, TlsFailure

_NAMING = "which AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or ca_bundle names"


def route_to(
    url: str, display_name: str
) -> tuple[str | None, Mapping[str, str], urllib3.HTTPConnectionPool]:
    """The proxy's URL (or None), the headers for it, and a urllib3 pool that connects through it.

    Args:
        url: The URL of the endpoint.
        display_name: The bucket and endpoint, for messages.

    Raises:
        RequestRejected: The proxy's URL is invalid. The message omits it, as it may have a
            password.
    """
    try:
        named = get_environ_proxies(url)
        # botocore prepends http:// to a scheme that it does not know: http://socks5://…
        scheme, separator, _ = named.get(url.partition(":")[0], "").partition("://")
        if separator and scheme.lower() not in ("http", "https"):
            raise ValueError("the proxy's scheme is not HTTP or HTTPS")  # noqa: TRY301 - translated below
        proxies = ProxyConfiguration(proxies=named)
        proxy_url = proxies.proxy_url_for(url)
        to_proxy = proxies.proxy_headers_for(proxy_url)
        return proxy_url, to_proxy, _pool(url, proxy_url, to_proxy)
    except UnicodeError:
        raise RequestRejected(
            f"{display_name}: the proxy's user or password is not ASCII, which a request cannot "
            "contain; change it"
        ) from None
    except (HTTPError, ValueError):
        name = f"{url.partition(':')[0].upper()}_PROXY"
        raise RequestRejected(
            f"{display_name}: the URL of the proxy cannot be used; correct {name} to "
            "http://HOST:PORT or https://HOST:PORT, or leave it out"
        ) from None


def trusted(ca_bundle: str | None, display_name: str) -> dict[str, str]:
    """The options of urllib3 for the trusted certificate authorities.

    Args:
        ca_bundle: The `ca_bundle` of the AWS configuration, or None.
        display_name: The bucket and endpoint, for messages.

    Raises:
        TlsFailure: The file cannot be read, or contains no certificates; the error of a handshake
            would not say so.
    """
    file = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE")
    if file:
        _check(Path(file), display_name)
    return {"cert_reqs": "CERT_REQUIRED", "ca_certs": file or str(get_cert_path(True))}


def _check(file: Path, display_name: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except FileNotFoundError:
        message = f"there is no certificate authority at {file}, {_NAMING}"
    except ssl.SSLError:
        message = f"{file}, {_NAMING}, holds no certificates in PEM; name a file that does"
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        message = (
            f"{file}, {_NAMING}, cannot be read ({error.strerror}); name a file of certificates"
        )
    else:
        return
    raise TlsFailure(f"{display_name}: {message}")


def _pool(
    url: str, proxy_url: str | None, to_proxy: Mapping[str, str]
) -> urllib3.HTTPConnectionPool:
    options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    manager = (
        urllib3.ProxyManager(
            proxy_url,
            proxy_headers=to_proxy,
            socket_options=options,
        )
        if proxy_url
        else urllib3.PoolManager(socket_options=options)
    )
    return manager.connection_from_url(url)
