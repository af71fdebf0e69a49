"""`holdall registry sync`."""

from __future__ import annotations

from holdall.cli import haul_options
from holdall.errors import HoldallError, InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.haul.sync import Done

HELP = (
    "Copy many images: whole repositories, those that fit globs, what a file lists. They go to TARGET under the last"
    " component of their names, unless more is to be kept."
)
DEFAULT = "{{.Source}} -> {{.Target}}{{if .Digest}} {{.Digest}}{{end}}{{if .There}} (there already){{end}}"


def arguments(parser: Parser) -> None:
    """Options of the command."""
    haul_options.add(parser)
    parser.value("--file", help="list of images in YAML, as skopeo sync has it, or in TOML", metavar="FILE")
    parser.values("--tags", help="only tags that fit this glob", metavar="GLOB")
    parser.values("--exclude", help="no tags that fit this glob", metavar="GLOB")
    parser.flag("--keep-path", help="keep a repository's whole path")
    parser.flag("--scoped", help="keep the registry's name and the whole path")
    parser.flag("--keep-going", "-k", help="go on after an error; the exit code is 1 then")
    parser.flag("--dry-run", help="only say what would be copied")
    parser.value("--format", help='a template for each image, or "json"', metavar="TEMPLATE")
    parser.word(
        "words",
        help="sources (HOST/NAME[:TAG], HOST/GLOB, oci:FOLDER, an archive), then HOST[/PREFIX] or oci:FOLDER",
        nargs="+",
        metavar="PLACE",
    )


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.format.template import Template
    from holdall.engine.hauling import Sync
    from holdall.haul import wanted as wanting
    from holdall.haul.sync import BASE, PATH, SCOPED

    *sources, target = options.words
    if bool(sources) == bool(options.file):
        raise InvalidOption("name sources and a target, or --file and a target")
    access: tuple[wanting.Access, ...] = ()
    if options.file:
        if options.tags or options.exclude:
            raise InvalidOption("--tags and --exclude are for sources on the command line")
        wanted, access = wanting.read(options.file)
    else:
        tags = wanting.Filter(tuple(options.tags), tuple(options.exclude))
        wanted = tuple([wanting.word(one, tags) for one in sources])
    keep = SCOPED if options.scoped else PATH if options.keep_path else BASE
    work = Sync(state.engine, wanted, access, target, keep=keep, options=haul_options.read(options))
    template = Template("{{json .}}" if options.format == "json" else options.format or DEFAULT)

    def tell(done: Done) -> None:
        if done.error is not None:
            text = done.error.message if isinstance(done.error, HoldallError) else str(done.error)
            state.note(f"holdall: {text}")
            return
        facts = {"Source": str(done.job.begin), "Target": str(done.job.target), "Digest": "", "There": False}
        if done.copied is not None:
            facts |= {"Digest": str(done.copied.digest), "There": done.copied.there}
        state.print(template.render(facts))

    jobs = work.plan()
    if options.dry_run:
        from holdall.haul.sync import Done as Planned

        for job in jobs:
            tell(Planned(job))
        return 0
    good = work.run(
        jobs,
        tell,
        everything=options.all,
        platform=options.platform,
        keep_going=options.keep_going,
        reporter=state.progress(quiet=options.quiet),
    )
    return 0 if good else 1
