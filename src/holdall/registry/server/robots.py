"""Robot tokens: names with a secret, an end and rights of their own, for programs that push and pull.

They are a document of the catalog, which `holdall registry token` changes and the server reads again within a second.
A secret has 256 random bits, so its hash needs no salt and no slowness.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

from holdall.errors import InvalidInput, LimitExceeded, NameInUse, NotFound, StoreCorrupt
from holdall.oci.jsonval import JsonObject, dumps, load_object
from holdall.record import record
from holdall.registry.server.rules import pattern
from holdall.registry.server.visitor import ACTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCUMENT = "robots"
PREFIX = "holdall_"
USER = "token:"
"""Before a robot's name wherever users are named: no user of a password file can have a colon."""
MAX_ROBOTS = 10_000
MAX_ALLOWS = 100
MAX_GLOB = 512
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@record
class Allow:
    """Actions that a robot may do to repositories."""

    repositories: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Allow:
        """Parse "pull,push:team/**". Raises InvalidInput."""
        actions, colon, glob = text.partition(":")
        found = tuple([action for action in ACTIONS if action in actions.split(",")])
        if not colon or not glob or len(glob) > MAX_GLOB or len(found) != len(actions.split(",")):
            raise InvalidInput(f'"{text[:100]}" is not of the form ACTION,…:GLOB', hint='write "pull,push:team/**"')
        return cls(glob, found)

    def __str__(self) -> str:
        return f"{','.join(self.actions)}:{self.repositories}"


@record
class Robot:
    """One token. Times in seconds since 1970; an `expires` of 0 is never. `hashed` is of the secret."""

    id: str
    name: str
    hashed: str
    made: float
    expires: float
    allows: tuple[Allow, ...]

    @property
    def user(self) -> str:
        """What it is called in logs, rules of limits and tokens."""
        return USER + self.name

    def alive(self, now: float) -> bool:
        """Whether it has not ended."""
        return not self.expires or now < self.expires

    def may(self, action: str, repository: str) -> bool:
        """Whether its rights name this."""
        return any(action in one.actions and pattern(one.repositories).fullmatch(repository) for one in self.allows)


class Robots:
    """All of a registry's tokens, as read from the document (which may be empty). Raises StoreCorrupt."""

    def __init__(self, raw: bytes = b"") -> None:
        self.all: Sequence[Robot] = _read(raw)
        self._by_id = {one.id: one for one in self.all}
        self._by_name = {one.name: one for one in self.all}

    def login(self, name: str, secret: str, now: float) -> Robot | None:
        """Whose name and secret these are, None when nobody's who is alive."""
        found = self._by_name.get(name.removeprefix(USER))
        right = hmac.compare_digest(_hash(secret), found.hashed if found is not None else "")
        return found if found is not None and right and found.alive(now) else None

    def get(self, robot: str, now: float) -> Robot | None:
        """The robot with this id, None when it is gone or has ended."""
        found = self._by_id.get(robot)
        return found if found is not None and found.alive(now) else None


def is_secret(password: str) -> bool:
    """Whether a password looks like a robot's."""
    return password.startswith(PREFIX)


def create(raw: bytes, name: str, allows: Iterable[Allow], now: float, expires: float) -> tuple[bytes, str]:
    """The document with one more token, and its secret. Raises NameInUse, InvalidInput, LimitExceeded."""
    robots, allows = _read(raw), tuple(allows)
    if not _NAME.fullmatch(name):
        raise InvalidInput(f'"{name[:100]}" is no name for a token', hint="use letters, digits and ._-, 64 at most")
    if not 1 <= len(allows) <= MAX_ALLOWS:
        raise InvalidInput(f"a token needs between 1 and {MAX_ALLOWS} rights", hint='--allow "pull,push:team/**"')
    if any(one.name == name for one in robots):
        raise NameInUse(f'there is a token "{name}" already', hint=f"holdall registry token revoke {name}")
    if len(robots) >= MAX_ROBOTS:
        raise LimitExceeded(f"this registry has {MAX_ROBOTS} tokens already")
    secret = PREFIX + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    made = Robot(os.urandom(8).hex(), name, _hash(secret), now, expires, allows)
    return _written([*robots, made]), secret


def revoke(raw: bytes, names: Sequence[str]) -> bytes:
    """The document without these tokens. Raises NotFound for a name that is not there; then nothing goes."""
    robots = _read(raw)
    missing = sorted(set(names) - {one.name for one in robots})
    if missing:
        raise NotFound(f'no token "{missing[0][:100]}"', hint="holdall registry token list")
    return _written([one for one in robots if one.name not in names])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _written(robots: Iterable[Robot]) -> bytes:
    return dumps(
        {
            "tokens": [
                {
                    "id": one.id,
                    "name": one.name,
                    "sha256": one.hashed,
                    "made": one.made,
                    "expires": one.expires,
                    "allows": [str(allow) for allow in one.allows],
                }
                for one in robots
            ]
        }
    )


def _read(raw: bytes) -> list[Robot]:
    if not raw:
        return []
    values = load_object(raw, "the document of tokens", limit=64 << 20, error=StoreCorrupt)
    return [_robot(one) for one in values.children("tokens", MAX_ROBOTS)]


def _robot(obj: JsonObject) -> Robot:
    made, expires = obj.values.get("made"), obj.values.get("expires")
    if not isinstance(made, (int, float)) or not isinstance(expires, (int, float)):
        raise obj.missing("expires")
    try:
        allows = tuple([Allow.parse(text) for text in obj.strings("allows", MAX_ALLOWS)])
    except InvalidInput as err:
        raise StoreCorrupt(f"{obj.path('allows')}: {err.message}") from err
    return Robot(
        obj.need_string("id"), obj.need_string("name"), obj.need_string("sha256"), float(made), float(expires), allows
    )
