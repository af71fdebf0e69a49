"""Files of git repositories, by commit: what is the same commit is fetched once, and gives the same files everywhere.

A repository that was asked for is kept, bare and shallow, in cache/git/; `builder prune` removes it. A commit that was
fetched whole has a ref there, so a killed fetch is seen. Submodules are fetched by ourselves the same way: git's own
command would read more configuration than is wanted.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import contextmanager

from holdall.build import gitsubmodules, giturl
from holdall.build.gitcommand import LOCAL, Git, GitFailed, public
from holdall.dockerfile.location import visible
from holdall.errors import IntegrityError, InvalidInput, LimitExceeded, PathNotFound
from holdall.layer.limits import DEFAULT
from holdall.record import record
from holdall.store.trees import disk_usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.build.giturl import GitAddress
    from holdall.build.stop import Stop
    from holdall.paths import Paths

MAX_FILES = 1_000_000
HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_UNREACHED = ("Could not resolve host", "unable to access", "unable to connect", "Connection ", "Host key", "denied")
KEPT = "refs/kept/"


@record
class Commit:
    """A commit of a repository; `ref` is where it was found, "" when it was named itself."""

    remote: str
    id: str
    ref: str = ""


class Repositories:
    """Those of one build. Usable from several threads."""

    def __init__(self, git: Git, paths: Paths, stop: Stop) -> None:
        self._git = git
        self._paths = paths
        self._stop = stop

    def commit(self, address: GitAddress) -> Commit:
        """The commit that is meant, asked of the server unless it is named in full.

        Raises PathNotFound, IntegrityError (another than its checksum says), SystemFailure, Unsupported, Cancelled.
        """
        found, also = Commit(address.remote, address.ref), ""
        if not address.is_fixed:
            found, also = self._asked(address)
        wanted = address.checksum.lower()
        if wanted and not found.id.startswith(wanted) and not (also and also.startswith(wanted)):
            raise IntegrityError(
                f'"{address.shown}" has the commit "{found.id}", not "{wanted}"',
                hint="see what changed there before you change the checksum",
            )
        return found

    def _asked(self, address: GitAddress) -> tuple[Commit, str]:
        """The commit, and the annotated tag that leads to it, "" for none."""
        words = [address.ref, address.ref + "^{}"] if address.ref else ["HEAD"]
        said = self._git.run(["ls-remote", "--", public(address.remote), *words], remote=address.remote)
        found: dict[str, str] = {}
        for line in said.splitlines():
            value, _, name = line.partition("\t")
            if HASH.match(value):
                found[name] = value
        if not address.ref:
            if "HEAD" not in found:
                raise PathNotFound(f'"{address.shown}" has no default branch', hint="name a branch or tag behind #")
            return Commit(address.remote, found["HEAD"], "HEAD"), ""
        bare = address.ref.removeprefix("refs/")
        head = "refs/heads/" + address.ref.removeprefix("refs/heads/")
        tag = "refs/tags/" + address.ref.removeprefix("refs/tags/")
        for name in ("refs/" + bare, head):
            if name in found and name != tag:
                return Commit(address.remote, found[name], name), ""
        if tag in found:
            return Commit(address.remote, found.get(tag + "^{}", found[tag]), tag), found[tag]
        raise PathNotFound(
            f'"{address.shown}" has no branch or tag "{visible(address.ref)}"',
            hint="a commit has to be named by all its 40 digits",
        )

    def checkout(self, address: GitAddress, commit: Commit, target: str, *, keep_git_dir: bool = False) -> int:
        """Write the commit's files into the empty folder `target`; when it was made, in seconds since 1970.

        Raises PathNotFound (no such folder in it), LimitExceeded, IntegrityError, SystemFailure, Cancelled.
        """
        with self._repository(commit) as repository:
            self._write(repository, commit, address.folder, target)
            if keep_git_dir and not address.folder:
                self._keep(repository, commit, target)
            made = self._git.run(["show", "-s", "--format=%ct", commit.id], repository=repository).strip()
        if address.submodules:
            self._submodules(commit, address.folder, target, gitsubmodules.Budget())
        return int(made) if made.isdigit() else 0

    @contextmanager
    def _repository(self, commit: Commit) -> Iterator[str]:
        """The bare repository with the commit in it; nobody else is at it meanwhile."""
        name = hashlib.sha256(f"{len(commit.id)} {commit.remote}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        path = f"{self._paths.root}/cache/git/{name}"
        lock = self._stop.acquire(f"{self._paths.ingest}/git-{name}.lock")
        try:
            if not self._has(path, commit):
                existed = os.path.exists(f"{path}/used")
                try:
                    self._fetch(path, commit)
                except (GitFailed, PathNotFound):
                    if not existed:
                        raise
                    # it may be for what a killed fetch left there
                    shutil.rmtree(path)
                    self._fetch(path, commit)
            os.utime(f"{path}/used")
            yield path
        finally:
            lock.release()

    def _has(self, path: str, commit: Commit) -> bool:
        if not os.path.exists(f"{path}/used"):
            return False
        try:
            self._git.run(["rev-parse", "--verify", "--quiet", f"{KEPT}{commit.id}^{{tree}}"], repository=path)
        except GitFailed:
            return False
        return True

    def _fetch(self, path: str, commit: Commit) -> None:
        if not os.path.exists(f"{path}/used"):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path, 0o700)
            form = ["--object-format=sha256"] if len(commit.id) == 64 else []
            self._git.run(["init", "--quiet", "--bare", "--template=", *form, "--", path])
            with open(f"{path}/used", "wb"):
                pass
        for name in ("shallow.lock", "packed-refs.lock"):
            # only a killed git leaves these: nobody else is at it
            if os.path.exists(f"{path}/{name}"):
                os.unlink(f"{path}/{name}")
        self._obtain(path, commit)
        self._git.run(["update-ref", KEPT + commit.id, commit.id], repository=path)

    def _obtain(self, path: str, commit: Commit) -> None:
        """Fetch the commit alone; where the server does not give that, its ref's end; else everything."""
        shallow = ["--depth=1"]
        ways = [(shallow, [commit.id])]
        if commit.ref:
            ways.append((shallow, [commit.ref]))
        ways.append(([], ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]))
        for number, (options, refs) in enumerate(ways):
            last = number == len(ways) - 1
            if last and os.path.exists(f"{path}/shallow"):
                options = ["--unshallow"]
            words = ["fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", *options]
            try:
                self._git.run([*words, "--", public(commit.remote), *refs], repository=path, remote=commit.remote)
            except GitFailed as err:
                if last or any(word in err.output for word in _UNREACHED):
                    raise
                continue
            if self._is_there(path, commit):
                return
        raise PathNotFound(f'"{_shown(commit.remote)}" has no commit "{commit.id}"')

    def _is_there(self, path: str, commit: Commit) -> bool:
        try:
            self._git.run(["cat-file", "-e", commit.id + "^{tree}"], repository=path)
        except GitFailed:
            return False
        return True

    def _write(self, repository: str, commit: Commit, folder: str, target: str) -> None:
        tree = f"{commit.id}:{folder}" if folder else commit.id
        try:
            kind = self._git.run(["cat-file", "-t", tree if folder else tree + "^{tree}"], repository=repository)
        except GitFailed:
            kind = ""
        if kind.strip() != "tree":
            raise PathNotFound(f'"{_shown(commit.remote)}" has no folder "{visible(folder)}" at "{commit.id}"')
        self._check(repository, tree)
        index = target.rstrip("/") + ".index"
        try:
            environment = {"GIT_INDEX_FILE": index, "GIT_WORK_TREE": target}
            self._git.run(["read-tree", tree], repository=repository, environment=environment)
            self._git.run(
                ["checkout-index", "--all", "--force", "--quiet", f"--prefix={target}/"],
                repository=repository,
                environment=environment,
            )
        finally:
            for name in (index, index + ".lock"):
                if os.path.exists(name):
                    os.unlink(name)

    def _check(self, repository: str, tree: str) -> None:
        """Trees can hold themselves and one file many times over: count before anything is written."""
        count = size = 0
        rest = b""
        for piece in self._git.pieces(["ls-tree", "-r", "-z", "--long", tree], repository=repository):
            *lines, rest = (rest + piece).split(b"\0")
            for line in lines:
                number = line.partition(b"\t")[0].rpartition(b" ")[2]
                size += int(number) if number.isdigit() else 0
            count += len(lines)
            if count > MAX_FILES:
                raise LimitExceeded(f"the repository has more than {MAX_FILES} files")
        if size > DEFAULT.expansion_free and size > DEFAULT.expansion_ratio * disk_usage(repository):
            raise LimitExceeded(f"the repository's files have {size} bytes, far more than was fetched")

    def _keep(self, repository: str, commit: Commit, target: str) -> None:
        """A .git with this one commit, the same bytes each time: no logs, no times, packed anew."""
        own = f"{target}/.git"
        form = ["--object-format=sha256"] if len(commit.id) == 64 else []
        run = self._git.run
        run(["init", "--quiet", "--template=", *form, "--", target])
        run(
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", "--", f"file://{repository}",
             KEPT + commit.id],
            repository=own, protocols=LOCAL,
        )  # fmt: skip
        run(["config", "remote.origin.url", public(commit.remote)], repository=own)
        run(["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"], repository=own)
        if commit.ref.startswith("refs/tags/"):
            run(["update-ref", commit.ref, commit.id], repository=own)
        run(["update-ref", "--no-deref", "HEAD", commit.id], repository=own)
        run(["repack", "-a", "-d", "-f", "-q"], repository=own)
        # without what stat(2) says, which would be of this machine
        run(["read-tree", "HEAD"], repository=own)

    def _submodules(self, commit: Commit, folder: str, target: str, budget: gitsubmodules.Budget) -> None:
        with self._repository(commit) as repository:
            links = gitsubmodules.links(self._git, repository, commit.id, folder)
            urls = gitsubmodules.urls(self._git, repository, commit.id) if links else {}
        for path, link in links:
            whole = f"{folder}/{path}" if folder else path
            if whole not in urls:
                raise InvalidInput(
                    f'"{_shown(commit.remote)}" has the submodule "{visible(whole)}", but .gitmodules has no address',
                    hint="leave submodules out with ?submodules=false",
                )
            remote = giturl.beside(commit.remote, urls[whole])
            gitsubmodules.check_remote(remote)
            below = budget.below()
            inner = Commit(remote, link)
            place = gitsubmodules.place(target, path)
            with self._repository(inner) as repository:
                self._write(repository, inner, "", place)
            self._submodules(inner, "", place, below)


def _shown(remote: str) -> str:
    return visible(public(remote))[:200]
