"""`fsck` of blobs/ and of the rows about blobs: each file against its digest, each row against what it promises."""

from __future__ import annotations

import os

from holdall.errors import BlobNotFound, HoldallError, InvalidDigest
from holdall.layer.compression import open_layer
from holdall.layer.hashing import HashingReader
from holdall.oci.config import ImageConfig
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.manifest import Manifest
from holdall.store.check import obtainable
from holdall.store.fsck import Damage
from holdall.store.recipes import Recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from holdall.store.fsck import Fsck

PIECE = 1 << 20


def find_forms(work: Fsck) -> None:
    """Fill `work.forms` from manifests and the table `compressed`, and `work.total`."""
    for digest, image, media_type in work.database.all("SELECT digest, image, media_type FROM manifests"):
        try:
            manifest = Manifest.parse(work.content.read(Digest.parse(digest)), media_type)
            config = ImageConfig.parse(work.content.read(Digest.parse(image)))
        except HoldallError:
            # damaged or missing: the blobs' own check tells
            continue
        for descriptor, diff_id in zip(manifest.layers, config.diff_ids, strict=False):
            _add(work, diff_id, descriptor)
    for digest, diff_id, media_type, size in work.database.all(
        "SELECT digest, diff_id, media_type, size FROM compressed"
    ):
        try:
            _add(work, Digest.parse(diff_id), Descriptor(media_type, Digest.parse(digest), size))
        except InvalidDigest:
            continue
    for text in work.content.digests():
        try:
            work.total += work.content.size(Digest.parse(text))
        except (BlobNotFound, InvalidDigest):
            continue


def _add(work: Fsck, diff_id: Digest, descriptor: Descriptor) -> None:
    forms = work.forms.setdefault(diff_id, [])
    if all(form.digest != descriptor.digest for form in forms):
        forms.append(descriptor)


def check_blobs(work: Fsck, tars: set[str]) -> None:
    """Read every blob but those in `tars`, which have been read; then look for those that are missing."""
    unpacks = {
        digest: (diff_id, media_type)
        for digest, diff_id, media_type in work.database.all("SELECT digest, diff_id, media_type FROM compressed")
    }
    for text in sorted(work.content.digests()):
        try:
            digest = Digest.parse(text)
        except InvalidDigest:
            work.notes.append(f'"{text}" in blobs/ is no blob\'s name')
            continue
        work.blobs += 1
        if text in tars:
            continue
        try:
            stream = open(work.content.path(digest), "rb", buffering=0)
        except FileNotFoundError:
            # removed since the listing
            continue
        with stream:
            _check_blob(work, digest, stream, unpacks.get(text))
    for text, message in _missing(work):
        _mend(work, Digest.parse(text), message)


def _check_blob(work: Fsck, digest: Digest, stream: BinaryIO, row: tuple[str, str] | None) -> None:
    whole = HashingReader(_Counted(work, stream), digest.algorithm)
    tar: Digest | None = None
    if row is not None:
        try:
            unpacked = HashingReader(open_layer(whole, row[1]), Digest.parse(row[0]).algorithm)
            while unpacked.read(PIECE):
                pass
            tar = unpacked.digest
        except HoldallError:
            tar = None
    while whole.read(PIECE):
        pass
    if whole.digest != digest:
        if not os.fstat(stream.fileno()).st_nlink:
            return
        work.regain.drop_blob(digest) if work.repair else None
        _mend(work, digest, f'blob "{digest}" is damaged: its digest is "{whole.digest}"', was_dropped=work.repair)
    elif row is not None and (tar is None or str(tar) != row[0]):
        _forget(work, digest, f'blob "{digest}" does not unpack to "{row[0]}"')


