"""The mirrors file: which upstreams stand behind which names, in TOML.

[mirror."docker.io"]                        # docker.io/library/debian here is library/debian there
upstream = "https://registry-1.docker.io"   # [https://]host[:port][/prefix]; default: the table's name
ns = ["docker.io"]                          # values of ?ns= that mean it; default: its names
also = ["library/*"]                        # names without prefix that mean it (Docker's registry-mirrors)
user = "me"
password_file = "hub-password"              # beside this file unless absolute; or password = "…"
cert_dir = "certs"                          # roots to trust (*.crt) and client certificates (*.cert, *.key)
insecure = true                             # unverified certificates, plain HTTP
fresh = "5m"                                # how long a tag is believed
unknown = "1m"                              # how long "there is no such thing" is believed
patience = "3s"                             # how long clients wait for news of what is here already
timeout = "30s"
push = true                                 # names below the prefix may be pushed to as well
"""

from __future__ import annotations

import os

from holdall.errors import InvalidInput
from holdall.oci.jsonval import JsonObject
from holdall.record import record
from holdall.registry import endpoint
from holdall.registry.credential import Credential
from holdall.registry.endpoint import Endpoint
from holdall.registry.server import tables
from holdall.registry.server.names import is_repository
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.rules import pattern
from holdall.registry.server.watching import WatchedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_MIRRORS = 1_000
MAX_NAMES = 100
MAX_PASSWORD = 64 << 10
_KEYS = {
    "upstream", "ns", "also", "user", "password", "password_file", "cert_dir", "insecure", "fresh", "unknown",
    "patience", "timeout", "push",
}  # fmt: skip


@record
class Mirror:
    """One upstream and the names it stands behind. Times in seconds."""

    prefix: str
    upstream: Endpoint
    names: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    credential: Credential | None = None
    cert_dir: str = ""
    fresh: float = 300.0
    unknown: float = 60.0
    patience: float = 3.0
    timeout: float = 30.0
    push: bool = False

    def target(self, path: str) -> Target:
        """The repository `path` of the upstream. Raises Refusal for a name that is too long."""
        if self.upstream.host == endpoint.HUB_HOST and not self.upstream.prefix and "/" not in path:
            path = f"library/{path}"
        name = f"{self.prefix}/{path}"
        if not is_repository(name):
            raise Refusal("NAME_INVALID", "the repository's name is too long")
        return Target(self, name, path)

    def has(self, repository: str) -> bool:
        """Whether a repository here is one of the upstream's."""
        return repository.startswith(f"{self.prefix}/")


@record
class Target:
    """A repository of an upstream: its name here, and its path there."""

    mirror: Mirror
    repository: str
    path: str


class Mirrors:
    """All mirrors of a file. `files` are those that were read."""

    def __init__(self, mirrors: tuple[Mirror, ...], files: tuple[str, ...] = ()) -> None:
        self.mirrors = mirrors
        self.files = files
        self._by_prefix = {one.prefix: one for one in mirrors}
        self._by_name = {name: one for one in mirrors for name in one.names}
        self._also = [(glob, one) for one in mirrors for glob in one.also]

    def find(self, repository: str, ns: str = "") -> Target | None:
        """The upstream's repository a request is about, None for one of this registry alone.

        `ns` is the registry that the client wants (containerd's parameter). Raises Refusal (404) for one that is not
        mirrored: what is here under the same name is not what was asked for.
        """
        if ns:
            mirror = self._by_name.get(ns.lower())
            if mirror is None:
                raise Refusal("NAME_UNKNOWN", f'"{ascii(ns[:100])[1:-1]}" is not mirrored here')
            return mirror.target(repository.removeprefix(f"{mirror.prefix}/"))
        end = repository.rfind("/")
        while end > 0:
            mirror = self._by_prefix.get(repository[:end])
            if mirror is not None:
                return mirror.target(repository[end + 1 :])
            end = repository.rfind("/", 0, end)
        for glob, mirror in self._also:
            if pattern(glob).fullmatch(repository):
                return mirror.target(repository)
        return None


def read(path: str) -> Mirrors:
    """Read a mirrors file. Raises OSError, InvalidInput."""
    return parse(tables.load(path), path)


def watched(path: str, complain: Callable[[str], None]) -> WatchedFile[Mirrors]:
    """The file as a long-lived process has it. Raises as `read`, if it was never right."""
    return WatchedFile(path, read, complain, what="the mirrors", files=lambda found: found.files)


def parse(values: Mapping[str, object], path: str) -> Mirrors:
    """Mirrors from decoded TOML; `path` is the file's, for messages and for what lies beside it."""
    obj = JsonObject(values, f'"{path}"', InvalidInput)
    tables.only(obj, {"mirror"})
    inner = obj.child("mirror") or JsonObject({}, "", InvalidInput)
    if len(inner.values) > MAX_MIRRORS:
        raise InvalidInput(f"{obj.path('mirror')} has more than {MAX_MIRRORS} tables")
    files = [path]
    found = tuple([_mirror(name, inner.need_child(name), path, files) for name in inner.values])
    _check_names(found, path)
    return Mirrors(found, tuple(files))


def _mirror(prefix: str, obj: JsonObject, path: str, files: list[str]) -> Mirror:
    tables.only(obj, _KEYS)
    if not is_repository(prefix):
        raise InvalidInput(f"{obj.where} cannot begin a repository's name", hint='write [mirror."docker.io"]')
    upstream = endpoint.mirror(prefix, obj.string("upstream") or prefix, insecure=obj.boolean("insecure"))
    folder = os.path.dirname(os.path.abspath(path))
    cert_dir = obj.string("cert_dir")
    return Mirror(
        prefix,
        upstream,
        _names(prefix, upstream, obj),
        obj.strings("also", MAX_NAMES),
        _credential(obj, folder, files),
        os.path.join(folder, cert_dir) if cert_dir else "",
        tables.seconds(obj, "fresh", 300.0),
        tables.seconds(obj, "unknown", 60.0),
        tables.seconds(obj, "patience", 3.0),
        tables.seconds(obj, "timeout", 30.0, least=0.1),
        obj.boolean("push"),
    )


def _names(prefix: str, upstream: Endpoint, obj: JsonObject) -> tuple[str, ...]:
    given = obj.optional_strings("ns", MAX_NAMES)
    if given is not None:
        return tuple([name.lower() for name in given])
    own = endpoint.HUB_ALIASES if upstream.host == endpoint.HUB_HOST else (upstream.host,)
    return tuple(dict.fromkeys((prefix, *([] if upstream.prefix else own))))


def _credential(obj: JsonObject, folder: str, files: list[str]) -> Credential | None:
    user, password, file = obj.string("user"), obj.string("password"), obj.string("password_file")
    if password and file:
        raise InvalidInput(f"{obj.path('password')} and password_file exclude each other")
    if file:
        files.append(os.path.join(folder, file))
        with open(files[-1], "rb") as stream:
            password = stream.read(MAX_PASSWORD).decode("utf-8", "replace").rstrip("\r\n")
    if bool(user) != bool(password):
        raise InvalidInput(f"{obj.where} needs both a user and a password, or neither")
    return Credential(user, password) if user else None


def _check_names(found: tuple[Mirror, ...], path: str) -> None:
    seen: dict[str, str] = {}
    for one in found:
        for name in one.names:
            if seen.setdefault(name, one.prefix) != one.prefix:
                raise InvalidInput(
                    f'"{path}": the mirrors "{seen[name]}" and "{one.prefix}" are both "{name}"',
                    hint="give one of them ns = []",
                )
