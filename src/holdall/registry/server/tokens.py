"""Tokens given out and taken in: the claims of ours, and what is believed of others'. Only imported when in use.

Counterpart: distribution's docs/spec/auth/jwt.md. Two kinds are ours: those that requests carry, with what they allow,
and log-in tokens ("refresh tokens"), which are worth new ones until the password changes or the robot token ends.
"""

from __future__ import annotations

import os
from collections import OrderedDict

from holdall.record import record
from holdall.registry.server import scopes
from holdall.registry.server.scopes import Grants
from holdall.registry.server.signing import ISSUER, KeyRing, TokenInvalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.registry.server.identity import Identity
    from holdall.registry.server.issuers import Issuers
    from holdall.registry.server.token_settings import Issuer, TokenSettings

ACCESS, LOGIN = "access", "login"
MAX_REMEMBERED = 1_024
MAX_USER = 255


@record
class Claims:
    """What a token says that was found valid. `issuer` is empty for ours; `robot` and `mark` as in `Identity`."""

    user: str
    robot: str
    mark: str
    grants: Grants
    issuer: str
    expires: float


class Tokens:
    """Signs and verifies. Raises StoreCorrupt, and for other issuers' keys OSError, InvalidInput."""

    def __init__(self, settings: TokenSettings, issuers: Sequence[Issuer], keys: bytes) -> None:
        self.settings = settings
        self._ring = KeyRing(keys)
        self._issuers: Issuers | None = None
        if issuers:
            from holdall.registry.server.issuers import Issuers

            self._issuers = Issuers(issuers)
        self._right: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, identity: Identity, access: list[dict[str, object]], now: float) -> str:
        """A token for requests."""
        return self._sign(identity, ACCESS, now, self.settings.lifetime, {"access": access})

    def issue_login(self, identity: Identity, now: float) -> str:
        """A token that is worth new ones."""
        lifetime = self.settings.login_lifetime
        if identity.robot is not None and identity.robot.expires:
            lifetime = max(1.0, min(lifetime, identity.robot.expires - now))
        return self._sign(identity, LOGIN, now, lifetime, {})

    def _sign(self, identity: Identity, use: str, now: float, lifetime: float, more: dict[str, object]) -> str:
        claims: dict[str, object] = {
            "iss": ISSUER,
            "sub": identity.user,
            "aud": self.settings.service,
            "iat": int(now),
            "nbf": int(now) - 1,
            "exp": int(now + lifetime),
            "jti": os.urandom(12).hex(),
            "use": use,
            **more,
        }
        if identity.robot is not None:
            claims["robot"] = identity.robot.id
        if identity.mark:
            claims["mark"] = identity.mark
        return self._ring.sign(claims)

    def read(self, token: str, now: float) -> Claims:
        """What a request's token says. Raises TokenInvalid, UnknownKey."""
        found = self._right.get(token)
        if found is not None and now < found.expires:
            return found
        foreign = None if self._issuers is None else self._issuers.verify(token, self.settings.service)
        if foreign is not None:
            name, values = foreign
            found = Claims(
                f"{name}:{_text(values, 'sub')[:MAX_USER]}",
                "",
                "",
                scopes.read(values.get("access")),
                name,
                _end(values),
            )
        else:
            found = self._own(token, ACCESS)
        self._right[token] = found
        while len(self._right) > MAX_REMEMBERED:
            self._right.popitem(last=False)
        return found

    def read_login(self, token: str) -> Claims:
        """What a log-in token says. Raises TokenInvalid, UnknownKey."""
        return self._own(token, LOGIN)

    def _own(self, token: str, use: str) -> Claims:
        values = self._ring.verify(token, self.settings.service)
        if values.get("use") != use:
            raise TokenInvalid(f"this is no token for {use}")
        return Claims(
            _text(values, "sub"),
            _text(values, "robot"),
            _text(values, "mark"),
            scopes.read(values.get("access")),
            "",
            _end(values),
        )


def _text(values: dict[str, object], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _end(values: dict[str, object]) -> float:
    end = values["exp"]
    return float(end) if isinstance(end, (int, float)) else 0.0
