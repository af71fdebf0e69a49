"""One file of credentials: Docker's config.json, or containers' auth.json (containers-auth.json(5)).

Parsed leniently where Docker is: keys may be URLs, hosts or (containers) repositories. Written back with every
other key untouched, by temporary file and rename, mode 0600.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os

from holdall.errors import InvalidInput, NotPermitted, SystemFailure
from holdall.oci.jsonval import JsonObject, load_object
from holdall.registry.credential import Credential
from holdall.registry.endpoint import HUB, HUB_ALIASES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE = 4 << 20
HUB_KEY = "https://index.docker.io/v1/"


class AuthFile:
    """The file at `path`, read anew by each `load`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self) -> JsonObject:
        """Its content; empty when there is no file. Raises InvalidInput, NotPermitted."""
        try:
            with open(self.path, "rb") as stream:
                raw = stream.read(MAX_FILE + 1)
        except (FileNotFoundError, NotADirectoryError):
            return JsonObject({}, self.path, InvalidInput)
        except PermissionError as err:
            raise NotPermitted(f'cannot read "{self.path}": {err.strerror}') from err
        except OSError as err:
            raise InvalidInput(f'cannot read "{self.path}": {err.strerror}') from err
        if not raw.strip():
            return JsonObject({}, self.path, InvalidInput)
        return load_object(raw, f'"{self.path}"', limit=MAX_FILE, error=InvalidInput)

    def save(self, values: dict[str, object]) -> None:
        """Replace the content. Raises NotPermitted, SystemFailure."""
        path = os.path.realpath(self.path)
        folder, name = os.path.split(path)
        temporary = os.path.join(folder, f".{name}.{os.getpid()}")
        text = json.dumps(values, indent="\t", ensure_ascii=False) + "\n"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with open(fd, "w", encoding="utf-8") as stream:
                    stream.write(text)
                    stream.flush()
                    os.fsync(fd)
                os.rename(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except PermissionError as err:
            raise NotPermitted(f'cannot write "{path}": {err.strerror}') from err
        except OSError as err:
            raise SystemFailure(f'cannot write "{path}": {err.strerror}') from err

    def update(self, registry: str, credential: Credential | None) -> bool:
        """Set or (None) delete the entries of a registry; whether there was one. Other writers are kept out.

        A registry whose entry is empty is one whose secret a helper keeps.
        """
        folder = os.path.dirname(os.path.realpath(self.path))
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            raise NotPermitted(f'cannot write "{self.path}": {err.strerror}') from err
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._update(registry, credential)
        finally:
            os.close(lock)

    def _update(self, registry: str, credential: Credential | None) -> bool:
        tree = self.load()
        auths = tree.child("auths")
        entries = dict(auths.values) if auths else {}
        old = [key for key in entries if normalised(key) == registry]
        if credential is None and not old:
            return False
        for key in old:
            del entries[key]
        if credential is not None:
            entries[key_of(registry)] = _entry(credential)
        self.save({**tree.values, "auths": entries})
        return bool(old)

    def lookup(self, registry: str, path: str = "") -> Credential | None:
        """The entry for a registry, a repository's before the registry's. Raises InvalidInput."""
        auths = self.load().child("auths")
        if auths is None:
            return None
        for key in _candidates(registry, path):
            if auths.values.get(key) is not None:
                return parse_entry(auths.need_child(key), self.path)
        for key in auths.values:
            if normalised(key) == registry:
                return parse_entry(auths.need_child(key), self.path)
        return None


def key_of(registry: str) -> str:
    """The key under which Docker keeps a registry's credential."""
    return HUB_KEY if registry == HUB else registry


def normalised(key: str) -> str:
    """The registry (a reference's domain) a key is about; "" for a repository's key (host/path without scheme)."""
    rest = key
    for scheme in ("https://", "http://"):
        rest = rest.removeprefix(scheme)
    host, _, path = rest.partition("/")
    if path.strip("/") not in ("", "v1", "v2") and rest == key:
        return ""
    return HUB if host in HUB_ALIASES else host


def _candidates(registry: str, path: str) -> Iterator[str]:
    parts = path.split("/") if path else []
    while parts:
        yield f"{registry}/{'/'.join(parts)}"
        parts.pop()
    yield key_of(registry)
    yield registry


def _entry(credential: Credential) -> dict[str, str]:
    if credential.identity_token:
        user = base64.b64encode(f"{credential.username}:".encode()).decode()
        return (
            {"auth": user, "identitytoken": credential.identity_token}
            if credential.username
            else {"identitytoken": credential.identity_token}
        )
    if not credential:
        return {}
    return {"auth": base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()}


def parse_entry(entry: JsonObject, path: str) -> Credential | None:
    """One value of `auths`. None when it is empty, as beside a helper. Raises InvalidInput."""
    user, password = entry.string("username"), entry.string("password")
    auth = entry.string("auth")
    if auth:
        try:
            text = base64.b64decode(auth, validate=True).decode()
        except (binascii.Error, ValueError) as err:
            raise InvalidInput(f'"auth" in "{path}" is not base64', hint="log in again") from err
        found, colon, secret = text.partition(":")
        if not colon:
            raise InvalidInput(f'"auth" in "{path}" is not user:password', hint="log in again")
        user, password = found, secret.strip("\0")
    made = Credential(user, password, entry.string("identitytoken"), entry.string("registrytoken"))
    return made or None
