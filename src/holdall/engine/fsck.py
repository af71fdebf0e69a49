"""`system fsck`: the store's check, with registries to fetch from."""

from __future__ import annotations

from holdall.errors import HoldallError
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.engine.engine import Engine
    from holdall.events import Reporter
    from holdall.store.fsck import Report
    from holdall.store.holds import HeldContent
    from holdall.store.regain import Fetch


def check(engine: Engine, reporter: Reporter, *, repair: bool) -> Report:
    """See `System.check`."""
    from holdall.store.fsck import fsck

    return fsck(engine.images.writing, fetch=fetcher(reporter) if repair else None, repair=repair, reporter=reporter)


def fetcher(reporter: Reporter) -> Fetch:
    """What brings a blob of the store from a registry."""

    def fetch(descriptor: Descriptor, repositories: Sequence[str], hold: HeldContent) -> str:
        from holdall.engine.transfer import run

        for repository in repositories:
            try:
                run(_fetch(descriptor, Reference.parse(repository), hold, reporter))
            except (HoldallError, OSError):
                continue
            if hold.has(descriptor.digest):
                return repository
        return ""

    return fetch


async def _fetch(descriptor: Descriptor, reference: Reference, hold: HeldContent, reporter: Reporter) -> None:
    from holdall.engine.transfer import client_options
    from holdall.registry.download import download
    from holdall.registry.progress import Progress
    from holdall.registry.sources import repositories
    from holdall.registry.transport import Transport

    async with Transport(client_options(None)) as transport:
        sources = repositories(transport, reference)
        if not (mediatype.is_manifest(descriptor.media_type) or mediatype.is_index(descriptor.media_type)):
            await download(sources, descriptor, hold, Progress(reporter, descriptor))
            return
        for source in sources:
            document = await source.manifest(descriptor.digest)
            hold.put(Descriptor(descriptor.media_type, descriptor.digest, len(document.raw)), document.raw)
            return
