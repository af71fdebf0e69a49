from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from holdall.errors import InvalidInput
from holdall.registry.server.access import Access
from holdall.registry.server.issuers import Issuers
from holdall.registry.server.signing import TokenInvalid
from holdall.registry.server.token_settings import Issuer
from holdall.testing.served import served

if TYPE_CHECKING:
    from typing import Any

EC, ED, RSA = (
    ec.generate_private_key(ec.SECP384R1()),
    ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(public_exponent=65537, key_size=2048),
)
ISSUER = "https://git.example"


def pem(key: Any) -> str:
    raw: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return raw.decode()


def signed(key: Any, algorithm: str, kid: str = "", **changes: object) -> str:
    claims = {
        "iss": ISSUER,
        "aud": "holdall",
        "sub": "project/7",
        "exp": time.time() + 60,
        "access": [{"type": "repository", "name": "git/app", "actions": ["pull", "push"]}],
        **changes,
    }
    return jwt.encode(claims, key, algorithm, {"kid": kid} if kid else None)


def issuers(path: Path, text: str) -> Issuers:
    path.write_text(text)
    return Issuers([Issuer("git", ISSUER, str(path))])


def test_keys_in_pem(tmp_path: Path) -> None:
    known = issuers(tmp_path / "keys", pem(EC) + pem(RSA) + pem(ED))
    for key, algorithm in ((EC, "ES384"), (RSA, "RS256"), (RSA, "PS512"), (ED, "EdDSA")):
        found = known.verify(signed(key, algorithm), "holdall")
        assert found is not None
        assert (found[0], found[1]["sub"]) == ("git", "project/7")


def test_keys_in_a_set(tmp_path: Path) -> None:
    def entry(algorithm: str, key: Any, kid: str) -> dict[str, object]:
        made: dict[str, object] = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
        return {**made, "kid": kid, "use": "sig"}

    keys = [entry("RS256", RSA, "one"), entry("ES384", EC, "two"), {"kty": "oct", "k": "AAAA", "kid": "three"}]
    known = issuers(tmp_path / "keys", json.dumps({"keys": keys}))
    assert known.verify(signed(RSA, "RS256", "one"), "holdall")
    assert known.verify(signed(EC, "ES384", "two"), "holdall")
    assert known.verify(signed(EC, "ES384"), "holdall"), "without a name all keys are tried"
    for token in (signed(RSA, "RS256", "two"), signed(b"\0\0\0" * 20, "HS256", "three")):
        with pytest.raises(TokenInvalid):
            known.verify(token, "holdall")


def test_a_certificate_is_its_key(tmp_path: Path) -> None:
    from holdall.testing.certificates import Authority

    (tmp_path / "ca").mkdir()
    certificate, key = Authority(str(tmp_path / "ca")).issue("issuer")
    known = issuers(tmp_path / "keys", Path(certificate).read_text())
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    assert known.verify(signed(private, "ES256"), "holdall")


def test_tokens_that_are_not_good(tmp_path: Path) -> None:
    known = issuers(tmp_path / "keys", pem(RSA))
    assert known.verify(signed(RSA, "RS256", iss="https://other.example"), "holdall") is None
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    bad = [
        signed(other, "RS256"),
        signed(RSA, "RS256", aud="other"),
        signed(RSA, "RS256", exp=time.time() - 60),
        signed(EC, "ES384"),
        signed(pem(RSA)[30:60].encode() * 2, "HS256"),
        "x" * 20_000,
        "a.b.c",
    ]
    for token in bad:
        with pytest.raises(TokenInvalid):
            known.verify(token, "holdall")


@pytest.mark.parametrize(
    "text", ["", "x", "{}", '{"keys":[]}', '{"keys":1}', "-----BEGIN PUBLIC KEY-----\nx\n-----END"]
)
def test_files_without_keys(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput):
        issuers(tmp_path / "keys", text)


def test_a_private_key_is_refused(tmp_path: Path) -> None:
    raw = EC.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(InvalidInput):
        issuers(tmp_path / "keys", raw.decode())


async def test_a_request_with_anothers_token(tmp_path: Path) -> None:
    (tmp_path / "keys.pem").write_text(pem(RSA))
    (tmp_path / "access.toml").write_text(
        f'tokens = {{ realm = "{ISSUER}/jwt/auth" }}\n'
        f'[[issuer]]\nname = "git"\nissuer = "{ISSUER}"\nkeys = "keys.pem"\n'
    )
    access = Access(access=str(tmp_path / "access.toml"))
    async with served(str(tmp_path), access) as server:
        header = {"Authorization": "Bearer " + signed(RSA, "RS256")}
        assert (await server.ask("POST", "/v2/git/app/blobs/uploads/", headers=header)).status == 202
        assert (await server.ask("GET", "/v2/", headers=header)).status == 200
        answer = await server.ask("DELETE", "/v2/git/app/manifests/1", headers=header)
        assert answer.status == 401
        assert f'realm="{ISSUER}/jwt/auth"' in answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
        assert (await server.ask("GET", "/v2/other/tags/list", headers=header)).status == 401
        assert (await server.ask("GET", "/v2/_catalog", headers=header)).status == 401
        server.app.log.flush()
        assert '"user":"git:project/7"' in (tmp_path / "access.log").read_text()
        # keys are read again with the rest
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (tmp_path / "keys.pem").write_text(pem(other))
        access._next_look = 0
        assert (await server.ask("GET", "/v2/", headers=header)).status == 401
        header = {"Authorization": "Bearer " + signed(other, "RS256")}
        assert (await server.ask("GET", "/v2/", headers=header)).status == 200
