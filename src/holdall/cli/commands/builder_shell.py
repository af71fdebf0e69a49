"""`holdall builder shell`."""

from __future__ import annotations

import os
import sys

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.engine.build_history import Place

HELP = (
    "Open a shell in the files that a step of a build came to, with the environment, user and folder of its stage."
    " What is written there is lost at the end."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--build", help="the beginning of a build's ID", default="", metavar="BUILD")
    parser.rest("step_and_command", help="STEP [COMMAND [ARGUMENTS…]]: a step's number, or the beginning of its key")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    words = options.step_and_command
    if not words:
        raise InvalidOption("a step is needed", hint="holdall builder history latest lists them")
    place = _place(state, options.build, words[0])
    with state.engine.builds.history.entered(place) as container:
        if len(words) == 1 and not (os.isatty(0) and os.isatty(1)):
            raise InvalidOption("a shell needs a terminal", hint="give a command behind the step")
        if os.isatty(0) and os.isatty(1):
            from holdall.cli.session import follow

            attachment = container.terminal(tuple(words[1:])) if words[1:] else container.shell()
            with attachment:
                code = follow(attachment, stdin=True, send=None, keys="")
        else:
            attachment = container.command(tuple(words[1:]))
            with attachment:
                attachment.relay(stdin=None)
                code = attachment.wait()
        sys.stdout.flush()
        return 125 if code is None else code


def _place(state: State, build: str, step: str) -> Place:
    """A number is a step of that build or the latest; a key may be any build's."""
    history = state.engine.builds.history
    if build or step.isdigit():
        return history.step(build or "latest", step)
    return history.key(step)
