"""`cp`: tars into and out of a container, by descriptor and never beyond its root."""

from __future__ import annotations

from holdall.engine.rootfs import open_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.engine.container import Container
    from holdall.engine.engine import Engine
    from holdall.layer.copying import Found


def copy_out(engine: Engine, container: Container, path: str, out: BinaryIO, *, follow: bool) -> None:
    """Write a tar of `path`, named by its base name. Raises PathNotFound."""
    from holdall.layer.copying import write_path

    with open_place(engine, container, path, write=False) as place:
        write_path(place.root, place.path, out, follow=follow)


def copy_in(engine: Engine, container: Container, path: str, archive: BinaryIO, *, keep_owner: bool) -> None:
    """Unpack a tar into the folder `path`; files become root's unless `keep_owner`. Raises PathNotFound."""
    from holdall.layer.copying import extract_into

    with open_place(engine, container, path, write=True) as place:
        extract_into(archive, place.root, place.path, owner=None if keep_owner else (0, 0))


def look(engine: Engine, container: Container, path: str) -> Found | None:
    """What is at `path` in the container, links followed inside its root; None for nothing."""
    from holdall.layer.copying import look as find

    with open_place(engine, container, path, write=False) as place:
        return find(place.root, place.path)
