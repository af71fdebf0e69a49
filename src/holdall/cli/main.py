"""The `holdall` command: global options, the right command's module, and errors turned into exit codes."""

from __future__ import annotations

import os
import sys

from holdall.cli.table_of_commands import ALIASES, COMMANDS, GROUPS
from holdall.errors import HoldallError, InvalidOption
from holdall.paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

GLOBAL_VALUES = ("--root", "--run-root", "--storage-driver")
LEAVE_RUNNING = ("run", "start", "restart")
BUILD = ("build", "bake")
PARSERS: dict[str, Parser] = {}


def run() -> None:
    """Entry point of the console script; never returns."""
    # the interpreter's tear-down costs milliseconds and has nothing left to save
    os._exit(finish(main(sys.argv[1:])))


def finish(code: int) -> int:
    """Flush what was printed; the exit code is SIGPIPE's when nobody reads it any more."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        return 128 + 13
    return code


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints errors, never raises them."""
    from holdall.cli.state import State

    state = None
    command = ""
    try:
        words, options = split_globals(list(argv))
        if options.get("--version"):
            words = ["version", "--short"]
        if not words or words[0] in ("--help", "-h", "help"):
            return show_help(words[1:])
        command, rest = find_command(words)
        state = State(
            Paths.choose(options.get("--root"), options.get("--run-root")),
            debug=bool(options.get("--debug")),
            storage_driver=options.get("--storage-driver", ""),
        )
        return call(command, rest, state)
    except HoldallError as err:
        if state is not None and state.debug:
            _print_traceback()
        return report(err, command)
    except KeyboardInterrupt as err:
        return getattr(err, "code", 130)
    except BrokenPipeError:
        return 128 + 13
    except OSError as err:
        from holdall.cli.failures import from_os_error

        if state is not None and state.debug:
            _print_traceback()
        return report(from_os_error(err), command)


def split_globals(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take the options before the command off `argv`. Raises InvalidOption for an unknown one."""
    options: dict[str, str] = {}
    while argv and argv[0].startswith("-") and argv[0] not in ("--help", "-h"):
        word, equals, value = argv.pop(0).partition("=")
        if word in GLOBAL_VALUES:
            if not equals:
                if not argv:
                    raise InvalidOption(f"the option {word} needs a value")
                value = argv.pop(0)
            options[word] = value
        elif word in ("--debug", "-D"):
            options["--debug"] = "1"
        elif word in ("--version", "-v"):
            options["--version"] = "1"
        else:
            raise InvalidOption(f'unknown option "{word}"', hint="holdall --help lists the global options")
    return argv, options


def find_command(words: list[str]) -> tuple[str, list[str]]:
    """Name of the command's module and the words that belong to it. Raises InvalidOption with a near miss."""
    name = words[0]
    if " ".join(words[:2]) in GROUPS:
        name, words = " ".join(words[:2]), words[1:]
    if name in GROUPS:
        members = GROUPS[name]
        known = [*members, *(one.removeprefix(f"{name} ") for one in GROUPS if one.startswith(f"{name} "))]
        if len(words) > 1 and words[1] in members:
            return members[words[1]], words[2:]
        if len(words) > 1 and not words[1].startswith("-"):
            raise InvalidOption(
                f'unknown command "holdall {name} {words[1]}"', hint=f"one of {', '.join(sorted(known))}"
            )
        return "help", [name]
    if words[:2] == ["build", "logs"] and not os.path.isfile("logs/Dockerfile"):
        return "builder_logs", words[2:]
    name = ALIASES.get(name, name)
    if name in COMMANDS:
        return name, words[1:]
    import difflib

    near = difflib.get_close_matches(name, [*COMMANDS, *GROUPS, *ALIASES], 1)
    raise InvalidOption(
        f'unknown command "{words[0]}"', hint=f'did you mean "{near[0]}"?' if near else "see holdall --help"
    )


def call(command: str, argv: list[str], state: State) -> int:
    """Parse `argv` by the command's own parser and run it."""
    from importlib import import_module

    if command == "help":
        return show_help(argv)
    options = parser_of(command).read(argv)
    if options is None:
        return 0
    code: int = import_module(f"holdall.cli.commands.{command}").main(state, options)
    if command in BUILD or (command in LEAVE_RUNNING and getattr(options, "detach", True)):
        from holdall.cli.warm import keep_warm

        keep_warm(state.paths, lingering=command in BUILD)
    return code


def parser_of(command: str) -> Parser:
    """The command's own parser; made once."""
    from importlib import import_module

    from holdall.cli.arguments import Parser

    parser = PARSERS.get(command)
    if parser is None:
        module = import_module(f"holdall.cli.commands.{command}")
        parser = PARSERS[command] = Parser(command, module.HELP)
        module.arguments(parser)
    return parser


def show_help(words: list[str]) -> int:
    """Print the list of commands, a group's, or one command's help."""
    from holdall.cli.overview import overview

    if words and words[0] not in GROUPS:
        command, _ = find_command(words)
        return call(command, ["--help"], None)  # type: ignore[arg-type]  # --help needs no state
    sys.stdout.write(overview(words[0] if words else None))
    return 0


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def report(err: HoldallError, command: str) -> int:
    """Print an error with its hint and return the exit code."""
    sys.stdout.flush()
    name = f"holdall {command.replace('_', ' ')}" if command else "holdall"
    sys.stderr.write(f"{name}: {err.message}\n")
    excerpt = getattr(err, "excerpt", "")
    if excerpt:
        sys.stderr.write(f"{excerpt}\n")
    output = getattr(err, "output", ())
    if output:
        from holdall.dockerfile.location import visible

        sys.stderr.write("last lines of its output:\n")
        sys.stderr.writelines([f"  | {visible(line.expandtabs(8))}\n" for line in output])
    if err.hint:
        sys.stderr.write(f"hint: {err.hint}\n")
    # Docker's word for "it was not the command that failed"
    return 125 if command in ("run", "create") and err.exit_code == 1 else err.exit_code
