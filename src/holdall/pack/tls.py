"""Certificates of the authorities, where the TLS libraries look for them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.pack.host import Host

LIBRARIES = ("libssl.so", "libgnutls.so", "libmbedtls.so", "libnss3.so")

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_REASON = "certificates for tls"
_DEBIAN_OPENSSL = "/usr/lib/ssl"


def bundle() -> str:
    """The host's file with all certificates, "" when it has none."""
    return next((path for path in _BUNDLES if os.path.isfile(path)), "")


def add(host: Host, default: str = "") -> None:
    """Add the certificates; `default` is the file that OpenSSL opens, made a link to them when the host lacks it.

    Debian's OpenSSL finds certificates one by one in a folder of links; one file does the same for less.
    """
    found = bundle()
    if not found:
        return
    real = host.follow(found, _REASON)
    if not default and os.path.isdir(_DEBIAN_OPENSSL):
        default = f"{_DEBIAN_OPENSSL}/cert.pem"
    if not default.startswith("/") or default in host.plan:
        return
    if os.path.isfile(default):
        host.follow(default, _REASON)
    elif os.path.isdir(os.path.dirname(default)):
        folder = host.follow(os.path.dirname(default), _REASON)
        host.plan.symlink(f"{folder}/{os.path.basename(default)}", real, _REASON)
