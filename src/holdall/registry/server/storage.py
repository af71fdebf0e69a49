"""What a back end must do: rows (`Catalog`) and bytes (`Blobs`).

`tests/contract/test_registry_storage.py` holds every back end to it.

All methods are synchronous and may be called from any thread; the server calls those of a catalog that is `near`
(a local file) straight from its event loop when they only read, and everything else in threads. Nothing is kept in
the process: two servers on the same catalog and bytes serve one registry.

The order that makes a push safe: bytes are complete and durable in an upload, then `Catalog.place` moves them and
writes the rows within one exclusive section for the digest. Garbage collection removes the row first, then, in the
same kind of section and only if the row is still gone, the bytes. So a row never names bytes that are not there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import BinaryIO, Protocol, Self

    from holdall.oci.digest import Digest
    from holdall.registry.server.catalog_values import (
        Bound,
        Document,
        Found,
        Loose,
        Page,
        Referrer,
        Session,
        Stored,
        Summary,
        TagRow,
        UpstreamTag,
        Usage,
    )

    class Catalog(Protocol):
        """Rows: who has what. A write that returned is durable unless said otherwise."""

        near: bool

        def blob_size(self, repository: str, digest: str) -> int | None:
            """Size of a blob that the repository has, or None."""

        def holders(self, digest: str, limit: int) -> Sequence[str]:
            """Repositories that have the blob, at most `limit`."""

        def lease(self, repository: str, digest: str, until: float) -> bool:
            """Keep a blob from collection until then (never shortens; need not be durable). False: not there."""

        def renew(self, repository: str, since: float, until: float) -> None:
            """Lengthen the leases that had not run out at `since` (need not be durable)."""

        def mount(self, source: str, target: str, digest: str, until: float, bounds: Sequence[Bound] = ()) -> bool:
            """Give `target` a blob that `source` has. False when `source` does not have it. Raises OverQuota."""

        def place(
            self,
            repository: str,
            digest: str,
            size: int,
            until: float,
            put: Callable[[], None],
            bounds: Sequence[Bound] = (),
        ) -> None:
            """Run `put` (which makes the bytes durable under the digest, or finds them so) and link the blob.

            Exclusive with `place` and `sweep` for the same digest in every process; writes nothing when `put` raises.
            Raises OverQuota: whoever pushes at the same time, the quotas hold.
            """

        def unlink(self, repository: str, digest: str) -> bool:
            """Take the blob from the repository. False when it was not there."""

        def manifest(self, repository: str, reference: str, *, content: bool) -> Found | None:
            """A manifest by tag or (with a colon in it) digest."""

        def put_manifest(
            self, repository: str, manifest: Stored, tags: Sequence[str], bounds: Sequence[Bound] = ()
        ) -> Sequence[str]:
            """Store a manifest and point tags to it, all or nothing. Raises OverQuota.

            Returns the members that the repository has neither as blob nor as manifest: if any, nothing was stored.
            """

        def delete_manifest(self, repository: str, digest: str) -> bool:
            """Remove a manifest and the tags that point to it. False when it was not there."""

        def delete_tag(self, repository: str, tag: str) -> bool:
            """Remove a tag. False when it was not there."""

        def tags(self, repository: str, after: str, limit: int) -> Page | None:
            """Tags after `after`; None when there is no such repository."""

        def repositories(self, after: str, limit: int) -> Page:
            """Repositories that hold a manifest, after `after`."""

        def referrers(
            self, repository: str, subject: str, artifact_type: str, after: int, limit: int
        ) -> Sequence[Referrer]:
            """Manifests with this subject, of that artifact type unless it is empty, numbered above `after`."""

        def begin(self, upload: str, session: Session) -> None:
            """Note an upload (need not be durable)."""

        def session(self, upload: str) -> Session | None:
            """The upload, or None when it is unknown or ended."""

        def end(self, upload: str) -> None:
            """Forget an upload (need not be durable)."""

        def document(self, name: str) -> Document | None:
            """A named value, None when there is none."""

        def document_version(self, name: str) -> int:
            """Its version, 0 when there is none."""

        def put_document(self, name: str, raw: bytes, version: int) -> bool:
            """Store a named value, durably, if its version is still `version` (0: there is none yet); else False."""

        def usage(self, globs: Sequence[str]) -> Usage:
            """What the repositories that any of the globs names hold together."""

        def note_pulls(self, pulls: Sequence[tuple[str, str, float]]) -> None:
            """Note when manifests (repository, digest) were pulled; need not be durable, unknown ones are passed."""

        def tag_rows(self, repository: str, after: str, limit: int) -> Sequence[TagRow]:
            """Tags after `after` with what is known of them."""

        def drop_tags(self, repository: str, rows: Sequence[TagRow]) -> Sequence[str]:
            """Remove those tags that are as `tag_rows` gave them, and were not pulled since; returns their names."""

        def summaries(self, names: Sequence[str]) -> Sequence[Summary]:
            """What is in these repositories; those that are not there are left out."""

        def mirror_manifest(
            self, repository: str, manifest: Stored, tag: str, checked: float, bounds: Sequence[Bound] = ()
        ) -> None:
            """Store a manifest of an upstream, whose members need not be here; point the tag to it unless it is empty.

            A tag that was pushed here stays as it is. Raises OverQuota.
            """

        def upstream_tag(self, repository: str, tag: str) -> UpstreamTag | None:
            """A tag, and when it was last the same upstream."""

        def drop_upstream_tag(self, repository: str, tag: str) -> bool:
            """Remove a tag that is an upstream's; False when there is none, or it was pushed here."""

        def check_tag(self, repository: str, tag: str, digest: str, checked: float) -> bool:
            """Note that the tag points to this upstream too (need not be durable). False: it does not any more here."""

        def is_mirrored(self, repository: str, digest: str) -> bool:
            """Whether a manifest came from an upstream and was never pushed here: its members may be missing."""

        def naming(self, repository: str, digest: str, limit: int) -> Sequence[bytes]:
            """Manifests of the repository that have this member."""

        def counts(self) -> dict[str, int]:
            """Rows of each kind, for metrics: repositories, tags, manifests, blobs, bytes, uploads."""

        def stale_links(self, now: float, after: tuple[int, int], limit: int) -> Sequence[tuple[int, int, str, str]]:
            """Of the next links (repository, blob), those with no lease and no manifest: ids, repository, digest.

            A lease does not run out while there is an upload to the repository that began before its end.
            """

        def next_links(self, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
            """Where the page of links after `after` ends, None behind the last."""

        def drop_links(self, now: float, links: Sequence[tuple[int, int]]) -> int:
            """Remove those links that still have no lease and no manifest; returns how many went."""

        def stale_manifests(self, before: float, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
            """Manifests without tag, pushed and pulled before then, in no index and with no subject present.

            Their ids, repositories and digests.
            """

        def drop_manifests(self, before: float, numbers: Sequence[int]) -> int:
            """Remove those that `stale_manifests` would still name; returns how many went."""

        def loose_manifests(self, before: float, after: int, limit: int) -> Sequence[Loose]:
            """What `stale_manifests` gives, with when each was last used."""

        def unused_mirrored(self, before: float, after: int, limit: int) -> Sequence[Loose]:
            """Manifests of upstreams that were neither brought nor pulled since then, numbered above `after`."""

        def drop_unused_mirrored(self, before: float, numbers: Sequence[int]) -> int:
            """Remove those that `unused_mirrored` would still name, with their tags; returns how many went."""

        def stale_blobs(self, after: int, limit: int) -> Sequence[tuple[int, str, int]]:
            """Blobs that no repository has: id, digest, size."""

        def drop_blobs(self, numbers: Sequence[int]) -> Sequence[str]:
            """Remove the rows of those that still no repository has; returns their digests, whose bytes may go."""

        def sweep(self, digest: str, *steps: Callable[[], None]) -> bool:
            """Run the steps if the blob has no row, exclusive with `place`. False when it has one again.

            That the section is still exclusive is certain before each of them, where it could have been lost.
            """

        def hold(self, name: str) -> AbstractContextManager[None] | None:
            """Have a name alone, until the end of the block or of the process. None when another has it."""

        def known(self, digest: str) -> bool:
            """Whether the blob has a row."""

        def drop_contents(self, limit: int) -> int:
            """Remove bytes of manifests that no repository has any more; returns how many went."""

        def drop_repositories(self) -> int:
            """Remove the rows of repositories that hold nothing at all."""

        def stale_uploads(self, before: float, limit: int) -> Sequence[str]:
            """Uploads begun before then."""

        def every_blob(self, after: int, limit: int) -> Sequence[tuple[int, str, int]]:
            """Blobs by number, for checks: id, digest, size."""

        def every_manifest(self, after: int, limit: int) -> Sequence[tuple[int, str, str, bytes]]:
            """Manifests by number, for checks: id, repository, digest, bytes."""

        def damage(self) -> Sequence[str]:
            """What is wrong with the rows as such."""

        def forget_blob(self, digest: str) -> None:
            """Remove a blob's row and links, for a blob whose bytes are lost or damaged."""

        def close(self) -> None:
            """Let go of files and connections."""

    class Writing(Protocol):
        """An upload that this caller alone may write to; a context manager that gives it free. `offset` in bytes.

        `note` is for whoever takes the upload next: it is set for the bytes written so far, and what was set is read
        as long as they are the same. A back end may forget it.
        """

        offset: int
        note: bytes

        def write(self, data: bytes | bytearray | memoryview) -> None:
            """Append. Raises OSError (ENOSPC, EDQUOT)."""

        def sync(self, digest: Digest) -> None:
            """Make what was written durable, and do ahead whatever `keep` would need time for."""

        def read(self, offset: int, size: int) -> bytes:
            """Bytes already written, for hashing again after a restart."""

        def keep(self, digest: Digest) -> None:
            """Make the synced bytes those of the blob, durably, unless they are there. Ends the upload."""

        def discard(self) -> None:
            """Throw the upload away."""

        def __enter__(self) -> Self: ...

        def __exit__(
            self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
        ) -> None: ...

    class Blobs(Protocol):
        """Bytes: blobs by digest, and uploads under way. `near`: in local files, which the kernel can send."""

        near: bool

        def owner(self) -> str | None:
            """The name of the registry that has claimed the bytes."""

        def claim(self, name: str) -> None:
            """Claim the bytes for a registry, unless another was quicker."""

        def begin(self, upload: str) -> None:
            """Make an empty upload."""

        def take(self, upload: str) -> Writing | None:
            """Take hold of an upload; None when another has it. Raises FileNotFoundError when it is gone."""

        def offset(self, upload: str) -> int | None:
            """How many bytes an upload has, None when it is gone."""

        def follow(self, upload: str) -> BinaryIO | None:
            """An upload as an unbuffered file, for reading what is there while another writes.

            None when it is gone, or when this back end cannot.
            """

        def touched(self, upload: str) -> float | None:
            """When an upload was last written to (seconds since 1970), None when it is gone."""

        def open(self, digest: Digest) -> BinaryIO:
            """A blob as an unbuffered file. Raises FileNotFoundError."""

        def link(self, digest: Digest) -> str | None:
            """A URL where a client gets the blob without us, for some minutes; None when we send it ourselves."""

        def condemn(self, digest: Digest) -> None:
            """Tell whoever places the blob that `remove` is about to come; the step before it in `Catalog.sweep`."""

        def remove(self, digest: Digest) -> None:
            """Put a blob out of sight; its bytes go at once or with `empty_trash`. No error when it is not there."""

        def empty_trash(self, step: int) -> Iterator[int]:
            """Free what `remove` put away, about `step` bytes at each turn; yields the bytes freed."""

        def strays(self, before: float) -> Iterator[Sequence[tuple[str, int]]]:
            """Blobs written before then, a shard at a time, as digest and size; whether they have rows is not asked."""

        def uploads(self) -> Iterator[str]:
            """Ids of uploads that have bytes."""

        def close(self) -> None:
            """Let go of threads and connections."""
