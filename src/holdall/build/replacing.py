"""What --build-context puts in the place of stages, of base images and of what --from names."""

from __future__ import annotations

import threading

from holdall.build import contexts
from holdall.build.layers import Way
from holdall.build.progress import BASE
from holdall.build.state import DEFAULT_PATH, LayerRef, State
from holdall.dockerfile.location import visible
from holdall.dockerfile.scope import Scope
from holdall.errors import DockerfileError, HoldallError, ImageNotFound, InvalidOption
from holdall.oci.container_config import ContainerConfig
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.build.contexts import Named
    from holdall.build.solver import Solver
    from holdall.dockerfile.stages import Stage
    from holdall.image.image import Image
    from holdall.layer.hashing import Writable
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.platform import Platform

REF_NAME = "org.opencontainers.image.ref.name"


class NamedContexts:
    """Those of one build, by name. A name may end in ::OS/ARCH: then it is for that platform only."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given: dict[str, Named] = {}
        for name, value in given.items():
            bare, mark, platform = name.partition("::")
            if not bare or not value:
                raise InvalidOption(f'invalid value "{visible(name)}={visible(value)}" for --build-context')
            self._given[contexts.key_of(bare) + mark + platform] = contexts.named(bare, value)

    def find(self, word: str, platform: str) -> Named | None:
        """The context with the name of a stage or image; None when there is none."""
        if not self._given or not word:
            return None
        key = contexts.key_of(word)
        return self._given.get(f"{key}::{platform}") or self._given.get(key) or self._given.get(word)


def state_of(
    solver: Solver, named: Named, stage: Stage, platform: Platform | None = None
) -> tuple[State, tuple[str, ...]]:
    """The state that a named context begins a stage with, and the ONBUILD triggers of an image.

    Raises DockerfileError, RegistryError, Cancelled.
    """
    wanted = platform or solver.platform
    try:
        if named.kind == "image":
            if named.value == "scratch":
                return empty_state(wanted), ()
            return state_of_image(solver.image(named.value, wanted, stage))
        if named.kind == "layout":
            return state_of_image(_of_layout(solver, named, wanted))
        return replace(empty_state(wanted), layers=(_of_files(solver, named),)), ()
    except DockerfileError:
        raise
    except (ImageNotFound, InvalidOption) as err:
        raise DockerfileError(f'build context "{visible(named.name)}": {err.message}', hint=err.hint) from err


def empty_state(platform: Platform) -> State:
    """The state that a stage from nothing begins with."""
    env = (DEFAULT_PATH,)
    return State(platform, Scope.of_image(env), config=ContainerConfig(env=env, working_dir="/"))


def state_of_image(image: Image) -> tuple[State, tuple[str, ...]]:
    """The state that a stage from this image begins with, and its ONBUILD triggers."""
    config = image.config.config
    layers = tuple([LayerRef(layer.descriptor, layer.diff_id, base=True) for layer in image.layers])
    # commands have a PATH also where the image says none: ENV PATH=/x:$PATH must not lose it
    env = config.env if any(entry.startswith("PATH=") for entry in config.env) else (DEFAULT_PATH, *config.env)
    state = State(
        image.config.platform, Scope.of_image(env), layers, replace(config, on_build=()), image.config.history
    )
    return state, config.on_build


def _of_files(solver: Solver, named: Named) -> LayerRef:
    """A layer of all the files of a context."""
    from holdall.build.contents import Contents
    from holdall.build.copying import Request, plan
    from holdall.layer.writer import TarWriter

    build = solver.build
    step = build.step("", 0, 0, f"context {named.name}", str(solver.platform), BASE)
    tree = build.sources.named(named)
    contents = Contents(plan(Request((".",), "/", epoch=build.epoch), tree, None), tree, build.sources.digests)

    def fill(out: Writable) -> bool:
        tar = TarWriter(out)
        steady = contents.write(tar)
        tar.close()
        return steady

    key = build.key("link", (), [["files", contents.digest()]])
    layer = build.layers.layer(step, key, build.searched(fill), Way())
    build.searching.check(layer)
    return layer


_LAYOUTS = threading.Lock()


def _of_layout(solver: Solver, named: Named, platform: Platform) -> Image:
    """An image of a layout's folder, its layers taken into the store."""
    from holdall.image.resolve import load_image
    from holdall.store.files import FolderFiles
    from holdall.store.layout import LayoutSource

    folder, tag, digest = contexts.split_layout(named.value)
    files = FolderFiles(folder)
    try:
        image = load_image(LayoutSource(files), _chosen(files, folder, tag, digest), platform)
    except ImageNotFound:
        raise
    except HoldallError as err:
        raise DockerfileError(f'build context "{visible(named.name)}": {err.message}', hint=err.hint) from err
    with _LAYOUTS:
        return solver.build.stored(image)


def _chosen(files: object, folder: str, tag: str, digest: str) -> Descriptor:
    from holdall.oci import mediatype
    from holdall.oci.index import Index
    from holdall.store.files import FolderFiles, read

    assert isinstance(files, FolderFiles)
    raw = read(files, "index.json")
    if raw is None:
        raise ImageNotFound(f'"{visible(folder)}" is no image layout: it has no index.json')
    found = Index.parse(raw, mediatype.OCI_INDEX).manifests
    if digest:
        chosen = [one for one in found if str(one.digest) == digest]
    else:
        chosen = [one for one in found if _tag((one.annotations or {}).get(REF_NAME, "")) == (tag or "latest")]
        if not chosen and not tag and len(found) == 1:
            chosen = list(found)
    if not chosen:
        raise ImageNotFound(f'"{visible(folder)}" has no image "{visible(digest or tag or "latest")}"')
    return chosen[0]


def _tag(name: str) -> str:
    """The tag of what an index calls an image: a tag, or a name with one."""
    base = name.rpartition("/")[2]
    return base.rpartition(":")[2] if ":" in base else base
