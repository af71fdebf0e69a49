from __future__ import annotations

from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.pack.script import Interpreter, read_shebang


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("#!/bin/sh\n", Interpreter("/bin/sh")),
        ("#! /bin/sh -eu\n", Interpreter("/bin/sh")),
        ("#!\t/bin/sh\r\n", Interpreter("/bin/sh")),
        ("#!/bin/sh", Interpreter("/bin/sh")),
        ("#!/usr/bin/env python3\n", Interpreter("/usr/bin/env", "python3")),
        ("#!/usr/bin/env -S python3 -u\n", Interpreter("/usr/bin/env", "python3")),
        ("#!/usr/bin/env -Spython3 -u\n", Interpreter("/usr/bin/env", "python3")),
        ("#!/usr/bin/env --split-string=A=1 -i python3\n", Interpreter("/usr/bin/env", "python3")),
        ("#!/usr/bin/env -S -u HOME -C /tmp A='b c' node\n", Interpreter("/usr/bin/env", "node")),
        ("#!/usr/bin/env python3 -u\n", Interpreter("/usr/bin/env", "python3 -u")),
        ("#!/bin/sh " + "x" * 300, Interpreter("/bin/sh")),
    ],
)
def test_first_lines(tmp_path: Path, line: str, found: Interpreter) -> None:
    path = tmp_path / "s"
    path.write_text(line)
    assert read_shebang(str(path)) == found


@pytest.mark.parametrize("data", [b"", b"#", b"echo", b"\x7fELF"])
def test_what_is_no_script(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s").write_bytes(data)
    assert read_shebang(str(tmp_path / "s")) is None


@pytest.mark.parametrize(
    "line", ["#!", "#!python3\n", "#!/usr/bin/env", "#!/usr/bin/env -S 'x\n", "#!/usr/bin/env -i\n"]
)
def test_bad_first_lines(tmp_path: Path, line: str) -> None:
    (tmp_path / "s").write_text(line)
    with pytest.raises(InvalidInput, match="first line"):
        read_shebang(str(tmp_path / "s"))
