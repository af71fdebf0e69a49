"""Certificates that nobody has to buy: an authority of our own and a server certificate it signs, by `cryptography`.

    tls/ca.crt        what clients trust
    tls/ca.pem        its key
    tls/server.pem    the server's certificate and key in one file, so that both change at once
    tls/lock          whoever makes one of them holds its lock (flock)

Only imported with --tls-generate. The authority keeps its key when its certificate is made anew, so that clients that
have the old one go on trusting until that ends.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import ipaddress
import os
import socket

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdall.errors import InvalidOption, StoreCorrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CA_DAYS = 3_650
CA_RENEW_DAYS = 365
DAYS = 90
RENEW_DAYS = 30
BEFORE = dt.timedelta(hours=1)
"""Certificates begin before they are made, for clocks that are a little behind."""
MAX_NAMES = 100
NEAR = ("127.0.0.1", "::1", "localhost")
CA, CA_KEY, SERVER = "ca.crt", "ca.pem", "server.pem"
"""No name ends in .key or .cert: so the folder itself can be given to clients as --cert-dir (containers-certs.d(5))."""


class Certificates:
    """The files in `folder`, for a server of these names (host names and addresses). Raises OSError, StoreCorrupt."""

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self.ca = os.path.join(folder, CA)
        self.server = os.path.join(folder, SERVER)
        self._folder = folder
        self._names = sorted({_spelled(name) for name in names})
        self._due = 0.0

    def renew(self, now: float) -> bool:
        """Make what is missing, for other names, or near its end; whether anything was made. Cheap when nothing is."""
        if now < self._due:
            return False
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        lock = os.open(f"{self._folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made, end = self._renew(dt.datetime.fromtimestamp(now, dt.UTC))
        finally:
            os.close(lock)
        self._due = (end - dt.timedelta(days=RENEW_DAYS)).timestamp()
        return made

    def _renew(self, now: dt.datetime) -> tuple[bool, dt.datetime]:
        key, authority = self._authority(now)
        found = _read(self.server)
        if found is not None and self._fits(found, authority, now):
            return False, found.not_valid_after_utc
        own = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign_server(self._names, own, key, authority, now)
        _write(self._folder, SERVER, certificate.public_bytes(serialization.Encoding.PEM) + _pem(own), 0o600)
        return True, certificate.not_valid_after_utc

    def _fits(self, found: x509.Certificate, authority: x509.Certificate, now: dt.datetime) -> bool:
        try:
            found.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError, TypeError):
            return False
        lasts = found.not_valid_before_utc <= now < found.not_valid_after_utc - dt.timedelta(days=RENEW_DAYS)
        return lasts and names_of(found) == self._names

    def _authority(self, now: dt.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key, certificate = _read_key(f"{self._folder}/{CA_KEY}"), _read(self.ca)
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            _write(self._folder, CA_KEY, _pem(key), 0o600)
            certificate = None
        ours = certificate is not None and certificate.public_key() == key.public_key()
        if certificate is None or not ours or certificate.not_valid_after_utc < now + dt.timedelta(days=CA_RENEW_DAYS):
            certificate = _sign_authority(key, now)
            _write(self._folder, CA, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return key, certificate

    def advice(self, port: int) -> list[str]:
        """What to tell whoever runs the server: how clients come to trust it."""
        far = [name for name in self._names if name not in NEAR] or self._names
        host = f"[{far[0]}]:{port}" if ":" in far[0] else f"{far[0]}:{port}"
        found = _read(self.ca)
        mark = "" if found is None else found.fingerprint(hashes.SHA256()).hex(":").upper()
        return [
            f"its certificate, for {', '.join(self._names)}, is signed by an authority of its own:",
            f"  {self.ca} (SHA-256 {mark})",
            "clients trust it with that file as",
            f"  /etc/docker/certs.d/{host}/ca.crt        docker",
            f"  /etc/containers/certs.d/{host}/ca.crt    podman, buildah, skopeo, holdall",
            f"or with --cert-dir {self._folder}; and do not check it with --tls-verify=false",
        ]


def default_names(host: str) -> list[str]:
    """What a server that listens on `host` is called: the machine's names and, on one address, that address."""
    found = {*NEAR, socket.gethostname().lower()}
    if host:
        found.add(host)
    return sorted(name for name in found if _is_name(name))


def check_names(names: Iterable[str]) -> None:
    """Refuse what can be in no certificate. Raises InvalidOption."""
    names = list(names)
    for name in names:
        if not _is_name(name):
            raise InvalidOption(f'--tls-name: "{name[:100]}" is neither a host name nor an address')
    if len(names) > MAX_NAMES:
        raise InvalidOption(f"--tls-name: more than {MAX_NAMES} names")


def names_of(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses a certificate is for, sorted."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    return sorted([*found.get_values_for_type(x509.DNSName), *addresses])


def _spelled(name: str) -> str:
    """A name the way a certificate gives it back."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def _is_name(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removeprefix("*.").split(".")
        return len(text) <= 253 and all(
            0 < len(label) <= 63 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
            for label in labels
        )
    return True


def _sign_authority(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Holdall registry"),
            # each authority has its own name: clients look for issuers by name
            x509.NameAttribute(NameOID.COMMON_NAME, f"Holdall registry {_key_id(key)[:16]}"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign_server(
    names: Sequence[str],
    own: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    now: dt.datetime,
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Holdall registry")])
    return (
        _builder(subject, authority.subject, own.public_key(), now, DAYS)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_id(key: ec.EllipticCurvePrivateKey) -> str:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: str) -> x509.Certificate | None:
    """A certificate, None when it is not there or damaged: then it is made anew."""
    try:
        with open(path, "rb") as file:
            return x509.load_pem_x509_certificate(file.read(1 << 20))
    except (FileNotFoundError, ValueError):
        return None


def _read_key(path: str) -> ec.EllipticCurvePrivateKey | None:
    """The authority's key, None when it is not there. A damaged one is not replaced: clients trust it."""
    try:
        with open(path, "rb") as file:
            key = serialization.load_pem_private_key(file.read(1 << 20), None)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as err:
        raise StoreCorrupt(
            f'"{path}" is no private key', hint="put it back, or remove it and have clients trust anew"
        ) from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StoreCorrupt(f'"{path}" is no key of an elliptic curve')
    return key


def _write(folder: str, name: str, data: bytes, mode: int) -> None:
    path = os.path.join(folder, name)
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
