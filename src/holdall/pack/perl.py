"""Perl: the interpreter's own modules (`privlib`, `archlib`), which nearly every script begins by loading."""

from __future__ import annotations

import os
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.pack.collect import Collector
    from holdall.pack.elf import Elf
    from holdall.pack.libraries import Closure

TIMEOUT = 30
_ASK = 'use Config; print join("\\n", @Config{qw(privlibexp archlibexp)}, grep { m{/perl-base$} } @INC)'
_SKIPPED = frozenset(("pod", "unicore/lib", "CORE"))


def add(collector: Collector, path: str, elf: Elf, closure: Closure) -> None:
    """Add the core modules. A Perl that cannot tell where they are is packed without."""
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [path, "-e", _ASK],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            env=env,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        collector.plan.note(f'"{path}" is packed without modules: it does not tell where they are')
        return
    for folder in dict.fromkeys(done.stdout.split("\n")):
        if folder.startswith("/") and os.path.isdir(folder):
            files = collector.host.tree(folder, f"modules of {path}", lambda _, name, __: name not in _SKIPPED)
            collector.plugins(elf, files, closure)
