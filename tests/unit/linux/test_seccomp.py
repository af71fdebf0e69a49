from __future__ import annotations

import json
import subprocess
import sys

import pytest

from holdall.errors import Unsupported
from holdall.linux import seccomp


def name(profile: bytes | None = None, *capabilities: str, release: str = "6.1.0", machine: str = "x86_64") -> str:
    return seccomp.cache_name(profile, capabilities, release, machine)


def test_cache_name_knows_what_the_filter_depends_on() -> None:
    names = {
        name(), name(b""), name(b"{}"), name(None, "CAP_KILL"), name(b"{}", "CAP_KILL"), name(release="6.2.0"),
        name(machine="aarch64"), name(b"default"),
    }  # fmt: skip
    assert len(names) == 8
    assert all(len(text) == 64 and text.isalnum() for text in names)


def test_cache_name_ignores_what_it_does_not_depend_on() -> None:
    assert name(None, "CAP_KILL", "CAP_CHOWN") == name(None, "chown", "KILL", "cap_kill")
    assert name(release="6.1.0-18-amd64") == name(release="6.1.99")


def test_a_listener_is_refused() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}
    with pytest.raises(Unsupported, match="listener"):
        seccomp.compile_filter(json.dumps(profile).encode(), [])


def test_loading_a_cached_filter_imports_no_compiler() -> None:
    code = "import sys, holdall.linux.seccomp as s; s.cache_name(None, []); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {
        n for n in loaded if n.startswith("holdall.linux.") and n not in ("holdall.linux.seccomp", "holdall.linux.libc")
    }
    assert not loaded & {"typing", "dataclasses", "inspect", "json", "pathlib"}
