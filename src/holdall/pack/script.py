"""Scripts: what the line `#!` runs, as execve(2) reads it, and what `env` makes of it (env(1), option -S)."""

from __future__ import annotations

import os
import shlex

from holdall.errors import InvalidInput
from holdall.record import record

MAX_LINE = 256
"""Bytes of the first line that the kernel looks at (BINPRM_BUF_SIZE)."""
MAX_NESTING = 5
"""Interpreters that are scripts themselves, as deep as the kernel follows."""


@record
class Interpreter:
    """What runs a script: `path`, and `name`, the program that `env` is to look up in PATH ("" without env)."""

    path: str
    name: str = ""


def read_shebang(path: str) -> Interpreter | None:
    """The interpreter of a script, None when the file does not begin with `#!`. Raises InvalidInput, OSError."""
    with open(path, "rb", buffering=0) as file:
        head = file.read(MAX_LINE)
    if not head.startswith(b"#!"):
        return None
    line, newline, _ = head[2:].partition(b"\n")
    if not newline and len(head) == MAX_LINE:
        line = line.rpartition(b" ")[0] or line
    words = os.fsdecode(line).strip(" \t\r").split(None, 1)
    if not words or not words[0].startswith("/"):
        raise InvalidInput(f'script "{path}" has no absolute interpreter in its first line')
    argument = words[1].strip() if len(words) > 1 else ""
    if os.path.basename(words[0]) != "env":
        return Interpreter(words[0])
    return Interpreter(words[0], _env_program(argument, path))


def _env_program(argument: str, path: str) -> str:
    """The program in env's one argument; with -S the argument is split first."""
    words = [argument] if argument else []
    for option in ("-S", "--split-string=", "-vS"):
        if argument.startswith(option):
            try:
                words = shlex.split(argument[len(option) :])
            except ValueError as err:
                raise InvalidInput(f'script "{path}" has a first line that env cannot split: {err}') from err
            break
    while words and (words[0].startswith("-") or "=" in words[0]):
        word = words.pop(0)
        if word in ("-u", "--unset", "-C", "--chdir") and words:
            words.pop(0)
    if not words:
        raise InvalidInput(f'script "{path}" has a first line that names no program')
    return words[0]
