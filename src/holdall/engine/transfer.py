"""Pull: the registry client on one side, the store on the other; and what pull and push share."""

from __future__ import annotations

import asyncio

from holdall.oci.platform import Platform, host
from holdall.oci.reference import Reference
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeVar

    from holdall.engine.engine import Engine
    from holdall.events import Reporter
    from holdall.registry.options import Options
    from holdall.store.records import ImageRecord

    T = TypeVar("T")


@record
class TransferOptions:
    """How to talk to the registry: `credentials` is (user, password) or None for the stored ones."""

    tls_verify: bool = True
    credentials: tuple[str, str] | None = None
    cert_dir: str | None = None
    concurrency: int = 4
    retries: int = 5


def client_options(options: TransferOptions | None) -> Options:
    """The registry client's form of the options."""
    from holdall.registry.credential import Credential, Fixed
    from holdall.registry.options import Options

    chosen = options or TransferOptions()
    given = Fixed(Credential(*chosen.credentials)) if chosen.credentials else None
    return Options(
        tls_verify=chosen.tls_verify,
        credentials=given,
        cert_dir=chosen.cert_dir,
        concurrency=chosen.concurrency,
        retries=chosen.retries,
    )


def ensured(
    engine: Engine, name: str, platform: str | None, here: ImageRecord | None, reporter: Reporter
) -> ImageRecord:
    """Fetch what is missing. The name stays with this machine's image (`here`) when another platform's is fetched,
    which is then found under it by its platform.
    """
    foreign = platform is not None and not host().matches(Platform.parse(platform))
    own = here is not None and host().matches(Platform.parse(here.platform))
    return pull(engine, name, platform, None, reporter, member=foreign, named=not (foreign and own))


def pull(
    engine: Engine,
    name: str,
    platform: str | None,
    options: TransferOptions | None,
    reporter: Reporter,
    *,
    member: bool = False,
    named: bool = True,
) -> ImageRecord:
    """Fetch into the store: blobs as they come, each verified; then layers; then one commit names the image.

    With `member` it is found by its platform under names of its index, too; not `named`, only so.
    """
    from holdall.registry import pull as client
    from holdall.store.layer_sink import LayerSink

    reference = Reference.parse(name)
    wanted = Platform.parse(platform) if platform else host()
    store = engine.images.writing
    with store.hold() as hold:
        sink = LayerSink(store.snapshots, hold, store.database)
        pulled = run(client.pull(reference, sink, platform=wanted, options=client_options(options), reporter=reporter))
        sink.finish(reference.name)
        return store.write(
            pulled.image, reference if named else None, index=pulled.index, pulled=True, member=member,
            progress=reporter,
        )  # fmt: skip


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from synchronous code, also from a thread of a program whose main thread has a loop."""
    return asyncio.run(work)
