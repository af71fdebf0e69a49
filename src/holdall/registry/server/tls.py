"""TLS for the server: the certificate it was given, TLS 1.2 at least."""

from __future__ import annotations

import ssl

from holdall.errors import InvalidOption


def context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's context. Raises InvalidOption when the files are not a certificate and its key."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(certificate, key or None)
    except OSError as err:
        raise InvalidOption(f'cannot use the certificate "{certificate}": {err}') from err
    return made


def renew(live: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have a context use the files as they are now. Raises InvalidOption; then it goes on with what it had.

    They are tried elsewhere first: OpenSSL takes a certificate in and drops the old key before it finds that the new
    one does not fit, and no client could connect any more.
    """
    context(certificate, key)
    live.load_cert_chain(certificate, key or None)
