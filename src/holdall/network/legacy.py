"""iptables' old kernel interface (ip_tables): its FORWARD chain through the `iptables-legacy` program, where both are.

Its tables can only be replaced whole, under a lock the program owns, so this one firewall is changed by its own tool.
Nothing is started unless the kernel has the old `filter` table loaded.
"""

from __future__ import annotations

import os

_NAMES = "/proc/net/ip_tables_names"
_PROGRAM = "iptables-legacy"
_PLACES = ("/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin")
_DIRECTIONS = ("-i", "-o")
_TRIES = 8
MAX_OUTPUT = 4 << 20


def _program() -> str | None:
    try:
        with open(_NAMES) as file:
            if "filter" not in file.read(4096).split():
                return None
    except OSError:
        return None
    for place in _PLACES:
        path = f"{place}/{_PROGRAM}"
        if os.access(path, os.X_OK):
            return path
    return None


def _run(program: str, *arguments: str) -> tuple[int, str]:
    """Exit status and standard output."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writer, 1),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]
    try:
        pid = os.posix_spawn(program, [_PROGRAM, "-w", *arguments], {"PATH": ":".join(_PLACES)}, file_actions=actions)
    except BaseException:
        os.close(writer)
        os.close(reader)
        raise
    os.close(writer)
    parts, size = [], 0
    with open(reader, "rb", buffering=0) as file:
        while part := file.read(64 << 10):
            size += len(part)
            if size <= MAX_OUTPUT:
                parts.append(part)
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        status = 0  # the caller ignores SIGCHLD
    return status, b"".join(parts).decode(errors="replace")


def _rules(program: str) -> list[str]:
    status, output = _run(program, "-S", "FORWARD")
    return output.splitlines() if status == 0 else []


def _rule(bridge: str, direction: str) -> list[str]:
    return ["FORWARD", direction, bridge, "-m", "comment", "--comment", f"holdall {bridge}", "-j", "ACCEPT"]


def _missing(rules: list[str], bridge: str) -> list[str]:
    return [
        direction
        for direction in _DIRECTIONS
        if not any(f"{direction} {bridge} " in rule and f'"holdall {bridge}"' in rule for rule in rules)
    ]


def ensure(bridge: str) -> None:
    """Append rules that accept the bridge's traffic where the policy is DROP; nothing where there is no such table."""
    program = _program()
    if program is None:
        return
    rules = _rules(program)
    if "-P FORWARD DROP" in rules:
        for direction in _missing(rules, bridge):
            _run(program, "-A", *_rule(bridge, direction))


def remove(bridge: str) -> None:
    """Delete the rules of `ensure`. Idempotent."""
    program = _program()
    if program is None:
        return
    for _ in range(_TRIES):  # two commands may have added them at the same time
        missing = _missing(_rules(program), bridge)
        if len(missing) == len(_DIRECTIONS):
            return
        for direction in _DIRECTIONS:
            if direction not in missing:
                _run(program, "-D", *_rule(bridge, direction))


def blocked(bridge: str) -> str | None:
    """A sentence when the policy is DROP and the bridge's rules are not there."""
    program = _program()
    if program is None:
        return None
    rules = _rules(program)
    if "-P FORWARD DROP" not in rules or (bridge and not _missing(rules, bridge)):
        return None
    return 'chain "FORWARD" of iptables-legacy drops forwarded packets by its policy'
