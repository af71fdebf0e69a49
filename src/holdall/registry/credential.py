"""A credential for one registry, in the forms Docker's files and helpers know."""

from __future__ import annotations

import base64

from holdall.record import record


@record
class Credential:
    """User and password, an OAuth2 refresh token (`identity_token`), or a bearer token to be sent as it is."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def basic(self) -> str | None:
        """Value of an Authorization header of the Basic scheme (RFC 7617, UTF-8), None without user or password."""
        if not self.username or not self.password:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def __bool__(self) -> bool:
        return bool(self.identity_token or self.registry_token or self.basic)

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, …)"


@record
class Fixed:
    """A credential source that gives the same credential to one registry (or to every one) and none to others."""

    credential: Credential | None
    registry: str = ""

    def lookup(self, registry: str, path: str = "") -> Credential | None:
        """The credential."""
        del path
        return self.credential if self.registry in ("", registry) else None
