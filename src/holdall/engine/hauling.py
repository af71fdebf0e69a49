"""Images between registries, layouts and archives without the store keeping them; what registries tell of theirs."""

from __future__ import annotations

import os

from holdall.engine.transfer import TransferOptions, client_options, run
from holdall.events import silent
from holdall.oci.reference import Reference
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from holdall.engine.engine import Engine
    from holdall.events import Reporter
    from holdall.haul.copy import Copied
    from holdall.haul.place import Place
    from holdall.haul.sync import Done, Job
    from holdall.haul.wanted import Access, Wanted
    from holdall.registry.options import Options

    Pair = tuple[str, str]

CHUNK = 8 << 20


@record
class HaulOptions:
    """How to talk to the registries on both sides: `both`, and what is different at the source or the target.

    Credentials are (user, password); None for the stored ones.
    """

    both: TransferOptions = TransferOptions()
    source_credentials: Pair | None = None
    target_credentials: Pair | None = None
    source_tls_verify: bool = True
    target_tls_verify: bool = True


def settings(
    options: HaulOptions, sources: Sequence[Pair], targets: Sequence[Pair], access: Sequence[Access]
) -> Options:
    """The client's options; sides are pairs of registry and repository path ("" for all of it)."""
    from holdall.registry.credential import Credential
    from holdall.registry.credentials import Given, Keychain

    made = client_options(options.both)
    entries: dict[Pair, Credential] = {(one.registry, ""): one.credential for one in access if one.credential}
    for side, given in ((sources, options.source_credentials), (targets, options.target_credentials)):
        entries.update({pair: Credential(*given) for pair in side if given})
    lax = [one.registry for one in access if not one.verify]
    lax += [registry for registry, _ in sources if not options.source_tls_verify]
    lax += [registry for registry, _ in targets if not options.target_tls_verify]
    folders = {one.registry: one.cert_dir for one in access if one.cert_dir}
    rest = made.credentials or Keychain.default(os.environ)
    return replace(
        made,
        credentials=Given(entries, rest),
        lax=tuple(dict.fromkeys(lax)),
        cert_dirs=folders,
        upload_chunk=CHUNK,
    )


def sides(places: Sequence[Place]) -> list[Pair]:
    """Registries and paths of those places that are at one."""
    return [(one.reference.domain, one.reference.path) for one in places if one.reference is not None]


def copy(
    engine: Engine,
    begin: str,
    target: str,
    *,
    tags: Sequence[str] = (),
    everything: bool = False,
    platform: str | None = None,
    options: HaulOptions | None = None,
    reporter: Reporter = silent,
) -> Copied:
    """See `Registries.copy`."""
    from holdall.haul.copy import copy as work
    from holdall.haul.place import Place

    places = Place.parse(begin), Place.parse(target)
    client = settings(options or HaulOptions(), sides(places[:1]), sides(places[1:]), ())
    return run(
        work(
            *places,
            tags=tags,
            choice=_choice(everything, platform),
            notes=_notes(engine) if places[1].reference is not None else None,
            options=client,
            reporter=reporter,
        )
    )


def _choice(everything: bool, platform: str | None) -> Any:
    from holdall.errors import InvalidOption
    from holdall.haul.copy import Choice
    from holdall.oci.platform import Platform

    if everything and platform:
        raise InvalidOption("all platforms and one platform contradict each other")
    return Choice(everything, Platform.parse(platform) if platform else None)


def _notes(engine: Engine) -> Any:
    from holdall.store.uploads import Uploads

    return Uploads(engine.database(), engine.paths)


class Sync:
    """Many images: `plan` says what will be copied where, `run` does it."""

    def __init__(
        self,
        engine: Engine,
        wanted: Sequence[Wanted],
        access: Sequence[Access],
        target: str,
        *,
        keep: str,
        options: HaulOptions | None = None,
    ) -> None:
        from holdall.haul.sync import Goal

        self._engine = engine
        self._wanted = wanted
        self._goal = Goal.parse(target, keep)
        sources = [(one.registry, "") for one in wanted if one.registry]
        targets = [(self._goal.registry, "")] if self._goal.registry else []
        self._options = settings(options or HaulOptions(), sources, targets, access)

    def plan(self) -> tuple[Job, ...]:
        """All jobs. Raises InvalidOption, RegistryError and its kin."""
        from holdall.haul.sync import plan

        return run(plan(self._wanted, self._goal, self._options))

    def run(
        self,
        jobs: Sequence[Job],
        tell: Callable[[Done], None],
        *,
        everything: bool = False,
        platform: str | None = None,
        keep_going: bool = False,
        reporter: Reporter = silent,
    ) -> bool:
        """Do them and tell of each; whether all went well. Raises the first error unless `keep_going`."""
        from holdall.haul.sync import run as work

        notes = _notes(self._engine) if self._goal.registry else None

        async def all_of_them() -> bool:
            good = True
            async for done in work(
                jobs,
                choice=_choice(everything, platform),
                keep_going=keep_going,
                notes=notes,
                options=self._options,
                reporter=reporter,
            ):
                good = good and done.error is None
                tell(done)
            return good

        return run(all_of_them())


def inspect(
    place: str, platform: str | None = None, *, tags: bool = True, options: TransferOptions | None = None
) -> dict[str, Any]:
    """See `Registries.inspect`."""
    from holdall.haul.facts import facts
    from holdall.haul.place import Place
    from holdall.oci.platform import Platform

    wanted = Platform.parse(platform) if platform else None
    return run(facts(Place.parse(place), wanted, tags=tags, options=client_options(options)))


def raw(
    place: str, platform: str | None = None, *, config: bool = False, options: TransferOptions | None = None
) -> bytes:
    """See `Registries.raw`."""
    from holdall.haul import facts
    from holdall.haul.place import Place
    from holdall.oci.platform import Platform

    where, client = Place.parse(place), client_options(options)
    if not config and platform is None:
        return run(facts.raw(where, options=client))
    found = run(facts.documents(where, Platform.parse(platform) if platform else None, options=client))
    return found.config if config else found.manifest.raw


def tags(name: str, *, options: TransferOptions | None = None) -> tuple[str, ...]:
    """See `Registries.tags`."""
    from holdall.registry.query import list_tags

    return run(list_tags(Reference.parse(name.removeprefix("docker://")), options=client_options(options)))


def delete(name: str, *, manifest: bool = False, options: TransferOptions | None = None) -> str:
    """See `Registries.delete`."""
    from holdall.registry.query import delete as work

    reference = Reference.parse(name.removeprefix("docker://"))
    gone = run(work(reference, manifest=manifest, options=client_options(options)))
    return "" if gone is None else str(gone)
