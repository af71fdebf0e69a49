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
    code = "import sys, holdall.runtime.create, holdall.runtime.exec, holdall.runtime.bundle, holdall.oci.runtime_spec_json"
    done = subprocess.run([sys.executable, "-I", "-c", code + "; print(*sys.modules)"], capture_output=True, text=True)
    modules = set(done.stdout.split())
    assert "holdall.runtime.init" in modules, done.stderr
    assert not modules & HEAVY
