"""`holdall build`."""

from __future__ import annotations

import os
import sys

from holdall.engine.syntax import parse_labels
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Make an image as a Dockerfile says. The same context, Dockerfile and base images give the same digest: files get"
    " the time of SOURCE_DATE_EPOCH, else of the commit that the context is at, else of 1980."
)
MAX_STDIN = 16 << 20


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--file", "-f", help='the Dockerfile (default PATH/Dockerfile); "-" reads standard input', default="")
    parser.values("--tag", "-t", help="NAME[:TAG] to give the image", metavar="NAME")
    parser.values("--build-arg", help="set an ARG; without value from the environment", metavar="NAME[=VALUE]")
    parser.value("--target", help="the stage to build (default the last)", default="", metavar="STAGE")
    parser.values("--label", help="set a label", metavar="KEY[=VALUE]")
    parser.value("--platform", help="platform of base images and result: OS/ARCH", metavar="PLATFORM")
    parser.value("--network", help="network of RUN: default, none or host", default="default", metavar="MODE")
    parser.values("--secret", help="a file for RUN --mount=type=secret", metavar="id=NAME[,src=FILE]")
    parser.flag("--no-cache", help="make every step anew")
    parser.flag("--pull", help="ask the registry for newer base images")
    parser.value("--iidfile", help="write the image's ID to a file", metavar="FILE")
    parser.flag("--quiet", "-q", help="only print the image's ID")
    parser.word("path", help='the build context: a folder, or "-" for a Dockerfile from standard input', metavar="PATH")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.build.options import BuildOptions
    from holdall.cli.builds import Report

    context, dockerfile, text = _sources(options)
    asked = BuildOptions(
        context=context,
        dockerfile=dockerfile,
        text=text,
        tags=tuple(options.tag),
        target=options.target,
        build_args=dict(_argument(one) for one in options.build_arg if "=" in one or one in os.environ),
        labels=parse_labels(options.label),
        platform=options.platform,
        no_cache=options.no_cache,
        pull=options.pull,
        network=_network(options.network),
        secrets=dict(_secret(one) for one in options.secret),
    )
    image = state.engine.builds.build(asked, report=Report(state, quiet=options.quiet))
    if options.iidfile:
        with open(options.iidfile, "w", encoding="ascii") as file:
            file.write(image.id)
    state.print(image.id)
    return 0


def _sources(options: Namespace) -> tuple[str, str, bytes | None]:
    """Context folder, Dockerfile's path, and its text when it comes from standard input."""
    if options.path == "-" or options.file == "-":
        text = sys.stdin.buffer.read(MAX_STDIN + 1)
        return ("" if options.path == "-" else options.path), "", text
    if not os.path.isdir(options.path):
        raise InvalidOption(f'the build context "{options.path}" is no folder', hint="give a folder, for example .")
    return options.path, options.file, None


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return name, value if equals else os.environ[name]


def _network(text: str) -> str:
    if text not in ("default", "bridge", "none", "host"):
        raise InvalidOption(f'invalid value "{text}" for --network', hint="use default, none or host")
    return text


def _secret(text: str) -> tuple[str, str]:
    """id=NAME[,src=FILE]; without src the file of that name."""
    fields = dict(one.partition("=")[::2] for one in text.split(","))
    unknown = fields.keys() - {"id", "src", "source", "type"}
    source = fields.get("src") or fields.get("source") or fields.get("id", "")
    if not fields.get("id") or unknown or fields.get("type", "file") != "file":
        raise InvalidOption(f'invalid value "{text}" for --secret', hint="write id=NAME,src=FILE")
    if not os.path.isfile(source):
        raise InvalidOption(f'the secret file "{source}" is not there', hint="name it with src=FILE")
    return fields["id"], source
