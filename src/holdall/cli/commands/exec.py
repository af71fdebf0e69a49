"""`holdall exec`."""

from __future__ import annotations

import os

from holdall.engine import syntax
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Run another command in a running container."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--detach", "-d", help="run it in the background")
    parser.flag("--interactive", "-i", help="keep standard input open")
    parser.flag("--tty", "-t", help="give it a terminal")
    parser.flag("--privileged", help="give it all capabilities")
    parser.value("--user", "-u", help="user and group: NAME|UID[:GROUP|GID]", default="", metavar="USER")
    parser.value("--workdir", "-w", help="working directory", default="", metavar="DIR")
    parser.value("--detach-keys", help="keys that detach from it (default ctrl-p,ctrl-q)", metavar="KEYS")
    parser.values("--env", "-e", help="set a variable, or pass the caller's on", metavar="NAME[=VALUE]")
    parser.values("--env-file", help="read variables from a file", metavar="FILE")
    parser.rest("container_and_command", help="CONTAINER COMMAND [ARGUMENTS…]")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.session import follow
    from holdall.engine.execute import ExecOptions

    words = options.container_and_command
    if len(words) < 2:
        raise InvalidOption("a container and a command are needed", hint="holdall exec [OPTIONS] CONTAINER COMMAND")
    if options.tty and options.interactive and not options.detach and not os.isatty(0):
        raise InvalidOption("the input device is not a TTY", hint="leave out -t when input comes from a pipe or file")
    env = [item for path in options.env_file for item in syntax.read_env_file(path)]
    asked = ExecOptions(
        tuple(words[1:]),
        user=options.user,
        env=(*syntax.parse_env(env), *syntax.parse_env(options.env)),
        working_dir=options.workdir,
        tty=options.tty,
        stdin=options.interactive,
        detach=options.detach,
        privileged=options.privileged,
    )
    with state.engine.containers.get(words[0]).execute(asked) as attachment:
        if options.detach:
            return 0
        code = follow(attachment, stdin=options.interactive, send=None, keys=options.detach_keys)
        if attachment.detached:
            attachment.connection.detach()
    return code or 0
