"""`holdall build`."""

from __future__ import annotations

import os

from holdall.cli import build_calls, build_contexts, build_grants, build_limits, build_outputs, build_shell
from holdall.engine.syntax import parse_labels
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.build.options import BuildOptions
    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.engine.build_outputs import Built

HELP = (
    "Make an image as a Dockerfile says. The same context, Dockerfile and base images give the same digest: files get"
    " the time of SOURCE_DATE_EPOCH, else of 1980, and the image that of the commit the context is at."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value(
        "--file",
        "-f",
        help='the Dockerfile (default PATH/Dockerfile), in the context if that is an address; "-" is standard input',
        default="",
    )
    parser.values("--tag", "-t", help="NAME[:TAG] to give the image", metavar="NAME")
    parser.values("--build-arg", help="set an ARG; without value from the environment", metavar="NAME[=VALUE]")
    parser.value("--target", help="the stage to build (default the last)", default="", metavar="STAGE")
    parser.values("--label", help="set a label", metavar="KEY[=VALUE]")
    parser.values("--platform", help="platforms of base images and result: OS/ARCH[,…]", metavar="PLATFORM")
    parser.value("--network", help="network of RUN: default, none or host", default="default", metavar="MODE")
    build_grants.add(parser)
    parser.flag("--no-cache", help="make every step anew")
    parser.values("--no-cache-filter", help="make every step of these stages anew", metavar="STAGE[,STAGE…]")
    parser.flag("--pull", help="ask the registry for newer base images")
    parser.value("--iidfile", help="write the image's ID to a file", metavar="FILE")
    parser.value("--metadata-file", help="write what the result is to a file, as JSON", metavar="FILE")
    parser.value("--jobs", help="RUN commands at once (default: two for each processor, at least 4)", metavar="N")
    parser.value(
        "--progress", help="auto, tty, plain, rawjson or quiet (default: $BUILDKIT_PROGRESS, else auto)", metavar="FORM"
    )
    parser.flag("--quiet", "-q", help="only print the image's ID")
    parser.flag("--check", help="only say what the build checks find; exit code 1 when that is anything")
    parser.value("--call", help="check, outline or targets: only tell that", default="", metavar="METHOD[,format=json]")
    parser.flag("--verify", help="build twice, the second time without the cache, and show the first difference")
    build_outputs.add(parser)
    parser.value("--on-fail", help="shell: open one in the files of a RUN that fails", default="", metavar="WHAT")
    build_limits.add(parser)
    build_contexts.add(parser)


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.build.outputs import uses_stream
    from holdall.cli.builds import Report, heed_signals

    heed_signals()
    method, form = build_calls.parse(options.call, check=options.check)
    asked = _asked(options)
    if method != "build":
        return build_calls.call(state, method, form, asked)
    for path in (options.iidfile, options.metadata_file):
        _clear(path)
    if options.verify:
        from holdall.cli.build_verify import verify

        return verify(state, asked, quiet=options.quiet, progress=options.progress)
    with Report(state, quiet=options.quiet, progress=options.progress) as report:
        failed = build_shell.on_fail(state, report, options.on_fail)
        image = state.engine.builds.build(asked, report=report, on_fail=failed)
    _tell(options, image)
    if not uses_stream(asked.outputs):
        state.print(image.id)
    return 0


def _tell(options: Namespace, image: Built) -> None:
    if options.iidfile:
        with open(options.iidfile, "w", encoding="ascii") as file:
            file.write(image.id)
    if options.metadata_file:
        import json

        with open(options.metadata_file, "w", encoding="utf-8") as file:
            json.dump(image.metadata(), file, indent=2)
            file.write("\n")


def _clear(path: str | None) -> None:
    """Take away what an earlier build wrote: nobody is to read it when this one fails."""
    if path and os.path.isfile(path):
        os.unlink(path)


def _asked(options: Namespace) -> BuildOptions:
    from holdall.build.options import BuildOptions

    return BuildOptions(
        **build_contexts.read(options),
        tags=tuple(options.tag),
        target=options.target,
        build_args=dict(_argument(one) for one in options.build_arg if "=" in one or one in os.environ),
        labels=parse_labels(options.label),
        platforms=tuple([one.strip() for text in options.platform for one in text.split(",") if one.strip()]),
        no_cache=options.no_cache,
        no_cache_filter=tuple([one.strip() for text in options.no_cache_filter for one in text.split(",")]),
        pull=options.pull,
        network=_network(options.network),
        jobs=build_limits.jobs(options.jobs),
        limits=build_limits.read(options),
        **build_grants.read(options),
        **build_outputs.read(options),
    )


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return name, value if equals else os.environ[name]


def _network(text: str) -> str:
    if text not in ("default", "bridge", "none", "host"):
        raise InvalidOption(f'invalid value "{text}" for --network', hint="use default, none or host")
    return text
