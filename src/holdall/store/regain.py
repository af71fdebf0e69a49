"""Mending what `fsck` found: blobs and layers had again from what is here or from a registry, else dropped.

What is dropped is only what is damaged: names and rows stay, so that a pull brings just that again.
"""

from __future__ import annotations

import os

from holdall.errors import HoldallError
from holdall.image.image import Layer
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.store.origins import Origins
from holdall.store.release import release
from holdall.store.sweep import GONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore

    Fetch = Callable[[Descriptor, Sequence[str], HeldContent], str]
    """Brings a blob, or a manifest or index, from the first of these repositories that has it; which one, "" none."""

PIECE = 1 << 20
OCTETS = "application/octet-stream"


class Regain:
    """How to have things again. `forms` are each layer's blobs (see `fsck.Fsck`)."""

    def __init__(self, store: ImageStore, fetch: Fetch | None, forms: Mapping[Digest, Sequence[Descriptor]]) -> None:
        self._store = store
        self._database = store.database
        self._content = store.content
        self._fetch = fetch
        self._forms = forms

    def blob(self, digest: Digest) -> str:
        """Bring a blob that has no file; how it came back, "" when it did not. Raises NoSpace, OSError."""
        with self._store.hold() as hold:
            if hold.has(digest):
                return "it is there again"
            place = self._bring(self._descriptor(digest), hold)
        return f"fetched from {place}" if place else ""

    def layer(self, diff_id: Digest) -> str:
        """Make a damaged or missing layer anew; how, "" when nothing has its bytes: then it is as it was.

        Raises NoSpace, OSError.
        """
        forms = list(self._forms.get(diff_id, ()))
        # the tar itself last: it comes into the place of the damaged one
        forms.sort(key=lambda form: form.digest == diff_id)
        with self._store.hold() as hold:
            hold.announce(diff_id)
            hold.keep_layer(diff_id)
            for form in forms:
                if form.digest != diff_id and self._is_good(form.digest) and self._make(form, diff_id, hold):
                    return f"made again from blob {form.digest.short}"
            place = next(filter(None, (self._refetch(form, diff_id, hold) for form in forms)), "")
        release(self._database, self._content.paths, [form.digest for form in forms])
        return f"fetched from {place}" if place else ""

    def _refetch(self, form: Descriptor, diff_id: Digest, hold: HeldContent) -> str:
        """Bring one of the layer's blobs and make the layer of it; what is damaged gives way only to what has come."""
        if self._fetch is None or not self._sources(form.digest):
            return ""
        path, aside = self._content.path(form.digest), f"{self._content.paths.ingest}/{GONE}{os.urandom(8).hex()}"
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            aside = ""
        place = self._bring(form, hold)
        if aside:
            # a killed fsck leaves it there, as garbage
            os.unlink(aside) if place else os.rename(aside, path)
        return place if place and self._make(form, diff_id, hold) else ""

    def _make(self, form: Descriptor, diff_id: Digest, hold: HeldContent) -> bool:
        layer = self._store.snapshots.set_aside(str(diff_id))
        if layer is not None:
            layer.remove()
        if form.digest != diff_id:
            self.drop_blob(diff_id)
        try:
            self._store.snapshots.ensure(Layer(form, diff_id, hold), _ignore)
        except HoldallError:
            return False
        return True

    def drop(self, diff_id: Digest) -> None:
        """Take a layer and its tar away."""
        aside = self._store.snapshots.set_aside(str(diff_id))
        self.drop_blob(diff_id)
        if aside is not None:
            aside.remove()

    def drop_blob(self, digest: Digest) -> None:
        """Take a blob away."""
        gone = f"{self._content.paths.ingest}/{GONE}{os.urandom(8).hex()}"
        try:
            os.rename(self._content.path(digest), gone)
            os.unlink(gone)
        except FileNotFoundError:
            pass

    def _is_good(self, digest: Digest) -> bool:
        hasher = digest.hasher()
        try:
            with open(self._content.path(digest), "rb", buffering=0) as stream:
                while data := stream.read(PIECE):
                    hasher.update(data)
        except FileNotFoundError:
            return False
        return hasher.hexdigest() == digest.encoded

    def _bring(self, descriptor: Descriptor, hold: HeldContent) -> str:
        places = self._sources(descriptor.digest)
        return self._fetch(descriptor, places, hold) if self._fetch is not None and places else ""

    def _sources(self, digest: Digest) -> list[str]:
        """Repositories that had the blob, then those that its images were pulled from or pushed to."""
        found = list(Origins(self._database).of(digest))
        rows = self._database.all(
            """SELECT DISTINCT names.repository FROM names JOIN parts ON parts.manifest = names.manifest
                WHERE names.tag = '' AND (parts.digest = ?1 OR names.manifest = ?1)
            UNION SELECT repository FROM names WHERE target = ?1 AND tag = ''""",
            (str(digest),),
        )
        return found + [name for (name,) in rows if name not in found]

    def _descriptor(self, digest: Digest) -> Descriptor:
        """What is known of a blob; a size of -1 when it is an index."""
        row = self._database.one("SELECT media_type, size FROM manifests WHERE digest = ?", (str(digest),))
        if row is not None:
            return Descriptor(row[0], digest, row[1])
        if self._database.one("SELECT 1 FROM names WHERE target = ?", (str(digest),)) is not None:
            return Descriptor(mediatype.OCI_INDEX, digest, -1)
        row = self._database.one("SELECT size FROM parts WHERE digest = ?", (str(digest),))
        return Descriptor(OCTETS, digest, row[0] if row is not None else -1)


def _ignore(_event: object) -> None:
    return
