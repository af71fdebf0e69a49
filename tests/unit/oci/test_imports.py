"""The types on the path of `run` load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"dataclasses", "typing", "pathlib", "subprocess", "asyncio", "inspect", "logging", "hashlib", "tempfile"}


def test_oci_and_image_are_light() -> None:
    modules = "config container_config descriptor digest history index manifest mediatype platform reference timestamp"
    names = ", ".join(
        [f"holdall.oci.{name}" for name in modules.split()] + ["holdall.image.image", "holdall.image.resolve"]
    )
    code = f"import {names}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(done.stdout.split()) & HEAVY
