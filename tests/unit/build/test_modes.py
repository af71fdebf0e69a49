"""--chmod: as chmod(1) has it, with no umask."""

from __future__ import annotations

import itertools
import subprocess
from typing import TYPE_CHECKING

import pytest

from holdall.build import modes
from holdall.errors import DockerfileError

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = (
    "u=rwX,go=rX", "+x", "-x", "a+rwx", "g=u", "o=", "u+s", "g-s", "+t", "-t", "u=rw,g=r,o=", "ug+rw,o-rwx", "=rx",
    "u-w+x", "go=u-w", "a=rX", "o+s", "g=o,o=g", "u+X", "ugo-rwxst", "=", "a=",
)  # fmt: skip
BEFORE = (0o000, 0o644, 0o755, 0o600, 0o4711, 0o2750, 0o1777, 0o070, 0o007)


@pytest.mark.parametrize("text", TEXTS)
def test_changes_are_those_of_chmod(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.touch()
    mode = modes.parse(text)
    assert mode is not None
    for before in BEFORE:
        if "=" in text and before & 0o1000:
            # GNU's takes the sticky bit away then, BSD's and BuildKit's do not
            assert mode.applied(before, is_folder=False) & 0o1000
            continue
        path.chmod(before)
        # GNU chmod looks at the umask where nobody is named
        subprocess.run(["chmod", "--", text, str(path)], check=True, umask=0)
        assert oct(mode.applied(before, is_folder=False)) == oct(path.stat().st_mode & 0o7777), before


def test_a_folder_can_be_entered() -> None:
    mode = modes.parse("u=rwX,go=rX")
    assert mode is not None
    assert [mode.applied(0o600, is_folder=folder) for folder in (True, False)] == [0o755, 0o644]


@pytest.mark.parametrize(("text", "mode"), [("755", 0o755), ("0644", 0o644), ("7777", 0o7777), ("0", 0)])
def test_octal_replaces_everything(text: str, mode: int) -> None:
    found = modes.parse(text)
    assert found is not None
    assert [found.applied(before, is_folder=folder) for before, folder in itertools.product(BEFORE, (True, False))] == (
        [mode] * len(BEFORE) * 2
    )


@pytest.mark.parametrize("text", ["8", "77777", "0o7", "u", "u=q", "x", ",", "u=r,", "+ugo", "7x", "²", "a" * 300])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match="is no mode"):
        modes.parse(text)


def test_nothing_is_no_mode() -> None:
    assert modes.parse("") is None
