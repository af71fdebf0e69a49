"""What bind mounts show and cache mounts begin with: files of the build context, of a stage or of an image."""

from __future__ import annotations

import os
import posixpath
import stat

from holdall.build import keys, lookup
from holdall.errors import DockerfileError
from holdall.record import record
from holdall.store.cache_mounts import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.build.state import State
    from holdall.build.tree import Item, Match, Tree
    from holdall.build.walking import Walker
    from holdall.dockerfile.instructions import Run
    from holdall.dockerfile.mount import Mount


@record
class Bound:
    """`path`, without symlinks, in `layers` of the store (base first) or, without layers, in a tree."""

    path: str
    tree: Tree
    layers: tuple[str, ...] = ()

    def lay_out(self, target: str, check: Callable[[], None]) -> None:
        """Copy what it shows to `target`, which is not there yet; `check` is called now and then and may raise.

        Raises OSError, DockerfileError.
        """
        match = _match(self.tree, self.path)
        folders: list[tuple[str, os.stat_result]] = []
        for item in self.tree.below(match, None):
            check()
            _copy(self.tree, item, f"{target}/{item.name}" if item.name else target, folders)
        # last, since every entry made in a folder has set its time
        for path, status in reversed(folders):
            os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def bound(walker: Walker, mount: Mount, instruction: Run) -> Bound | None:
    """What the mount shows; None for a cache that begins empty. Raises DockerfileError, ImageNotFound."""
    layers: tuple[str, ...] = ()
    if mount.source_stage:
        tree: Tree | None = walker.solver.files_of(walker.stage, mount.source_stage, instruction)
        assert tree is not None
        if not tree.own:
            layers = walker.solver.layers_of(walker.stage, mount.source_stage, instruction)
    elif mount.type == "cache":
        return None
    else:
        tree = walker.build.sources.context()
    if tree is None:
        raise DockerfileError("a bind mount needs a build context", hint="name a stage or an image with from=")
    where = f' in "{mount.source_stage}"' if mount.source_stage else ""
    if mount.source_stage and lookup.find(tree.root, mount.source).status is None:
        raise DockerfileError(f'"{mount.source}" is not there{where}')
    match = _match(tree, mount.source)
    if mount.type == "cache" and not match.is_folder:
        raise DockerfileError(f'"{mount.source}"{where} is no folder: a cache mount cannot begin with it')
    return Bound(match.path, tree, layers)


def facts(walker: Walker, one: Bound | None) -> object:
    """What a layer depends on of it: the layers where all of them are shown, else names and contents of files."""
    if one is None:
        return None
    if one.layers and not one.path:
        return list(one.layers)
    from holdall.build.copying import Request, plan

    shown = plan(Request((_plain(one.path),), "/bound/"), one.tree, None)
    return keys.contents(shown, one.tree, walker.build.sources.digests)


def cache_name(mount: Mount, one: Bound | None) -> str:
    """The name of a cache mount's folder: by its id, what it began with and who is to own it."""
    base = "" if one is None else "\0".join([*(one.layers or ("files",)), one.path])
    return name_of(mount.id, base, (mount.uid, mount.gid, mount.mode))


def target_of(state: State, mount: Mount) -> str:
    """The absolute place of a mount. Raises DockerfileError for the root."""
    place = posixpath.normpath(posixpath.join("/", state.config.working_dir or "/", mount.target))
    if place == "/" and mount.type != "secret":
        raise DockerfileError('a mount cannot be at "/"', hint="give it another target")
    return place


def _match(tree: Tree, path: str) -> Match:
    found = tree.matches(_plain(path))
    if not found:
        raise DockerfileError(f'"{path}" is not there, or left out by the ignore file')
    return found[0]


def _plain(path: str) -> str:
    """A path as a source word that stands for itself only."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path) or "."


def _copy(tree: Tree, item: Item, target: str, folders: list[tuple[str, os.stat_result]]) -> None:
    status = item.status
    owner = (0, 0) if tree.own else (status.st_uid, status.st_gid)
    if stat.S_ISDIR(status.st_mode):
        os.mkdir(target, 0o700)
        folders.append((target, status))
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(item.link, target)
        os.chown(target, *owner, follow_symlinks=False)
        return
    elif stat.S_ISREG(status.st_mode):
        _copy_data(tree, item, target)
    elif stat.S_ISFIFO(status.st_mode):
        os.mkfifo(target, 0o600)
    else:
        return
    os.chown(target, *owner)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _copy_data(tree: Tree, item: Item, target: str) -> None:
    import shutil

    with open(tree.open(item), "rb", buffering=0) as old, open(target, "xb", buffering=0) as new:
        try:
            while os.copy_file_range(old.fileno(), new.fileno(), 1 << 30):
                pass
        except OSError:
            # between these file systems the kernel does not copy
            old.seek(0)
            new.seek(0)
            new.truncate()
            shutil.copyfileobj(old, new, 1 << 20)
