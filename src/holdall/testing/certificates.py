"""A certificate authority for an afternoon, by the openssl command: server certificates for loopback, client ones."""

from __future__ import annotations

import os
import ssl
import subprocess

PROGRAM = "/usr/bin/openssl"
DAYS = "2"


class Authority:
    """A root certificate in `folder` (`root` is its file) and what it has signed."""

    def __init__(self, folder: str, name: str = "ca") -> None:
        self.folder = folder
        self.root = os.path.join(folder, f"{name}.crt")
        self._key = os.path.join(folder, f"{name}.pem")
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
            "-subj", f"/CN=holdall test {name}", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self._key, "-out", self.root,
        )  # fmt: skip

    def issue(self, name: str, hosts: tuple[str, ...] = ("IP:127.0.0.1", "DNS:localhost")) -> tuple[str, str]:
        """A certificate and its key, both files."""
        cert, key, request = (os.path.join(self.folder, f"{name}.{end}") for end in ("cert", "key", "csr"))
        extensions = os.path.join(self.folder, f"{name}.ext")
        with open(extensions, "w") as stream:
            stream.write(f"subjectAltName={','.join(hosts)}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request,
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self._key, "-CAcreateserial",
            "-days", DAYS, "-extfile", extensions, "-out", cert,
        )  # fmt: skip
        return cert, key

    def server_context(self, cert: str, key: str, *, client: bool = False) -> ssl.SSLContext:
        """A context to serve with; with `client` it wants a client certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.root)
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, cwd=self.folder)
