"""Addresses of git repositories, as contexts and as sources of ADD: which words are one, and what they ask for.

https://host/x.git#ref:folder, git@host:x.git, ssh://…, git://…, and the query form ?branch=&tag=&ref=&commit=&subdir=
&submodules=&keep-git-dir=. An http address is one only if its path ends in ".git". Behaves as BuildKit.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qs, unquote, urlsplit

from holdall.dockerfile.location import visible
from holdall.dockerfile.values import truth
from holdall.errors import DockerfileError, InvalidInput
from holdall.record import record, replace

SCHEMES = ("http", "https", "ssh", "git")
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SCHEME = re.compile(r"([a-zA-Z0-9+.-]+)://")
_SCP = re.compile(r"([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?\Z", re.DOTALL)
_CHECKSUM = re.compile(r"[0-9a-fA-F]+\Z")
_MAX = 4096
_KEYS = ("ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules", "mtime")


@record
class GitAddress:
    """A repository and what of it is wanted. `remote` is what git is given; `checksum` the commit or its beginning.

    `ref` is "" for the default branch; `keep_git_dir` None when the address says nothing of it.
    """

    remote: str
    ref: str = ""
    folder: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True

    @property
    def is_fixed(self) -> bool:
        """Whether the ref is a commit, which never changes."""
        return COMMIT.match(self.ref) is not None

    @property
    def shown(self) -> str:
        """The repository for messages, without a password."""
        return visible(re.sub(r"(?<=://)[^/@]*@", "", self.remote))[:300]


def parse(word: str, *, bare: bool = False) -> GitAddress | None:
    """What the word asks for; None when it is no address of a repository.

    With `bare`, github.com/… without a scheme is one, too. Raises InvalidInput for one that contradicts itself.
    """
    if bare and word.startswith("github.com/"):
        word = "https://" + word
        found: GitAddress | None = _of_url(word, "https", any_path=True)
    elif scheme := _SCHEME.match(word):
        found = _of_url(word, scheme[1].lower(), any_path=False)
    else:
        found = _of_scp(word)
    if found is not None and (len(word) > _MAX or any(ord(char) < 32 for char in word)):
        raise InvalidInput(f'"{visible(word[:80])}" is no address of a repository')
    return found


def _of_url(word: str, scheme: str, *, any_path: bool) -> GitAddress | None:
    if scheme not in SCHEMES:
        return None
    try:
        parts = urlsplit(word)
        host = parts.hostname
    except ValueError:
        return None
    if scheme in ("http", "https") and not any_path and not parts.path.endswith(".git"):
        return None
    if not host or host.startswith("-"):
        raise InvalidInput(f'"{visible(word[:200])}" is no address of a repository: it names no host')
    remote = parts._replace(query="", fragment="").geturl()
    return _asked(remote, parts.query, unquote(parts.fragment))


def _of_scp(word: str) -> GitAddress | None:
    match = _SCP.match(word)
    if match is None or match[2].startswith("-"):
        return None
    return _asked(f"{match[1]}@{match[2]}:{match[3]}", match[4] or "", match[5] or "")


def _asked(remote: str, query: str, fragment: str) -> GitAddress:
    ref, _, folder = fragment.partition(":")
    address = _queried(GitAddress(remote, ref, _clean(folder)), query)
    if address.ref.startswith("-"):
        raise InvalidInput(f'"{visible(address.ref)}" is no ref of a repository')
    checksum(address.checksum or "0")
    return address


def checksum(text: str) -> str:
    """A commit or its beginning, as it is. Raises InvalidInput."""
    if not _CHECKSUM.match(text):
        raise InvalidInput(f'"{visible(text[:80])}" is no commit', hint="write its hash in hexadecimal digits")
    return text


def _clean(folder: str) -> str:
    return posixpath.normpath("/" + folder).strip("/") if folder else ""


def _queried(address: GitAddress, query: str) -> GitAddress:
    try:
        pairs = parse_qs(query, keep_blank_values=True, max_num_fields=20)
    except ValueError as err:
        raise InvalidInput(f'the query "{visible(query[:200])}" is malformed') from err
    values: dict[str, str] = {}
    for key, found in pairs.items():
        if key not in _KEYS:
            raise InvalidInput(f'unexpected query "{visible(key)}"', hint="known are " + ", ".join(_KEYS))
        if len(found) > 1:
            raise InvalidInput(f'the query "{key}" has several values')
        if not found[0] and key not in ("submodules", "keep-git-dir"):
            raise InvalidInput(f'the query "{key}" has no value')
        values[key] = found[0]
    if values.get("mtime", "checkout") not in ("checkout", "commit"):
        raise InvalidInput(f'invalid value "{visible(values["mtime"])}" for mtime', hint="use checkout or commit")
    if "checksum" in values and values.get("commit", values["checksum"]) != values["checksum"]:
        raise InvalidInput("the query names two commits")
    return replace(
        address,
        ref=_ref(address.ref, values),
        folder=_one("subdir", address.folder, _clean(values.get("subdir", ""))),
        checksum=values.get("commit") or values.get("checksum", ""),
        keep_git_dir=_truth("keep-git-dir", values) if "keep-git-dir" in values else None,
        submodules=_truth("submodules", values) if "submodules" in values else True,
    )


def _ref(ref: str, values: dict[str, str]) -> str:
    if "tag" in values and "branch" in values:
        raise InvalidInput("the query names a branch and a tag")
    ref = _one("ref", ref, values.get("ref", ""))
    for key, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if key in values:
            ref = _one(key, ref, prefix + values[key].removeprefix(prefix))
    return ref


def _one(what: str, before: str, value: str) -> str:
    if before and value and before != value:
        raise InvalidInput(f'two values for {what}: "{visible(before)}" and "{visible(value)}"')
    return value or before


def _truth(key: str, values: dict[str, str]) -> bool:
    try:
        return truth(key, values[key]) if values[key] else True
    except DockerfileError as err:
        raise InvalidInput(err.cause, hint=err.hint) from err


def beside(remote: str, relative: str) -> str:
    """The repository that a submodule's `url` means: relative ones begin with ./ or ../ (gitmodules(5))."""
    if not relative.startswith(("./", "../")):
        return relative
    head, path = _split(remote.rstrip("/"))
    parts = path.split("/")
    for part in relative.split("/"):
        if part == "..":
            if not parts or parts == [""]:
                raise InvalidInput(f'the submodule "{visible(relative)}" leaves the host of "{visible(remote)}"')
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return head + "/".join(parts)


def _split(remote: str) -> tuple[str, str]:
    """What is before a remote's path, with its last character, and the path."""
    scheme = _SCHEME.match(remote)
    if scheme:
        at = remote.find("/", scheme.end())
        return (remote, "") if at < 0 else (remote[: at + 1], remote[at + 1 :])
    host, colon, path = remote.partition(":")
    return host + colon, path


def is_scp(remote: str) -> bool:
    """Whether it is of the form user@host:path."""
    match = _SCP.match(remote)
    return match is not None and not match[2].startswith("-")
