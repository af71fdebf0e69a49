"""`cp`: tars into and out of a container, by descriptor and never beyond its root; and Docker's rules for the names."""

from __future__ import annotations

import os

from holdall.engine.rootfs import open_place
from holdall.errors import Conflict, ContainerStateConflict, PathNotFound
from holdall.layer.export import PathStat, stat_path, write_path
from holdall.layer.unpack import extract_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.engine.container import Container
    from holdall.engine.engine import Engine

MAX_LINKS = 40
KERNEL_FOLDERS = (b"dev", b"proc", b"sys")
"""What a running container has there is the kernel's and no part of a copy of everything."""


def copy_out(engine: Engine, container: Container, path: str, out: BinaryIO, *, follow: bool) -> None:
    """Write a tar of `path`, named by its base name. Raises PathNotFound."""
    with open_place(engine, container, path, write=False) as place:
        inside, name = place.path, None
        if follow:
            inside = followed(place.root, inside)
            # what a link points to may have another name
            name = None if _tail(path) == "/." else os.fsencode(os.path.basename(place.path)) or None
        hollow = KERNEL_FOLDERS if inside == "/" and container.running else ()
        write_path(place.root, inside + _tail(path), out, name=name, hollow=hollow)


def copy_in(engine: Engine, container: Container, path: str, archive: BinaryIO, *, keep_owner: bool) -> None:
    """Unpack a tar into the folder `path`; files become root's unless `keep_owner`. Raises PathNotFound, Conflict."""
    if container.config.options.read_only and not container.running:
        raise ContainerStateConflict(f'the root file system of container "{container.name}" is read-only')
    with open_place(engine, container, path, write=True) as place:
        inside = followed(place.root, place.path)
        found = stat_path(place.root, inside)
        if not found.is_directory:
            raise Conflict(f'"{path}" in container "{container.name}" is not a directory')
        owner = None if keep_owner else (0, 0)
        extract_into(archive, place.root, at=os.fsencode(inside.lstrip("/")), owner=owner, keep_kinds=True)


def look(engine: Engine, container: Container, path: str, *, follow: bool) -> PathStat | None:
    """What is at `path` in the container; None for nothing. A link at its end is followed inside its root if asked."""
    with open_place(engine, container, path, write=False) as place:
        try:
            return stat_path(place.root, followed(place.root, place.path) if follow else place.path)
        except PathNotFound:
            return None


def landing(engine: Engine, container: Container, path: str) -> str:
    """`path` of the container with a link at its end replaced by what it points to, as what is copied goes there."""
    with open_place(engine, container, path, write=False) as place:
        inside = followed(place.root, place.path)
        if inside == place.path:
            return path
        above = os.path.normpath("/" + path.lstrip("/")).removesuffix(place.path)
        return above + inside + ("/" if path.endswith("/") else "")


def enters(source: str) -> bool:
    """Whether a source is written so that a link at its end is followed."""
    return source.endswith(("/", "/."))


def followed(root: int, path: str) -> str:
    """`path` with symlinks at its end replaced by what they point to, inside the root. Raises PathNotFound."""
    for _ in range(MAX_LINKS):
        try:
            link = stat_path(root, path).link
        except PathNotFound:
            return path
        if not link:
            return path
        path = os.path.normpath(os.path.join(os.path.dirname(path), link))
    raise PathNotFound(f'cannot follow "{path}": too many links')


def _tail(path: str) -> str:
    """ "/." at the end means the content of a folder, "/" that a link is followed; normalising has taken it off."""
    return "/." if path.endswith("/.") else "/" if path.endswith("/") and path.strip("/") else ""


def destination(source: str, is_folder: bool, target: str, found: PathStat | None) -> tuple[str, str]:
    """Folder to unpack into and name to give, by the rules of docker-cp(1). Raises PathNotFound or Conflict.

    `source` as the user wrote it; `found` what is at `target` now. An empty name means the content, not the folder.
    """
    name = os.path.basename(os.path.normpath(source))
    content = source.endswith("/.") or os.path.normpath(source) == "/"
    folder, base = os.path.split(target.rstrip("/") or "/")
    if found is None:
        if not is_folder and target.endswith("/"):
            raise PathNotFound(f'the folder "{target}" does not exist', hint="make it first")
        return folder or ".", base
    if found.is_directory:
        return target, "" if content else name
    if is_folder:
        raise Conflict(f'cannot copy a folder over the file "{target}"')
    return folder or ".", base
