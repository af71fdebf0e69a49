"""Tokens of others: issuers named in the access file, whose public keys lie in a file (PEM, or a JSON Web Key Set).

Only imported when the access file names one. What such a token allows is its `access` claim alone, in the form of
distribution's docs/spec/auth/jwt.md; our rules are for our users.
"""

from __future__ import annotations

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from holdall.errors import InvalidInput
from holdall.registry.server.signing import LEEWAY, TokenInvalid
from holdall.registry.server.token_settings import MAX_TOKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from holdall.registry.server.token_settings import Issuer

MAX_FILE = 1 << 20
MAX_KEYS = 100
_NEEDED = ["exp", "iss", "aud"]
_RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
_CURVES = {"secp256r1": ["ES256"], "secp384r1": ["ES384"], "secp521r1": ["ES512"]}
_BEGIN = b"-----BEGIN "


class Issuers:
    """Everybody else whose tokens count. Raises OSError, InvalidInput."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._known = {one.issuer: (one, _load(one.keys)) for one in issuers}

    def verify(self, token: str, service: str) -> tuple[str, dict[str, object]] | None:
        """The issuer's name and the claims; None when it is nobody's we know. Raises TokenInvalid."""
        if len(token) > MAX_TOKEN:
            raise TokenInvalid("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            stated = jwt.decode(token, options={"verify_signature": False}).get("iss")
            found = self._known.get(stated) if isinstance(stated, str) else None
            if found is None:
                return None
            issuer, keys = found
            for key, algorithms in _candidates(keys, header.get("kid")):
                try:
                    claims = jwt.decode(
                        token,
                        key,
                        algorithms,
                        {"require": _NEEDED},
                        audience=issuer.audience or service,
                        issuer=issuer.issuer,
                        leeway=LEEWAY,
                    )
                except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
                    continue
                return issuer.name, claims
        except jwt.ExpiredSignatureError as err:
            raise TokenInvalid("the token has expired") from err
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as err:
            raise TokenInvalid("the token is not valid") from err
        raise TokenInvalid("the token is not signed by its issuer")


if TYPE_CHECKING:
    Key = tuple[str, Any, list[str]]


def _candidates(keys: list[Key], wanted: object) -> list[tuple[Any, list[str]]]:
    named = [(key, algorithms) for name, key, algorithms in keys if name and name == wanted]
    return named or [(key, algorithms) for _, key, algorithms in keys]


def _load(path: str) -> list[Key]:
    """The keys in a file, each with its id and the algorithms it may be used with."""
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise InvalidInput(f'"{path}" has more than {MAX_FILE} bytes')
    try:
        if raw.lstrip().startswith(b"{"):
            found = [(one.key_id or "", one.key) for one in jwt.PyJWKSet.from_json(raw.decode()).keys[:MAX_KEYS]]
        else:
            found = [("", _pem(_BEGIN + part)) for part in raw.split(_BEGIN)[1 : MAX_KEYS + 1]]
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as err:
        raise InvalidInput(f'"{path}" holds neither public keys (PEM) nor a key set (JWKS)') from err
    keys = [(name, key, _algorithms(key)) for name, key in found]
    usable = [one for one in keys if one[2]]
    if not usable:
        raise InvalidInput(f'"{path}" holds no public key that signs tokens (RSA, EC or Ed25519)')
    return usable


def _pem(part: bytes) -> object:
    if part.startswith(_BEGIN + b"CERTIFICATE"):
        return x509.load_pem_x509_certificate(part).public_key()
    return serialization.load_pem_public_key(part)


def _algorithms(key: object) -> list[str]:
    """Never one of those with a shared secret: a public key is no secret."""
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, [])
    return ["EdDSA"] if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)) else []
