"""`holdall bake`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from typing import Any

    from holdall.bake.definition import Chosen, Definition
    from holdall.build.options import BuildOptions
    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Build several images as a file describes them: docker-bake.json, or the build sections of a compose file. Targets"
    " are built side by side, each after those that it needs."
)
LISTS = ("targets", "type=targets")


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.values(
        "--file", "-f", metavar="FILE",
        help="a file that describes builds (default: compose.yaml, docker-bake.json and their like, as far as they are"
        ' there); "-" is standard input',
    )  # fmt: skip
    parser.values(
        "--set", help="change a target: TARGET.KEY=VALUE, TARGET a pattern; += adds to a list", metavar="CHANGE"
    )
    parser.values("--var", help="a variable's value, before that of the environment", metavar="NAME=VALUE")
    parser.flag("--print", help="only write what the targets come to, as JSON")
    parser.value("--list", help="targets: only list them", default="", metavar="WHAT")
    parser.flag("--check", help="only say what the build checks find; exit code 1 when that is anything")
    parser.value("--call", help="build or check", default="", metavar="METHOD")
    parser.flag("--push", help="send the images to registries, as --set *.push=true")
    parser.flag("--load", help="keep the images in the store, which is done in any case")
    parser.flag("--no-cache", help="make every step anew")
    parser.flag("--pull", help="ask the registry for newer base images")
    parser.values("--allow", help="allow RUN network.host or security.insecure", metavar="ENTITLEMENT")
    parser.value("--metadata-file", help="write what the results are to a file, as JSON", metavar="FILE")
    parser.value("--jobs", help="RUN commands at once (default: two for each processor, at least 4)", metavar="N")
    parser.value(
        "--progress", help="auto, tty, plain, rawjson or quiet (default: $BUILDKIT_PROGRESS, else auto)", metavar="FORM"
    )
    parser.flag("--quiet", "-q", help="only print the images' IDs")
    parser.word("targets", help='targets, groups or patterns of names (default "default")', nargs="*", metavar="TARGET")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.bake import files
    from holdall.engine.bake_options import options as build_options

    environ = {**os.environ, **_variables(options.var)}
    definition = files.parse(files.read(options.file, sys.stdin.buffer), environ)
    if options.list:
        return _list(state, definition, options.list)
    chosen = definition.choose(options.targets, [*options.set, *_switches(options)], environ)
    if options.print:
        state.print(printed(chosen))
        return 0
    asked = {name: build_options(name, target, environ) for name, target in chosen.targets.items()}
    asked = {name: _allowed(one, options.allow) for name, one in asked.items()}
    if options.check or options.call == "check":
        return _check(state, {name: one for name, one in asked.items() if name not in chosen.linked})
    return _build(state, options, asked)


def _variables(texts: list[str]) -> dict[str, str]:
    from holdall.errors import InvalidOption

    for one in texts:
        if not one.partition("=")[1]:
            raise InvalidOption(f'invalid value "{one}" for --var', hint="write NAME=VALUE")
    return dict([one.partition("=")[::2] for one in texts])


def _switches(options: Namespace) -> list[str]:
    from holdall.errors import InvalidOption

    if options.call not in ("", "build", "check"):
        raise InvalidOption(f'invalid value "{options.call}" for --call', hint="use build or check")
    given = {"push": options.push, "load": options.load, "no-cache": options.no_cache, "pull": options.pull}
    return [f"*.{name}=true" for name, value in given.items() if value]


def _allowed(asked: BuildOptions, given: list[str]) -> BuildOptions:
    from holdall.record import replace

    return replace(asked, allow=tuple(dict.fromkeys([*asked.allow, *given])))


def printed(chosen: Chosen) -> str:
    """The JSON that --print writes; it can be read as a definition again."""
    import json

    from holdall.bake import values

    groups = {name: {"targets": list(members)} for name, members in sorted(chosen.groups.items())}
    targets = {
        name: {key: _escaped(values.shown(key, value)) for key, value in target.items()}
        for name, target in sorted(chosen.targets.items())
    }
    return json.dumps({"group": groups, "target": targets}, indent=2, ensure_ascii=False)


def _escaped(value: Any) -> Any:
    """What would be a template is written so that it is none."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    return value


def _list(state: State, definition: Definition, what: str) -> int:
    from holdall.cli.table import columns
    from holdall.errors import InvalidOption

    if what not in LISTS:
        raise InvalidOption(f'invalid value "{what}" for --list', hint="use targets")
    rows = [(name, str(one.values.get("description", ""))) for name, one in definition.targets.items()]
    for name, group in definition.groups.items():
        rows.append((name, f"{group.description} ({', '.join(sorted(group.targets))})".strip()))
    for line in columns([("TARGET", "DESCRIPTION"), *sorted([row for row in rows if not row[0].startswith("_")])]):
        state.print(line)
    return 0


def _check(state: State, asked: Mapping[str, BuildOptions]) -> int:
    from holdall.cli import build_calls

    return max([build_calls.call(state, "check", "text", one) for one in asked.values()], default=0)


def _build(state: State, options: Namespace, asked: Mapping[str, BuildOptions]) -> int:
    from holdall.build.outputs import uses_stream
    from holdall.cli.build_limits import jobs
    from holdall.cli.builds import Report, heed_signals
    from holdall.engine.bakes import Bake

    heed_signals()
    with Report(state, quiet=options.quiet, progress=options.progress) as report:
        made = Bake(state.engine, asked, report, jobs=jobs(options.jobs)).run()
    if options.metadata_file:
        import json

        with open(options.metadata_file, "w", encoding="utf-8") as file:
            json.dump({name: one.metadata() for name, one in sorted(made.items())}, file, indent=2)
            file.write("\n")
    if not any(uses_stream(one.outputs) for one in asked.values()):
        for name in sorted(made):
            state.print(made[name].id)
    return 0
