"""`holdall cp`."""

from __future__ import annotations

import os
import sys
import tempfile

from holdall.errors import InvalidOption, PathNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.engine.container import Container
    from holdall.layer.export import PathStat

HELP = "Copy files between a container and this machine; - is a tar on standard input or output."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--archive", "-a", help="keep owners instead of giving the files to root")
    parser.flag("--follow-link", "-L", help="copy what a link at the end of the source points to")
    parser.flag("--quiet", "-q", help="accepted for Docker's sake: nothing is printed anyway")
    parser.word("source", help="CONTAINER:PATH, PATH or -", metavar="SOURCE")
    parser.word("target", help="CONTAINER:PATH, PATH or -", metavar="TARGET")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    source, target = split(options.source), split(options.target)
    if (source[0] is None) == (target[0] is None):
        raise InvalidOption("one side must be CONTAINER:PATH and the other a path of this machine")
    containers = state.engine.containers
    if source[0] is not None:
        _out(state, containers.get(source[0]), source[1], target[1], options)
    else:
        assert target[0] is not None
        _in(state, containers.get(target[0]), source[1], target[1], options)
    return 0


def split(text: str) -> tuple[str | None, str]:
    """Container and path; an absolute path, or one that begins with a dot, has no container."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or "/" in name or not name:
        return None, text
    return name, path or "/"


def _out(state: State, container: Container, source: str, target: str, options: Namespace) -> None:
    from holdall.engine.copy import destination, enters, look
    from holdall.layer.unpack import extract_into

    if target == "-":
        if os.isatty(1):
            raise InvalidOption("cowardly refusing to write a tar to a terminal", hint="redirect it")
        container.copy_out(source, sys.stdout.buffer, follow=options.follow_link)
        return
    with tempfile.TemporaryFile(dir=state.paths.ingest) as spool:
        container.copy_out(source, spool, follow=options.follow_link)
        spool.seek(0)
        found = look(state.engine, container, source, follow=options.follow_link or enters(source))
        # a link at its end stays, what it points to is written; a trailing slash keeps its meaning
        wanted = os.path.realpath(target) + ("/" if target.endswith("/") else "")
        folder, name = destination(source, found is not None and found.is_directory, wanted, _local(wanted))
        if not os.path.isdir(folder):
            raise PathNotFound(f'the folder "{folder}" does not exist', hint="make it first")
        if name and (source.endswith("/.") or os.path.normpath(source) == "/"):
            # the content of a folder, into one that is not there yet
            folder, name = os.path.join(folder, name), ""
            os.mkdir(folder)
        rebase = _rebase(source, name)
        owner = None if options.archive else (os.geteuid(), os.getegid())
        extract_into(spool, folder, rebase=rebase, owner=owner, keep_kinds=True)


def _in(state: State, container: Container, source: str, target: str, options: Namespace) -> None:
    from holdall.engine.copy import destination, enters, landing, look
    from holdall.layer.export import write_path

    if source == "-":
        container.copy_in(target, sys.stdin.buffer, keep_owner=options.archive)
        return
    real = os.path.realpath(source) if options.follow_link else os.path.abspath(source)
    if not os.path.lexists(real):
        raise PathNotFound(f'no such file "{source}"')
    is_folder = os.path.isdir(real) and (enters(source) or not os.path.islink(real))
    target = landing(state.engine, container, target)
    folder, name = destination(source, is_folder, target, look(state.engine, container, target, follow=True))
    with tempfile.TemporaryFile(dir=state.paths.ingest) as spool:
        behind = "/." if not name else "/" if enters(source) else ""
        write_path("/", real + behind, spool, name=os.fsencode(name) if name else None)
        spool.seek(0)
        container.copy_in(folder, spool, keep_owner=options.archive)


def _rebase(source: str, name: str) -> tuple[bytes, bytes] | None:
    old = os.path.basename(os.path.normpath(source))
    return (os.fsencode(old), os.fsencode(name)) if name and old != name else None


def _local(path: str) -> PathStat | None:
    from holdall.layer.export import stat_path

    try:
        return stat_path("/", os.path.realpath(path))
    except PathNotFound:
        return None
