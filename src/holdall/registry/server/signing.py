"""Keys that sign tokens (ES256, RFC 7518 section 3.4), by PyJWT and cryptography. Only imported when tokens are in use.

All instances of a registry share the keys: they are a document of its catalog. The first one signs, all of them are
believed; a new one comes first and the old ones stay until no token of theirs can be alive.
"""

from __future__ import annotations

import os

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdall.errors import StoreCorrupt
from holdall.oci.jsonval import JsonObject, dumps, load_object
from holdall.record import record
from holdall.registry.server.token_settings import MAX_TOKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "ES256"
ISSUER = "holdall"
LEEWAY = 10
MAX_KEYS = 32
_NEEDED = ["exp", "iat", "iss", "aud", "sub"]


class TokenInvalid(Exception):
    """A token that is not ours, not for us, or not valid now."""


class UnknownKey(TokenInvalid):
    """A token signed by a key that we do not have (yet)."""


@record
class _Key:
    id: str
    made: float
    text: str
    private: ec.EllipticCurvePrivateKey


def rotated(raw: bytes, now: float, keep: float) -> bytes:
    """The keys with a new one in front, without those that a newer one took over from `keep` seconds ago or more.

    A `keep` of 0 drops all old ones: every token given out becomes worthless at once.
    """
    old = _read(raw) if raw else []
    # a key has signed until the next newer one was made
    alive = [one for one, newer in zip(old, [now, *(key.made for key in old)], strict=False) if now - newer < keep]
    return _written([_make(now), *alive][:MAX_KEYS])


def first(raw: bytes, now: float) -> bytes:
    """The keys, with one at least."""
    return raw or rotated(b"", now, 0)


def first_id(raw: bytes) -> str:
    """The name of the key that signs."""
    return _read(raw)[0].id


class KeyRing:
    """Keys as read from the document. Raises StoreCorrupt."""

    def __init__(self, raw: bytes) -> None:
        keys = _read(raw)
        self._first = keys[0]
        self._public = {key.id: key.private.public_key() for key in keys}

    def sign(self, claims: Mapping[str, object]) -> str:
        """A token with these claims."""
        return jwt.encode(dict(claims), self._first.private, ALGORITHM, {"kid": self._first.id})

    def verify(self, token: str, audience: str) -> dict[str, object]:
        """The claims of one of our tokens. Raises TokenInvalid, UnknownKey."""
        if len(token) > MAX_TOKEN:
            raise TokenInvalid("the token is too long")
        try:
            key = self._public.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise UnknownKey("the token is signed by an unknown key")
            claims: dict[str, object] = jwt.decode(
                token, key, [ALGORITHM], {"require": _NEEDED}, audience=audience, issuer=ISSUER, leeway=LEEWAY
            )
        except jwt.ExpiredSignatureError as err:
            raise TokenInvalid("the token has expired") from err
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as err:
            raise TokenInvalid("the token is not valid") from err
        return claims


def _make(now: float) -> _Key:
    private = ec.generate_private_key(ec.SECP256R1())
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return _Key(os.urandom(8).hex(), now, text, private)


def _written(keys: list[_Key]) -> bytes:
    return dumps({"keys": [{"id": key.id, "made": key.made, "key": key.text} for key in keys]})


def _read(raw: bytes) -> list[_Key]:
    values = load_object(raw, "the document of token keys", error=StoreCorrupt)
    keys = [_key(one) for one in values.children("keys", MAX_KEYS)]
    if not keys:
        raise values.missing("keys")
    return keys


def _key(obj: JsonObject) -> _Key:
    text, made = obj.need_string("key"), obj.values.get("made")
    try:
        private = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise obj.wrong("key", "a private key") from err
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(made, (int, float)):
        raise obj.wrong("key", "a private key of an elliptic curve")
    return _Key(obj.need_string("id"), float(made), text, private)
