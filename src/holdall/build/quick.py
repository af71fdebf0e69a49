"""The short way to a layer that COPY, ADD or WORKDIR made before: by what its sources look like, not what they hold.

A stamp is made of the instruction, the layers below, and for each file of the context what stat(2) says of it: device,
inode, size and both times. What a step with that stamp came to is remembered, so that a build where nothing changed
reads no file and mounts no layer. Whatever does not fit goes the long way (transfer.py), whose key has contents alone.
"""

from __future__ import annotations

import time

from holdall.build import keys
from holdall.dockerfile.instructions import Add, Copy, FileTransfer
from holdall.errors import HoldallError
from holdall.store.build_cache import SETTLED_NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdall.build.progress import Step
    from holdall.build.state import LayerRef, State
    from holdall.build.tree import Tree
    from holdall.build.walking import Walker
    from holdall.dockerfile.instructions import Workdir

WORDS = ("location", "comments", "text", "keyword")
"""Fields of an instruction that its layer does not depend on."""


def layer(
    walker: Walker,
    state: State,
    instruction: FileTransfer | Workdir,
    step: Step,
    make: Callable[[], LayerRef | None],
) -> LayerRef | None:
    """What the step made before, or what `make` gives; None for no layer. Raises what `make` raises."""
    if not walker.cached:
        return make()
    layers = walker.build.layers
    stamp = _stamp(walker, state, instruction)
    if stamp is not None:
        known = layers.remembered(stamp)
        if known == "":
            return None
        found = layers.find(step, known) if known else None
        if known and found is not None:
            walker.build.recorder.keyed(step, known)
            return found
    made = make()
    if stamp is not None:
        key = "" if made is None else layers.key_of(step)
        if key is not None:
            layers.remember(stamp, key)
    return made


def _stamp(walker: Walker, state: State, instruction: FileTransfer | Workdir) -> str | None:
    try:
        sources = _sources(walker, instruction) if isinstance(instruction, FileTransfer) else []
    except HoldallError:
        # the long way tells of it
        return None
    if sources is None:
        return None
    fields = [repr(value) for name, value in instruction.__dict__.items() if name not in WORDS]
    place = [state.config.working_dir, state.config.user, walker.build.epoch]
    return keys.key("stamp", state.diff_ids, [type(instruction).__name__, fields, place, sources])


def _sources(walker: Walker, instruction: FileTransfer) -> list[object] | None:
    """What the sources are: layers, or files as they look; None when that says too little."""
    if not instruction.sources:
        return []
    word = instruction.source if isinstance(instruction, Copy) else ""
    if word:
        diff_ids = walker.solver.diff_ids_of(walker.stage, word, instruction)
        return None if diff_ids is None else [list(diff_ids)]
    tree = walker.build.sources.context()
    if tree is None or not walker.build.sources.is_lasting(tree):
        return None
    if isinstance(instruction, Add) and any(_is_remote(one) for one in instruction.sources):
        return None
    return _looks(tree, instruction.sources, parents=isinstance(instruction, Copy) and instruction.parents)


def _is_remote(word: str) -> bool:
    return "://" in word or "@" in word


def _looks(tree: Tree, words: Iterable[str], *, parents: bool) -> list[object] | None:
    """Paths and what stat(2) says; None when something changed too lately to be sure of."""
    found: list[object] = []
    latest = 0
    for word in words:
        for match in tree.matches(word, deep=parents):
            found.append(match.path)
            for item in tree.below(match, None):
                status = item.status
                latest = max(latest, status.st_mtime_ns, status.st_ctime_ns)
                found.append((
                    item.path, item.link, status.st_mode, status.st_uid, status.st_gid, status.st_dev, status.st_ino,
                    status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_rdev,
                ))  # fmt: skip
    return None if time.time_ns() - latest < SETTLED_NS else found
