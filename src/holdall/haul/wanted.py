"""What a sync is asked to copy: from words (`HOST/NAME`, with globs and filters) or from a file as skopeo has it.

    registry.example.com:
      images:
        busybox: []                     # all tags
        redis: ["6", "7", "sha256:…"]
      images-by-tag-regex:
        nginx: ^1\\.2[0-9]-alpine$
      images-by-semver:
        alpine: ">= 3.18"
      credentials: {username: me, password: secret}
      tls-verify: true
      cert-dir: /etc/certs

The same in TOML when the file's name ends so.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache

from holdall.errors import InvalidInput, InvalidOption
from holdall.haul.place import FILES, Place
from holdall.haul.semver import Constraint
from holdall.oci.digest import Digest
from holdall.oci.jsonval import JsonObject
from holdall.oci.reference import Reference
from holdall.record import record
from holdall.registry.credential import Credential
from holdall.registry.endpoint import registry_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_FILE = 1 << 20
MAX_TAGS = 100_000
_KEYS = {"images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir"}
_GLOB = "*?"


@record
class Filter:
    """Which tags: those that fit one of `include` (none: all) and none of `exclude`; a regular expression, versions."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    regex: str = ""
    versions: Constraint | None = None

    def fits(self, tag: str) -> bool:
        """Whether a tag is wanted."""
        if self.include and not any(glob(one).fullmatch(tag) for one in self.include):
            return False
        if any(glob(one).fullmatch(tag) for one in self.exclude):
            return False
        if self.regex and re.search(self.regex, tag) is None:
            return False
        return self.versions is None or self.versions.fits(tag)


@record
class Wanted:
    """Repositories of a registry (`path` may have globs) with `names`, tags and digests, or those that fit `filter`;
    or what is in files.
    """

    registry: str = ""
    path: str = ""
    names: tuple[str, ...] = ()
    filter: Filter = Filter()
    place: Place | None = None

    @property
    def many(self) -> bool:
        """Whether the registry must be asked for its repositories."""
        return any(sign in self.path for sign in _GLOB)


@record
class Access:
    """What a file says of a registry."""

    registry: str
    credential: Credential | None = None
    verify: bool = True
    cert_dir: str = ""


@lru_cache(maxsize=1024)
def glob(text: str) -> re.Pattern[str]:
    """A glob: "*" and "?" within one component, "**" across them."""
    signs = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(signs.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", text)))


def word(text: str, tags: Filter) -> Wanted:
    """One source of the command line. Raises InvalidOption, InvalidReference."""
    kind = text.partition(":")[0]
    if kind in FILES and not text.startswith("docker://"):
        return Wanted(filter=tags, place=Place.parse(text))
    plain = text.removeprefix("docker://")
    last = plain.rpartition("/")[2]
    if "@" in last or ":" in last:
        reference = Reference.parse(plain)
        name = str(reference.digest) if reference.digest is not None else reference.tag or ""
        return Wanted(reference.domain, reference.path, (name,))
    domain, slash, path = plain.partition("/")
    if any(sign in plain for sign in _GLOB):
        if not slash or any(sign in domain for sign in _GLOB):
            raise InvalidOption(f'"{text}" must begin with a registry\'s host', hint="write HOST/GLOB")
        return Wanted(registry_name(domain), path, (), tags)
    reference = Reference.parse(plain)
    return Wanted(reference.domain, reference.path, (), tags)


def read(path: str) -> tuple[tuple[Wanted, ...], tuple[Access, ...]]:
    """A sync file. Raises OSError, InvalidInput."""
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise InvalidInput(f'"{path}" has more than {MAX_FILE} bytes')
    try:
        values = tomllib.loads(raw.decode()) if path.endswith(".toml") else _yaml(raw)
    except (ValueError, RecursionError) as err:
        raise InvalidInput(f'"{path}" cannot be read: {str(err)[:300].lower()}') from err
    return parse(values, path)


def _yaml(raw: bytes) -> object:
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(raw, yaml.SafeLoader)):
            raise ValueError("aliases are not supported")
        return yaml.safe_load(raw)
    except yaml.YAMLError as err:
        raise ValueError(f"no yaml: {' '.join(str(err).split())}") from err


def parse(values: object, path: str) -> tuple[tuple[Wanted, ...], tuple[Access, ...]]:
    """What decoded YAML or TOML says. Raises InvalidInput."""
    obj = JsonObject.of(values, f'"{path}"', error=InvalidInput)
    wanted: list[Wanted] = []
    access: list[Access] = []
    for name in obj.values:
        domain, one = registry_name(str(name)), obj.need_child(name)
        for key in one.values:
            if key not in _KEYS:
                raise InvalidInput(f"{one.path(str(key))} is not known", hint=f"one of {', '.join(sorted(_KEYS))}")
        wanted += _images(domain, one)
        access.append(_access(domain, one))
    if not wanted:
        raise InvalidInput(f'"{path}" names no images')
    return tuple(wanted), tuple(access)


def _images(domain: str, one: JsonObject) -> list[Wanted]:
    found = []
    images = one.child("images") or JsonObject({}, "", InvalidInput)
    for name in images.values:
        names = images.strings(name, MAX_TAGS)
        for tag in names:
            if ":" in tag:
                images.parse_digest(tag, name)
        found.append(Wanted(domain, _path(domain, name, images), names))
    for key in ("images-by-tag-regex", "images-by-semver"):
        for name, text in (one.string_map(key) or {}).items():
            by = Filter(versions=Constraint(text)) if key.endswith("semver") else Filter(regex=_regex(text))
            found.append(Wanted(domain, _path(domain, name, one), (), by))
    return found


def _path(domain: str, name: str, where: JsonObject) -> str:
    reference = Reference.parse(f"{domain}/{name}")
    if reference.tag != "latest" or reference.digest is not None or ":" in name:
        raise InvalidInput(f"{where.path(name)} must be a repository without tag")
    return reference.path


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as err:
        raise InvalidInput(f'"{ascii(text[:100])[1:-1]}" is no regular expression: {err}') from err
    return text


def _access(domain: str, one: JsonObject) -> Access:
    secret = one.child("credentials")
    credential = None
    if secret is not None:
        credential = Credential(secret.need_string("username"), secret.need_string("password"))
    return Access(domain, credential, one.boolean("tls-verify", True), one.string("cert-dir"))


def is_digest(name: str) -> bool:
    """Whether a name of an image within its repository is a digest."""
    return ":" in name


def digest_of(name: str) -> Digest:
    """The digest that a name is."""
    return Digest.parse(name)


def accesses(found: Sequence[Access]) -> Mapping[str, Access]:
    """By registry; the first one that says something counts."""
    return {one.registry: one for one in reversed(found)}
