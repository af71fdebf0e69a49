"""`fsck` of layers/: each tar against its diff-id, each index against one made anew, each tree against its tar."""

from __future__ import annotations

import os

from holdall.erofs.reader import Reader
from holdall.errors import HoldallError
from holdall.layer.compression import open_layer
from holdall.layer.hashing import HashingReader
from holdall.layer.indexer import Indexer
from holdall.oci.digest import Digest
from holdall.runtime import layers as mounted
from holdall.store import durable, locks
from holdall.store.compare_trees import difference, same_index
from holdall.store.fsck import Damage
from holdall.store.names import used_layers
from holdall.store.snapshots.index_file import fill_index, is_opaque
from holdall.store.snapshots.layers import INDEX, OPAQUE, TREE, Layers
from holdall.store.snapshots.making import INFO, encode_info, lock_path
from holdall.store.snapshots.snapshotter import LayerInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.erofs.node import Node
    from holdall.layer.unpack import Stats
    from holdall.store.fsck import Fsck

PIECE = 1 << 20


def check_layers(work: Fsck) -> set[str]:
    """Check all layers that images and containers need; the tars that have been read and need no second reading."""
    layers = work.store.snapshots
    assert isinstance(layers, Layers)
    tars: set[str] = set()
    unseen = 0
    for text in sorted(used_layers(work.database)):
        diff_id, content = Digest.parse(text), layers.content(text)
        work.layers += 1
        if INDEX in content:
            tars.add(text)
            _check_indexed(work, layers, diff_id, content)
        if TREE in content:
            unseen += not _check_tree(work, layers, diff_id)
        if not content & {INDEX, TREE} and text in used_layers(work.database):
            _lost(work, diff_id, "layer", f'layer "{text}" is missing')
    if unseen:
        work.notes.append(f"{unseen} unpacked layers have no blob here to compare them with: only sizes were checked")
    return tars


def _check_indexed(work: Fsck, layers: Layers, diff_id: Digest, content: frozenset[str]) -> None:
    try:
        tar = open(layers.tar(str(diff_id)), "rb", buffering=0)
    except FileNotFoundError:
        if TREE not in content and str(diff_id) in used_layers(work.database):
            _lost(work, diff_id, "tar", f'the tar of layer "{diff_id}" is missing')
        return
    with tar:
        found, made = _read(work, tar, diff_id)
        if found != diff_id:
            if os.fstat(tar.fileno()).st_nlink:
                _lost(work, diff_id, "tar", f'the tar of layer "{diff_id}" is damaged: its digest is "{found}"')
        elif made is None:
            work.notes.append(f"layer {diff_id.short} cannot be indexed by this version of Holdall")
        else:
            _check_index(work, layers, diff_id, tar, made)


def _read(work: Fsck, stream: BinaryIO, diff_id: Digest) -> tuple[Digest, tuple[Node, Stats] | None]:
    """Its digest and what its index is made of; None when no index can be made of it."""
    hasher, indexer = diff_id.hasher(), Indexer()
    good = True
    while data := stream.read(PIECE):
        hasher.update(data)
        work.read(len(data))
        if good:
            try:
                indexer.feed(data)
            except HoldallError:
                good = False
    try:
        return Digest(diff_id.algorithm, hasher.hexdigest()), indexer.finish() if good else None
    except HoldallError:
        return Digest(diff_id.algorithm, hasher.hexdigest()), None


def _check_index(work: Fsck, layers: Layers, diff_id: Digest, tar: BinaryIO, made: tuple[Node, Stats]) -> None:
    root, stats = made
    size = os.fstat(tar.fileno()).st_size
    info = LayerInfo(str(diff_id), stats.bytes, stats.entries, size)
    folder = layers.folder(str(diff_id))
    # in memory: a check must do on a full disk, too
    with os.fdopen(os.memfd_create("index"), "w+b", buffering=0) as fresh:
        marked = is_opaque(root)
        fill_index(root, diff_id, size, tar.fileno(), fresh.fileno())
        try:
            good = _is_same(fresh, f"{folder}/{INDEX}", tar.fileno())
            good &= marked == os.path.exists(f"{folder}/{OPAQUE}")
            noted = layers.info(str(diff_id)) == info
        except FileNotFoundError:
            # the layer was removed meanwhile
            return
        if not good:
            _mend_index(work, layers, diff_id, fresh, marked=marked)
    if not noted and os.path.isdir(folder):
        _mend_note(work, layers, diff_id, info)


