"""`holdall pack`: an image from programs of this machine.

    plan = plan_pack(["python3"], options)      decide: what goes in, and why (no file is copied)
    image = build(plan, directory)              do: write the layers, return an Image over them

The programs and what they need are the lower layer; what `--add` brings is the upper one, so that a new version of
one's own code moves only that.
"""

from __future__ import annotations

import contextlib
import os

from holdall.errors import InvalidInput, InvalidOption
from holdall.events import Event, silent
from holdall.image.mutate import from_layers
from holdall.oci import timestamp
from holdall.oci.container_config import ContainerConfig
from holdall.oci.history import History
from holdall.oci.platform import Platform, host
from holdall.pack import added, base_files, bytecode
from holdall.pack.collect import Collector
from holdall.pack.lookup import STANDARD_PATH, find_program, search_path
from holdall.pack.options import checked, epoch_of, ports
from holdall.pack.plan import Plan
from holdall.pack.write import FileLayers, write_layer
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.events import Reporter
    from holdall.image.image import Image, Layer
    from holdall.pack.options import PackOptions
    from holdall.pack.python import PythonFacts
    from holdall.pack.write import MakeLayer

MAX_PROGRAMS = 1_000


@record
class PackPlan:
    """All that was decided. `programs` are the paths as the image has them, `pythons` the modules to compile."""

    programs: tuple[str, ...]
    base: Plan
    added: Plan
    config: ContainerConfig
    platform: Platform
    epoch: int
    compression: str
    pythons: tuple[tuple[PythonFacts, tuple[str, ...]], ...]

    def describe(self) -> list[str]:
        """One line for each path with its reason, then the notes."""
        lines = [item.describe() for plan in (self.base, self.added) for item in plan]
        return lines + [f"note: {note}" for note in self.notes]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: bits dropped, extension modules without their library, files left out."""
        return (*self.base.notes, *self.added.notes)


def pack(programs: Sequence[str], options: PackOptions, directory: str, report: Reporter = silent) -> Image:
    """Make the image. Its layers are nameless files on the file system of `directory`, there as long as the image.

    Raises as `plan_pack` and `build`.
    """
    return build(plan_pack(programs, options), directory, report)


def plan_pack(programs: Sequence[str], options: PackOptions) -> PackPlan:
    """Decide what goes into the image.

    Raises PathNotFound (a program, a library with who needs it, a file to add), InvalidInput (neither ELF nor
    script), InvalidOption, NotPermitted, LimitExceeded.
    """
    options = checked(options)
    if not programs and not options.add:
        raise InvalidInput("nothing to pack", hint="name at least one program of this machine, or files with --add")
    if len(programs) > MAX_PROGRAMS:
        raise InvalidInput(f"more than {MAX_PROGRAMS} programs to pack")
    search = search_path(dict(os.environ))
    base = Plan()
    collector = Collector(base, search)
    paths = [collector.program(find_program(name, search), "named on the command line") for name in programs]
    collector.finish()
    base_files.add(base)
    above = Plan(base)
    for one in options.add:
        added.add(above, one, options.working_dir)
    _check_user(options, above)
    return PackPlan(
        tuple(paths),
        base,
        above,
        _config(paths, options, collector),
        _platform(collector.architectures),
        epoch_of(options),
        options.compression,
        tuple([(facts, tuple(files)) for facts, files in collector.pythons]) if options.bytecode else (),
    )


def build(plan: PackPlan, directory: str, report: Reporter = silent, make: MakeLayer | None = None) -> Image:
    """Write the layers by `make`, by default to nameless files below `directory`.

    Raises NoSpace, NotPermitted, InvalidInput.
    """
    with contextlib.ExitStack() as stack:
        for facts, sources in plan.pythons:
            report(Event("bytecode", "compiling", 0, len(sources)))
            for file in bytecode.add(plan.base, facts, sources, directory, plan.epoch):
                stack.callback(file.close)
        return _image(plan, make or FileLayers(directory, plan.compression), report)


def _image(plan: PackPlan, make: MakeLayer, report: Reporter) -> Image:
    layers: list[Layer] = []
    history: list[History] = []
    created = timestamp.render(plan.epoch * 1_000_000_000)
    for name, items, step in (
        ("programs", plan.base, "holdall pack " + " ".join(plan.programs)),
        ("added", plan.added, "holdall pack --add"),
    ):
        if len(items):
            layers.append(write_layer(name, items, make, plan.epoch, report))
            history.append(History(created, step))
    return from_layers(plan.platform, layers, plan.config, created=created, history=history)


def _platform(architectures: list[str]) -> Platform:
    names = list(dict.fromkeys(architectures))
    if not names:
        return host()
    if "" in names:
        raise InvalidInput("a program is for a processor that has no name in OCI images")
    if len(names) > 1 and set(names) != {"amd64", "386"}:
        raise InvalidInput(f"the programs are for different processors: {', '.join(names)}")
    return Platform("linux", "amd64" if len(names) > 1 else names[0]).normalised()


def _config(paths: Sequence[str], options: PackOptions, collector: Collector) -> ContainerConfig:
    entrypoint = options.entrypoint if options.entrypoint is not None else tuple(paths[:1])
    env = {"PATH": ":".join(_search(collector.folders)), **dict(sorted(collector.env.items()))}
    for one in options.env:
        name, _, value = one.partition("=")
        env[name] = value
    return ContainerConfig(
        user=options.user,
        env=tuple([f"{name}={value}" for name, value in env.items()]),
        entrypoint=entrypoint or None,
        cmd=options.cmd,
        working_dir=options.working_dir,
        exposed_ports=ports(options),
        volumes=tuple(sorted(set(options.volumes))),
        labels=dict(sorted(options.labels.items())),
        stop_signal=options.stop_signal,
    )


def _search(folders: list[str]) -> list[str]:
    """PATH for the image: folders of programs that are not standard ones come first."""
    own = [folder for folder in dict.fromkeys(folders) if folder not in STANDARD_PATH]
    return [*own, *STANDARD_PATH]


def _check_user(options: PackOptions, plan: Plan) -> None:
    """A name must be in the image's own /etc/passwd, which is ours unless the user brought one."""
    name, _, group = options.user.partition(":")
    for given, known, path in ((name, base_files.USERS, "/etc/passwd"), (group, base_files.GROUPS, "/etc/group")):
        if given and not given.isdigit() and given not in known and _is_ours(plan, path):
            raise InvalidOption(
                f'"{given}" is not in the image\'s {path}',
                hint=f"give a number, or your own file with --add FILE:{path}",
            )


def _is_ours(plan: Plan, path: str) -> bool:
    item = plan.get(path)
    return item is not None and not item.source