def _mend(work: Fsck, digest: Digest, message: str, *, was_dropped: bool = False) -> None:
    images = work.images_of(str(digest))
    mended = ""
    if work.repair:
        if obtainable(work.database, work.paths, str(digest)):
            mended = "dropped, since it can be had again"
        else:
            mended = work.regain.blob(digest)
        if not mended and was_dropped and not images:
            mended = "dropped"
        if not mended:
            message += f"; pull {', '.join(images)} again" if images else ""
    work.tell(Damage("blob", str(digest), message, images, mended))


def _missing(work: Fsck) -> Iterator[tuple[str, str]]:
    """Blobs that rows need and that have neither file nor another source; layers' tars are the layers' affair."""
    rows = work.database.all(
        """SELECT DISTINCT parts.digest, parts.digest != manifests.image AND parts.digest != manifests.listed
            FROM parts JOIN manifests ON manifests.digest = parts.manifest
        UNION SELECT digest, 0 FROM manifests UNION SELECT target, 0 FROM names"""
    )
    told = {damage.subject for damage in work.damages}
    for text, is_layer in sorted(rows):
        if text in told or os.path.exists(work.content.path(Digest.parse(text))):
            continue
        if is_layer and (obtainable(work.database, work.paths, text) or Digest.parse(text) in work.forms):
            continue
        if work.images_of(text):
            yield text, f'blob "{text}" is missing'


def check_rows(work: Fsck) -> None:
    """What `compressed` promises to make again is made; what `origins` names must be names."""
    from holdall.errors import InvalidReference
    from holdall.oci.reference import Reference

    # of a damaged tar nothing can be made: that says nothing about the recipe
    damaged = {damage.subject for damage in work.damages if not damage.mended}
    for digest, diff_id, size, text in work.database.all("SELECT digest, diff_id, size, recipe FROM compressed"):
        try:
            blob, tar = Digest.parse(digest), Digest.parse(diff_id)
        except InvalidDigest as err:
            _forget_row(work, digest, err.message)
            continue
        if not text or diff_id in damaged or work.content.has(blob) or not work.content.has(tar):
            continue
        if not _is_made_again(work, Descriptor("", blob, size), Recipe.parse(text), tar):
            _forget(work, blob, f'blob "{digest}" is not what its recipe makes of the layer')
    for digest, repository in work.database.all("SELECT digest, repository FROM origins"):
        try:
            Digest.parse(digest)
            Reference.parse(repository)
        except (InvalidDigest, InvalidReference) as err:
            _forget_row(work, digest, f"a row of origins is malformed: {err.message}")


def _is_made_again(work: Fsck, blob: Descriptor, recipe: Recipe | None, tar: Digest) -> bool:
    if recipe is None:
        work.notes.append(f"the recipe of blob {blob.digest.short} is of another version of Holdall")
        return True
    hasher = blob.digest.hasher()
    size = 0
    with open(work.content.path(tar), "rb", buffering=0) as stream:
        encoder = recipe.encoder(os.fstat(stream.fileno()).st_size)
        while data := stream.read(PIECE):
            out = encoder.compress(data)
            hasher.update(out)
            size += len(out)
        out = encoder.flush()
    hasher.update(out)
    if hasher.hexdigest() == blob.digest.encoded and size + len(out) == blob.size:
        return True
    if not recipe.is_known_here():
        work.notes.append(f"blob {blob.digest.short} was compressed by {recipe.version}, which is not here")
        return True
    return False


def _forget(work: Fsck, digest: Digest, message: str) -> None:
    _forget_row(work, str(digest), message)


def _forget_row(work: Fsck, digest: str, message: str) -> None:
    mended = ""
    if work.repair:
        with work.database.transaction() as database:
            database.execute("DELETE FROM compressed WHERE digest = ?", (digest,))
            if "origins" in message:
                database.execute("DELETE FROM origins WHERE digest = ?", (digest,))
        mended = "forgotten"
    work.tell(Damage("row", digest, message, work.images_of(digest), mended))


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, work: Fsck, stream: BinaryIO) -> None:
        self._work = work
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._work.read(len(data))
        return data
