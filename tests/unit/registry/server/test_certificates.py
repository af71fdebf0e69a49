from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509

from holdall.errors import InvalidOption, StoreCorrupt
from holdall.registry.server.certificates import DAYS, Certificates, check_names, default_names, names_of

DAY = 86_400.0
NOW = time.time()


def server_of(made: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(made.server).read_bytes())


def trusted(made: Certificates, host: str) -> None:
    """A handshake in memory, by OpenSSL's own rules."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.server)
    client = ssl.create_default_context(cafile=made.ca)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].getpeercert()


def test_clients_that_trust_the_authority_trust_the_server(tmp_path: Path) -> None:
    made = Certificates(str(tmp_path / "tls"), ["registry.example", "127.0.0.1", "::0001", "*.registry.example"])
    assert made.renew(NOW)
    for host in ("registry.example", "127.0.0.1", "::1", "a.registry.example"):
        trusted(made, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        trusted(made, "other.example")
    other = Certificates(str(tmp_path / "other"), ["registry.example"])
    other.renew(NOW)
    other.server = made.server
    with pytest.raises(ssl.SSLCertVerificationError):
        trusted(other, "registry.example")


def test_keys_are_nobody_elses(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Certificates(str(tmp_path / "tls"), ["a"]).renew(NOW)
    finally:
        os.umask(old)
    modes = {name: os.stat(tmp_path / "tls" / name).st_mode & 0o777 for name in os.listdir(tmp_path / "tls")}
    assert modes == {"ca.crt": 0o644, "ca.pem": 0o600, "server.pem": 0o600, "lock": 0o600}
    assert os.stat(tmp_path / "tls").st_mode & 0o777 == 0o700


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    one, two = (Certificates(str(tmp_path), ["b", "a"]) for _ in range(2))
    assert one.renew(NOW)
    before = Path(one.server).read_bytes()
    assert not two.renew(NOW)
    assert not one.renew(NOW + DAY)
    assert Path(one.server).read_bytes() == before
    assert names_of(server_of(one)) == ["a", "b"]


def test_it_is_renewed_before_its_end_by_whoever_looks_first(tmp_path: Path) -> None:
    one, two = (Certificates(str(tmp_path), ["a"]) for _ in range(2))
    one.renew(NOW)
    two.renew(NOW)
    authority, first = Path(one.ca).read_bytes(), server_of(one)
    later = NOW + (DAYS - 29) * DAY
    assert not one.renew(NOW + (DAYS - 31) * DAY)
    assert one.renew(later)
    assert not two.renew(later)
    assert server_of(one).not_valid_after_utc > first.not_valid_after_utc
    assert Path(one.ca).read_bytes() == authority


def test_other_names_are_another_certificate(tmp_path: Path) -> None:
    Certificates(str(tmp_path), ["a"]).renew(NOW)
    made = Certificates(str(tmp_path), ["a", "b"])
    assert made.renew(NOW)
    assert names_of(server_of(made)) == ["a", "b"]


def test_an_authority_made_anew_is_trusted_by_those_who_know_the_old_one(tmp_path: Path) -> None:
    made = Certificates(str(tmp_path), ["a"])
    made.renew(NOW - 9.5 * 365 * DAY)
    old = tmp_path / "old.crt"
    old.write_bytes(Path(made.ca).read_bytes())
    assert made.renew(NOW)
    assert Path(made.ca).read_bytes() != old.read_bytes()
    trusted(made, "a")
    made.ca = str(old)
    trusted(made, "a")


def test_a_clock_that_was_wrong_and_damaged_files(tmp_path: Path) -> None:
    made = Certificates(str(tmp_path), ["a"])
    made.renew(NOW + 1000 * DAY)
    again = Certificates(str(tmp_path), ["a"])
    assert again.renew(NOW)
    Path(made.server).write_bytes(b"x")
    assert Certificates(str(tmp_path), ["a"]).renew(NOW)
    Path(made.ca).write_bytes(b"x")
    assert not Certificates(str(tmp_path), ["a"]).renew(NOW), "its key is there: the server's is still good"
    trusted(made, "a")
    (tmp_path / "ca.pem").write_bytes(b"x")
    with pytest.raises(StoreCorrupt, match="no private key"):
        Certificates(str(tmp_path), ["a"]).renew(NOW)
    (tmp_path / "ca.pem").unlink()
    assert Certificates(str(tmp_path), ["a"]).renew(NOW)
    trusted(made, "a")


def test_names() -> None:
    assert {"localhost", "127.0.0.1", "::1"} <= set(default_names(""))
    assert "192.0.2.1" in default_names("192.0.2.1")
    check_names(["a", "a.b", "*.a.b", "192.0.2.1", "::1", "a_b-c"])
    for name in ("", "a b", "a/b", "a:5000", "*", "é", "a..b", "x" * 64, "https://a"):
        with pytest.raises(InvalidOption, match="neither a host name"):
            check_names([name])
    with pytest.raises(InvalidOption, match="more than"):
        check_names([f"a{n}" for n in range(101)])


def test_advice_names_the_files_that_clients_look_for(tmp_path: Path) -> None:
    made = Certificates(str(tmp_path), ["127.0.0.1", "registry.example"])
    made.renew(NOW)
    text = "\n".join(made.advice(5000))
    assert "/etc/docker/certs.d/registry.example:5000/ca.crt" in text
    assert "/etc/containers/certs.d/registry.example:5000/ca.crt" in text
    assert f"{tmp_path}/ca.crt" in text
    assert "[::1]:5000" in "\n".join(Certificates(str(tmp_path), ["::1"]).advice(5000))
