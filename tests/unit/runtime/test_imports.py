from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "dataclasses",
    "inspect",
    "typing",
    "pathlib",
    "subprocess",
    "asyncio",
    "tempfile",
    "shutil",
    "logging",
    "urllib",
}


def test_runtime_stays_light() -> None:
    names = ["sys", "holdall.oci.runtime_spec_json"]
    names += [f"holdall.runtime.{name}" for name in ("create", "exec", "bundle")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import {', '.join(names)}; print(*sys.modules)"], capture_output=True, text=True
    )
    modules = set(done.stdout.split())
    assert "holdall.runtime.init" in modules, done.stderr
    assert not modules & HEAVY
