"""RUN, CMD, ENTRYPOINT, HEALTHCHECK and SHELL from their nodes."""

from __future__ import annotations

from holdall.dockerfile import device, mount, values
from holdall.dockerfile.flags import MANY, ONE, Flags
from holdall.dockerfile.instructions import Cmd, CommandLine, Entrypoint, Healthcheck, Run, Shell
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.dockerfile.node import Node

NETWORKS = ("default", "none", "host")
SECURITY = ("sandbox", "insecure")
_RUN_FLAGS = {"mount": MANY, "device": MANY, "network": ONE, "security": ONE}
_HEALTH_FLAGS = dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), ONE)
MAX_RETRIES = (1 << 31) - 1


def command_line(node: Node) -> CommandLine:
    """Exec or shell form of a node."""
    return CommandLine(node.arguments, not node.is_json, node.heredocs)


def run(node: Node) -> Run:
    """RUN. Raises DockerfileError."""
    flags = Flags(node.flags, _RUN_FLAGS)
    texts = flags.many("mount")
    return Run(
        *node.head(),
        command=command_line(node),
        mount_flags=texts,
        mount_sources=tuple(map(mount.source_stage, texts)),
        network=_one_of("network mode", flags.one("network", "default"), NETWORKS),
        security=_one_of("security mode", flags.one("security", "sandbox"), SECURITY),
        devices=tuple(map(device.parse, flags.many("device"))),
    )


def _one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        near = hint(value, known) or "use one of " + ", ".join(known)
        raise DockerfileError(f'invalid {what} "{value}"', hint=near)
    return value


def cmd(node: Node) -> Cmd:
    """CMD. Raises DockerfileError."""
    Flags(node.flags, {})
    return Cmd(*node.head(), command_line(node))


def entrypoint(node: Node) -> Entrypoint:
    """ENTRYPOINT. Raises DockerfileError."""
    Flags(node.flags, {})
    return Entrypoint(*node.head(), command_line(node))


def shell(node: Node) -> Shell:
    """SHELL, in exec form only. Raises DockerfileError."""
    Flags(node.flags, {})
    if not node.arguments:
        raise DockerfileError("SHELL needs at least one argument")
    if not node.is_json:
        raise DockerfileError("SHELL needs a JSON array", hint='write SHELL ["/bin/sh", "-c"]')
    return Shell(*node.head(), node.arguments)


def healthcheck(node: Node) -> Healthcheck:
    """HEALTHCHECK. Raises DockerfileError."""
    if not node.arguments:
        raise DockerfileError("HEALTHCHECK needs at least one argument", hint="write HEALTHCHECK CMD … or NONE")
    kind, arguments = node.arguments[0].upper(), node.arguments[1:]
    if kind == "NONE":
        if arguments:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(*node.head(), ("NONE",))
    flags = Flags(node.flags, _HEALTH_FLAGS)
    if kind != "CMD":
        raise DockerfileError(f'unknown type "{node.arguments[0]}" in HEALTHCHECK', hint="use CMD or NONE")
    if not arguments:
        raise DockerfileError("HEALTHCHECK CMD needs a command")
    return Healthcheck(
        *node.head(),
        test=("CMD" if node.is_json else "CMD-SHELL", *arguments),
        interval=_time(flags, "interval"),
        timeout=_time(flags, "timeout"),
        start_period=_time(flags, "start-period"),
        start_interval=_time(flags, "start-interval"),
        retries=_retries(flags.one("retries")),
    )


def _time(flags: Flags, name: str) -> int:
    return values.duration(name, flags.one(name))


def _retries(text: str) -> int:
    if not text:
        return 0
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10 or int(digits) > MAX_RETRIES:
        raise DockerfileError(f'invalid value for --retries: "{text}"')
    if text[0] == "-" and int(digits):
        raise DockerfileError(f'--retries cannot be negative: "{text}"')
    return int(digits)