def _is_same(fresh: BinaryIO, there: str, tar: int) -> bool:
    """By bytes; or, since another version may have laid it out in another way, by what it says."""
    fresh.seek(0)
    with open(there, "rb", buffering=0) as other:
        while True:
            data = fresh.read(PIECE)
            if data != other.read(PIECE):
                break
            if not data:
                return True
        try:
            return same_index(Reader(fresh.fileno(), tar), Reader(other.fileno(), tar))
        except (HoldallError, ValueError):
            return False


def _mend_index(work: Fsck, layers: Layers, diff_id: Digest, fresh: BinaryIO, *, marked: bool) -> None:
    mended = ""
    if work.repair:
        folder = layers.folder(str(diff_id))
        with locks.acquire(lock_path(layers, diff_id.algorithm, diff_id.encoded)) as lock:
            if marked:
                durable.write_file(f"{folder}/{OPAQUE}", b"")
            elif os.path.exists(f"{folder}/{OPAQUE}"):
                os.unlink(f"{folder}/{OPAQUE}")
            fresh.seek(0)
            durable.write_file(f"{folder}/{INDEX}", fresh.read())
            lock.remove()
        # the next start mounts the new one
        mounted.detach(layers.mount_of(str(diff_id)).target)
        mended = "made again from its tar"
    message = f'the index of layer "{diff_id}" is not that of its tar'
    work.tell(Damage("index", str(diff_id), message, work.images_of(str(diff_id)), mended))


def _mend_note(work: Fsck, layers: Layers, diff_id: Digest, info: LayerInfo) -> None:
    mended = ""
    if work.repair:
        durable.write_file(f"{layers.folder(str(diff_id))}/{INFO}", encode_info(info))
        mended = "written anew"
    message = f'info.json of layer "{diff_id}" is wrong'
    work.tell(Damage("note", str(diff_id), message, work.images_of(str(diff_id)), mended))


def _check_tree(work: Fsck, layers: Layers, diff_id: Digest) -> bool:
    """Compare names, types, sizes, modes and times with the layer's blob, if that is here; whether it was."""
    path = f"{layers.folder(str(diff_id))}/{TREE}"
    for form in work.forms.get(diff_id, ()):
        try:
            blob = open(work.content.path(form.digest), "rb", buffering=0)
        except FileNotFoundError:
            continue
        with blob:
            try:
                stream = HashingReader(open_layer(HashingReader(blob), form.media_type), diff_id.algorithm)
                found, made = _read(work, stream, diff_id)  # type: ignore[arg-type]  # only read from
            except HoldallError:
                continue
        if found != diff_id or made is None:
            continue
        try:
            wrong = difference(made[0], path)
        except FileNotFoundError:
            # the layer was removed meanwhile
            return True
        if wrong and str(diff_id) in used_layers(work.database):
            _lost(work, diff_id, "layer", f'unpacked layer "{diff_id}" is damaged: {wrong}')
        return True
    return False


def _lost(work: Fsck, diff_id: Digest, kind: str, message: str) -> None:
    """A layer whose bytes are wrong or gone: had again, or dropped if no container needs it."""
    images = work.images_of(str(diff_id))
    mended = ""
    if work.repair:
        mended = work.regain.layer(diff_id)
        if not mended:
            containers = work.containers_of(str(diff_id))
            if containers:
                message += f"; container {', '.join(containers)} needs it, so it stays as it is"
            else:
                work.regain.drop(diff_id)
                message += "; it is dropped" + (f": pull {', '.join(images)} again" if images else "")
    work.tell(Damage(kind, str(diff_id), message, images, mended))
