"""`holdall login`."""

from __future__ import annotations

import os
import sys

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Check credentials with a registry and store them in Docker's config.json or its credential helper."
MAX_PASSWORD = 65536


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--username", "-u", help="user name", metavar="USER")
    parser.value("--password", "-p", help="password; better use --password-stdin", metavar="PASSWORD")
    parser.flag("--password-stdin", help="read the password from standard input")
    parser.flag("--tls-verify", help="check the registry's certificate (default true)", default=True)
    parser.value("--cert-dir", help="folder with CA and client certificates", metavar="DIR")
    parser.word("registry", help="HOST[:PORT] (default docker.io)", nargs="?", metavar="REGISTRY")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.registries import DEFAULT
    from holdall.engine.transfer import TransferOptions

    user, password = _credentials(state, options)
    done = state.engine.registries.login(
        options.registry or DEFAULT,
        username=user,
        password=password,
        options=TransferOptions(options.tls_verify, cert_dir=options.cert_dir),
    )
    if done.warning:
        state.note(f"warning: {done.warning}")
    state.print("Login Succeeded")
    return 0


def _credentials(state: State, options: Namespace) -> tuple[str, str]:
    if options.password is not None and options.password_stdin:
        raise InvalidOption("--password and --password-stdin contradict each other")
    user = options.username
    if options.password_stdin:
        if not user:
            raise InvalidOption("--password-stdin needs --username")
        return user, sys.stdin.read(MAX_PASSWORD).rstrip("\r\n")
    if options.password is not None:
        state.note("warning: --password is seen by everybody who lists processes; use --password-stdin")
    if (user is None or options.password is None) and not os.isatty(0):
        raise InvalidOption("no terminal to ask for credentials", hint="use --username with --password-stdin")
    if user is None:
        sys.stderr.write("Username: ")
        sys.stderr.flush()
        user = sys.stdin.readline().rstrip("\n")
    if options.password is None:
        import getpass

        return user, getpass.getpass("Password: ")
    return user, options.password
