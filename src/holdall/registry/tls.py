"""TLS contexts per host: system roots, SSL_CERT_FILE, and the certs.d folders of Docker and containers.

In a folder (docs.docker.com "Verify repository client with certificates", containers-certs.d(5)) every *.crt is a
root to trust, every X.cert with its X.key a client certificate.
"""

from __future__ import annotations

import os
import ssl

from holdall.errors import InvalidInput
from holdall.registry.endpoint import HUB, HUB_HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.options import Options

SYSTEM_FOLDERS = ("/etc/containers/certs.d", "/etc/docker/certs.d")
MAX_FILES = 1_000


class TlsContexts:
    """The contexts of one session, made when first needed."""

    def __init__(self, options: Options) -> None:
        self._cert_dir = options.cert_dir
        self._cert_dirs = options.cert_dirs
        self._home = options.environment.get("HOME", "")
        self._cert_file = options.environment.get("SSL_CERT_FILE", "")
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    def folder(self, host: str) -> str:
        """The folder with certificates for host[:port], "" when there is none."""
        if self._cert_dir or host in self._cert_dirs:
            return self._cert_dirs.get(host) or self._cert_dir or ""
        bases = [os.path.join(self._home, ".config/containers/certs.d")] if self._home else []
        names = (host, HUB) if host == HUB_HOST else (host,)
        for base in (*bases, *SYSTEM_FOLDERS):
            for name in names:
                path = os.path.join(base, name)
                if os.path.isdir(path):
                    return path
        return ""

    def context(self, host: str, *, verify: bool) -> ssl.SSLContext:
        """The context for connections to host[:port]. Raises InvalidInput for a broken file or pair."""
        key = (self.folder(host), verify)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = self._make(*key)
        return context

    def _make(self, folder: str, verify: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._cert_file and self._cert_file != os.environ.get("SSL_CERT_FILE"):
            _load_root(context, self._cert_file)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if folder:
            _load_folder(context, folder)
        return context


def _load_folder(context: ssl.SSLContext, folder: str) -> None:
    try:
        names = sorted(os.listdir(folder))[:MAX_FILES]
    except OSError as err:
        raise InvalidInput(f'cannot read certificates in "{folder}": {err.strerror}') from err
    for name in names:
        path, (stem, suffix) = os.path.join(folder, name), os.path.splitext(name)
        if suffix == ".crt":
            _load_root(context, path)
        elif suffix == ".cert":
            _load_pair(context, path, os.path.join(folder, stem + ".key"))
        elif suffix == ".key" and stem + ".cert" not in names:
            raise InvalidInput(
                f'key "{path}" has no certificate', hint=f'add "{stem}.cert"; roots to trust end in .crt'
            )


def _load_root(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as err:
        raise InvalidInput(f'"{path}" holds no certificate in pem form') from err
    except OSError as err:
        raise InvalidInput(f'cannot read certificate "{path}": {err.strerror}') from err


def _load_pair(context: ssl.SSLContext, cert: str, key: str) -> None:
    if not os.path.exists(key):
        raise InvalidInput(f'client certificate "{cert}" has no key', hint=f'add "{os.path.basename(key)}" beside it')
    try:
        context.load_cert_chain(cert, key, password=_no_password(key))
    except ssl.SSLError as err:
        raise InvalidInput(f'client certificate "{cert}" and its key do not fit or cannot be read') from err
    except OSError as err:
        raise InvalidInput(f'cannot read client certificate "{cert}": {err.strerror}') from err


def _no_password(key: str) -> Callable[[], str]:
    def refuse() -> str:
        raise InvalidInput(f'key "{key}" is encrypted', hint="store it without a pass phrase")

    return refuse
