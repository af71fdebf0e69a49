"""Options of `build` about what RUN is given: secrets, ssh agents, entitlements."""

from __future__ import annotations

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from holdall.cli.arguments import Parser

ENTITLEMENTS = ("network.host", "security.insecure", "device")


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.values(
        "--secret", help="a secret for RUN --mount=type=secret, from a file or a variable",
        metavar="id=NAME[,src=FILE|,env=VAR]",
    )  # fmt: skip
    parser.values(
        "--ssh", help="an agent for RUN --mount=type=ssh: that of $SSH_AUTH_SOCK, a socket, or one with these keys",
        metavar="default|ID[=SOCKET|KEY[,KEY…]]",
    )  # fmt: skip
    parser.values("--allow", help="allow RUN network.host, security.insecure, or device[=NAME]", metavar="ENTITLEMENT")


def read(options: Namespace) -> dict[str, Any]:
    """As fields of BuildOptions. Raises InvalidOption."""
    from holdall.build.secrets import Secret

    return {
        "secrets": dict(map(Secret.parse, options.secret)),
        "ssh": dict(map(_ssh, options.ssh)),
        "allow": tuple(map(_entitlement, options.allow)),
    }


def _ssh(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, paths = text.partition("=")
    if not name:
        raise InvalidOption(f'invalid value "{text}" for --ssh', hint="write default, or ID=SOCKET")
    return name, tuple([path for path in paths.split(",") if path])


def _entitlement(text: str) -> str:
    name, equals, value = text.partition("=")
    if name not in ENTITLEMENTS or (equals and (name != "device" or not value)):
        raise InvalidOption(f'invalid value "{text}" for --allow', hint=f"use one of {', '.join(ENTITLEMENTS)}")
    return text
