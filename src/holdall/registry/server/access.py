"""Who is let in: HTTP Basic against the password file, rules of the access file, both read again when they change."""

from __future__ import annotations

import asyncio
import base64
import time

from holdall.errors import HoldallError
from holdall.registry.server import rules
from holdall.registry.server.passwords import Passwords, fingerprint
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.visitor import Visitor, everything

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.server.rules import Rules

RELOAD_SECONDS = 1.0
MAX_HEADER = 4_096
MAX_WAITING = 64
CHALLENGE = {"WWW-Authenticate": 'Basic realm="holdall", charset="UTF-8"'}


class Access:
    """The gate. `access` is the TOML file; `htpasswd` alone will do; with neither, everybody may do everything."""

    def __init__(self, *, access: str = "", htpasswd: str = "", anonymous_pull: bool = False) -> None:
        self._access = access
        self._htpasswd = htpasswd
        self._anonymous_pull = anonymous_pull
        self._seen: tuple[str, str] = ("", "")
        self._rules: Rules | None = None
        self._passwords: Passwords | None = None
        self._next_look = 0.0
        self._checking = asyncio.Semaphore(1)
        self._waiting = 0
        self.load()

    @property
    def open(self) -> bool:
        """Whether there are no users at all."""
        return self._rules is None

    def load(self) -> None:
        """Read the files. Raises OSError, InvalidInput, Unsupported; then what was known stays."""
        if not self._access and not self._htpasswd:
            return
        found = rules.read(self._access) if self._access else rules.plain("", anonymous_pull=self._anonymous_pull)
        path = self._htpasswd or found.htpasswd
        seen = (fingerprint(self._access), fingerprint(path))
        passwords = Passwords.read(path) if path else Passwords({})
        self._rules, self._passwords, self._seen = rules.Rules(found.rules, path), passwords, seen

    def reload(self, note: Callable[[str], None]) -> None:
        """Read the files again if they changed since, at most once a second; `note` is told of failures."""
        now = time.monotonic()
        if self._rules is None or now < self._next_look:
            return
        self._next_look = now + RELOAD_SECONDS
        seen = (fingerprint(self._access), fingerprint(self._rules.htpasswd))
        if seen == self._seen:
            return
        try:
            self.load()
        except (HoldallError, OSError) as err:
            self._seen = seen
            note(f"the access rules stay as they were: {err}")

    async def visitor(self, authorization: str | None) -> Visitor:
        """Who sends this header. Raises Refusal (401) for a wrong password, 429 when too many are being checked."""
        if self._rules is None or self._passwords is None:
            return Visitor("", everything)
        user, password = _basic(authorization)
        if not user and not password:
            return Visitor("", self._rules.allow)
        passwords = self._passwords
        if not passwords.remembered(user, password) and not await self._check(passwords, user, password):
            raise Refusal("UNAUTHORIZED", "wrong user or password", headers=CHALLENGE)
        return Visitor(user, self._rules.allow)

    async def _check(self, passwords: Passwords, user: str, password: str) -> bool:
        if self._waiting >= MAX_WAITING:
            raise Refusal("TOOMANYREQUESTS", "too many log-ins at once", headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            # one at a time: guessing passwords must not cost the machine all its cores
            async with self._checking:
                return await asyncio.to_thread(passwords.check, user, password)
        finally:
            self._waiting -= 1

    def require(self, visitor: Visitor, action: str, repository: str) -> None:
        """Raise Refusal (401 for nobody in particular, 403 for a user) unless the visitor may."""
        if visitor.may(action, repository):
            return
        if visitor.user:
            raise Refusal("DENIED", f'"{visitor.user}" may not {action} here')
        raise Refusal("UNAUTHORIZED", "log in first", headers=CHALLENGE)

    def require_login(self, visitor: Visitor) -> None:
        """Raise Refusal (401) for nobody in particular if there are users: clients learn here that they may log in."""
        if self._rules is not None and not visitor.user:
            raise Refusal("UNAUTHORIZED", "log in first", headers=CHALLENGE)


def _basic(header: str | None) -> tuple[str, str]:
    if not header:
        return "", ""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic" or len(text) > MAX_HEADER:
        raise Refusal("UNAUTHORIZED", "only basic authentication is known", headers=CHALLENGE)
    try:
        user, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except ValueError as err:
        raise Refusal("UNAUTHORIZED", "malformed credentials", headers=CHALLENGE) from err
    return user, password
