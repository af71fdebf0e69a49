"""Copy many images: whole repositories, those that fit globs, what a file lists; first the plan, then one by one."""

from __future__ import annotations

import os

from holdall.errors import HoldallError, InvalidOption, InvalidReference
from holdall.events import silent
from holdall.haul.copy import ONE, copy
from holdall.haul.origins import Origins
from holdall.haul.place import LAYOUT, REGISTRY, Place
from holdall.haul.sources import FileSource
from holdall.haul.wanted import digest_of, glob, is_digest
from holdall.oci.reference import Reference
from holdall.record import record
from holdall.registry.options import Options
from holdall.registry.query import list_repositories, list_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from holdall.events import Reporter
    from holdall.haul.copy import Choice, Copied
    from holdall.haul.wanted import Filter, Wanted
    from holdall.image.blobs import UploadNotes

BASE, PATH, SCOPED = "base", "path", "scoped"
"""What is kept of a source's name: its last component, its path, or the registry as well."""
MAX_JOBS = 100_000
MAX_FOLDERS = 100_000


@record
class Job:
    """One image to copy."""

    begin: Place
    target: Place


@record
class Done:
    """What became of a job: `copied`, or the error."""

    job: Job
    copied: Copied | None = None
    error: HoldallError | OSError | None = None


@record
class Goal:
    """Where images go: a registry's `path` prefix, or a folder of layouts. `keep` is BASE, PATH or SCOPED."""

    registry: str = ""
    path: str = ""
    folder: str = ""
    keep: str = BASE

    @classmethod
    def parse(cls, text: str, keep: str) -> Goal:
        """[docker://]HOST[/PREFIX], or oci:FOLDER. Raises InvalidOption, InvalidReference."""
        if text.startswith("oci:"):
            folder = text.removeprefix("oci:")
            if not folder or ":" in folder:
                raise InvalidOption(f'"{text}" is no folder to sync to', hint="write oci:FOLDER")
            return cls(folder=folder, keep=keep)
        plain = text.removeprefix("docker://").rstrip("/")
        domain, slash, path = plain.partition("/")
        reference = Reference.parse(f"{domain}/{path}" if path else f"{domain}/x")
        if ":" in path or "@" in path or (not slash and reference.domain != domain):
            raise InvalidOption(f'"{text}" is no place to sync to', hint="write HOST[/PREFIX], or oci:FOLDER")
        return cls(reference.domain, path, keep=keep)

    def place(self, registry: str, path: str, name: str) -> Place:
        """Where an image of that name (a tag, a digest, or "") goes. Raises InvalidReference."""
        kept = path.rpartition("/")[2] if self.keep == BASE else path
        if self.keep == SCOPED and registry:
            kept = f"{registry.replace(':', '-').lower()}/{path}"
        if self.folder:
            return Place(LAYOUT, os.path.join(self.folder, kept), "" if is_digest(name) else name)
        whole = f"{self.registry}/{self.path}/{kept}" if self.path else f"{self.registry}/{kept}"
        reference = Reference.parse(whole)
        chosen = reference.with_digest(digest_of(name)) if is_digest(name) else reference.with_tag(name or "latest")
        return Place(REGISTRY, reference=chosen)


async def plan(wanted: Sequence[Wanted], goal: Goal, options: Options) -> tuple[Job, ...]:
    """All that is to be copied. Raises InvalidOption when two sources go to one place, RegistryError and kin."""
    found: dict[Place, Job] = {}
    for one in wanted:
        jobs = _files(one.place, one.filter, goal) if one.place is not None else _registry(one, goal, options)
        async for job in jobs:
            if found.setdefault(job.target, job).begin != job.begin:
                raise InvalidOption(
                    f'both "{found[job.target].begin}" and "{job.begin}" would go to "{job.target}"',
                    hint="keep more of their names with --keep-path or --scoped",
                )
            if len(found) > MAX_JOBS:
                raise InvalidOption(f"more than {MAX_JOBS} images")
    return tuple(found.values())


async def _registry(one: Wanted, goal: Goal, options: Options) -> AsyncIterator[Job]:
    paths = [one.path]
    if one.many:
        paths = [
            path for path in await list_repositories(one.registry, options=options) if glob(one.path).fullmatch(path)
        ]
    for path in paths:
        reference = Reference(one.registry, path, "latest")
        names = one.names
        if not names:
            tags = await list_tags(reference, options=options)
            names = tuple([tag for tag in tags if one.filter.fits(tag)])
        for name in names:
            begin = reference.with_digest(digest_of(name)) if is_digest(name) else reference.with_tag(name)
            yield Job(Place(REGISTRY, reference=begin), goal.place(one.registry, path, name))


async def _files(place: Place, tags: Filter, goal: Goal) -> AsyncIterator[Job]:
    """The images of a layout or archive, or of all layouts below a folder."""
    for path in _layouts(place):
        inner = Place(place.kind, path, place.name)
        relative = os.path.relpath(path, place.path) if path != place.path else ""
        async with FileSource(inner) as opened:
            named = opened.names
            if place.name or not named:
                await opened.top()
                named = (place.name,)
        for name in named:
            registry, repository, tag = _split(name, relative or _stem(path))
            if tags.fits(tag):
                yield Job(Place(place.kind, path, name), goal.place(registry, repository, tag))


def _layouts(place: Place) -> list[str]:
    if place.kind != LAYOUT or os.path.exists(f"{place.path}/index.json"):
        return [place.path]
    found = []
    for number, (folder, folders, files) in enumerate(os.walk(place.path)):
        if number > MAX_FOLDERS:
            raise InvalidOption(f'"{place.path}" has more than {MAX_FOLDERS} folders')
        folders.sort()
        if "index.json" in files:
            found.append(folder)
            folders.clear()
    if not found:
        raise InvalidOption(f'no image layouts in "{place.path}"')
    return found


def _stem(path: str) -> str:
    """A repository's name from that of a file: what is left of it in lower case."""
    name = os.path.basename(os.path.abspath(path)).lower()
    for end in (".tar", ".oci", ".docker"):
        name = name.removesuffix(end)
    return "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in name).strip("-") or "image"


def _split(name: str, repository: str) -> tuple[str, str, str]:
    """Registry, repository and tag of an image by its name in a file: a whole reference, or a tag alone."""
    if "/" in name or ":" in name:
        try:
            reference = Reference.parse(name)
        except InvalidReference:
            pass
        else:
            return reference.domain, reference.path, reference.tag or "latest"
    return "", repository, name or "latest"


async def run(
    jobs: Sequence[Job],
    *,
    choice: Choice = ONE,
    keep_going: bool = False,
    notes: UploadNotes | None = None,
    options: Options | None = None,
    reporter: Reporter = silent,
) -> AsyncIterator[Done]:
    """Copy them in order, and tell of each. An error ends it, unless `keep_going`: then it is told of as well."""
    origins = Origins()
    for job in jobs:
        try:
            copied = await copy(
                job.begin, job.target, choice=choice, origins=origins, notes=notes, options=options, reporter=reporter
            )
        except (HoldallError, OSError) as err:
            if not keep_going:
                raise
            yield Done(job, error=err)
        else:
            yield Done(job, copied)
