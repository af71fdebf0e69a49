"""Submodules of a repository: which there are, and where. What a tree or .gitmodules says is not to be trusted."""

from __future__ import annotations

import os

from holdall.build import giturl
from holdall.build.gitcommand import GitFailed
from holdall.dockerfile.location import visible
from holdall.errors import InvalidInput, LimitExceeded
from holdall.linux.inroot import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.gitcommand import Git

MAX_SUBMODULES = 1000
MAX_DEPTH = 16
LINK_MODE = b"160000"


def links(git: Git, repository: str, commit: str, folder: str) -> list[tuple[str, str]]:
    """Paths of submodules in a folder of a commit, with their commits. Raises SystemFailure, Cancelled."""
    tree = f"{commit}:{folder}" if folder else commit
    links = []
    rest = b""
    for piece in git.pieces(["ls-tree", "-r", "-z", tree], repository=repository):
        *lines, rest = (rest + piece).split(b"\0")
        for line in lines:
            head, _, path = line.partition(b"\t")
            if head.startswith(LINK_MODE):
                links.append((os.fsdecode(path), head.split(b" ")[2].decode()))
    return links


def urls(git: Git, repository: str, commit: str) -> dict[str, str]:
    """Addresses of submodules by their paths."""
    try:
        said = git.run(
            ["config", "--blob", f"{commit}:.gitmodules", "-z", "--get-regexp", r"^submodule\..*\.(path|url)$"],
            repository=repository,
        )
    except GitFailed:
        return {}
    found: dict[str, dict[str, str]] = {}
    for entry in said.split("\0"):
        key, _, value = entry.partition("\n")
        name, _, what = key.rpartition(".")
        found.setdefault(name, {})[what] = value
    return {one["path"]: one["url"] for one in found.values() if "path" in one and "url" in one}


def place(target: str, path: str) -> str:
    """The folder for a submodule, made with those above it: a tree can have a link and a folder of one name.

    Raises InvalidInput when it is not below `target` in folders alone.
    """
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    above = root
    try:
        for name in path.split("/"):
            if name in ("", ".", ".."):
                raise InvalidInput(f'a submodule has the path "{visible(path[:200])}"')
            try:
                os.mkdir(name, 0o755, dir_fd=above)
            except FileExistsError:
                pass
            inner = open_in_root(above, name, os.O_RDONLY | os.O_DIRECTORY, symlinks=False)
            if above != root:
                os.close(above)
            above = inner
    except OSError as err:
        raise InvalidInput(
            f'there is no place for the submodule "{visible(path[:200])}": a file or link is there'
        ) from err
    finally:
        os.close(root)
        if above != root:
            os.close(above)
    return f"{target}/{path}"


class Budget:
    """Submodules are counted over the whole checkout, and may be nested so deep."""

    def __init__(self, depth: int = 0, count: list[int] | None = None) -> None:
        self._depth = depth
        self._count = count if count is not None else [0]

    def below(self) -> Budget:
        """For one submodule more, and those in it. Raises LimitExceeded."""
        self._count[0] += 1
        if self._count[0] > MAX_SUBMODULES or self._depth >= MAX_DEPTH:
            raise LimitExceeded(f"more than {MAX_SUBMODULES} submodules, or {MAX_DEPTH} within each other")
        return Budget(self._depth + 1, self._count)


def check_remote(remote: str) -> None:
    """Refuse what is no address of a server. Raises InvalidInput."""
    scheme, mark, _ = remote.partition("://")
    known = scheme.lower() in giturl.SCHEMES if mark else giturl.is_scp(remote)
    if remote.startswith("-") or not known or any(ord(char) < 32 for char in remote):
        raise InvalidInput(f'a submodule has the address "{visible(remote[:200])}"', hint="only http, ssh and git are")
