"""The shell that a SHELL is, when somebody sits before it."""

from __future__ import annotations

import pytest

from holdall.engine.step_container import interactive


@pytest.mark.parametrize(
    ("shell", "args"),
    [
        (("/bin/sh", "-c"), ("/bin/sh",)),
        (("/bin/bash", "-o", "pipefail", "-c"), ("/bin/bash", "-o", "pipefail")),
        (("/bin/bash", "-ec"), ("/bin/bash",)),
        (("/bin/ash",), ("/bin/ash",)),
        (("cmd", "/S", "/C"), ("cmd", "/S")),
        ((), ("/bin/sh",)),
    ],
)
def test_a_shell_without_the_flag_that_makes_it_read_a_command(shell: tuple[str, ...], args: tuple[str, ...]) -> None:
    assert interactive(shell) == args
