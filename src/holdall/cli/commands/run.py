"""`holdall run`."""

from __future__ import annotations

import os
import sys

from holdall.cli import container_options
from holdall.errors import HoldallError, InvalidOption
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.engine.container import Container

HELP = "Make a container from an image and start it."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--detach", "-d", help="run in the background and print its ID")
    parser.flag("--sig-proxy", help="pass signals on to it (default true)", default=True)
    parser.value("--detach-keys", help="keys that detach from it (default ctrl-p,ctrl-q)", metavar="KEYS")
    parser.values("--attach", "-a", help="attach only to STDIN, STDOUT or STDERR", metavar="STREAM")
    container_options.add(parser)
    parser.rest("image_and_command", help="IMAGE [COMMAND [ARGUMENTS…]]")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    split_image(options)
    streams = _streams(options)
    asked = container_options.read(options)
    container_options.claim_cidfile(options.cidfile)
    # stdin ends with the client's only where the client feeds it from the start (Docker's StdinOnce)
    asked = replace(asked, stdin_once=options.interactive and not options.detach)
    if options.tty and not options.detach and "STDIN" in streams and options.interactive and not os.isatty(0):
        raise InvalidOption("the input device is not a TTY", hint="leave out -t when input comes from a pipe or file")
    if not os.geteuid():
        state.engine.connect_early()
    container = state.engine.containers.create(asked, reporter=state.progress(quiet=options.quiet))
    container_options.write_cidfile(options.cidfile, container.id)
    if options.detach:
        return _detached(state, container)
    return _foreground(container, options, streams)


def split_image(options: Namespace) -> None:
    """Part the words into image and command. Raises InvalidOption without an image."""
    words = options.image_and_command
    if not words:
        raise InvalidOption("an image is needed", hint="holdall run [OPTIONS] IMAGE [COMMAND]")
    options.image, options.command = words[0], words[1:]


def _streams(options: Namespace) -> set[str]:
    streams = {text.upper() for text in options.attach}
    if not streams <= {"STDIN", "STDOUT", "STDERR"}:
        raise InvalidOption("--attach takes STDIN, STDOUT or STDERR")
    if streams and options.detach:
        raise InvalidOption("--attach and --detach contradict each other")
    return streams or {"STDIN", "STDOUT", "STDERR"}


def _detached(state: State, container: Container) -> int:
    try:
        container.start()
    except HoldallError:
        if container.config.options.auto_remove:
            container.remove(force=True, volumes=True)
        raise
    state.print(container.id)
    return 0


def _foreground(container: Container, options: Namespace, streams: set[str]) -> int:
    from holdall.cli.session import follow

    stdin = options.interactive and "STDIN" in streams
    try:
        attachment = container.open(start=True, stdin=stdin, stdout="STDOUT" in streams, stderr="STDERR" in streams)
    except HoldallError:
        if options.rm:
            container.remove(force=True, volumes=True)
        raise
    send = container.deliver if options.sig_proxy else None
    with attachment:
        code = follow(attachment, stdin=stdin, send=send, keys=options.detach_keys)
        sys.stdout.flush()
        if code is None:
            return 0
        if options.rm:
            container.remove(volumes=True, connection=attachment.connection)
    return code
